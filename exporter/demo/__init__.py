"""Fake vendors and their faults, for ``usage-exporter demo`` and the tests.

May import: the kernel.
Must never: be imported by a stage.
"""
