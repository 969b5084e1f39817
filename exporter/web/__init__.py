"""The HTTP server, its addresses and the status page.

May import: aiohttp, the kernel and the model; ``app`` hands in callables for all else.
Must never: import a stage, call a vendor, or render a sample.
"""
