"""The documentation. What of it is generated is written by ``docs.generate``."""
