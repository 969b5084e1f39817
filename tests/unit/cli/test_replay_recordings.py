"""``providers test`` on recorded exchanges: the client asks, the record answers."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.definition_trial import FIRST, LINK, DefinitionTrial, rows


@pytest.fixture
def trial(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> DefinitionTrial:
    return DefinitionTrial(tmp_path, capfd)


def exchange(case: str, body: str | None, url: str = FIRST, **more: Any) -> dict[str, Any]:
    request = {"method": "GET", "url": url, "headers": more.pop("headers", {})}
    answer = {"status": 200, "headers": {}, "body": body}
    return {"case": case, "request": request, "response": {**answer, **more}}


def test_recorded_exchanges_are_replayed_at_their_time(trial: DefinitionTrial) -> None:
    trial.define(paging=LINK)
    trial.record(
        exchange("refused", "no.json", status=429),
        exchange("first", "1.json"),
        exchange("second", "2.json", "https://api.acme.example/v1/red/usage?page=2"),
    )
    trial.put("no.json", {"detail": "slow down"})
    trial.put("1.json", rows(1, next="https://api.acme.example/v1/red/usage?page=2"))
    trial.put("2.json", rows(2))
    assert trial.test(at="") == 0
    assert trial.value() == 3


def test_a_case_may_be_chosen(trial: DefinitionTrial) -> None:
    trial.record(exchange("good", "good.json"), exchange("refused", "no.json", status=429))
    trial.put("good.json", rows(1))
    trial.put("no.json", {"detail": "slow down"})
    assert trial.test("--case=refused") == 1
    assert "answered 429 Too Many Requests: slow down" in trial.err
    assert trial.test("--case=good") == 0
    assert trial.test("--case=god") == 1
    assert 'index.json has no case "god". Did you mean "good"?' in trial.err


def test_a_request_that_was_not_recorded_is_told_with_the_nearest_one(
    trial: DefinitionTrial,
) -> None:
    trial.record(exchange("october", "1.json", FIRST.replace("11-01", "10-01")))
    trial.put("1.json", rows(1))
    assert trial.test() == 1
    assert (
        f"usage: nothing was recorded for GET {FIRST}; the nearest, "
        '"october", differs in since= in the query\n' in trial.err
    )
    assert trial.test(team="blue") == 1
    assert trial.err.endswith("/v1/blue/usage?since=2026-11-01\n")


def test_a_target_beside_the_answers_is_used_and_its_key_demanded(trial: DefinitionTrial) -> None:
    key = {"Authorization": "Bearer abc"}
    trial.record(exchange("good", "1.json", headers=key))
    trial.put("1.json", rows(1))
    target = {"name": "t", "provider": "acme", "params": {"team": "red"}}
    trial.put("config.yaml", {"targets": [{**target, "credentials": {"token": "abc"}}]})
    assert trial.test(team="") == 0
    trial.put("config.yaml", {"targets": [{**target, "credentials": {"token": "xyz"}}]})
    assert trial.test(team="") == 1
    assert '"good", differs in the header Authorization' in trial.err
    assert "xyz" not in trial.err
    trial.put("config.yaml", {"targets": [{**target, "credentals": {}}]})
    assert trial.test(team="") == 1
    assert 'Did you mean "credentials"?' in trial.err


def test_a_target_of_another_provider_is_passed_over(trial: DefinitionTrial) -> None:
    trial.record(exchange("good", "1.json", headers={"Authorization": "Bearer abc"}))
    trial.put("1.json", rows(1))
    other = {"name": "t", "provider": "mailgun", "credentials": {"api_key": "x"}}
    trial.put("config.yaml", {"targets": [other]})
    assert trial.test() == 0


def test_a_log_in_is_replayed_too(trial: DefinitionTrial) -> None:
    login = """
  kind: login
  request: {method: POST, path: /login, json: {key: "{credentials.token}"}}
  token: access
"""
    trial.define(old=" {kind: bearer}\n", new=login)
    post = exchange("login", "token.json", "https://api.acme.example/login")
    post["request"] |= {"method": "POST", "body": {"key": "made-up"}}
    trial.record(post, exchange("good", "1.json"))
    trial.put("token.json", {"access": "t-1"})
    trial.put("1.json", rows(4))
    assert trial.test() == 0
    assert trial.value() == 4


def test_a_form_is_compared_by_its_arguments(trial: DefinitionTrial) -> None:
    form = "request: {method: POST, path: /q, form: {b: two, a: one}}"
    trial.define(
        old='request: {path: "/v1/{params.team}/usage", query: {since: "{month.start:date}"}}',
        new=form,
    )
    post = exchange("good", "1.json", "https://api.acme.example/q")
    post["request"] |= {"method": "POST", "body": "a=one&b=two"}
    trial.record(post)
    trial.put("1.json", rows(4))
    assert trial.test(team="red") == 0
    post["request"] |= {"body": {"a": "one", "b": "two"}}
    trial.record(post)
    assert trial.test() == 0
    post["request"] |= {"body": "a=one&b=three"}
    trial.record(post)
    assert trial.test() == 1
    assert '"good", differs in the body' in trial.err


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
def test_an_index_that_cannot_be_played_is_told(
    trial: DefinitionTrial, index: object, message: str
) -> None:
    trial.put("index.json", index)
    assert trial.test() == 1
    assert message in trial.err
    assert "Traceback" not in trial.err


def test_a_body_that_is_not_there_is_told(trial: DefinitionTrial) -> None:
    trial.record(exchange("good", "gone.json"))
    assert trial.test() == 1
    assert "gone.json: No such file or directory" in trial.err


def test_a_definition_without_an_address_is_given_one(trial: DefinitionTrial) -> None:
    trial.define(old="base_url: https://api.acme.example\n", new="", paging=LINK)
    trial.put("usage.1.json", rows(1, next="https://my.acme.example/v1/red/usage?page=2"))
    trial.put("usage.2.json", rows(2))
    assert trial.test() == 1
    assert "another host" in trial.err
    assert trial.test("--base-url=https://my.acme.example") == 0
