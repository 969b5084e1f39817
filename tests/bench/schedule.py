"""The schedule of 50,000 targets, and how its cost grows."""

from collections.abc import Iterator

from tests.bench.programs import told
from tests.bench.table import Row, seconds

MANY, INTERVAL, LASTS = 50_000, 60.0, 30.0
CURVE = (100, 1_000, 10_000, 50_000)


def rows() -> Iterator[Row]:
    """Yield the rows of the schedule."""
    found = told("scheduling", MANY, INTERVAL, LASTS)
    what = f"schedule of {MANY:,} targets at {INTERVAL:.0f} s"
    polls = f"{found['polls']:.0f} polls a second"
    yield Row(f"{what}, memory each", polls, "", found["bytes"], " bytes", 1_024.0)
    late, bare = found["p99"], f"a bare timer: {seconds(found['bare'])}"
    yield Row("the same, lateness, p99", seconds(late), bare, late * 1e3, " ms", 10.0)
    each = f"{seconds(found['each'])} a poll"
    yield Row("the same, CPU", each, "", found["share"] * 100, " % of a core", 60.0)


def curve() -> Iterator[Row]:
    """Yield the cost of one poll's schedule at each size, at about as many polls a second."""
    for count in CURVE:
        found = told("scheduling", count, max(2.0, count / 830), 10.0)
        yield Row(
            what=f"schedule of {count:,} targets",
            ours=f"{found['polls']:.0f} polls a second",
            peer="",
            value=found["each"] * 1e6,
            unit=" µs of CPU a poll",
        )
