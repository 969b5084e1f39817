"""What is wrong, where, and what to write instead: the form of every message to a user."""

from collections.abc import Iterable

import msgspec

from exporter.kernel.override import override

_KNOWN_SHOWN = 20


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in a file, counted from 1; 0 (and an empty file) means unknown."""

    file: str
    line: int
    column: int

    @override
    def __str__(self) -> str:
        parts = [self.file] if self.file else []
        if self.line:
            parts.append(str(self.line))
            if self.column:
                parts.append(str(self.column))
        return ":".join(parts)


class Problem(msgspec.Struct, frozen=True, order=True):
    """One finding of a check: where, what, why not, what instead.

    `path` is the way through the document (``targets[2].poll_interval``), `what` the
    sentences, `severity` ``error`` or ``warning``. Problems sort by position.
    """

    position: Position
    path: str
    what: str
    severity: str = "error"

    @override
    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.position), self.path, self.what) if part)


def near_miss(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known word that `word` was most likely meant to be, if any is close.

    `cutoff` is the likeness asked for, from 0 (any word) to 1 (the same letters).
    """
    import difflib  # noqa: PLC0415 - 150 kB that a config without a mistake need not pay

    by_folded: dict[str, str] = {}
    for name in sorted(known):
        by_folded.setdefault(name.casefold(), name)
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=cutoff)
    return by_folded[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the last sentence of a message about an unknown word, with its leading space.

    The near miss if there is one, else the known words (sorted, at most 20), else ``""``.
    """
    words = sorted(set(known))
    if not words:
        return ""
    near = near_miss(word, words)
    if near is not None:
        return f' Did you mean "{near}"?'
    shown = ", ".join(words[:_KNOWN_SHOWN])
    return f" Known: {shown}, …" if len(words) > _KNOWN_SHOWN else f" Known: {shown}."
