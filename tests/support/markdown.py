"""Markdown pages as tests read them: fenced blocks, tables, links, headings."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"`([\w./-]+\.\w+)`")
_CELL = re.compile(r"(?<!\\)\|")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")


class Block(msgspec.Struct, frozen=True):
    """A fenced block; `file` is the last file that the paragraph above it names, "" for none."""

    kind: str
    text: str
    file: str = ""


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    end = 0
    for found in _FENCE.finditer(text):
        above = text[end : found.start()].rstrip().rpartition("\n\n")[2]
        named = _NAMED.findall(above)
        yield Block(found[1], found[2], named[-1] if named and above.endswith(":") else "")
        end = found.end()


def prose(text: str) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", text)


def rows(text: str, *head: str) -> list[list[str]]:
    """Return the rows of the table that has this head."""
    lines = iter(text.splitlines())
    for line in lines:
        if _cells(line) == list(head):
            next(lines)
            found = []
            for row in lines:
                if not row.startswith("|"):
                    break
                found.append(_cells(row))
            return found
    raise AssertionError(f"there is no table of {head}")


def _cells(line: str) -> list[str]:
    if not line.startswith("|"):
        return []
    return [cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1]]


def code(text: str) -> list[str]:
    """Return what stands in code spans."""
    return [found[2].strip() for found in _CODE.finditer(text)]


def links(text: str) -> list[str]:
    """Return where the links of a page lead."""
    return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as forges make them."""
    heads = re.findall(r"^#{1,6} (.*)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def pages() -> list[Path]:
    """Return every page that users read."""
    return sorted(
        path
        for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("helm/**/*.md"))
        if ".venv" not in path.parts
    )
