"""Reading a configuration of 10,000 targets, beside PyYAML's C loader alone."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.programs import told
from tests.bench.starts import configuration
from tests.bench.table import Row, seconds

MANY = 10_000


def rows() -> Iterator[Row]:
    """Yield the row of configurations."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "config.yaml"
        path.write_text(configuration("https://api.example.com", MANY))
        found = told("loading", path)
    better = min(found["yaml"], found["yaml_paused"])
    yield Row(
        what=f"config of {MANY:,} targets, read and checked",
        ours=seconds(found["ours"]),
        peer=f"PyYAML's C loader: {seconds(better)}",
        value=found["ours"] / better,
        unit=" ×",
        bar=1.5,
    )
