"""The HTTP side, one file an address.

May know: aiohttp, and the callables that ``app`` hands in.
Must never: import a stage, reach a vendor, or render a sample.
"""
