"""Write the generated part of the documentation: ``python -m docs.generate`` (``make docs``).

Pages of providers and their index come from the definitions, the page of metrics from the tables
that publish them, the JSON Schemas from the structs that read the files, and from these the
reference at the end of providers/writing.md. A test compares them.
"""

import json
import sys
from pathlib import Path

from docs.pages import grammar, metrics
from exporter.app import provider_page
from exporter.config.library import shipped_names
from exporter.config.plan import load_shipped
from exporter.config.settings import config_schema, provider_schema
from exporter.model.definition.provider import Definition

FOLDER = Path(__file__).resolve().parent


def definitions() -> list[Definition]:
    """Return the shipped definitions, by name."""
    found = [load_shipped(name) for name in shipped_names()]
    return [one for one in found if isinstance(one, Definition)]


def pages() -> dict[str, str]:
    """Return every generated file, by its path below docs."""
    found = {
        "metrics.md": metrics.page(),
        "providers/README.md": provider_page.index(definitions()),
        "providers/writing.md": _with_reference(FOLDER / "providers" / "writing.md"),
        "schema/config.json": _json(config_schema()),
        "schema/provider.json": _json(provider_schema()),
    }
    for definition in definitions():
        found[f"providers/{definition.name}.md"] = provider_page.page(definition)
    return found


def _with_reference(path: Path) -> str:
    """Return a page with its last part, the reference, made anew."""
    return path.read_text("utf-8").partition(grammar.MARK)[0] + grammar.reference()


def _json(schema: object) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write what has changed."""
    for name, text in pages().items():
        path = FOLDER / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            sys.stdout.write(f"docs/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
