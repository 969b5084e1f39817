"""Command line with a wall clock that stands still: ``python -m tests.support.cli_fixed_clock``.

The first argument is the instant, epoch seconds; the others are the command line's. Timers go on.
"""

import sys
import time

if __name__ == "__main__":
    instant = float(sys.argv[1])
    time.time = lambda: instant  # before anything of the exporter is imported
    from exporter.cli.main import main

    sys.exit(main(sys.argv[2:]))
