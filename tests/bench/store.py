"""What a series costs in memory and in work, and how both grow."""

from collections.abc import Iterator

from tests.bench.programs import told
from tests.bench.table import Row

MANY = 100_000
CURVE = (100, 1_000, 10_000, 100_000)


def rows() -> Iterator[Row]:
    """Yield the rows of the store."""
    kept = told("exposition", MANY)["kept"]
    yield Row(
        f"memory of a series besides its text (with the joined body), of {MANY:,}",
        "",
        "",
        kept,
        " bytes",
        220.0,
    )


def curve() -> Iterator[Row]:
    """Yield the cost of one series at each size."""
    for count in CURVE:
        found = told("exposition", count)
        yield Row(
            what=f"{count:,} series",
            ours=f"render {found['render'] * 1e9:.0f} ns, gzip {found['gzip'] * 1e9:.0f} ns",
            peer="",
            value=found["join"] * 1e9,
            unit=" ns a series to render one target of up to 1,000 and join",
        )
