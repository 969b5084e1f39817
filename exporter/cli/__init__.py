"""The command line, one module per command.

Must never: build parts itself (``app`` does), or show a traceback to a user.
"""
