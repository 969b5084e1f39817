"""The command line, one file a command.

Must never: build parts itself (``app`` does), or show a traceback to a user.
"""
