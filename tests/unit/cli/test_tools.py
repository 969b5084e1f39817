"""``schema``, ``providers``: what writers of definitions use."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from exporter.cli.main import main
from exporter.config import library
from exporter.config.library import load_shipped
from exporter.model.definition.provider import Definition
from tests.support.metered_vendor import DEFINITION, row

AT = "--at=2026-11-15T12:00:00Z"


class DefinitionTrial:
    """A folder with the meter's definition and answers to it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "meter.yaml"
        self.answers = folder / "answers"
        self.file.write_text(DEFINITION)
        self.answers.mkdir()
        self.put("usage.json", {"rows": [row()]})
        self.put("seats.json", {"used": 3, "limit": 5})

    def put(self, name: str, document: object) -> None:
        (self.answers / name).write_text(json.dumps(document))

    def test(self, *more: str) -> int:
        return main(["providers", "test", str(self.file), f"--answers={self.answers}", *more])


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let output be as wide as it is: some test runners say how wide their own is."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def trial(tmp_path: Path) -> DefinitionTrial:
    return DefinitionTrial(tmp_path)


@pytest.mark.parametrize("what", ["config", "provider"])
def test_a_schema_is_printed(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", what]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)


def test_the_schema_of_definitions_accepts_the_shipped_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["schema", "provider"])
    validator = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))
    for name in library.shipped_names():
        validator.validate(yaml.safe_load(library.shipped_text(name)))


def test_the_catalogue_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["providers", "list"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["PROVIDER", "VENDOR", "EVERY", "NEEDS", "READS"]
    assert [line.split()[0] for line in lines] == list(library.shipped_names())


def test_the_list_says_what_a_target_must_set(capsys: pytest.CaptureFixture[str]) -> None:
    main(["providers", "list"])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "token or username + password; organization_id" in lines["tpstreams"]
    assert "username + password or nothing" in lines["dockerhub"]
    assert "token; base_url" in lines["billing_usage"]
    assert lines["tpstreams"].endswith("storage_active, storage_deleted, live_stream, spend")


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_the_list_fits_into_the_terminal(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    main(["providers", "list"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert len(lines) <= 1 + 2 * len(library.shipped_names())


def test_a_definition_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["providers", "show", "tpstreams", "--yaml"]) == 0
    assert capsys.readouterr().out == library.shipped_text("tpstreams")


@pytest.mark.parametrize("name", library.shipped_names())
def test_a_page_says_what_a_provider_asks_and_publishes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["providers", "show", name]) == 0
    page = capsys.readouterr().out
    for title in ("CREDENTIALS AND PARAMETERS", "WHAT IT ASKS", "WHAT IT PUBLISHES"):
        assert f"\n{title}\n" in page
    assert "| ---" not in page
    assert "```" not in page
    definition = load_shipped(name)
    assert isinstance(definition, Definition)
    for collector in definition.collectors.values():
        assert f"\n{collector.name}:\n    {collector.request.method} http" in page


@pytest.mark.parametrize("columns", [60, 100])
def test_a_page_fits_into_the_terminal(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["providers", "show", "tpstreams"]) == 0
    told = [
        line
        for line in capsys.readouterr().out.splitlines()
        if "://" not in line and line[:1] != " "
    ]
    assert max(map(len, told)) <= columns


def test_a_page_has_what_a_target_sets_and_what_comes_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["providers", "show", "tpstreams"]) == 0
    page = capsys.readouterr().out
    assert "A target sets: token or username + password; organization_id" in page
    assert "Documentation: https://" in page
    assert "Permission: " in page
    assert re.search(r"^bandwidth +bytes +usage_bytes", page, re.MULTILINE), page
    assert re.search(r"^currency +.*default USD", page, re.MULTILINE)
    assert re.search(r"^[\d.]+ calls a day for a target", page, re.MULTILINE)


def test_a_page_of_a_file_of_ones_own(
    trial: DefinitionTrial, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["providers", "show", str(trial.file)]) == 0
    page = capsys.readouterr().out
    assert page.startswith("METER\n")
    assert f"defined in {trial.file}" in page
    assert "GET https://YOUR_HOST/usage" in page
    assert main(["providers", "show", str(trial.file), "--yaml"]) == 0
    assert capsys.readouterr().out == DEFINITION


def test_a_page_of_a_broken_file_is_its_problems(
    trial: DefinitionTrial, capsys: pytest.CaptureFixture[str]
) -> None:
    trial.file.write_text(DEFINITION.replace("collectors:", "colectors:"))
    assert main(["providers", "show", str(trial.file)]) == 1
    assert 'Did you mean "collectors"?' in capsys.readouterr().err
    assert main(["providers", "show", "missing.yaml"]) == 1
    assert "missing.yaml" in capsys.readouterr().err
    assert main(["providers", "show", "missing.yaml", "--yaml"]) == 1


def test_an_unknown_definition_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["providers", "show", "tpstream"]) == 2
    assert 'Did you mean "tpstreams"?' in capsys.readouterr().err


def test_a_new_definition_passes_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "acme.yaml"
    assert main(["providers", "new", str(path)]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert "written" in told.out
    target = {"name": "x", "provider": "acme", "credentials": {"token": "x"}}
    config = {"providers": {"files": ["acme.yaml"]}, "targets": [target]}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    assert main(["check", f"--config.file={tmp_path / 'config.yaml'}"]) == 0


def test_a_new_definition_guesses_from_an_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, answer = tmp_path / "acme.yaml", tmp_path / "answer.json"
    answer.write_text(json.dumps({"data": {"used_bytes": 7, "limit_bytes": 10}}))
    assert main(["providers", "new", str(path), f"--from-sample={answer}"]) == 0
    assert "guesses to check" in capsys.readouterr().out
    assert "data.used_bytes" in path.read_text()


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), ("{", "truncated"), ("", "the file is empty")],
    ids=["missing", "cut", "empty"],
)
def test_a_sample_that_is_none_is_refused(
    content: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = tmp_path / "answer.json"
    if content is not None:
        answer.write_text(content)
    path = tmp_path / "acme.yaml"
    assert main(["providers", "new", str(path), f"--from-sample={answer}"]) == 1
    assert words in capsys.readouterr().err
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("<html><body>Log in</body></html>", "It looks like a web page"),
        ('HTTP/1.1 200 OK\n\n{"used": 1}', "It begins with headers"),
        ('{"used": NaN}', "it is no JSON"),
    ],
)
def test_a_sample_that_is_something_else_is_told_what_it_looks_like(
    content: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = tmp_path / "answer.json"
    answer.write_text(content)
    assert main(["providers", "new", str(tmp_path / "acme.yaml"), f"--from-sample={answer}"]) == 1
    assert hint in capsys.readouterr().err


@pytest.mark.parametrize("name", ["Acme.yaml", "my-acme.yaml", "1acme.yaml"])
def test_a_name_that_no_provider_can_have_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["providers", "new", str(tmp_path / name)]) == 1
    assert "A name has small letters, digits and underscores" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_schema_that_lies_there_already_stays(tmp_path: Path) -> None:
    schema = tmp_path / "provider.schema.json"
    schema.write_text("{}")
    assert main(["providers", "new", str(tmp_path / "acme.yaml")]) == 0
    assert schema.read_text() == "{}"
    first = (tmp_path / "acme.yaml").read_text().partition("\n")[0]
    assert first == "# yaml-language-server: $schema=provider.schema.json"


def test_the_schema_beside_a_new_definition_accepts_it(tmp_path: Path) -> None:
    assert main(["providers", "new", str(tmp_path / "acme.yaml")]) == 0
    schema = json.loads((tmp_path / "provider.schema.json").read_text())
    document = yaml.safe_load((tmp_path / "acme.yaml").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)


def test_a_file_that_is_there_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "acme.yaml"
    path.write_text("mine")
    assert main(["providers", "new", str(path)]) == 1
    assert "it stays as it is" in capsys.readouterr().err
    assert path.read_text() == "mine"


def test_a_new_definition_needs_its_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["providers", "new", str(tmp_path / "no" / "acme.yaml")]) == 1
    assert "acme.yaml" in capsys.readouterr().err


def test_answers_that_fit_give_their_series(
    trial: DefinitionTrial, capfd: pytest.CaptureFixture[str]
) -> None:
    assert trial.test(AT) == 0
    told = capfd.readouterr()
    assert 'usage_bytes{provider="meter",account="test",resource="traffic"} 250' in told.out
    assert 'usage_limit_quantity{provider="meter",account="test",resource="seats"} 5' in told.out
    assert told.err == ""


def test_pages_are_read_in_their_order(
    trial: DefinitionTrial, capfd: pytest.CaptureFixture[str]
) -> None:
    (trial.answers / "usage.json").unlink()
    for number in range(1, 12):
        link = f"/usage?page={number + 1}" if number < 11 else None
        trial.put(f"usage.{number}.json", {"rows": [row(f"r{number}")], "next": link})
    assert trial.test(AT) == 0
    out = capfd.readouterr().out
    order = [
        line.split('resource="')[1].split('"')[0]
        for line in out.splitlines()
        if "usage_bytes{" in line
    ]
    assert order == [f"r{number}" for number in range(1, 12)]


def test_a_path_that_finds_nothing_is_a_complaint(
    trial: DefinitionTrial, capfd: pytest.CaptureFixture[str]
) -> None:
    trial.put("seats.json", {"used": 3})
    assert trial.test(AT) == 1
    assert "seats: seats limit: limit: nothing" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("usage.json", "{", "truncated"),
        ("usage.json", '{"rows": "none"}', "list"),
        ("usage.json", '{"rows": [{"name": "a", "used": "plenty"}]}', "plenty"),
        ("seats.json", "", "the body is empty"),
    ],
    ids=["cut", "no list", "no number", "empty"],
)
def test_a_bad_answer_is_a_complaint(
    trial: DefinitionTrial, name: str, content: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (trial.answers / name).write_text(content)
    assert trial.test() == 1
    told = capfd.readouterr().err
    assert words in told
    assert "Traceback" not in told


def test_a_missing_answer_is_a_complaint(
    trial: DefinitionTrial, capfd: pytest.CaptureFixture[str]
) -> None:
    (trial.answers / "seats.json").unlink()
    assert trial.test() == 1
    assert "seats: no answer" in capfd.readouterr().err


def test_a_broken_definition_is_told(
    trial: DefinitionTrial, capfd: pytest.CaptureFixture[str]
) -> None:
    trial.file.write_text(DEFINITION.replace("collectors:", "colectors:"))
    assert trial.test() == 1
    assert 'Did you mean "collectors"?' in capfd.readouterr().err


def test_a_parameter_that_does_not_exist_is_told(
    trial: DefinitionTrial, capfd: pytest.CaptureFixture[str]
) -> None:
    assert trial.test("--param=sight=a") == 1
    assert 'Did you mean "site"?' in capfd.readouterr().err


def test_a_folder_with_brackets_is_no_pattern(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my [odd] folder"
    folder.mkdir()
    trial = DefinitionTrial(folder)
    trial.test()
    assert "usage_bytes{" in capfd.readouterr().out
