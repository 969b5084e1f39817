"""What is wrong, where, and what to write instead: the form of every message to a user.

An `ErrorLocation` is handed down together with the value that is checked; a check that finds
something wrong tells the location, and goes on. The position in the file is looked up at the end.
Messages never show a value that may be a secret: a token is easily written in the wrong place.
"""

import re
from collections.abc import Iterable
from typing import Protocol, TypeAlias

import msgspec

from exporter.kernel.override import override
from exporter.kernel.secrets import (
    MASK,
    clip,
    hide_tokens,
    hide_value,
    is_secret_name,
    looks_secret,
)

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


TreePath: TypeAlias = tuple[str | int, ...]
"""The way through a document: keys and indices."""


class Locate(Protocol):
    """The position of the value at a path, or of its key."""

    def __call__(self, path: TreePath, *, at_key: bool = False) -> Position: ...


LONGEST_SHOWN = 60
"""Characters of a value in a message."""
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def show_path(path: TreePath) -> str:
    """Return ``targets[2].limits.bandwidth``; odd keys stand in quotes."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        elif looks_secret(part):
            shown += f'["{MASK}"]'
        elif _PLAIN_KEY.fullmatch(part):
            shown += f".{part}" if shown else part
        else:
            shown += f'["{part[:40]}"]'
    return shown


class Findings(msgspec.Struct):
    """What the checks of one document found, in any order.

    `tree` is the document: its values are not shown in messages where they may be secrets, for a
    token is easily written in the wrong place. `moved` tells, for a list of which broken items
    were left out, the index that each of the remaining ones has in the document; `left_out` are
    the paths of what did not fit.
    """

    locate: Locate
    tree: object = None
    problems: set[Problem] = msgspec.field(default_factory=set)
    moved: dict[TreePath, list[int]] = msgspec.field(default_factory=dict)
    left_out: set[TreePath] = msgspec.field(default_factory=set)

    def add(
        self, place: "ErrorLocation", what: str, *, severity: str = "error", at_key: bool = False
    ) -> None:
        """Keep a problem; the same one at the same place counts once."""
        path = self.in_document(place.path)
        position = self.locate(path, at_key=at_key)
        shown = show_path(path[:-1] if place.unnamed else path)
        self.problems.add(Problem(position, shown, self._without_secrets(path, what), severity))

    def _without_secrets(self, path: TreePath, what: str) -> str:
        """Mask what looks like a token, and the value itself at a path that names a secret."""
        value: object = self.tree
        secret = path[:1] == ("state",)
        for part in path:
            secret = secret or (
                isinstance(part, str) and path[0] == "targets" and is_secret_name(part)
            )
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                value = None
        secret = secret and not str(path[-1]).endswith(("_file", "_env"))  # where a secret is
        if isinstance(value, str) and value and (secret or looks_secret(value)):
            what = hide_value(what, value)
        return hide_tokens(what)

    def in_document(self, path: TreePath) -> TreePath:
        """Return the path with the indices of the document."""
        if not self.moved:
            return path
        true: TreePath = ()
        for part in path:
            indices = self.moved.get(true)
            true = (*true, indices[part] if indices and isinstance(part, int) else part)
        return true

    @property
    def failed(self) -> bool:
        """Whether any of the problems is an error."""
        return any(problem.severity == "error" for problem in self.problems)


class ErrorLocation(msgspec.Struct, frozen=True):
    """A path of a document: ``place / "resources" / 0``.

    The last part of an `unnamed` place is never shown: a slip can make a secret a key.
    """

    findings: Findings
    path: TreePath = ()
    unnamed: bool = False

    def __truediv__(self, part: str | int) -> "ErrorLocation":
        return ErrorLocation(self.findings, (*self.path, part))

    def without_name(self, part: str) -> "ErrorLocation":
        """Return the place of a key that must not be shown."""
        return ErrorLocation(self.findings, (*self.path, part), unnamed=True)

    def error(self, what: str) -> None:
        """Say what is wrong with the value here, and what to write instead."""
        self.findings.add(self, what)

    def key_error(self, what: str) -> None:
        """Say what is wrong with the key here."""
        self.findings.add(self, what, at_key=True)

    def warn(self, what: str) -> None:
        """Say what is odd here, and does not stop the load."""
        self.findings.add(self, what, severity="warning")

    def key_warn(self, what: str) -> None:
        """Say what is odd about the key here."""
        self.findings.add(self, what, severity="warning", at_key=True)

    def leave_out(self, *parts: str | int) -> None:
        """Note that these parts of what stands here were left out, being broken."""
        self.findings.left_out.update((*self.path, part) for part in parts)

    @property
    def whole(self) -> bool:
        """Whether nothing that stands here was left out: only then can something be missing."""
        true = self.findings.in_document(self.path)
        return not any(path[: len(true)] == true for path in self.findings.left_out)


def describe(value: object) -> str:
    """Return how `value` is shown in a message: text in quotes, and no more than a line of it."""
    match value:
        case str():
            return f'"{clip(value, LONGEST_SHOWN)}"'
        case list() | dict():
            return "A list" if isinstance(value, list) else "A map"
        case _:
            return clip(yaml_word(value), LONGEST_SHOWN)


def yaml_word(value: object) -> str:
    """Return how a scalar is written in YAML."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


_FRAMES = 3  # shown of a traceback
_PATH_PARTS = 3  # shown of a file's path: exporter/web/server.py


def type_and_place(error: BaseException) -> str:
    """Return ``KeyError in read (exporter/mapping/read.py:12)``: where `error` was raised.

    For our own bugs, shown to users: never its text, which may hold values.
    """
    name = type(error).__name__
    frames = _innermost_frames(error)
    if not frames:
        return name
    path, line, function = frames[0]
    return f"{name} in {function} ({path}:{line})"


def traceback_line(error: BaseException) -> str:
    """Return the last frames, the innermost first: ``exporter/web/a.py:12 f < …/b.py:3 g``."""
    return " < ".join(
        f"{path}:{line} {function}" for path, line, function in _innermost_frames(error)
    )


def _innermost_frames(error: BaseException) -> list[tuple[str, int, str]]:
    """Return short path, line and function, the innermost first. Locals and source stay unread."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append((short_path(code.co_filename), trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    return frames[: -_FRAMES - 1 : -1]


def short_path(path: str) -> str:
    """Return the last parts of a file's path: ``exporter/web/server.py``."""
    return "/".join(path.split("/")[-_PATH_PARTS:])
