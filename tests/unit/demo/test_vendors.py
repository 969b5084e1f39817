"""The fake vendors by themselves: what they answer, refuse and break."""

import json
from typing import Any

import pytest

from exporter.demo import vendors
from exporter.demo.faults import FAULTS, occasional_throttling
from exporter.demo.server import (
    Pause,
    Script,
    Send,
    VendorRequest,
    VendorResponse,
    json_response,
    response_head,
    script_of,
)
from tests.support.vendor import NOW

ORIGIN = "http://127.0.0.1:1/x"
USAGE = "/api/v1/9q94nm/assets_usage/"


def asked(path: str, token: str = "", **query: str) -> VendorRequest:
    headers = {"authorization": token} if token else {}
    return VendorRequest(
        method="GET", path=path, query=tuple(query.items()), headers=headers, origin=ORIGIN
    )


def read(answer: VendorResponse) -> Any:
    return json.loads(answer.body)


TPSTREAMS = f"Token {vendors.TPSTREAMS_TOKEN}"
BILLING = f"Bearer {vendors.BILLING_TOKEN}"
THOUSANDEYES = f"Bearer {vendors.THOUSANDEYES_TOKEN}"


def test_tpstreams_pages_through_the_days_of_a_range() -> None:
    query = {"start": "2026-11-01", "end": "2026-11-30"}
    first = read(vendors.tpstreams_answer(asked(USAGE, TPSTREAMS, **query), NOW))
    second = read(vendors.tpstreams_answer(asked(USAGE, TPSTREAMS, **query, page="2"), NOW))
    days = [row["date"] for row in first["results"] + second["results"]]
    assert days == [f"2026-11-{day:02}" for day in range(1, 16)]  # none of the future
    assert first["next"] == f"{ORIGIN}{USAGE}?start=2026-11-01&end=2026-11-30&page=2"
    assert (first["previous"], second["next"]) == (None, None)
    assert first["count"] == 15


def test_tpstreams_orders_as_it_is_asked_to() -> None:
    newest = read(vendors.tpstreams_answer(asked(USAGE, TPSTREAMS, ordering="-date"), NOW))
    assert newest["results"][0]["date"] == "2026-11-15"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (asked(USAGE), 401),
        (asked(USAGE, "Token wrong"), 401),
        (asked("/api/v2/", TPSTREAMS), 404),
        (asked(USAGE, TPSTREAMS, start="2026-13-01"), 400),
    ],
    ids=["no key", "wrong key", "no such path", "no such date"],
)
def test_tpstreams_refuses_what_it_should(request_: VendorRequest, status: int) -> None:
    assert vendors.tpstreams_answer(request_, NOW).status == status


def test_tpstreams_lets_a_user_log_in() -> None:
    def log_in(body: bytes) -> VendorResponse:
        request = VendorRequest(method="POST", path="/api/auth/login/", body=body, origin=ORIGIN)
        return vendors.tpstreams_answer(request, NOW)

    assert (
        read(log_in(b'{"username": "ops", "password": "demo"}'))["token"] == vendors.TPSTREAMS_TOKEN
    )
    assert log_in(b'{"username": "ops", "password": "x"}').status == 400
    assert log_in(b"not JSON").status == 400


def test_billing_usage_answers_what_is_asked_for() -> None:
    everything = read(vendors.billing_answer(asked("/api/billing/usage", BILLING), NOW))["data"]
    assert len(everything["metrics"]) == 6
    assert everything["period"] == {
        "start": "2026-11-01T00:00:00Z",
        "end": "2026-11-30T23:59:59Z",
    }
    chosen = asked("/api/billing/usage", BILLING, metrics="api_calls,seats")
    data = read(vendors.billing_answer(chosen, NOW))["data"]
    assert set(data["metrics"]) == {"apiCalls", "seats"}
    assert set(data["projectedUsage"]) == {"apiCalls"}


@pytest.mark.parametrize(
    ("request_", "status"),
    [(asked("/api/billing/usage"), 401), (asked("/api/billing", BILLING), 404)],
    ids=["no key", "no such path"],
)
def test_billing_usage_refuses_what_it_should(request_: VendorRequest, status: int) -> None:
    answer = vendors.billing_answer(request_, NOW)
    assert (answer.status, read(answer)["success"]) == (status, False)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v7/usage", 200),
        ("/v7/usage/units/tests", 200),
        ("/v7/usage/units/enterprise-agents", 200),
        ("/v7/quotas", 200),
        ("/v7/usages", 404),
    ],
)
def test_thousandeyes_tells_its_own_limit_with_each_answer(path: str, status: int) -> None:
    answer = vendors.thousandeyes_answer(asked(path, THOUSANDEYES), NOW)
    assert answer.status == status
    headers = dict(answer.headers)
    assert headers["X-Organization-Rate-Limit-Limit"] == "240"
    assert int(headers["X-Organization-Rate-Limit-Reset"]) > NOW


def test_thousandeyes_knows_who_asks() -> None:
    answer = vendors.thousandeyes_answer(asked("/v7/usage"), NOW)
    assert (answer.status, read(answer)["error"]) == (401, "invalid_token")


def test_thousandeyes_breaks_down_on_request_only() -> None:
    bare = read(vendors.thousandeyes_answer(asked("/v7/usage", THOUSANDEYES), NOW))["usage"]
    full = asked("/v7/usage", THOUSANDEYES, expand="test,endpoint-agent")
    expanded = read(vendors.thousandeyes_answer(full, NOW))["usage"]
    assert "tests" not in bare
    assert sum(test["cloudUnitsUsed"] for test in expanded["tests"]) == bare["cloudUnitsUsed"]


def test_thousandeyes_pages_through_its_tests() -> None:
    path = "/v7/usage/units/tests"
    first = read(vendors.thousandeyes_answer(asked(path, THOUSANDEYES), NOW))
    assert first["_links"]["next"]["href"] == f"{ORIGIN}{path}?cursor=cursor2"
    second = read(vendors.thousandeyes_answer(asked(path, THOUSANDEYES, cursor="cursor2"), NOW))
    assert len(first["breakdowns"] + second["breakdowns"]) == 3
    assert "next" not in second["_links"]


@pytest.mark.parametrize(
    ("now", "start", "end"),
    [
        (NOW, 1_793_865_600.0, 1_796_457_600.0),  # 15 November: from the 5th on
        (1_793_520_000.0, 1_791_187_200.0, 1_793_865_600.0),  # 1 November: the one of October
    ],
)
def test_thousandeyes_counts_from_the_5th(now: float, start: float, end: float) -> None:
    assert vendors.thousandeyes_period(now) == (start, end)


def test_throttling_comes_at_each_nth_request_of_a_vendor() -> None:
    inject = occasional_throttling(every=3, wait=7)
    answer = json_response({})
    scripts = [inject("a", asked("/"), answer) for _ in range(6)]
    assert [script is not None for script in scripts] == [False, False, True] * 2
    (sent,) = scripts[2] or ()
    assert isinstance(sent, Send)
    assert sent.data.startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After: 7\r\n" in sent.data
    assert inject("b", asked("/"), answer) is None


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_no_fault_waits_for_ever(name: str) -> None:
    script: Script = FAULTS[name](asked("/"), json_response({"rows": [1]}), NOW)
    assert script
    assert sum(one.seconds for one in script if isinstance(one, Pause)) <= 121


def test_an_answer_on_the_wire_is_http() -> None:
    answer = VendorResponse(status=418, headers=(("X-A", "b"),), body=b"tea")
    assert response_head(answer) == b"HTTP/1.1 418 Status\r\nX-A: b\r\nContent-Length: 3\r\n\r\n"
    assert response_head(answer, length=9).endswith(b"Content-Length: 9\r\n\r\n")
    assert script_of(answer) == (Send(response_head(answer) + b"tea"),)
