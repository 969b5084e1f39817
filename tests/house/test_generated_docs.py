"""Generated pages are those that the code would write today; what they say holds."""

import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from docs.generate import FOLDER, definitions, pages
from docs.generate.metrics import self_metrics
from docs.generate.providers import as_sent
from exporter.config.library import shipped_names, shipped_text
from exporter.model.families import FAMILIES
from tests.support.replay import PROVIDERS, Exchange, exchanges_of

PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_make_docs_writes(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == PAGES[name], "run `make docs`"


def test_no_page_is_left_of_a_provider_that_is_gone() -> None:
    found = {f"providers/{path.name}" for path in FOLDER.glob("providers/*")}
    assert found == {name for name in PAGES if name.startswith("providers/")}


def test_every_family_has_its_line_and_every_line_its_family() -> None:
    told = set(re.findall(r"^\| `(usage_\w+)`", PAGES["metrics.md"], re.MULTILINE))
    own = {row[0].strip("`") for row in self_metrics()}

    assert told == {family.name for family in FAMILIES} | own
    assert all(name.startswith("usage_exporter_") for name in own)


def test_every_provider_has_a_page_and_a_line_in_the_index() -> None:
    index = PAGES["providers/README.md"]
    assert [one.name for one in definitions()] == list(shipped_names())
    for name in shipped_names():
        assert f"[`{name}`]({name}.md)" in index


@pytest.mark.parametrize("name", ["config", "provider"])
def test_a_schema_is_a_json_schema(name: str) -> None:
    Draft202012Validator.check_schema(json.loads(PAGES[f"schema/{name}.json"]))


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_definition_meets_the_schema_and_names_it(name: str) -> None:
    validator = Draft202012Validator(json.loads(PAGES["schema/provider.json"]))
    modeline = "# yaml-language-server: $schema=../../docs/schema/provider.json"

    assert [
        error.message for error in validator.iter_errors(yaml.safe_load(shipped_text(name)))
    ] == []
    assert shipped_text(name).splitlines()[0] == modeline


@pytest.mark.parametrize(
    "path", sorted(PROVIDERS.glob("*/config.yaml")), ids=lambda path: path.parent.name
)
def test_a_configuration_meets_the_schema(path: Path) -> None:
    validator = Draft202012Validator(json.loads(PAGES["schema/config.json"]))
    assert [
        error.message for error in validator.iter_errors(yaml.safe_load(path.read_text()))
    ] == []


def test_a_request_on_a_page_is_the_one_that_is_sent() -> None:
    costs = next(one for one in definitions() if one.name == "openai").collectors["costs"]
    line = next(as_sent(next(one for one in definitions() if one.name == "openai"), costs.request))
    recorded: Exchange = exchanges_of("openai")["costs_page1"]

    assert line.split("?")[0] == f"GET {recorded.origin}{recorded.path}"
    assert all(f"{name}={value}" in line for name, value in recorded.query)
