"""``providers test`` on answers in files, through all of the fetch stage but the network."""

from pathlib import Path

import pytest

from exporter.cli.main import main
from tests.support.desk import DEFINITION, HEADER, LINK, NUMBERED, Desk, rows


@pytest.fixture
def desk(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capfd)


def test_the_guard_holds_for_a_file_too(desk: Desk) -> None:
    desk.put("usage.json", {"ok": False, "rows": [], "error": {"message": "try later"}})
    assert desk.test() == 1
    assert "usage: usage.json: api.acme.example answered 200 OK, but the answer says" in desk.err
    assert "try later" in desk.err


def test_pages_are_turned_as_the_paging_says(desk: Desk) -> None:
    desk.define(paging=LINK)
    desk.put("usage.1.json", rows(1, next="https://api.acme.example/v1/red/usage?page=2"))
    desk.put("usage.2.json", rows(2, next="/v1/red/usage?page=3"))
    desk.put("usage.3.json", rows(3, next=None))
    assert desk.test() == 0
    assert desk.value() == 6


def test_a_page_that_is_asked_for_and_missing_is_told(desk: Desk) -> None:
    desk.define(paging=NUMBERED)
    desk.put("usage.json", rows(1, pages=2))
    assert desk.test() == 1
    assert "usage: the paging asks for page 2: usage.2.json is not there" in desk.err
    assert desk.value() == 1


def test_a_page_that_nobody_asks_for_is_told(desk: Desk) -> None:
    desk.define(paging=NUMBERED)
    desk.put("usage.1.json", rows(1, pages=1))
    desk.put("usage.2.json", rows(2, pages=1))
    assert desk.test() == 1
    assert "usage: usage.2.json is not asked for: the paging ends before it" in desk.err


def test_a_link_to_another_host_is_told(desk: Desk) -> None:
    desk.define(paging=LINK)
    desk.put("usage.json", rows(1, next="https://elsewhere.example/x"))
    assert desk.test() == 1
    assert "goes to another host, elsewhere.example instead of api.acme.example" in desk.err


def test_headers_stand_in_files_of_their_own(desk: Desk) -> None:
    desk.define(paging=HEADER)
    desk.put("usage.1.json", rows(1))
    desk.put("usage.1.headers.json", {"Link": ['<?page=2>; rel="next"']})
    desk.put("usage.2.json", rows(2))
    assert desk.test() == 0
    assert desk.value() == 3


def test_headers_that_are_none_are_told(desk: Desk) -> None:
    desk.define(paging=HEADER)
    desk.put("usage.json", rows(1))
    desk.put("usage.headers.json", "[1]")
    assert desk.test() == 1
    assert "usage.headers.json is no map of headers" in desk.err


def test_an_answer_of_headers_alone(desk: Desk) -> None:
    text = DEFINITION.replace("    PAGING\n", "    format: headers\n").replace(
        "each: rows, reduce: sum, used: calls", "used: '\"x-used\"'"
    )
    desk.file.write_text(text.replace("success: {guard: ok}", "success: {accepted: [204]}"))
    desk.put("usage.headers.json", {"X-Used": "17"})
    assert desk.test() == 0
    assert desk.value() == 17


def test_json_lines_are_rows(desk: Desk) -> None:
    text = DEFINITION.replace("    PAGING\n", "    format: jsonl\n").replace(
        "each: rows", 'each: "@"'
    )
    desk.file.write_text(text.replace("    success: {guard: ok}\n", ""))
    desk.put("usage.jsonl", '{"calls": 1}\n{"calls": 2}\n')
    assert desk.test() == 0
    assert desk.value() == 3


ACCOUNTS = """\
accounts:
  collector: {request: {path: /v1/teams}}
  each: teams
  id: id
  label: name
"""


def fan_out(desk: Desk) -> None:
    text = DEFINITION.replace("    PAGING\n", "").replace("{params.team}", "{account.id}")
    text = text.replace("params: {team: {description: Whose., required: true}}\n", "")
    desk.file.write_text(text + ACCOUNTS)
    desk.put("accounts.json", {"teams": [{"id": 7, "name": "Red"}, {"id": 8, "name": "Blue"}]})


def test_each_account_has_its_answer(desk: Desk) -> None:
    fan_out(desk)
    desk.put("usage.json", rows(1))
    desk.put("8/usage.json", rows(5))
    assert desk.test(team="") == 0
    assert 'account="test/Red",resource="calls"} 1\n' in desk.out
    assert 'account="test/Blue",resource="calls"} 5\n' in desk.out


def test_without_a_list_of_accounts_nobody_is_asked(desk: Desk) -> None:
    fan_out(desk)
    (desk.folder / "accounts.json").unlink()
    desk.put("usage.json", rows(1))
    assert desk.test(team="") == 1
    assert "accounts.json is not there" in desk.err


def test_the_accounts_may_be_named_by_the_target(desk: Desk) -> None:
    fan_out(desk)
    target = {"name": "t", "provider": "acme", "credentials": {"token": "x"}, "accounts": ["9"]}
    desk.put("config.yaml", {"targets": [target]})
    desk.put("usage.json", rows(3))
    assert desk.test(team="") == 0
    assert 'account="t/9",resource="calls"} 3\n' in desk.out


def test_a_list_of_accounts_that_lacks_a_page_is_told(desk: Desk) -> None:
    fan_out(desk)
    text = desk.file.read_text()
    collector = "collector: {request: {path: /v1/teams}"
    desk.file.write_text(text.replace(collector, f"{collector}, {LINK}"))
    desk.put("accounts.json", {"teams": [{"id": 7}], "next": "/v1/teams?page=2"})
    assert desk.test(team="") == 1
    assert "accounts: the paging asks for page 2: accounts.2.json is not there" in desk.err


def test_an_answer_that_cannot_be_read_is_told(desk: Desk) -> None:
    (desk.folder / "usage.json").mkdir()
    assert desk.test() == 1
    assert "usage: usage.json: Is a directory" in desk.err


def test_a_role_that_finds_nothing_is_a_fault_of_one_of_the_two(desk: Desk) -> None:
    desk.define(old="used: calls", new="used: calls, limit: [allowed, max]")
    desk.put("usage.json", rows(1))
    assert desk.test() == 1
    assert "usage: calls limit: rows / allowed or max: nothing in 1 row(s)\n" in desk.err


def test_what_the_definition_explains_is_no_fault(desk: Desk) -> None:
    desk.define(old="used: calls", new="used: calls, limit: {path: max, unlimited: [null]}")
    desk.put("usage.json", rows(1))
    assert desk.test() == 0
    assert 'limit_kind="unlimited"' in desk.out


def test_no_rows_are_a_remark(desk: Desk) -> None:
    desk.put("usage.json", rows())
    assert desk.test() == 0
    assert desk.err == "remark: usage: calls used: rows / calls: there are no rows\n"


def test_a_value_that_cannot_be_read_is_told_with_its_place(desk: Desk) -> None:
    desk.put("usage.json", {"ok": True, "rows": [{"calls": 1}, {"calls": "1,234"}, {"calls": "x"}]})
    assert desk.test() == 1
    assert desk.err.startswith('usage: calls used: rows / calls: the text "1,234": ')
    assert "(and 1 more)" in desk.err


def test_a_period_that_no_answer_tells_is_a_fault(desk: Desk) -> None:
    desk.define(old="{cycle: month}", new="{start: from, end: to}")
    desk.put("usage.json", rows(1))
    assert desk.test() == 1
    assert "period start: from: nothing in 1 row(s)" in desk.err


def test_answers_of_another_month_are_replayed_at_their_time(desk: Desk) -> None:
    desk.define(old="{cycle: month}", new="{start: from, end: to}")
    desk.put("usage.json", rows(1, **{"from": "2025-01-01", "to": "2025-02-01"}))
    assert desk.test() == 1
    assert "--at=TIME replays answers at their own time" in desk.err
    assert desk.test(at="2025-01-15") == 0


def test_the_expected_exposition_is_compared(desk: Desk) -> None:
    desk.put("usage.json", rows(1))
    assert desk.test() == 0
    desk.put("expected.prom", desk.out)
    assert desk.test() == 0
    desk.put("expected.prom", desk.out.replace('resource="calls"} 1\n', 'resource="calls"} 2\n', 1))
    assert desk.test() == 1
    name = 'usage_requests{provider="acme",account="test",resource="calls"}'
    assert f"expected.prom: missing: {name} 2\n" in desk.err
    assert f"expected.prom: not expected: {name} 1\n" in desk.err


def test_where_the_exposition_is_as_expected_an_absent_role_is_a_remark(desk: Desk) -> None:
    desk.put("usage.json", rows(1))
    desk.test()
    desk.put("expected.prom", desk.out)
    desk.define(old="used: calls", new="used: calls, limit: max")
    assert desk.test() == 0
    assert "remark: usage: calls limit: rows / max: nothing" in desk.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--param=team",), '"team" has no value. Write NAME=VALUE.'),
        (("--at=yesterday",), "is not a time"),
        (("--at=0",), "is no time"),
    ],
)
def test_wrong_words_are_wrong_usage(
    desk: Desk, words: tuple[str, ...], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        desk.test(*words)
    assert ended.value.code == 2
    assert message in capfd.readouterr().err


def test_a_folder_that_is_none_is_told(desk: Desk) -> None:
    assert main(["providers", "test", str(desk.file), "--answers=/nowhere"]) == 1
    assert desk.test("--answers=/nowhere") == 1
    assert "--answers: /nowhere is no folder" in desk.err


def test_a_target_lacks_what_it_must_set(desk: Desk) -> None:
    desk.put("usage.json", rows(1))
    assert desk.test(team="") == 1
    assert '"team" is missing' in desk.err
