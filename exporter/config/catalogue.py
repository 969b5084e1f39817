"""The shipped definitions: package data of ``exporter.providers``."""

import functools
from importlib import resources
from typing import Final

_FOLDER: Final = "exporter.providers"
_ENDING: Final = ".yaml"


@functools.cache
def shipped() -> tuple[str, ...]:
    """Return the names of the shipped definitions, sorted."""
    names = (entry.name for entry in resources.files(_FOLDER).iterdir())
    return tuple(sorted(name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING)))


def text(name: str) -> str:
    """Return the YAML of a shipped definition. Raises KeyError when there is none."""
    if name not in shipped():
        raise KeyError(name)
    return resources.files(_FOLDER).joinpath(f"{name}{_ENDING}").read_text("utf-8")


def origin(name: str) -> str:
    """Return how the file of a shipped definition is called in messages."""
    return f"{name}{_ENDING}"
