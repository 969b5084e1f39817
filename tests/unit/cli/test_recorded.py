"""``providers test`` on recorded exchanges: the client asks, the record answers."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.desk import FIRST, LINK, Desk, rows


@pytest.fixture
def desk(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capfd)


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
