# noqa: INP001 a program, not a package
"""Adds up the JUnit files in a folder and says "N passed, N failed"; exit 1 unless all is well.

A failed stage that is no failed test (the lint, say) counts as one failure.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree as ET


def count(file: Path) -> tuple[int, int]:
    """Return the passed and the failed tests of one JUnit file."""
    suites = list(ET.parse(file).iter("testsuite"))  # noqa: S314 our own pytest wrote it
    total = sum(int(suite.get("tests", 0)) for suite in suites)
    failed = sum(int(suite.get(word, 0)) for suite in suites for word in ("failures", "errors"))
    skipped = sum(int(suite.get("skipped", 0)) for suite in suites)
    return total - failed - skipped, failed


def main(folder: str, *stages: str) -> int:
    """Print the sum; the stages are the names of those that failed."""
    counts = {file.stem: count(file) for file in sorted(Path(folder).glob("*.xml"))}
    passed = sum(passed for passed, _ in counts.values())
    failed = sum(failed for _, failed in counts.values())
    failed += sum(1 for stage in stages if counts.get(stage, (0, 0))[1] == 0)
    sys.stdout.write(f"{passed} passed, {failed} failed\n")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
