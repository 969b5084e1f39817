"""How a page and a table look in a terminal: columns that fit, Markdown without its signs.

Where there is no terminal (a pipe, a file) nothing is wrapped, so that ``grep`` finds whole lines.
"""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence

_GAP = 2  # blanks between two columns
_LEAST = 10  # characters: no column is made narrower than this
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_CELL = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"[|\s:-]+")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")


def width() -> int | None:
    """Return the columns of the terminal that stdout is, None when it is none."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    most: int | None,
    *,
    tallest: int | None = None,
) -> Iterator[str]:
    """Yield the lines of a table at most `most` columns wide; None: as wide as it is.

    What is wrapped into more than `tallest` lines is cut there.
    """
    cells = [head, *rows]
    widths = _widths([max(map(len, column)) for column in zip(*cells, strict=True)], most)
    for row in cells:
        wrapped = [
            _cut(_wrapped(cell, wide), wide, tallest) if most else [cell]
            for cell, wide in zip(row, widths, strict=True)
        ]
        for number in range(max(map(len, wrapped))):
            parts = [part[number] if number < len(part) else "" for part in wrapped]
            padded = [part.ljust(wide) for part, wide in zip(parts, widths, strict=True)]
            yield (" " * _GAP).join(padded).rstrip()


def page(lines: Iterable[str], most: int | None) -> Iterator[str]:
    """Yield the lines of a Markdown page as a terminal shows them: tables aligned, signs gone."""
    fenced = False
    rows: list[list[str]] = []
    for line in lines:
        if line.startswith("|") and not fenced:
            rows.append([_plain(cell.strip()) for cell in _CELL.split(line)[1:-1]])
            continue
        yield from _aligned(rows, most)
        rows.clear()
        if line.startswith("```"):
            fenced = not fenced
        elif fenced:
            yield f"    {line}".rstrip()
        else:
            yield from _told(line, most)
    yield from _aligned(rows, most)


def _aligned(rows: Sequence[Sequence[str]], most: int | None) -> Iterator[str]:
    if rows:
        shown = [row for row in rows[1:] if not all(map(_RULE.fullmatch, row))]
        yield from table([cell.upper() for cell in rows[0]], shown, most)


def _told(line: str, most: int | None) -> Iterator[str]:
    sign, _, text = line.partition(" ")
    if sign and not sign.strip("#"):
        title = _plain(text)
        yield title.upper() if sign in ("#", "##") else title
    elif line:
        hanging = " " * (len(sign) + 1) if sign in ("-", "1.") else ""
        yield from _wrapped(_plain(line), most, hanging) if most else [_plain(line)]
    else:
        yield ""


def _plain(text: str) -> str:
    """Take the signs of Markdown out; what stands in a code span stays as it is."""
    told = ""
    end = 0
    text = _LINK.sub(r"\1", text).replace("\\|", "|")
    for span in _CODE.finditer(text):
        told += text[end : span.start()].replace("**", "")
        told += span[2].removeprefix(" ").removesuffix(" ") if len(span[1]) > 1 else span[2]
        end = span.end()
    return told + text[end:].replace("**", "")


def _wrapped(text: str, most: int, hanging: str = "") -> list[str]:
    return textwrap.wrap(text, most, subsequent_indent=hanging, break_on_hyphens=False) or [""]


def _cut(lines: list[str], wide: int, tallest: int | None) -> list[str]:
    if tallest is None or len(lines) <= tallest:
        return lines
    last = lines[tallest - 1]
    if len(last) > wide - 2:
        last = last[: wide - 2].rpartition(" ")[0]
    return [*lines[: tallest - 1], f"{last} …".lstrip()]


def _widths(natural: list[int], most: int | None) -> list[int]:
    """Take from the widest columns until all fit."""
    widths = list(natural)
    room = None if most is None else most - _GAP * (len(widths) - 1)
    while room is not None and sum(widths) > room and max(widths) > _LEAST:
        widths[widths.index(max(widths))] -= 1
    return widths
