"""How problems are shown to a user: one line each on stderr, and how many there were."""

import sys
from collections.abc import Sequence

from exporter.kernel.problems import Problem


def show(problems: Sequence[Problem], *, most: int | None = None) -> None:
    """Write the problems, sorted by place, and a count when there are several.

    Beyond `most` it is said how many more there are.
    """
    for problem in sorted(problems)[:most]:
        prefix = "warning: " if problem.severity == "warning" else ""
        sys.stderr.write(f"{prefix}{problem}\n")
    if most is not None and len(problems) > most:
        sys.stderr.write(f"{len(problems) - most} more: usage-exporter check shows all\n")
    errors = sum(problem.severity != "warning" for problem in problems)
    if errors:
        sys.stderr.write(f"{errors} problem{'' if errors == 1 else 's'}\n")
