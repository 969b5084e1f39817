"""The generated part of the documentation: ``make docs`` writes it, a test compares it.

Pages of providers and their index come from the definitions, the page of metrics from the tables
that publish them, the JSON Schemas from the structs that read the files, and from these the
reference at the end of providers/writing.md. Not a part of the product: nothing of it is installed.
"""

import json
from pathlib import Path

from docs.generate import grammar, metrics, providers
from exporter.config.library import load_shipped, shipped_names
from exporter.config.settings import config_schema, provider_schema
from exporter.model.definition.provider import Definition

FOLDER = Path(__file__).resolve().parents[1]


def definitions() -> list[Definition]:
    """Return the shipped definitions, by name."""
    found = [load_shipped(name) for name in shipped_names()]
    return [one for one in found if isinstance(one, Definition)]


def pages() -> dict[str, str]:
    """Return every generated file, by its path below docs."""
    writing = (FOLDER / "providers" / "writing.md").read_text("utf-8")
    return {
        "metrics.md": metrics.page(),
        "providers/README.md": providers.index(definitions()),
        "providers/writing.md": writing.partition(grammar.MARK)[0] + grammar.reference(),
        "schema/config.json": _json(config_schema()),
        "schema/provider.json": _json(provider_schema()),
    } | {f"providers/{one.name}.md": providers.page(one) for one in definitions()}


def _json(schema: object) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
