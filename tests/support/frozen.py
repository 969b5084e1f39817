"""The command line in a process whose wall clock stands still: ``python -m tests.support.frozen``.

The first argument is the instant, epoch seconds; the others are the command line's. Timers go on.
"""

import sys
import time

if __name__ == "__main__":
    instant = float(sys.argv[1])
    time.time = lambda: instant  # before anything of the exporter is imported
    from exporter.cli.main import main

    sys.exit(main(sys.argv[2:]))
