"""Image, chart, Compose, sidecar, systemd and papers agree with each other and with the program."""

import argparse
import configparser
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

import exporter
from exporter.cli import options

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "usage-exporter"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
VALUES = (CHART / "values.yaml").read_text()
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def document(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def merged(base: Any, over: Any) -> Any:
    """Return what Helm makes of values over defaults."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return base | {key: merged(base.get(key), value) for key, value in over.items()}


def comments() -> dict[tuple[str, ...], str]:
    """Return the `# --` comment of each value in values.yaml, by its path."""
    found: dict[tuple[str, ...], str] = {}
    path: list[str] = []
    words: list[str] = []
    for line in VALUES.splitlines():
        if comment := re.match(r" *# ?(-- )?(.*)", line):
            words = [comment[2]] if comment[1] else [*words, comment[2]] if words else []
        elif key := re.match(r"( *)(\w+):", line):
            path[len(key[1]) // 2 :] = [key[2]]
            if words:
                found[tuple(path)] = " ".join(words)
            words = []
    return found


def properties(schema: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return every value that the chart itself defines, by its path."""
    found: dict[tuple[str, ...], Any] = {}
    for name, inner in schema["properties"].items():
        if inner.get("additionalProperties") is False:
            found |= properties(inner, (*path, name))
        else:
            found[(*path, name)] = inner
    return found


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["version"] == exporter.__version__
    assert document("helm/usage-exporter/Chart.yaml")["appVersion"] == exporter.__version__


def test_the_image_runs_as_a_number_and_starts_the_program_itself() -> None:
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["65532:65532"]
    assert 'ENTRYPOINT ["usage-exporter"]' in DOCKERFILE
    assert re.search(r"^HEALTHCHECK .* CMD \[", DOCKERFILE, re.MULTILINE)
    assert not re.search(r"^(VOLUME|ADD)\b", DOCKERFILE, re.MULTILINE)
    assert DOCKERFILE.count("--require-hashes") == 2


def test_everything_the_image_copies_is_let_in() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    copied: set[str] = set()
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        copied |= set(line.split()[:-1])
    assert "*" in ignore
    assert copied == allowed


def test_the_schema_knows_every_value_and_no_other() -> None:
    def leaves(values: Any, known: set[tuple[str, ...]], path: tuple[str, ...] = ()) -> set[Any]:
        if path in known or not isinstance(values, dict):
            return {path}
        return {leaf for key, v in values.items() for leaf in leaves(v, known, (*path, key))}

    known = set(properties(SCHEMA)) - {("global",)}  # Helm's own, for parent charts
    assert leaves(yaml.safe_load(VALUES), known) == known


def test_every_value_is_explained_in_the_same_words_in_file_and_schema() -> None:
    described = {path: inner.get("description") for path, inner in properties(SCHEMA).items()}
    del described["global",]
    assert described == {path: text for path, text in comments().items() if path in described}


@pytest.mark.parametrize("name", ["none", "minimal", "full", "existing"])
def test_the_examples_meet_the_schema(name: str) -> None:
    Draft7Validator.check_schema(SCHEMA)
    over = {} if name == "none" else document(f"helm/usage-exporter/ci/{name}-values.yaml")
    Draft7Validator(SCHEMA).validate(merged(yaml.safe_load(VALUES), over))


def test_the_chart_offers_what_the_command_line_takes() -> None:
    log = SCHEMA["properties"]["log"]["properties"]
    assert log["level"]["enum"] == list(options.LOG_LEVELS)
    assert log["format"]["enum"] == list(options.LOG_FORMATS)
    parser = argparse.ArgumentParser()
    options.add_config(parser)
    options.add_log(parser)
    options.add_web(parser)
    used = re.findall(r"- (--[a-z.-]+)=", (CHART / "templates/deployment.yaml").read_text())
    assert len(used) == 5
    assert set(used) <= set(re.findall(r"--[a-z.-]+", parser.format_help()))


def test_every_example_of_values_is_tried() -> None:
    names = {path.name for path in (CHART / "ci").iterdir()}
    assert names == {"minimal-values.yaml", "full-values.yaml", "existing-values.yaml"}


def test_compose_keeps_the_container_locked_up() -> None:
    service = document("deploy/compose.yaml")["services"]["usage-exporter"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "127.0.0.1:10187:10187" in service["ports"]


def test_the_sidecar_never_decides_over_the_apps_readiness() -> None:
    documents = list(yaml.safe_load_all((ROOT / "deploy/kubernetes/sidecar.yaml").read_text()))
    (deployment,) = [d for d in documents if d["kind"] == "Deployment"]
    (sidecar,) = deployment["spec"]["template"]["spec"]["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    assert "readinessProbe" not in sidecar
    assert sidecar["image"] == f"usage-exporter:{exporter.__version__}"
    assert sidecar["securityContext"]["readOnlyRootFilesystem"] is True
    assert sidecar["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    (monitor,) = [d for d in documents if d["kind"] == "PodMonitor"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in sidecar["ports"]}


def test_the_unit_is_hardened_and_checks_the_config_first() -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign,assignment] # systemd minds the case
    parser.read(ROOT / "deploy/systemd/usage-exporter.service")
    service = dict(parser["Service"])
    assert " check --config.file=" in service["ExecStartPre"]
    assert service["ExecReload"].startswith("/bin/kill -HUP")
    assert service["CapabilityBoundingSet"] == ""
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "yes"
    assert service["User"] == "usage-exporter"


@pytest.mark.parametrize(
    "path",
    [
        "Dockerfile",
        "helm/usage-exporter/values.yaml",
        "deploy/compose.yaml",
        "deploy/kubernetes/sidecar.yaml",
        "docs/operating.md",
    ],
)
def test_everybody_names_the_same_port(path: str) -> None:
    text = (ROOT / path).read_text()
    assert "10187" in text
    assert set(re.findall(r"\b10[01]\d\d\b", text)) == {"10187"}


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## \[Unreleased\]$", text, re.MULTILINE)
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
