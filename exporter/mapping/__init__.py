"""Payload to reading to samples, entirely pure.

Lives here: selection with scopes, conversion, reduction, periods, the join of a target's readings,
the forecast.
May know: the kernel and the model.
Must never: fetch, read a clock, or let a number through that no answer gave.
"""
