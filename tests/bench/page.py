"""Puts what was measured into ``docs/performance.md``, whose prose is written by people."""

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

from tests.bench.table import Row, markdown

PATH = Path(__file__).resolve().parents[2] / "docs" / "performance.md"


def write(table: Sequence[Row], curves: Sequence[Row]) -> None:
    """Write the figures between their marks: ``<!-- NAME -->`` and ``<!-- end of NAME -->``."""
    parts = {
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "table": markdown(table),
        "curves": markdown(curves),
    }
    text = PATH.read_text()
    for name, part in parts.items():
        marks = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
        text, found = re.subn(marks, rf"\g<1>{part}\n\g<2>", text, flags=re.DOTALL)
        assert found == 1, f"{PATH} has no place for the {name}"
    PATH.write_text(text)
