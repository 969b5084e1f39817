"""``make bench``: measure, print one table, write ``docs/performance.md``.

    python -m tests.bench [SECTION ...]

Without names all sections are measured, and only then the page is written.
"""

import importlib
import sys

from tests.bench.peers import Missing
from tests.bench.table import Row, plain

SECTIONS = ("scrapes", "starts")


def measured(section: str) -> list[Row]:
    """Return the rows of a section; what cannot be had here leaves the rest of it out, loudly."""
    found: list[Row] = []
    try:
        for row in importlib.import_module(f"tests.bench.{section}").rows():
            found.append(row)
            sys.stdout.write(plain([row]).splitlines()[1] + "\n")
            sys.stdout.flush()
    except Missing as missing:
        sys.stderr.write(f"bench: LEFT OUT in {section}: {missing}\n")
    return found


def main() -> None:
    """Measure what was asked for."""
    wanted = sys.argv[1:] or SECTIONS
    rows = [row for section in wanted for row in measured(section)]
    sys.stdout.write("\n" + plain(rows) + "\n")


if __name__ == "__main__":
    main()
