"""The command line.

``main`` imports the module of the command that is asked for and no other, so that ``--version``
and ``healthcheck`` start in milliseconds. Must never: build parts itself (``app`` does), or show a
traceback to a user.
"""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes: one for each class of trouble, so that scripts can tell them apart."""

    FINE = 0
    CONFIG = 1  # problems in a configuration, a definition or a file
    CRASHED = 1  # a bug of the exporter's own, as Python itself ends
    USAGE = 2  # wrong usage: argparse's own, and a name on the command line that nothing has
    LISTEN = 4  # cannot listen
    POLLS = 5  # polls failed (`once`, `explain`)
