"""The frozen values that travel between the stages.

Holds: definition, target, reading, outcome, event, health, and the one table of metric families.
May import: the kernel.
Must never: do I/O or read a clock. A value checks its own invariants and nothing else.
"""
