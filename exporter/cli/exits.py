"""Exit codes: one per class of trouble, so that scripts can tell them apart.

2, wrong usage, is argparse's own.
"""

FINE = 0
CONFIG = 1  # problems in a configuration, a definition or an answer file
LISTEN = 4  # cannot listen
POLLS = 5  # polls failed (`once`, `explain`)
