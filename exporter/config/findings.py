"""Where a check stands, and what the checks found.

A `Place` is handed down together with the value that is looked at; whoever sees something wrong
says so to the place. The position in the file is looked up at the end.
"""

import re
from typing import Protocol, TypeAlias

import msgspec

from exporter.kernel.problems import Position, Problem
from exporter.kernel.secrets import MASK, hide_tokens, hide_value, is_secret_name, looks_secret

Path: TypeAlias = tuple[str | int, ...]
"""The way through a document: keys and indices."""


class Locate(Protocol):
    """The position of the value at a path, or of its key."""

    def __call__(self, path: Path, *, at_key: bool = False) -> Position: ...


LONGEST_SHOWN = 60
"""Characters of a value in a message."""
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def show_path(path: Path) -> str:
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
    moved: dict[Path, list[int]] = msgspec.field(default_factory=dict)
    left_out: set[Path] = msgspec.field(default_factory=set)

    def add(
        self, place: "Place", what: str, *, severity: str = "error", at_key: bool = False
    ) -> None:
        """Keep a problem; the same one at the same place counts once."""
        path = self.in_document(place.path)
        position = self.locate(path, at_key=at_key)
        shown = show_path(path[:-1] if place.unnamed else path)
        self.problems.add(Problem(position, shown, self._without_secrets(path, what), severity))

    def _without_secrets(self, path: Path, what: str) -> str:
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

    def in_document(self, path: Path) -> Path:
        """Return the path with the indices of the document."""
        if not self.moved:
            return path
        true: Path = ()
        for part in path:
            indices = self.moved.get(true)
            true = (*true, indices[part] if indices and isinstance(part, int) else part)
        return true

    @property
    def failed(self) -> bool:
        """Whether any of the problems is an error."""
        return any(problem.severity == "error" for problem in self.problems)


class Place(msgspec.Struct, frozen=True):
    """A path of a document: ``place / "resources" / 0``.

    The last part of an `unnamed` place is never shown: a slip can make a secret a key.
    """

    findings: Findings
    path: Path = ()
    unnamed: bool = False

    def __truediv__(self, part: str | int) -> "Place":
        return Place(self.findings, (*self.path, part))

    def without_name(self, part: str) -> "Place":
        """Return the place of a key that must not be shown."""
        return Place(self.findings, (*self.path, part), unnamed=True)

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
