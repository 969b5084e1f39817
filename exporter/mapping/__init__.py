"""Payload to reading, readings to samples: pure.

Holds: rows, conversion, reduction, periods, the merge of a target's readings, usage status,
forecast, samples.
May import: the kernel and the model.
Must never: fetch, read a clock, or publish a number that is in no answer and follows from none.
"""
