"""Exit codes: one per class of trouble, so that scripts can tell them apart."""

FINE = 0
CONFIG = 1  # problems in a configuration, a definition or an answer file
CRASHED = 1  # a bug of the exporter's own, as Python itself ends
USAGE = 2  # wrong usage: argparse's own, and a name on the command line that nothing has
LISTEN = 4  # cannot listen
POLLS = 5  # polls failed (`once`, `explain`)
