"""The HTTP side: server, addresses, access, status page.

May know: aiohttp, and the callables that ``app`` hands in.
Must never: import a stage, reach a vendor, or render a sample.
"""
