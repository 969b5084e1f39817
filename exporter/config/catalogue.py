"""The shipped definitions: package data of ``exporter.providers``."""

import functools
from pathlib import Path
from typing import Final

from exporter import providers

_FOLDER: Final = Path(providers.__path__[0])  # importlib.resources would load zipfile: 300 kB
_ENDING: Final = ".yaml"


@functools.cache
def shipped() -> tuple[str, ...]:
    """Return the names of the shipped definitions, sorted."""
    names = (entry.name for entry in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING)))


def text(name: str) -> str:
    """Return the YAML of a shipped definition. Raises KeyError when there is none."""
    if name not in shipped():
        raise KeyError(name)
    return (_FOLDER / f"{name}{_ENDING}").read_text("utf-8")


def origin(name: str) -> str:
    """Return how the file of a shipped definition is called in messages."""
    return f"{name}{_ENDING}"
