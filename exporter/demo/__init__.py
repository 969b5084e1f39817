"""Fake vendors that page, throttle and break: behind ``usage-exporter demo`` and the tests.

May know: the kernel.
Must never: be imported by a stage.
"""
