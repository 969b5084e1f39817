"""The JSON Schemas: they accept what we accept, refuse what we refuse, and explain every key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from exporter.config import library
from exporter.config.settings import config_schema, provider_schema
from exporter.kernel.yamlfile import parse_yaml

ROOT = Path(__file__).parents[3]
GOOD = sorted(ROOT.glob("tests/config/good/*.yaml"))
DEFINITIONS = sorted(ROOT.glob("tests/config/good/*/*.yaml"))
SCHEMAS = pytest.mark.parametrize("schema", [config_schema(), provider_schema()], ids=["c", "p"])


def fits(text: str, schema: dict[str, Any]) -> bool:
    validator = jsonschema.Draft202012Validator(schema)
    return validator.is_valid(parse_yaml(text, "x.yaml").tree)


def fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, struct in {"top": schema, **schema["$defs"]}.items():
        for key, value in struct["properties"].items():
            yield f"{name}.{key}", value


@SCHEMAS
def test_a_schema_is_a_good_schema(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"].startswith("usage-exporter: ")


@SCHEMAS
def test_every_field_is_explained(schema: dict[str, Any]) -> None:
    unexplained = [name for name, value in fields(schema) if not value.get("description")]
    assert unexplained == []


@SCHEMAS
def test_every_explanation_is_a_sentence_or_an_example(schema: dict[str, Any]) -> None:
    for name, value in fields(schema):
        assert value["description"][-1] in ".}", name


@SCHEMAS
def test_every_map_is_closed(schema: dict[str, Any]) -> None:
    structs = {"top": schema, **schema["$defs"]}
    assert [name for name, one in structs.items() if one.get("additionalProperties")] == []


@pytest.mark.parametrize(
    "path",
    [path for path in GOOD if path.stem != "anchors"],  # merges are YAML's; editors know them
    ids=lambda path: path.stem,
)
def test_good_configurations_fit(path: Path) -> None:
    assert fits(path.read_text(), config_schema())


def test_the_example_configuration_fits() -> None:
    assert fits((ROOT / "config.example.yaml").read_text(), config_schema())


@pytest.mark.parametrize("name", library.shipped_names())
def test_shipped_definitions_fit(name: str) -> None:
    assert fits(library.shipped_text(name), provider_schema())


@pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: path.stem)
def test_own_definitions_fit(path: Path) -> None:
    assert fits(path.read_text(), provider_schema())


@pytest.mark.parametrize(
    "text",
    [
        "targets: {}",
        "{}",
        "targets: [{name: a}]",
        "targets: [{name: a, provider: b, polls: 5m}]",
        "targets: [{name: a, provider: b, poll_interval: 5 minutes}]",
        "targets: [{name: a, provider: b, poll_interval: ''}]",
        "targets: [{name: a, provider: b, poll_interval: 300}]",
        "targets: [{name: a, provider: b, items: no}]",
        "{targets: [], global: {max_series: 0}}",
    ],
)
def test_bad_configurations_do_not_fit(text: str) -> None:
    assert not fits(text, config_schema())


def test_editors_are_told_the_shipped_providers() -> None:
    target = config_schema()["$defs"]["TargetText"]
    assert target["properties"]["provider"]["examples"] == list(library.shipped_names())
