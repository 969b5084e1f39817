"""``providers test``: answers in files, and recorded exchanges, through all of the fetch stage."""

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.cli.main import main

AT = "2026-11-15T12:00:00Z"
DEFINITION = """\
title: Acme
base_url: https://api.acme.example
params: {team: {description: Whose., required: true}}
credentials: {token: {description: The key.}}
auth: {kind: bearer}
collectors:
  usage:
    request: {path: "/v1/{params.team}/usage", query: {since: "{month.start:date}"}}
    PAGING
    success: {guard: ok}
resources:
  - {name: calls, unit: requests, each: rows, reduce: sum, used: calls}
period: {cycle: month}
"""
LINK = "paging: {kind: next_url, next: next}"
NUMBERED = "paging: {kind: page_number, param: page, total_pages: pages}"
HEADER = "paging: {kind: link_header}"
FIRST = "https://api.acme.example/v1/red/usage?since=2026-11-01"


class Desk:
    """A definition and a folder of answers to it."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.file = folder / "acme.yaml"
        self.folder = folder / "answers"
        self.folder.mkdir()
        self._capfd = capfd
        self.out = ""
        self.err = ""
        self.define(paging="")

    def define(self, *, paging: str = "", old: str = "", new: str = "") -> None:
        text = DEFINITION.replace("    PAGING\n", f"    {paging}\n" if paging else "")
        assert old in text
        self.file.write_text(text.replace(old, new) if old else text)

    def put(self, name: str, document: object) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        text = document if isinstance(document, str) else json.dumps(document)
        path.write_text(text)

    def record(self, *exchanges: dict[str, Any], at: str = AT) -> None:
        self.put("index.json", {"exchanges": exchanges, "reference_time": at})

    def test(self, *more: str, team: str = "red", at: str = AT) -> int:
        words = [f"--param=team={team}"] if team else []
        words += [f"--at={at}"] if at else []
        folder = f"--answers={self.folder}"
        code = main(["providers", "test", str(self.file), folder, *words, *more])
        told = self._capfd.readouterr()
        self.out, self.err = told.out, told.err
        return code

    def value(self, name: str = "calls", family: str = "usage_requests") -> float:
        start = f'{family}{{provider="acme",account="test",resource="{name}"}} '
        (line,) = [line for line in self.out.splitlines() if line.startswith(start)]
        return float(line.removeprefix(start))


@pytest.fixture
def desk(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capfd)


def rows(*calls: int, **more: object) -> dict[str, Any]:
    return {"ok": True, "rows": [{"calls": one} for one in calls], **more}


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


# -------------------------------------------------------------------------- recorded exchanges


def exchange(case: str, body: str | None, url: str = FIRST, **more: Any) -> dict[str, Any]:
    request = {"method": "GET", "url": url, "headers": more.pop("headers", {})}
    answer = {"status": 200, "headers": {}, "body": body}
    return {"case": case, "request": request, "response": {**answer, **more}}


def test_recorded_exchanges_are_replayed_at_their_time(desk: Desk) -> None:
    desk.define(paging=LINK)
    desk.record(
        exchange("refused", "no.json", status=429),
        exchange("first", "1.json"),
        exchange("second", "2.json", "https://api.acme.example/v1/red/usage?page=2"),
    )
    desk.put("no.json", {"detail": "slow down"})
    desk.put("1.json", rows(1, next="https://api.acme.example/v1/red/usage?page=2"))
    desk.put("2.json", rows(2))
    assert desk.test(at="") == 0
    assert desk.value() == 3


def test_a_case_may_be_chosen(desk: Desk) -> None:
    desk.record(exchange("good", "good.json"), exchange("refused", "no.json", status=429))
    desk.put("good.json", rows(1))
    desk.put("no.json", {"detail": "slow down"})
    assert desk.test("--case=refused") == 1
    assert "answered 429 Too Many Requests: slow down" in desk.err
    assert desk.test("--case=good") == 0
    assert desk.test("--case=god") == 1
    assert 'index.json has no case "god". Did you mean "good"?' in desk.err


def test_a_request_that_was_not_recorded_is_told_with_the_nearest_one(desk: Desk) -> None:
    desk.record(exchange("october", "1.json", FIRST.replace("11-01", "10-01")))
    desk.put("1.json", rows(1))
    assert desk.test() == 1
    assert (
        f"usage: nothing was recorded for GET {FIRST}; the nearest, "
        '"october", differs in since= in the query\n' in desk.err
    )
    assert desk.test(team="blue") == 1
    assert desk.err.endswith("/v1/blue/usage?since=2026-11-01\n")


def test_a_target_beside_the_answers_is_used_and_its_key_demanded(desk: Desk) -> None:
    key = {"Authorization": "Bearer abc"}
    desk.record(exchange("good", "1.json", headers=key))
    desk.put("1.json", rows(1))
    target = {"name": "t", "provider": "acme", "params": {"team": "red"}}
    desk.put("config.yaml", {"targets": [{**target, "credentials": {"token": "abc"}}]})
    assert desk.test(team="") == 0
    desk.put("config.yaml", {"targets": [{**target, "credentials": {"token": "xyz"}}]})
    assert desk.test(team="") == 1
    assert '"good", differs in the header Authorization' in desk.err
    assert "xyz" not in desk.err
    desk.put("config.yaml", {"targets": [{**target, "credentals": {}}]})
    assert desk.test(team="") == 1
    assert 'Did you mean "credentials"?' in desk.err


def test_a_target_of_another_provider_is_passed_over(desk: Desk) -> None:
    desk.record(exchange("good", "1.json", headers={"Authorization": "Bearer abc"}))
    desk.put("1.json", rows(1))
    other = {"name": "t", "provider": "mailgun", "credentials": {"api_key": "x"}}
    desk.put("config.yaml", {"targets": [other]})
    assert desk.test() == 0


def test_a_log_in_is_replayed_too(desk: Desk) -> None:
    login = """
  kind: login
  request: {method: POST, path: /login, json: {key: "{credentials.token}"}}
  token: access
"""
    desk.define(old=" {kind: bearer}\n", new=login)
    post = exchange("login", "token.json", "https://api.acme.example/login")
    post["request"] |= {"method": "POST", "body": {"key": "made-up"}}
    desk.record(post, exchange("good", "1.json"))
    desk.put("token.json", {"access": "t-1"})
    desk.put("1.json", rows(4))
    assert desk.test() == 0
    assert desk.value() == 4


def test_a_form_is_compared_by_its_arguments(desk: Desk) -> None:
    form = "request: {method: POST, path: /q, form: {b: two, a: one}}"
    desk.define(
        old='request: {path: "/v1/{params.team}/usage", query: {since: "{month.start:date}"}}',
        new=form,
    )
    post = exchange("good", "1.json", "https://api.acme.example/q")
    post["request"] |= {"method": "POST", "body": "a=one&b=two"}
    desk.record(post)
    desk.put("1.json", rows(4))
    assert desk.test(team="red") == 0
    post["request"] |= {"body": {"a": "one", "b": "two"}}
    desk.record(post)
    assert desk.test() == 0
    post["request"] |= {"body": "a=one&b=three"}
    desk.record(post)
    assert desk.test() == 1
    assert '"good", differs in the body' in desk.err


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{", "index.json: Input data was truncated"),
        ({"exchanges": [{"case": "x"}]}, "missing required field"),
        ({"exchanges": [], "reference_time": "soon"}, "reference_time"),
        ({"exchanges": []}, "nothing was recorded for GET"),
    ],
    ids=["cut", "no request", "no time", "none"],
)
def test_an_index_that_cannot_be_played_is_told(desk: Desk, index: object, message: str) -> None:
    desk.put("index.json", index)
    assert desk.test() == 1
    assert message in desk.err
    assert "Traceback" not in desk.err


def test_a_body_that_is_not_there_is_told(desk: Desk) -> None:
    desk.record(exchange("good", "gone.json"))
    assert desk.test() == 1
    assert "gone.json: No such file or directory" in desk.err


def test_a_definition_without_an_address_is_given_one(desk: Desk) -> None:
    desk.define(old="base_url: https://api.acme.example\n", new="", paging=LINK)
    desk.put("usage.1.json", rows(1, next="https://my.acme.example/v1/red/usage?page=2"))
    desk.put("usage.2.json", rows(2))
    assert desk.test() == 1
    assert "another host" in desk.err
    assert desk.test("--base-url=https://my.acme.example") == 0
