"""``providers test`` on answers in files, through all of the fetch stage but the network."""

from pathlib import Path

import pytest

from exporter.cli.main import main
from tests.support.definition_trial import DEFINITION, HEADER, LINK, NUMBERED, DefinitionTrial, rows


@pytest.fixture
def trial(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> DefinitionTrial:
    return DefinitionTrial(tmp_path, capfd)


def test_the_guard_holds_for_a_file_too(trial: DefinitionTrial) -> None:
    trial.put("usage.json", {"ok": False, "rows": [], "error": {"message": "try later"}})
    assert trial.test() == 1
    assert "usage: usage.json: api.acme.example answered 200 OK, but the answer says" in trial.err
    assert "try later" in trial.err


def test_pages_are_turned_as_the_paging_says(trial: DefinitionTrial) -> None:
    trial.define(paging=LINK)
    trial.put("usage.1.json", rows(1, next="https://api.acme.example/v1/red/usage?page=2"))
    trial.put("usage.2.json", rows(2, next="/v1/red/usage?page=3"))
    trial.put("usage.3.json", rows(3, next=None))
    assert trial.test() == 0
    assert trial.value() == 6


def test_a_page_that_is_asked_for_and_missing_is_told(trial: DefinitionTrial) -> None:
    trial.define(paging=NUMBERED)
    trial.put("usage.json", rows(1, pages=2))
    assert trial.test() == 1
    assert "usage: the paging asks for page 2: usage.2.json is not there" in trial.err
    assert trial.value() == 1


def test_a_page_that_nobody_asks_for_is_told(trial: DefinitionTrial) -> None:
    trial.define(paging=NUMBERED)
    trial.put("usage.1.json", rows(1, pages=1))
    trial.put("usage.2.json", rows(2, pages=1))
    assert trial.test() == 1
    assert "usage: usage.2.json is not asked for: the paging ends before it" in trial.err


def test_a_link_to_another_host_is_told(trial: DefinitionTrial) -> None:
    trial.define(paging=LINK)
    trial.put("usage.json", rows(1, next="https://elsewhere.example/x"))
    assert trial.test() == 1
    assert "goes to another host, elsewhere.example instead of api.acme.example" in trial.err


def test_headers_stand_in_files_of_their_own(trial: DefinitionTrial) -> None:
    trial.define(paging=HEADER)
    trial.put("usage.1.json", rows(1))
    trial.put("usage.1.headers.json", {"Link": ['<?page=2>; rel="next"']})
    trial.put("usage.2.json", rows(2))
    assert trial.test() == 0
    assert trial.value() == 3


def test_headers_that_are_none_are_told(trial: DefinitionTrial) -> None:
    trial.define(paging=HEADER)
    trial.put("usage.json", rows(1))
    trial.put("usage.headers.json", "[1]")
    assert trial.test() == 1
    assert "usage.headers.json is no map of headers" in trial.err


def test_an_answer_of_headers_alone(trial: DefinitionTrial) -> None:
    text = DEFINITION.replace("    PAGING\n", "    format: headers\n").replace(
        "each: rows, reduce: sum, used: calls", "used: '\"x-used\"'"
    )
    trial.file.write_text(text.replace("success: {guard: ok}", "success: {accepted: [204]}"))
    trial.put("usage.headers.json", {"X-Used": "17"})
    assert trial.test() == 0
    assert trial.value() == 17


def test_json_lines_are_rows(trial: DefinitionTrial) -> None:
    text = DEFINITION.replace("    PAGING\n", "    format: jsonl\n").replace(
        "each: rows", 'each: "@"'
    )
    trial.file.write_text(text.replace("    success: {guard: ok}\n", ""))
    trial.put("usage.jsonl", '{"calls": 1}\n{"calls": 2}\n')
    assert trial.test() == 0
    assert trial.value() == 3


ACCOUNTS = """\
accounts:
  collector: {request: {path: /v1/teams}}
  each: teams
  id: id
  label: name
"""


def fan_out(trial: DefinitionTrial) -> None:
    text = DEFINITION.replace("    PAGING\n", "").replace("{params.team}", "{account.id}")
    text = text.replace("params: {team: {description: Whose., required: true}}\n", "")
    trial.file.write_text(text + ACCOUNTS)
    trial.put("accounts.json", {"teams": [{"id": 7, "name": "Red"}, {"id": 8, "name": "Blue"}]})


def test_each_account_has_its_answer(trial: DefinitionTrial) -> None:
    fan_out(trial)
    trial.put("usage.json", rows(1))
    trial.put("8/usage.json", rows(5))
    assert trial.test(team="") == 0
    assert 'account="test/Red",resource="calls"} 1\n' in trial.out
    assert 'account="test/Blue",resource="calls"} 5\n' in trial.out


def test_without_a_list_of_accounts_nobody_is_asked(trial: DefinitionTrial) -> None:
    fan_out(trial)
    (trial.folder / "accounts.json").unlink()
    trial.put("usage.json", rows(1))
    assert trial.test(team="") == 1
    assert "accounts.json is not there" in trial.err


def test_the_accounts_may_be_named_by_the_target(trial: DefinitionTrial) -> None:
    fan_out(trial)
    target = {"name": "t", "provider": "acme", "credentials": {"token": "x"}, "accounts": ["9"]}
    trial.put("config.yaml", {"targets": [target]})
    trial.put("usage.json", rows(3))
    assert trial.test(team="") == 0
    assert 'account="t/9",resource="calls"} 3\n' in trial.out


def test_a_list_of_accounts_that_lacks_a_page_is_told(trial: DefinitionTrial) -> None:
    fan_out(trial)
    text = trial.file.read_text()
    collector = "collector: {request: {path: /v1/teams}"
    trial.file.write_text(text.replace(collector, f"{collector}, {LINK}"))
    trial.put("accounts.json", {"teams": [{"id": 7}], "next": "/v1/teams?page=2"})
    assert trial.test(team="") == 1
    assert "accounts: the paging asks for page 2: accounts.2.json is not there" in trial.err


def test_an_answer_that_cannot_be_read_is_told(trial: DefinitionTrial) -> None:
    (trial.folder / "usage.json").mkdir()
    assert trial.test() == 1
    assert "usage: usage.json: Is a directory" in trial.err


def test_a_role_that_finds_nothing_is_a_fault_of_one_of_the_two(trial: DefinitionTrial) -> None:
    trial.define(old="used: calls", new="used: calls, limit: [allowed, max]")
    trial.put("usage.json", rows(1))
    assert trial.test() == 1
    assert "usage: calls limit: rows / allowed or max: nothing in 1 row(s)\n" in trial.err


def test_what_the_definition_explains_is_no_fault(trial: DefinitionTrial) -> None:
    trial.define(old="used: calls", new="used: calls, limit: {path: max, unlimited: [null]}")
    trial.put("usage.json", rows(1))
    assert trial.test() == 0
    assert 'limit_kind="unlimited"' in trial.out


def test_no_rows_are_a_remark(trial: DefinitionTrial) -> None:
    trial.put("usage.json", rows())
    assert trial.test() == 0
    assert trial.err == "remark: usage: calls used: rows / calls: there are no rows\n"


def test_a_value_that_cannot_be_read_is_told_with_its_place(trial: DefinitionTrial) -> None:
    trial.put(
        "usage.json", {"ok": True, "rows": [{"calls": 1}, {"calls": "1,234"}, {"calls": "x"}]}
    )
    assert trial.test() == 1
    assert trial.err.startswith('usage: calls used: rows / calls: the text "1,234": ')
    assert "(and 1 more)" in trial.err


def test_a_period_that_no_answer_tells_is_a_fault(trial: DefinitionTrial) -> None:
    trial.define(old="{cycle: month}", new="{start: from, end: to}")
    trial.put("usage.json", rows(1))
    assert trial.test() == 1
    assert "period start: from: nothing in 1 row(s)" in trial.err


def test_answers_of_another_month_are_replayed_at_their_time(trial: DefinitionTrial) -> None:
    trial.define(old="{cycle: month}", new="{start: from, end: to}")
    trial.put("usage.json", rows(1, **{"from": "2025-01-01", "to": "2025-02-01"}))
    assert trial.test() == 1
    assert "--at=TIME replays answers at their own time" in trial.err
    assert trial.test(at="2025-01-15") == 0


def test_the_expected_exposition_is_compared(trial: DefinitionTrial) -> None:
    trial.put("usage.json", rows(1))
    assert trial.test() == 0
    trial.put("expected.prom", trial.out)
    assert trial.test() == 0
    trial.put(
        "expected.prom", trial.out.replace('resource="calls"} 1\n', 'resource="calls"} 2\n', 1)
    )
    assert trial.test() == 1
    name = 'usage_requests{provider="acme",account="test",resource="calls"}'
    assert f"expected.prom: missing: {name} 2\n" in trial.err
    assert f"expected.prom: not expected: {name} 1\n" in trial.err


def test_where_the_exposition_is_as_expected_an_absent_role_is_a_remark(
    trial: DefinitionTrial,
) -> None:
    trial.put("usage.json", rows(1))
    trial.test()
    trial.put("expected.prom", trial.out)
    trial.define(old="used: calls", new="used: calls, limit: max")
    assert trial.test() == 0
    assert "remark: usage: calls limit: rows / max: nothing" in trial.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--param=team",), '"team" has no value. Write NAME=VALUE.'),
        (("--at=yesterday",), "is not a time"),
        (("--at=0",), "is no time"),
    ],
)
def test_wrong_words_are_wrong_usage(
    trial: DefinitionTrial, words: tuple[str, ...], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        trial.test(*words)
    assert ended.value.code == 2
    assert message in capfd.readouterr().err


def test_a_folder_that_is_none_is_told(trial: DefinitionTrial) -> None:
    assert main(["providers", "test", str(trial.file), "--answers=/nowhere"]) == 1
    assert trial.test("--answers=/nowhere") == 1
    assert "--answers: /nowhere is no folder" in trial.err


def test_a_target_lacks_what_it_must_set(trial: DefinitionTrial) -> None:
    trial.put("usage.json", rows(1))
    assert trial.test(team="") == 1
    assert '"team" is missing' in trial.err
