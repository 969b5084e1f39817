"""The few forms of Markdown that the generated pages are made of."""

from collections.abc import Iterable, Iterator, Sequence

from exporter.kernel.durations import format_duration


def code(text: str) -> str:
    """Return `text` as code, whatever back-quotes and bars it holds."""
    fence = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield _row(head)
    yield _row(["---"] * len(head))
    for row in rows:
        yield _row(row)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def duration(seconds: float) -> str:
    """Return a duration as the configuration writes it."""
    return format_duration(seconds)
