"""What an answer means."""

from collections.abc import Mapping
from typing import Any

import pytest

from exporter.fetch.classify import Absent, Classified, Rules, classify_response, reason_of
from exporter.fetch.http import HttpResponse
from exporter.model.definition.provider import Format
from exporter.model.definition.responses import Match, ResponseRules
from exporter.model.outcome import Failure, Page, Reason, Unchanged
from tests.support.fetching import an_answer, paths
from tests.support.vendor import NOW

EXHAUSTED = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) + 1800)}
HTML = b"<!doctype html><html><head><title>Sign in - Acme</title></head><body>x</body></html>"


def path(text: str) -> Any:
    return paths(text)[0]


def rule(*statuses: int, headers: str = "", body: str = "") -> Match:
    return Match(
        statuses=frozenset(statuses),
        headers=path(headers) if headers else None,
        body=path(body) if body else None,
    )


GITHUB = ResponseRules(
    throttled=(
        rule(403, headers='"x-ratelimit-remaining" == `"0"`'),
        rule(403, headers='"retry-after"'),
    )
)


def judged(answer: HttpResponse, verdict: ResponseRules | None = None, **more: Any) -> Classified:
    asked_new = more.pop("asked_new", False)
    rules = Rules(verdict=verdict or ResponseRules(), **more)
    return classify_response(answer, rules, NOW, asked_new=asked_new)


def failed(answer: HttpResponse, verdict: ResponseRules | None = None, **more: Any) -> Failure:
    found = judged(answer, verdict, **more)
    assert isinstance(found, Failure), found
    return found


def test_a_good_answer_is_a_page() -> None:
    found = judged(an_answer({"used": 1}, headers={"X-A": "1"}))
    assert found == Page(document={"used": 1}, headers={"x-a": "1"})


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, Reason.HTTP_4XX),
        (401, Reason.AUTH),
        (402, Reason.HTTP_4XX),
        (403, Reason.FORBIDDEN),
        (404, Reason.HTTP_4XX),
        (407, Reason.CONNECT),
        (420, Reason.HTTP_4XX),
        (429, Reason.RATE_LIMITED),
        (456, Reason.HTTP_4XX),
        (500, Reason.HTTP_5XX),
        (503, Reason.HTTP_5XX),
        (599, Reason.HTTP_5XX),
        (204, Reason.SCHEMA),
        (202, Reason.SCHEMA),
        (301, Reason.HTTP_4XX),
        (304, Reason.HTTP_4XX),
    ],
)
def test_a_status_has_its_reason(status: int, reason: Reason) -> None:
    found = failed(an_answer(b"", status=status))
    assert (found.reason, found.status) == (reason, status)
    assert reason_of(status) is reason
    assert found.detail.startswith(f"api.example.com answered {status}")


def test_not_modified_counts_only_when_it_was_asked_for() -> None:
    assert judged(an_answer(b"", status=304), asked_new=True) == Unchanged()
    assert failed(an_answer(b"", status=304)).reason is Reason.HTTP_4XX


def test_a_403_that_throttles_waits_for_the_reset() -> None:
    body = {"message": "API rate limit exceeded"}
    found = failed(an_answer(body, status=403, headers=EXHAUSTED), GITHUB)
    assert (found.reason, found.wait) == (Reason.RATE_LIMITED, 1800)
    assert "API rate limit exceeded" in found.detail


def test_a_403_with_requests_left_is_a_lack_of_permission() -> None:
    headers = {**EXHAUSTED, "x-ratelimit-remaining": "4211"}
    found = failed(an_answer({"message": "no"}, status=403, headers=headers), GITHUB)
    assert (found.reason, found.wait) == (Reason.FORBIDDEN, None)
    assert "lacks a permission" in found.detail


def test_rules_are_tried_in_their_order() -> None:
    every = ResponseRules(
        quota_exhausted=(rule(418, body="quota"),),
        throttled=(rule(418, body="slow"),),
        forbidden=(rule(418, body="no"),),
        absent=(rule(418),),
        accepted=frozenset({200, 418}),
    )
    document = {"quota": 1, "slow": 1, "no": 1}
    assert failed(an_answer(document, status=418), every).reason is Reason.QUOTA_EXHAUSTED
    del document["quota"]
    assert failed(an_answer(document, status=418), every).reason is Reason.RATE_LIMITED
    del document["slow"]
    assert failed(an_answer(document, status=418), every).reason is Reason.FORBIDDEN
    del document["no"]
    assert judged(an_answer(document, status=418), every) == Absent()


def test_a_rule_may_speak_of_the_body_of_a_good_status() -> None:
    verdict = ResponseRules(throttled=(rule(200, body="error.code == 'SLOW'"),))
    document = {"error": {"code": "SLOW"}}
    assert failed(an_answer(document), verdict).reason is Reason.RATE_LIMITED


def test_a_rule_that_cannot_be_searched_does_not_fit() -> None:
    verdict = ResponseRules(throttled=(rule(403, body="max(x)"), rule(403, headers="max(@)")))
    found = failed(an_answer({"x": ["a", 1]}, status=403), verdict)
    assert found.reason is Reason.FORBIDDEN


def test_a_rule_about_the_body_does_not_fit_a_body_that_is_none() -> None:
    verdict = ResponseRules(absent=(rule(404, body="@"),))
    assert failed(an_answer(HTML, status=404), verdict).reason is Reason.HTTP_4XX


def test_a_wrong_key_may_be_a_used_up_quota() -> None:
    verdict = ResponseRules(quota_exhausted=(rule(401, body="detail.status == 'quota_exceeded'"),))
    document = {"detail": {"status": "quota_exceeded", "message": "out of credits"}}
    found = failed(an_answer(document, status=401), verdict)
    assert found.reason is Reason.QUOTA_EXHAUSTED
    assert "out of credits" in found.detail


def test_absent_is_no_failure() -> None:
    verdict = ResponseRules(absent=(rule(404),))
    assert judged(an_answer(b"not found", status=404), verdict) == Absent()


def test_an_accepted_429_is_a_page_of_headers() -> None:
    verdict = ResponseRules(accepted=frozenset({200, 429}))
    headers = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "0;w=21600"}
    found = judged(an_answer(b"", status=429, headers=headers), verdict, format=Format.HEADERS)
    assert found == Page(document=headers, headers=headers)


def test_the_error_of_a_header_collector_is_read_from_the_body() -> None:
    found = failed(an_answer({"message": "no"}, status=401), format=Format.HEADERS)
    assert ": no; check the credential" in found.detail


def test_json_lines_become_a_list() -> None:
    found = judged(an_answer(b'{"a":1}\n{"a":2}\n'), format=Format.JSONL)
    assert isinstance(found, Page)
    assert found.document == [{"a": 1}, {"a": 2}]


def test_cut_json_lines_are_no_answer() -> None:
    assert failed(an_answer(b'{"a":1}\n{"a":'), format=Format.JSONL).reason is Reason.NOT_JSON


def test_the_error_of_a_json_lines_collector_is_one_document() -> None:
    found = failed(an_answer({"error": {"message": "no"}}, status=403), format=Format.JSONL)
    assert ": no" in found.detail


def test_a_guard_must_hold() -> None:
    verdict = ResponseRules(guard=path("success == `true`"))
    assert isinstance(judged(an_answer({"success": True}), verdict), Page)
    document = {"success": False, "error": {"code": "X", "message": "Invalid date range"}}
    found = failed(an_answer(document), verdict)
    assert found.reason is Reason.SCHEMA
    assert "the answer says that it failed: Invalid date range" in found.detail


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"error": {"message": "m"}}, "m"),
        ({"error": "invalid_token", "error_description": "d"}, "d"),
        ({"error": "invalid_token"}, "invalid_token"),
        ({"detail": "d"}, "d"),
        ({"detail": {"status": "s", "message": "m"}}, "m"),
        ({"type": "about:blank", "title": "Forbidden", "detail": "d"}, "d"),
        ({"title": "t"}, "t"),
        ({"errors": [{"reason": "r"}]}, "r"),
        ({"errors": ["e"]}, "e"),
        ({"message": "m", "code": 20429}, "m"),
        ({"start": ["Enter a valid date."]}, '{"start": ["Enter a valid date."]}'),
        ({"vendor": {"says": "own"}, "message": "m"}, "own"),
    ],
)
def test_the_vendors_own_words_are_told(document: Mapping[str, Any], words: str) -> None:
    verdict = ResponseRules(error=paths("max(message)", "vendor.says"))
    found = failed(an_answer(dict(document), status=400), verdict)
    assert found.detail == f"api.example.com answered 400 Bad Request: {words}"


def test_long_words_are_cut_and_stay_on_one_line() -> None:
    found = failed(an_answer({"message": "a\nb" + "c" * 5000}, status=400))
    assert len(found.detail) < 320
    assert "\n" not in found.detail


def test_a_web_page_is_told_by_its_title() -> None:
    headers = {"Content-Type": "text/html; charset=utf-8"}
    found = failed(an_answer(HTML, headers=headers))
    assert found.reason is Reason.NOT_JSON
    assert found.detail == (
        "api.example.com answered 200 OK, but not with JSON (text/html; charset=utf-8):"
        ' HTML or XML instead of JSON, it begins with "Sign in - Acme"'
    )


def test_a_plain_text_error_is_told() -> None:
    found = failed(an_answer(b"toomanyrequests: slow down\n", status=429))
    assert found.detail.endswith("Too Many Requests: toomanyrequests: slow down")


def test_a_redirect_names_where_it_leads() -> None:
    found = failed(an_answer(b"", status=302, headers={"Location": "https://evil.example/a?k=s"}))
    assert found.reason is Reason.HTTP_4XX
    assert "the redirect to https://evil.example is not followed" in found.detail
    relative = failed(an_answer(b"", status=307, headers={"Location": "/login"}))
    assert "the redirect to https://api.example.com is not followed" in relative.detail
    odd = failed(an_answer(b"", status=302, headers={"Location": "https://[x"}))
    assert "the redirect to what is no web address" in odd.detail


@pytest.mark.parametrize("status", [300, 302, 304])
def test_a_redirect_to_nowhere_is_not_told_as_one(status: int) -> None:
    assert "redirect" not in failed(an_answer(b"", status=status)).detail


def test_a_503_carries_the_wait_that_it_asks_for() -> None:
    found = failed(an_answer(b"", status=503, headers={"Retry-After": "30"}))
    assert (found.reason, found.wait) == (Reason.HTTP_5XX, 30)


def test_a_reset_is_no_wait_for_a_failure_that_is_no_throttling() -> None:
    assert failed(an_answer(b"", status=500, headers=EXHAUSTED)).wait is None
    assert failed(an_answer(b"", status=429, headers=EXHAUSTED)).wait == 1800


def test_a_wait_that_stands_in_the_body_of_a_refusal_counts() -> None:
    body = {"error": {"message": "Please try again in 20s."}}
    assert failed(an_answer(body, status=429)).wait == 20
    assert failed(an_answer(b"Retry after 5 seconds\n", status=429)).wait == 5
    assert failed(an_answer(body, status=429, headers={"retry-after": "60"})).wait == 60
    assert failed(an_answer(body, status=429, headers={"retry-after": "10"})).wait == 20
    assert failed(an_answer(body, status=429, headers=EXHAUSTED)).wait == 1800
    assert failed(an_answer(body, status=500)).wait is None
    assert failed(an_answer(body, status=403)).wait is None
    throttles = ResponseRules(throttled=(rule(403, body="error"),))
    assert failed(an_answer(body, status=403), throttles).wait == 20
    shown = {"date": "Sun, 15 Nov 2026 13:00:00 GMT"}  # the vendor's clock, an hour ahead of ours
    until = {"message": "Retry after 2026-11-15T13:00:30Z"}
    assert failed(an_answer(until, status=429, headers=shown)).wait == 30


def test_a_retry_after_of_a_good_answer_is_no_failure() -> None:
    headers = {"retry-after": "2026-11-15 12:10:00 UTC"}
    assert isinstance(judged(an_answer({}, headers=headers)), Page)


def test_an_unknown_status_has_no_phrase() -> None:
    assert failed(an_answer(b"", status=456)).detail == "api.example.com answered 456"
