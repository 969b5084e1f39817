"""JSON Schema of the two kinds of files, made from the structs that read them, for editors."""

from typing import Any, TypeAlias

import msgspec

from exporter.config.catalogue import shipped
from exporter.config.grammar.definition import DefinitionText
from exporter.config.settings import ConfigText

Schema: TypeAlias = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def config_schema() -> Schema:
    """Return the schema of the configuration file."""
    schema = _schema(ConfigText, "usage-exporter: configuration")
    schema["$defs"]["TargetText"]["properties"]["provider"]["examples"] = list(shipped())
    return schema


def provider_schema() -> Schema:
    """Return the schema of a definition."""
    return _schema(DefinitionText, "usage-exporter: definition of a provider")


def _schema(root: type, title: str) -> Schema:
    made = msgspec.json.schema(root, ref_template="#/$defs/{name}")
    definitions: dict[str, Schema] = made["$defs"]
    top = definitions.pop(root.__name__)
    for one in definitions.values():
        _polish(one)
    return {"$schema": _DIALECT, **_polish(top), "title": title, "$defs": definitions}


def _polish(struct: Schema) -> Schema:
    """Take out our own class names, and describe the word that chooses one of several maps."""
    struct.pop("title", None)
    kind = struct["properties"].get("kind")
    if kind is not None:
        kind["description"] = struct.get("description", "")
    return struct
