"""A definition guessed from a document, compiled, and tried on that document."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from exporter.app.replay import target_for
from exporter.authoring.infer import infer
from exporter.authoring.new import text_of
from exporter.authoring.sample import Sample
from exporter.config.library import compile_text
from exporter.kernel.yamlfile import parse_yaml
from exporter.mapping.read import read_payload
from exporter.model.definition.provider import Definition
from exporter.model.outcome import Failure, Page, Payload
from exporter.model.reading import Reading
from exporter.model.target import Rejected
from tests.support.vendor import NOW


def drafted(document: object, *, lines: bool = False) -> str:
    """Return the text that is written for a sample."""
    draft = infer(Sample(document=document, lines=lines))
    return text_of("acme", file="acme.yaml", draft=draft)


def tree(text: str) -> Mapping[str, Any]:
    """Return the text as a definition's reader sees it."""
    document = parse_yaml(text, "acme.yaml")
    assert document.problems == ()
    return cast("Mapping[str, Any]", document.tree)


def resources(document: object) -> dict[str, Mapping[str, Any]]:
    """Return the resources that are guessed, by name."""
    found = tree(drafted(document))["resources"]
    return {one["name"]: one for one in found}


def compiled(text: str) -> Definition:
    """Return the definition of a text, which must be good."""
    made = compile_text(text, name="acme")
    assert not isinstance(made, Rejected), f"{[str(one) for one in made.problems]}\n{text}"
    return made


def learned(text: str, document: object, folder: Path) -> Reading | Failure:
    """Read a document by the definition in a text."""
    file = folder / "acme.yaml"
    file.write_text(text, "utf-8")
    target = target_for(compiled(text), file, {})
    assert not isinstance(target, Rejected)
    payload = Payload(pages=(Page(document=document, headers={}),))
    return read_payload(target, "usage", (payload,), NOW)


def values(reading: Reading | Failure, field: str = "used") -> dict[str, Any]:
    """Return one number of each resource of a reading."""
    assert isinstance(reading, Reading), reading
    found = [(one.resource, getattr(one, field)) for one in reading.usages]
    return {name: value for name, value in found if value is not None}


def json(text: str) -> object:
    """Return a document."""
    return msgspec.json.decode(text)
