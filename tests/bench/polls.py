"""What a poll costs in CPU, beside the bare request."""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.programs import told
from tests.bench.table import Row, seconds
from tests.bench.vendor import vendor

ROUNDS = 3


def rows() -> Iterator[Row]:
    """Yield the rows of polls."""
    took: dict[str, list[float]] = {"bare": [], "engine": [], "ledger": []}
    with tempfile.TemporaryDirectory() as name, vendor() as origin:
        for turn in range(ROUNDS):
            state = {"ledger": str(Path(name) / f"state-{turn}.db")}
            for mode, costs in took.items():
                kind = "bare" if mode == "bare" else "engine"
                costs.append(told("polling", kind, origin, state.get(mode, ""))["seconds"])
    p50 = {mode: statistics.median(costs) for mode, costs in took.items()}
    peer = f"aiohttp, body read: {seconds(p50['bare'])}"
    for what, mode, bar in (
        ("a poll of 2 kB, 62 series, all stages, CPU", "engine", 2.0),
        ("the same with a state file on disk", "ledger", None),
    ):
        ratio = p50[mode] / p50["bare"]
        yield Row(what, seconds(p50[mode]), peer, ratio, " ×", bar)
