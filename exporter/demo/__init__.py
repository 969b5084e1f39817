"""Fake vendors that page, throttle and break on cue: behind ``usage-exporter demo`` and the tests.

May know: aiohttp and the kernel.
Must never: be imported by a stage.
"""
