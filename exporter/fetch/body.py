"""The bodies of requests: JSON and forms, rendered from templates."""

from collections.abc import Mapping
from urllib.parse import quote_plus

import msgspec

from exporter.fetch.values import Pairs, Values
from exporter.kernel.templates import Clock, Template
from exporter.model.definition import Json

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


def render_json(template: Json, values: Values, clock: Clock) -> object:
    """Render the texts of a JSON body; one that lacks a value is UNSET and is left out."""
    match template:
        case Template():
            text = template.render(values.texts, clock)
            return msgspec.UNSET if text is None else text
        case Mapping():
            members = {name: render_json(part, values, clock) for name, part in template.items()}
            return {name: part for name, part in members.items() if part is not msgspec.UNSET}
        case tuple():
            parts = [render_json(part, values, clock) for part in template]
            return [part for part in parts if part is not msgspec.UNSET]
        case _:
            return template


def json_body(document: object, more: Mapping[str, object]) -> bytes:
    """Encode a rendered body; `more` are members to set, by paths such as ``variables.after``."""
    for path, value in more.items():
        document = _with_member(document, path.split("."), value)
    return msgspec.json.encode(document)


def form_body(form: Pairs, more: Mapping[str, object]) -> bytes:
    """Encode a form; `more` are arguments that replace those of the same name."""
    pairs = [pair for pair in form if pair[0] not in more]
    pairs += [(name, str(value)) for name, value in more.items()]
    return "&".join(f"{quote_plus(name)}={quote_plus(text)}" for name, text in pairs).encode()


def _with_member(document: object, path: list[str], value: object) -> object:
    """Return a copy of a JSON body with `value` at a path such as ``variables.after``."""
    if not path:
        return value
    members = document if isinstance(document, Mapping) else {}
    return {**members, path[0]: _with_member(members.get(path[0]), path[1:], value)}
