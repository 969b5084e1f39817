"""``check``: exit codes and what is said; each problem has its own gallery with the config."""

import json
from pathlib import Path

import pytest

from exporter.cli.main import main

GOOD = {
    "name": "video",
    "provider": "tpstreams",
    "credentials": {"token": "x"},
    "params": {"organization_id": "o"},
}


def check(path: Path) -> int:
    return main(["check", f"--config.file={path}"])


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_a_good_config_says_what_it_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [GOOD, GOOD | {"name": "other"}]
    path = write(tmp_path, json.dumps({"targets": both}))
    assert check(path) == 0
    assert capsys.readouterr().out == f"{path}: good: 2 targets of 1 provider\n"


def test_a_warning_does_not_make_it_bad(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, json.dumps({"targets": [GOOD | {"poll_interval": "1m"}]}))
    assert check(path) == 0
    told = capsys.readouterr()
    assert told.err.startswith("warning: ")
    assert "shorter than tpstreams allows" in told.err
    assert "good: 1 target of 1 provider" in told.out


BAD = {
    "nothing": ("", "The file is empty"),
    "a list": ("[]", "1:1"),
    "a word": ("hello", "1:1"),
    "tabs": ("targets:\n\t- name: x\n", "2:1"),
    "unclosed": ("targets: [{name: x", "1:"),
    "two documents": ("targets: []\n---\ntargets: []\n", "2:"),
    "a duplicate key": ("global: {}\nglobal: {}\n", "2:1"),
    "an anchor loop": ("targets: &a [*a]\n", "1:"),
    "a tag": ("targets: !!python/object:os.system [x]\n", "1:"),
    "an unknown key": ("target: []\n", 'Did you mean "targets"?'),
    "a missing secret file": (
        json.dumps({"targets": [GOOD | {"credentials": {"token_file": "nowhere"}}]}),
        "holds no such file",
    ),
    "a missing variable": (
        json.dumps({"targets": [GOOD | {"credentials": {"token_env": "NOT_SET_ANYWHERE"}}]}),
        "NOT_SET_ANYWHERE",
    ),
    "an unknown provider": (
        json.dumps({"targets": [GOOD | {"provider": "tpstream"}]}),
        'Did you mean "tpstreams"?',
    ),
    "a wrong type": (
        json.dumps({"targets": [GOOD | {"limits": ["5 TB"]}]}),
        "limits",
    ),
    "a wrong duration": (
        json.dumps({"targets": [GOOD | {"poll_interval": "5 minutes"}]}),
        '"5 minutes" is not a duration. Write a number and a unit',
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_config_ends_with_1_and_says_where(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, words = BAD[name]
    path = write(tmp_path, text)
    assert check(path) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert str(path) in told.err
    assert words in told.err
    assert "Traceback" not in told.err
    assert told.err.splitlines()[-1].endswith(("problem", "problems"))


def test_every_problem_is_told_in_one_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = [GOOD | {"nam": 1}, GOOD | {"provider": "x"}, {"name": "y"}]
    path = write(tmp_path, json.dumps({"targets": targets, "globl": {}}))
    assert check(path) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == f"{len(lines) - 1} problems"
    assert len(lines) >= 5


def test_a_broken_definition_is_told_with_its_own_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(
        "title: Mine\ndocumentation: https://x.example\nbase_url: https://x.example\n"
        "interval: 5m\ncredentials: {token: {description: A key.}}\nauth: {kind: bearer}\n"
        "collectors: {usage: {request: {path: /usage}}}\n"
        "resources:\n  - {name: calls, used: 'data[.calls'}\n"
    )
    target = {"name": "x", "provider": "mine", "credentials": {"token": "x"}}
    document = {"providers": {"files": ["mine.yaml"]}, "targets": [target]}
    assert check(write(tmp_path, json.dumps(document))) == 1
    told = capsys.readouterr().err
    assert "mine.yaml:9:" in told
    assert "resources[0].used" in told


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_a_file_that_cannot_be_read_is_told(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.yaml"
    if kind == "folder":
        path.mkdir()
    if kind == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    assert check(path) == 1
    told = capsys.readouterr().err
    assert str(path) in told
    assert "Traceback" not in told


@pytest.mark.parametrize("command", ["run", "once", "explain"])
def test_every_command_refuses_a_bad_config(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "targets: [{nam: x}]")
    words = [command, f"--config.file={path}", *(["x"] if command == "explain" else [])]
    assert main(words) == 1
    assert 'Did you mean "name"?' in capsys.readouterr().err
