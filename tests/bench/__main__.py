"""``make bench``: measure, print one table, write ``docs/performance.md``.

    python -m tests.bench [SECTION ...]

Without names all sections are measured, and only then the page is written.
"""

import sys
from collections.abc import Callable, Iterator

from tests.bench import configs, page, polls, schedule, scrapes, starts, store
from tests.bench.peers import Missing
from tests.bench.table import Row, plain

SECTIONS: dict[str, Callable[[], Iterator[Row]]] = {
    "scrapes": scrapes.rows,
    "store": store.rows,
    "starts": starts.rows,
    "polls": polls.rows,
    "schedule": schedule.rows,
    "configs": configs.rows,
}
CURVES: dict[str, Callable[[], Iterator[Row]]] = {
    "series": store.curve,
    "targets": schedule.curve,
}


def measured(section: str) -> list[Row]:
    """Return the rows of a section; what cannot be had here leaves the rest of it out, loudly."""
    found: list[Row] = []
    sys.stdout.write(f"{section} …\n")
    try:
        for row in (SECTIONS | CURVES)[section]():
            found.append(row)
            sys.stdout.write("  " + "  ".join(filter(None, row.cells())) + "\n")
            sys.stdout.flush()
    except Missing as missing:
        sys.stderr.write(f"bench: LEFT OUT of {section}: {missing}\n")
    return found


def main() -> None:
    """Measure what was asked for."""
    wanted = sys.argv[1:]
    table = [row for name in wanted or SECTIONS for row in measured(name)]
    curves = [] if wanted else [row for name in CURVES for row in measured(name)]
    sys.stdout.write("\n" + plain(table) + "\n")
    if not wanted:
        page.write(table, curves)
        sys.stdout.write(f"written to {page.PATH}\n")


if __name__ == "__main__":
    main()
