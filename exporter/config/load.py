"""The door of this stage: a path or a text in, a checked value or all problems out."""

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import msgspec

from exporter.config import address, catalogue, files, library
from exporter.config.plan import build
from exporter.model.definition import Definition
from exporter.model.plan import Plan, Rejected, Source


def load_plan(
    path: str,
    *,
    environ: Mapping[str, str],
    secrets_required: bool = True,
    definitions: Mapping[str, Definition] | None = None,
) -> Plan | Rejected:
    """Load a configuration file with all that it names: definitions, secrets, certificates.

    Without `secrets_required` a secret that cannot be read is a warning, and its target's polls
    fail until it can. `definitions` take the place of those of their names.
    """
    with files.noting() as noted:
        loaded = _load(path, environ, definitions, secrets_required=secrets_required)
    sources = tuple(noted.values())
    if isinstance(loaded, Rejected):
        return msgspec.structs.replace(loaded, sources=sources)
    return msgspec.structs.replace(loaded, sources=tuple(one for one in sources if one.read))


def _load(
    path: str,
    environ: Mapping[str, str],
    definitions: Mapping[str, Definition] | None,
    *,
    secrets_required: bool,
) -> Plan | Rejected:
    try:
        text = files.read_text(files.absolute(path, ""))
    except files.Unreadable as error:
        return Rejected(problems=(library.broken_file(path, error),))
    with _collector_paused():
        return build(
            text,
            name=path,
            directory=files.directory_of(path),
            environ=environ,
            secrets_required=secrets_required,
            definitions=definitions,
        )


def changed(sources: Iterable[Source]) -> bool:
    """Tell whether a file has changed since it was read, or a pattern takes in other files."""
    return any(files.look_again(source) != source for source in sources)


def present(sources: Iterable[Source]) -> tuple[Source, ...]:
    """Return these files and patterns as they are now."""
    return tuple(map(files.look_again, sources))


def load_text(
    text: str, *, name: str, directory: str, environ: Mapping[str, str]
) -> Plan | Rejected:
    """Load a configuration from its text; `directory` is where relative paths begin."""
    with _collector_paused():
        return build(text, name=name, directory=directory, environ=environ)


def load_definition(path: str) -> Definition | Rejected:
    """Load one file of a definition; its name is the file's without the ending."""
    try:
        text = files.read_text(path)
    except files.Unreadable as error:
        return Rejected(problems=(library.broken_file(path, error),))
    return compile_text(text, name=files.file_name(path), origin=path)


def load_shipped(name: str) -> Definition | Rejected:
    """Load a shipped definition. Raises KeyError when there is none of that name."""
    return compile_text(catalogue.text(name), name=name, origin=catalogue.origin(name))


def compile_text(text: str, *, name: str, origin: str = "") -> Definition | Rejected:
    """Compile the text of a definition called `name`; `origin` is its file, for messages."""
    definition, problems = library.compiled(text, name=name, shown=origin or f"{name}.yaml")
    return Rejected(problems=problems) if definition is None else definition


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the garbage collector: a large configuration makes no garbage and many objects.

    With 10,000 targets it would take more than half of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        address.forget()
        if was_on:
            gc.enable()
