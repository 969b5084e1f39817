"""A small definition of which a test writes the section that it is about."""

import textwrap
from collections.abc import Mapping

from exporter.config.library import compile_text
from exporter.kernel.jmes import Selector, compile_path
from exporter.model.definition.provider import Definition
from exporter.model.target import Rejected

REST = {
    "title": "Acme",
    "credentials": (
        "{token: {}, key: {}, username: {}, password: {}, client_id: {}, client_secret: {}}"
    ),
    "params": "{org: {}, many: {multiple: true}, day: {}}",
    "collectors": "{usage: {request: {path: '/{params.org}'}}, quota: {request: {path: /quota}}}",
    "resources": "[{name: a, used: total}]",
}


def compiled(text: str = "", **sections: str) -> Definition:
    """Compile a definition of which only the interesting sections are written."""
    written = textwrap.dedent(text)
    lines = [
        f"{name}: {value}"
        for name, value in (REST | sections).items()
        if not any(line.startswith(f"{name}:") for line in written.splitlines())
    ]
    definition = compile_text("\n".join([*lines, written]), name="acme")
    assert isinstance(definition, Definition), "\n".join(map(str, definition.problems))
    return definition


def rejected(text: str) -> list[str]:
    """Return what is told about a bad definition."""
    found = compile_text(textwrap.dedent(text), name="acme")
    assert isinstance(found, Rejected)
    return [str(problem) for problem in found.problems]


def refused(**sections: str) -> str:
    """Return what is told about Acme with these sections, all problems in one text."""
    return "\n".join(rejected("\n".join(f"{key}: {one}" for key, one in (REST | sections).items())))


def path(text: str) -> Selector:
    return compile_path(text)


def texts(templates: Mapping[str, object]) -> dict[str, str]:
    """Return the texts of templates."""
    return {name: str(getattr(template, "text", "")) for name, template in templates.items()}
