"""The frozen values that travel between the stages.

Lives here: definition, target, reading, outcome, event, sample. Each is replaced, never changed.
May know: the kernel.
Must never: do work. A value here checks its own invariants and nothing else.
"""
