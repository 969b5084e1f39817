"""When each collector of each target is polled.

Holds: pure steps that get the time and randomness as arguments, queues and tables without a clock,
and ``runner``, the only module that waits and retries.
May import: the kernel and the model.
Must never: know what a poll does, or what HTTP is.
"""
