"""The reference of the grammar of definitions: every key and its meaning, by the JSON Schema."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from docs.generate.markdown import code, table
from exporter.config.settings import provider_schema

Schema: TypeAlias = Mapping[str, Any]

_PLURALS = {
    one: f"{one}s"
    for one in ("map", "text", "path", "template", "value", "number", "whole number", "duration")
}
MARK = "<!-- What follows is made from the JSON Schema by `make docs`. -->"
_MOST_PLACES = 3
_KINDS = {
    "data.usage.total": "path",
    "{params.organization_id}": "template",
    "30s": "duration",
}
"""What a text is, by the first of its examples."""
_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
    "map": "map",
}


def reference() -> str:
    """Return the Markdown of the reference."""
    return "\n".join([MARK, *_lines(provider_schema())]) + "\n"


def _lines(schema: Schema) -> Iterator[str]:
    yield ""
    yield "## Every key"
    yield ""
    yield "What is bold is required. A path is a JMESPath expression, a template a text with holes;"
    yield "both are explained above. A value is a template, a number, or true or false."
    yield ""
    yield "### The file itself"
    yield ""
    yield from _struct(schema)
    structs = schema["$defs"]
    for name, places in _found(schema).items():
        struct = structs[name]
        kind = struct["properties"].get("kind")
        yield ""
        yield f"### {code(places[0])}" + (f", kind {code(kind['enum'][0])}" if kind else "")
        yield ""
        yield f"{struct['description']}{_elsewhere(places[1:])}"
        if struct["properties"].keys() != {"kind"}:
            yield ""
            yield from _struct(struct)


def _elsewhere(places: Sequence[str]) -> str:
    if not places:
        return ""
    more = ", …" if len(places) > _MOST_PLACES else ""
    return f" Also at {', '.join(map(code, places[:_MOST_PLACES]))}{more}."


def _struct(struct: Schema) -> Iterator[str]:
    required = set(struct["required"])
    rows = []
    for key, field in struct["properties"].items():
        name = f"**{code(key)}**" if key in required else code(key)
        rows.append([name, _form(field), _default(field), _meaning(key, field)])
    yield from table(["key", "is", "default", "meaning"], rows)


def _meaning(key: str, field: Schema) -> str:
    return "" if key == "kind" else str(field["description"])


def _default(field: Schema) -> str:
    default = field.get("default")
    if default in (None, "", [], {}, False):
        return ""
    if isinstance(default, Mapping):
        return ""
    text = "[200]" if default == [200] else str(default).lower() if default is True else default
    return code(str(text))


def _form(field: Schema) -> str:
    """Return what may be written: texts by what they are, words, lists, maps."""
    if "enum" in field:
        return ", ".join(code(str(word)) for word in field["enum"])
    if "anyOf" in field:
        return _alternatives([_form(one) for one in field["anyOf"]])
    kind = field.get("type", "map" if "$ref" in field else "")
    if kind == "array":
        return f"list of {_many(_form(field['items']))}"
    if kind == "object":
        return f"map of {_many(_form(field.get('additionalProperties', {})))}"
    if kind == "string":
        return _KINDS.get(str((field.get("examples") or [""])[0]), "text")
    return _TYPES.get(kind, "anything")


def _alternatives(forms: Sequence[str]) -> str:
    scalar = {"template", "whole number", "true or false"}
    kept = dict.fromkeys(forms)
    if scalar <= kept.keys():
        kept = dict.fromkeys(["value", *(one for one in kept if one not in scalar)])
    if "number" in kept:
        kept.pop("whole number", None)
    return " or ".join(kept)


def _many(form: str) -> str:
    if form == "true or false":
        return form
    return " or ".join(dict.fromkeys(_PLURALS.get(one, one) for one in form.split(" or ")))


def _found(schema: Schema) -> dict[str, list[str]]:
    """Return the places of each struct, the requests of collectors before those of log-ins."""
    structs = schema["$defs"]
    found: dict[str, list[str]] = {}
    late = {"auth": schema["properties"]["auth"]}
    first = {key: field for key, field in schema["properties"].items() if key not in late}
    for place, name in _places({"properties": first | late}, structs, ""):
        known = found.setdefault(name, [])
        told = place.replace("auth[]", "auth").replace("each[]", "each")
        if told not in known:
            known.append(told)
    return found


def _places(struct: Schema, structs: Mapping[str, Schema], above: str) -> Iterator[tuple[str, str]]:
    """Yield each place of each struct, in the order of the keys."""
    for key, field in struct["properties"].items():
        for place, name in _references(field, f"{above}.{key}" if above else key):
            yield place, name
            yield from _places(structs[name], structs, place)


def _references(field: Schema, place: str) -> Iterator[tuple[str, str]]:
    """Yield the structs that a field may hold, and where they stand in it."""
    if "$ref" in field:
        yield place, field["$ref"].rpartition("/")[2]
    for one in field.get("anyOf", ()):
        yield from _references(one, place)
    if "items" in field:
        yield from _references(field["items"], f"{place}[]")
    if isinstance(field.get("additionalProperties"), Mapping):
        yield from _references(field["additionalProperties"], f"{place}.NAME")
