"""The rows of the benchmark: what was measured, against what, and whether the bar was met."""

from collections.abc import Iterable

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One line of the table. `value` is what the bar is about; `least` turns the bar round."""

    what: str
    ours: str
    peer: str
    value: float
    unit: str
    bar: float | None = None
    least: bool = False

    def verdict(self) -> str:
        """Return the bar and whether it was met; nothing where there is none."""
        if self.bar is None:
            return ""
        met = self.value >= self.bar if self.least else self.value <= self.bar
        return f"{'≥' if self.least else '≤'} {self.bar:g}{self.unit}: {'met' if met else 'MISSED'}"

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return the texts of the line."""
        return self.what, self.ours, self.peer, f"{figure(self.value)}{self.unit}", self.verdict()


TITLES = ("what", "ours", "peer", "ratio or value", "bar")


def figure(value: float) -> str:
    """Return a number with three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def seconds(value: float) -> str:
    """Return a time in the unit that reads best."""
    if value >= 1:
        return f"{figure(value)} s"
    return f"{figure(value * 1e3)} ms" if value >= 1e-3 else f"{figure(value * 1e6)} µs"


def plain(rows: Iterable[Row]) -> str:
    """Return the table for a terminal."""
    lines = [TITLES, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(TITLES))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown(rows: Iterable[Row]) -> str:
    """Return the table for a page."""
    lines = [TITLES, ("---",) * len(TITLES), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
