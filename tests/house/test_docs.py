"""The documentation and the code say the same, both ways."""

import argparse
import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from docs.generate.metrics import self_metrics
from exporter.cli import Exit
from exporter.cli.main import COMMANDS
from exporter.cli.main import command as command_of
from exporter.config.plan import load_plan
from exporter.config.settings import config_schema
from exporter.model.families import FAMILIES
from exporter.model.target import Plan
from exporter.web.routes import routes
from tests.support.markdown import ROOT, anchors, blocks, code, links, pages, prose, rows

CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
EXAMPLE = (ROOT / "config.example.yaml").read_text("utf-8")
SCHEMA = config_schema()
STRUCTS = SCHEMA["$defs"]


def section(title: str, text: str = CONFIGURATION) -> str:
    """Return what stands below a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {title}"
    return found[1]


# -------------------------------------------------------------------------------- configuration

SECTIONS = {
    "global": "GlobalText",
    "state": "StateText",
    "providers": "ProvidersText",
    "targets": "TargetText",
    "collectors": "CollectorSettingText",
    "http": "HttpText",
    "http.tls_config": "TlsText",
    "http.http_headers": "HeaderValuesText",
}


def keys_told(title: str) -> set[str]:
    lines = [line for line in section(title).splitlines() if line.startswith("| `")]
    return {key for line in lines for key in code(line.split("|")[1])}


@pytest.mark.parametrize(("title", "struct"), SECTIONS.items())
def test_every_key_of_the_configuration_is_explained_and_no_other(title: str, struct: str) -> None:
    assert keys_told(title) == STRUCTS[struct]["properties"].keys()


def test_every_part_of_the_configuration_has_its_section() -> None:
    assert set(SECTIONS.values()) == STRUCTS.keys()
    for title in SCHEMA["properties"]:
        assert section(title)


def test_the_example_passes_the_check() -> None:
    plan = load_plan(str(ROOT / "config.example.yaml"), environ={})
    assert isinstance(plan, Plan), plan
    assert [str(one) for one in plan.warnings] == []


def test_the_example_mentions_every_key_also_those_in_comments() -> None:
    document = yaml.safe_load(re.sub(r"(?m)^(\s*)# (\s*(?:- )?[a-z_]+:)", r"\1\2", EXAMPLE))
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    wanted = {key for one in (SCHEMA, *STRUCTS.values()) for key in one["properties"]}
    assert wanted - keys(document) == set()


def keys(tree: Any) -> set[str]:
    if isinstance(tree, dict):
        return set(tree).union(*map(keys, tree.values()))
    return set().union(*map(keys, tree)) if isinstance(tree, list) else set()


def configurations() -> Iterator[tuple[str, str]]:
    for page in pages():
        for number, block in enumerate(blocks(page.read_text("utf-8"))):
            tops = set(re.findall(r"^([a-z_]+):", block.text, re.MULTILINE))
            if block.kind == "yaml" and tops & {"targets", "global", "state"}:
                yield f"{page.relative_to(ROOT)} {number}", block.text


@pytest.mark.parametrize(
    "text", [text for _, text in configurations()], ids=[n for n, _ in configurations()]
)
def test_every_configuration_that_is_shown_meets_the_schema(text: str) -> None:
    document = yaml.safe_load(text)
    jsonschema.Draft202012Validator(SCHEMA).validate({"targets": [], **document})


# --------------------------------------------------------------------------------- command line

FLAGS = rows(CONFIGURATION, "flag", "commands", "default", "meaning")


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every command and sub-command."""
    found: dict[str, argparse.ArgumentParser] = {}
    for name in COMMANDS:
        parser = argparse.ArgumentParser(prog=name, allow_abbrev=False, exit_on_error=False)
        command_of(name)[0](parser)
        below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
        if not below:
            found[name] = parser
        for chooser in below:
            found |= {f"{name} {action}": one for action, one in chooser.choices.items()}
    return found


PARSERS = parsers()


def flags_known() -> dict[str, dict[str, argparse.Action]]:
    known: dict[str, dict[str, argparse.Action]] = {}
    for command, parser in PARSERS.items():
        for action in parser._actions:
            for flag in action.option_strings:
                if flag not in ("-h", "--help"):
                    known.setdefault(flag, {})[command] = action
    return known


def test_every_flag_is_explained_and_no_other() -> None:
    told = {flag for row in FLAGS for flag in code(row[0])}
    assert told == flags_known().keys() | {"--version"}


def test_every_flag_is_told_with_its_commands() -> None:
    told = {code(row[0])[0]: set(row[1].split(", ")) for row in FLAGS}
    assert told.pop("--version") == {"all"}
    assert told == {flag: set(actions) for flag, actions in flags_known().items()}


@pytest.mark.parametrize(
    "row", [row for row in FLAGS if row[0] != "`--version`"], ids=lambda row: row[0]
)
def test_every_default_is_the_one_that_is_told(row: list[str]) -> None:
    (flag,) = code(row[0])
    for action in flags_known()[flag].values():
        match action.default:
            case None | "" | []:
                assert action.required == (row[2] == "required")
            case bool():
                assert row[2] == "off"
            case default:
                assert row[2] == str(default)


def test_every_command_is_told_and_no_other() -> None:
    usage = next(one.text for one in blocks(section("Command line")))
    assert {line.split()[1] for line in usage.splitlines()} == COMMANDS.keys()


def command_lines() -> Iterator[tuple[str, str]]:
    """Yield every command line of the exporter that a page shows."""
    for page in pages():
        name = str(page.relative_to(ROOT))
        text = page.read_text("utf-8")
        for block in blocks(text):
            if block.kind not in ("sh", "bash"):
                continue
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and words[0].endswith("usage-exporter"):
                    yield name, " ".join(words[1:])
        for span in code(prose(text)):
            if span.startswith("usage-exporter "):
                yield name, span.removeprefix("usage-exporter ")


@pytest.mark.parametrize(("page", "line"), sorted(set(command_lines())))
def test_every_command_that_is_shown_is_understood(page: str, line: str) -> None:
    words = re.split(r"\s[|>&]", line)[0].replace("…", "x").split()
    words = [word for word in words if not word.startswith((">", "2>", "|", "&&"))]
    if words in (["--version"], ["--help"]):
        return
    name = next((one for one in (" ".join(words[:2]), words[0]) if one in PARSERS), "")
    if not name and words[0] in COMMANDS and len(words) == 1:
        return  # a command as such: `providers`
    assert name, f"{page}: there is no command {line}"
    rest = words[len(name.split()) :]
    flags = [word.partition("=")[0] for word in rest if word.startswith("--")]
    known = {flag for action in PARSERS[name]._actions for flag in action.option_strings}
    assert set(flags) - known == set(), f"{page}: {line}"


def test_every_exit_code_is_told_and_no_other() -> None:
    told = {int(row[0]) for row in rows(CONFIGURATION, "exit code", "means")}
    assert told == {code.value for code in Exit}


def test_every_address_is_told_and_no_other() -> None:
    told = {code(row[0])[0].partition("?")[0] for row in rows(CONFIGURATION, "address", "does")}
    served = routes(Anything(), telemetry_path="/metrics")  # type: ignore[arg-type]
    assert told == served.keys() - {"/favicon.ico"}


class Anything:
    """Stands for every callable that a site is handed."""

    def __getattr__(self, name: str) -> object:
        return lambda *_: None


# -------------------------------------------------------------------------------------- metrics

NAMES = {family.name for family in FAMILIES} | {row[0].strip("`") for row in self_metrics()}
ENDINGS = ("_bucket", "_count", "_sum")
VENDORS_WORDS = {"usage_read", "usage_records"}  # a permission of Datadog's, a path of Twilio's


def metrics_named(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w./-])usage_[a-z0-9_]+", text))


def test_every_metric_that_a_page_names_exists() -> None:
    named = {
        (page.name, name) for page in pages() for name in metrics_named(page.read_text("utf-8"))
    }
    assert len(named) > 100
    unknown = {one for one in named if not exists(one[1])}
    assert {one for one in unknown if not is_a_part(one[1])} == set()


def exists(name: str) -> bool:
    """Tell whether a name is a metric, with a histogram's endings or without OpenMetrics' _info."""
    known = {name, f"{name}_info", *(name.removesuffix(end) for end in ENDINGS)}
    return bool(known & (NAMES | VENDORS_WORDS))


def is_a_part(name: str) -> bool:
    """Tell whether a name stands for several, as ``usage_exporter_*`` and ``usage_<kind>`` do."""
    return name.endswith("_") and any(one.startswith(name) for one in NAMES)


# ---------------------------------------------------------------------------------------- links


def on_pages(found: Callable[[str], Iterable[str]]) -> pytest.MarkDecorator:
    """Make one test of each thing that a page holds; none at all fails the collection."""
    cases = sorted(
        {
            (str(page.relative_to(ROOT)), one)
            for page in pages()
            for one in found(page.read_text("utf-8"))
        }
    )
    return pytest.mark.parametrize(("page", "one"), cases)


def links_inside(text: str) -> Iterator[str]:
    return (link for link in links(text) if "://" not in link and not link.startswith("mailto:"))


@on_pages(links_inside)
def test_every_link_inside_leads_somewhere(page: str, one: str) -> None:
    path, _, anchor = one.partition("#")
    there = ((ROOT / page).parent / path).resolve() if path else ROOT / page
    assert there.exists()
    assert not anchor or anchor in anchors(there.read_text("utf-8"))


def files_named(text: str) -> Iterator[str]:
    roots = ("exporter/", "tests/", "docs/", "deploy/", "helm/", ".ci/")
    for span in code(prose(text)):
        if span.startswith(roots) and re.fullmatch(r"[\w./*-]+", span):
            yield span


@on_pages(files_named)
def test_every_file_that_is_named_exists(page: str, one: str) -> None:
    assert list(ROOT.glob(one.rstrip("/")))


def make_targets(text: str) -> list[str]:
    typed = [one.text for one in blocks(text) if one.kind == "sh"]
    named = re.findall(r"^make ([a-z0-9-]+)", "\n".join(typed), re.MULTILINE)
    return named + [one.split()[1] for one in code(prose(text)) if re.match(r"make [a-z]", one)]


@on_pages(make_targets)
def test_every_make_target_that_is_named_exists(page: str, one: str) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert one in re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE)


@pytest.mark.parametrize(
    "path",
    sorted({*ROOT.glob("*.yaml"), *ROOT.glob("exporter/providers/*.yaml")}),
    ids=lambda path: path.name,
)
def test_the_schema_that_a_file_names_exists(path: Path) -> None:
    first = path.read_text("utf-8").partition("\n")[0]
    found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert found, "the first line names no schema"
    assert (path.parent / found[1]).resolve().is_file()


# --------------------------------------------------------------------------------- architecture


PACKAGES = rows(ARCHITECTURE, "package", "modules", "holds", "may import", "must never")


def modules_in(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")}


def test_the_architecture_names_every_package_and_no_other() -> None:
    package = ROOT / "exporter"
    there = {
        f"{path.parent.relative_to(package)}/"
        for path in package.rglob("__init__.py")
        if path.parent != package
    }
    assert {code(row[0])[0] for row in PACKAGES} == there | modules_in(package)


@pytest.mark.parametrize("row", PACKAGES, ids=lambda row: code(row[0])[0])
def test_the_architecture_names_every_module_and_no_other(row: list[str]) -> None:
    assert code(row[1]) == sorted(modules_in(ROOT / "exporter" / code(row[0])[0]))


def names_told() -> list[str]:
    """Return `fetch.client.Client.fetch` and the like as the architecture writes them."""
    tops = {path.stem for path in (ROOT / "exporter").iterdir()} - {"__init__"}
    spans = {span for span in code(prose(ARCHITECTURE)) if re.fullmatch(r"\w+(\.\w+)+", span)}
    return sorted(span for span in spans if span.partition(".")[0] in tops)


@pytest.mark.parametrize("name", names_told())
def test_every_name_in_the_architecture_exists(name: str) -> None:
    parts = f"exporter.{name}".split(".")
    last = max(i for i in range(len(parts)) if find_spec_of(parts[: i + 1]))
    found: Any = import_module(".".join(parts[: last + 1]))
    for part in parts[last + 1 :]:
        found = getattr(found, part)


def find_spec_of(parts: list[str]) -> bool:
    path = ROOT.joinpath(*parts)
    return path.is_dir() or path.with_suffix(".py").is_file()


def test_every_contract_is_told_and_no_other() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    told = re.findall(r"^- \*\*(\w+)\*\*", ARCHITECTURE, re.MULTILINE)
    assert told == [one["id"] for one in contracts]


def test_every_design_note_is_in_the_index_and_no_other() -> None:
    index = ROOT / "docs" / "design" / "README.md"
    told = {link for link in links(index.read_text("utf-8")) if "/" not in link}
    assert told == {path.name for path in index.parent.glob("*.md")} - {"README.md"}


def test_the_readme_leads_to_every_page() -> None:
    reached = {Path("README.md")}
    todo = list(reached)
    while todo:
        page = todo.pop()
        for link in links((ROOT / page).read_text("utf-8")):
            path = link.partition("#")[0]
            if "://" in path or not path.endswith(".md"):
                continue
            there = (ROOT / page.parent / path).resolve().relative_to(ROOT)
            if there not in reached:
                reached.add(there)
                todo.append(there)
    assert {path.relative_to(ROOT) for path in pages()} - reached == set()


def test_the_sample_of_the_readme_has_the_form_of_an_exposition() -> None:
    sample = next(one.text for one in blocks(README) if "usage_bytes{" in one.text)
    assert len(sample.splitlines()) > 1
    for line in sample.splitlines():
        name, _, value = line.partition("{")
        assert name in NAMES
        assert float(value.rpartition(" ")[2]) >= 0


@pytest.mark.parametrize("note", ["exposition", "forecast", "ledger", "scheduling", "serving"])
def test_the_code_that_a_design_note_names_exists(note: str) -> None:
    text = (ROOT / "docs" / "design" / f"{note}.md").read_text("utf-8")
    (named,) = re.findall(r"Code: (.*?)[.;]\s", text.partition("\n## ")[0] + "\n", re.DOTALL) or [
        ""
    ]
    folder = ROOT / "exporter"
    for span in code(named):
        path = ROOT / span
        if span.startswith("exporter/"):
            folder = path if span.endswith("/") else path.parent
            assert path.exists(), span
        else:
            assert (folder / span).with_suffix(".py").exists(), span
