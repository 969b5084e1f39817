"""The definitions that a configuration can name: its own files, and the shipped ones.

Shipped definitions are package data of ``exporter.providers``. Own files are all compiled, because
``check`` is for them too; shipped ones when a target uses them, and once in a process.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from exporter import providers
from exporter.config import files
from exporter.config.check_definition import compile_definition
from exporter.kernel.problems import ErrorLocation, Findings, Position, Problem
from exporter.kernel.yamlfile import parse_yaml
from exporter.model.definition.provider import Definition
from exporter.model.target import Rejected

_FOLDER: Final = Path(providers.__path__[0])  # importlib.resources would load zipfile: 300 kB
_ENDING: Final = ".yaml"


@functools.cache
def shipped_names() -> tuple[str, ...]:
    """Return the names of the shipped definitions, sorted."""
    names = (entry.name for entry in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING)))


def shipped_text(name: str) -> str:
    """Return the YAML of a shipped definition. Raises KeyError when there is none."""
    if name not in shipped_names():
        raise KeyError(name)
    return (_FOLDER / f"{name}{_ENDING}").read_text("utf-8")


def load_definition(path: str) -> Definition | Rejected:
    """Load one file of a definition; its name is the file's without the ending."""
    try:
        text = files.read_text(path)
    except files.Unreadable as error:
        return Rejected(problems=(broken_file(path, error),))
    return compile_text(text, name=files.file_name(path), origin=path)


def load_shipped(name: str) -> Definition | Rejected:
    """Load a shipped definition. Raises KeyError when there is none of that name."""
    return compile_text(shipped_text(name), name=name)


def compile_text(text: str, *, name: str, origin: str = "") -> Definition | Rejected:
    """Compile the text of a definition called `name`; `origin` is its file, for messages."""
    definition, problems = compiled(text, name=name, shown=origin or f"{name}{_ENDING}")
    return Rejected(problems=problems) if definition is None else definition


class Library:
    """Definitions by name. `own` holds the user's; a broken one is None."""

    def __init__(self, own: Mapping[str, Definition | None]) -> None:
        self._own = own

    def over(self, definitions: Mapping[str, Definition]) -> "Library":
        """Return the library with `definitions` in the place of those of their names."""
        return Library({**self._own, **definitions})

    def names(self) -> frozenset[str]:
        """Return all that a target may name."""
        return frozenset(self._own) | frozenset(shipped_names())

    def find(self, name: str) -> Definition | None:
        """Return a definition; None for one that is broken. Raises KeyError when there is none."""
        return self._own[name] if name in self._own else shipped(name)[0]

    def problems(self, name: str) -> tuple[Problem, ...]:
        """Return what is wrong with a shipped definition; the user's are told with their files."""
        return () if name in self._own else shipped(name)[1]


@functools.cache
def shipped(name: str) -> tuple[Definition | None, tuple[Problem, ...]]:
    """Return a shipped definition, None if broken, and all that was found.

    Raises KeyError when there is none of that name.
    """
    return compiled(shipped_text(name), name=name, shown=f"{name}{_ENDING}")


def compiled(
    text: str, *, name: str, shown: str, origin: str | None = None
) -> tuple[Definition | None, tuple[Problem, ...]]:
    """Compile the text of a definition; return it, None if broken, and all that was found.

    `shown` is the file's name in messages, `origin` its path.
    """
    document = parse_yaml(text, shown)
    findings = Findings(document.position, document.tree)
    findings.problems.update(document.problems)
    definition = None
    if document.tree is not None:
        definition = compile_definition(
            ErrorLocation(findings), document.tree, name=name, origin=origin or shown
        )
    problems = tuple(sorted(findings.problems))
    return None if findings.failed else definition, problems


def open_library(
    place: ErrorLocation, patterns: list[str], directory: str
) -> tuple[Library, tuple[Problem, ...]]:
    """Compile the user's definitions.

    `place` is that of the list of patterns. Returns also the problems in the files themselves.
    """
    own: dict[str, Definition | None] = {}
    origins: dict[str, str] = {}
    problems: list[Problem] = []
    for index, pattern in enumerate(patterns):
        at = place / index
        paths: tuple[str, ...] = (files.absolute(pattern, directory),)
        if files.is_pattern(pattern):
            paths = files.matching(pattern, directory)
            if not paths:
                at.warn(f'No file matches "{pattern}" in {directory}.')
        for path in paths:
            name = files.file_name(path)
            if path in origins.values():
                continue
            if name in own:
                at.error(f'"{path}" and "{origins[name]}" are both called {name}. Rename one.')
                continue
            if name in shipped_names():
                at.warn(f'"{path}" takes the place of the shipped definition "{name}".')
            own[name], origins[name] = None, path
            try:
                text = files.read_text(path)
            except files.Unreadable as error:
                at.error(f'"{path}" {error}')
                continue
            if not files.is_definition_name(name):
                at.error(
                    f'"{path}" names the provider "{name}". A name has small letters, digits and '
                    "underscores: rename the file."
                )
            own[name], found = compiled(
                text, name=name, shown=files.shown(path, directory), origin=path
            )
            problems += found
    return Library(own), tuple(problems)


def broken_file(shown: str, error: files.Unreadable) -> Problem:
    """Return the problem of a file that cannot be read at all."""
    return Problem(Position(shown, error.line, error.column), "", f"The file {error}")
