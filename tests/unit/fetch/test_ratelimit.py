"""Throttling headers: every dialect that vendors were seen to speak."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.fetch.http import Lines
from exporter.fetch.ratelimit import read_body_wait, read_rate_limit
from exporter.model.definition.ratelimit import RateLimitRules, ResetKind
from exporter.model.reading import RateLimit
from tests.support.vendor import NOW

FIXTURE = Path(__file__).parents[2] / "fixtures" / "ratelimit_headers.json"
CASES: list[dict[str, Any]] = json.loads(FIXTURE.read_text())["exchanges"]
USUAL = RateLimitRules()
THOUSANDEYES = RateLimitRules(
    limit_headers=("x-organization-rate-limit-limit",),
    remaining_headers=("x-organization-rate-limit-remaining",),
    reset_headers=("x-organization-rate-limit-reset", "x-instant-test-rate-limit-reset"),
)


def lines(headers: Mapping[str, str] | None = None, **more: str) -> Lines:
    named = {name.replace("_", "-"): text for name, text in more.items()}
    return tuple((name.lower(), text) for name, text in {**(headers or {}), **named}.items())


def retry_after(lines: Lines, now: float) -> float | None:
    return read_rate_limit(lines, now, USUAL).retry_after


def wait_of(lines: Lines, now: float, rules: RateLimitRules) -> float | None:
    return read_rate_limit(lines, now, rules).wait


def rate_limit_of(lines: Lines, now: float, rules: RateLimitRules) -> RateLimit | None:
    return read_rate_limit(lines, now, rules).rate


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_each_recorded_dialect_gives_its_wait(case: dict[str, Any]) -> None:
    headers = lines(case["response"]["headers"])
    if case["response"]["status"] == 200:
        assert rate_limit_of(headers, NOW, USUAL) == RateLimit(
            limit=500, remaining=1, reset_at=NOW + 50
        )
    else:
        assert wait_of(headers, NOW, USUAL) == case["expected_wait_s"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("1.5", 1.5),
        (" 30 ", 30.0),
        ("+30", 30.0),
        ("1e9", 1e9),
        ("-1", None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("Infinity", None),
        ("9" * 400, None),
        ("1" + "0" * 30, 1e30),
        ("20, 40", 40.0),
        ("6.5s", 6.5),
        ("1h30m", 5400.0),
        ("Sun, 15 Nov 2026 12:01:30 GMT", 90.0),
        ("Sunday, 15-Nov-26 12:01:30 GMT", 90.0),
        ("Sun Nov 15 12:01:30 2026", 90.0),
        ("Sun, 15 Nov 2026 11:00:00 GMT", 0.0),
        ("2026-11-15 12:10:00 UTC", 600.0),
        ("1794744017", 17.0),
        ("1794743000", 1794743000.0),
        ("0x10", None),
        ("١٢", None),
    ],
)
def test_retry_after_is_read_or_says_nothing(text: str, seconds: float | None) -> None:
    assert retry_after(lines(retry_after=text), NOW) == seconds


@pytest.mark.parametrize("ours", [NOW, NOW + 3600, NOW - 3600, NOW - 40_000])
def test_instants_count_by_the_vendors_own_clock_where_it_shows_it(ours: float) -> None:
    shown = {"Date": "Sun, 15 Nov 2026 12:00:00 GMT"}
    assert retry_after(lines(shown, retry_after="Sun, 15 Nov 2026 12:01:30 GMT"), ours) == 90
    assert wait_of(lines(shown, x_ratelimit_reset="1794744017"), ours, USUAL) == 17
    told = rate_limit_of(
        lines(shown, x_ratelimit_remaining="1", x_ratelimit_reset="1794744017"), ours, USUAL
    )
    assert told == RateLimit(remaining=1, reset_at=ours + 17)


def test_an_answer_out_of_a_cache_tells_how_old_its_clock_is() -> None:
    shown = {"Date": "Sun, 15 Nov 2026 12:00:00 GMT", "Age": "60"}
    assert retry_after(lines(shown, retry_after="Sun, 15 Nov 2026 12:01:30 GMT"), NOW) == 30


def test_a_clock_that_shows_the_same_is_ours() -> None:
    shown = {"Date": "Sun, 15 Nov 2026 11:59:59 GMT"}
    headers = lines(shown, x_ratelimit_remaining="1", x_ratelimit_reset="1794744017")
    assert rate_limit_of(headers, NOW + 0.5, USUAL) == RateLimit(remaining=1, reset_at=NOW + 17)


@pytest.mark.parametrize("shown", ["", "soon", "0", "-1", "Sun, 08 Nov 2026 12:00:00 GMT"])
def test_a_clock_that_cannot_be_read_is_ours(shown: str) -> None:
    headers = lines(date=shown, retry_after="Sun, 15 Nov 2026 12:01:30 GMT")
    assert retry_after(headers, NOW) == 90


def test_of_repeated_lines_the_longest_wait_counts() -> None:
    headers = (("retry-after", "20"), ("retry-after", "40"), ("retry-after", "junk"))
    assert wait_of(headers, NOW, USUAL) == 40


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12", "retry-after-ms": "11850"}, 12),
        ({"retry-after": "12", "retry-after-ms": "12850"}, 12.85),
        ({"retry-after": "12", "retry-after-ms": "0"}, 12),
        ({"retry-after": "12", "retry-after-ms": "soon"}, 12),
        ({"retry-after-ms": "11850"}, 11.85),
        ({"retry-after-ms": "500, 1500"}, 1.5),
        ({"x-ms-retry-after-ms": "2500"}, 2.5),
        ({"x-vendor-retry-after": "40", "retry-after": "20"}, 40),
        ({"retry-after": "Sun, 15 Nov 2026 12:01:30 GMT", "retry-after-ms": "20000"}, 90),
        ({"retry-after": "20, Sun, 15 Nov 2026 12:01:30 GMT, 40"}, 90),
        ({"retry-after": "30 seconds"}, 30),
        ({"retry-after": "1 minute, 30 seconds"}, 90),
        ({"retry-after": "20", "x-ms-ratelimit-a.b-qpu-retry-after": "55"}, 55),
        ({"retry-after": "55", "x-ms-ratelimit-a.b-qpu-retry-after": "20"}, 55),
        ({"x-retry-count": "3"}, None),
    ],
)
def test_the_longest_form_of_retry_after_counts(
    headers: dict[str, str], seconds: float | None
) -> None:
    for order in (headers, dict(reversed(headers.items()))):
        assert wait_of(lines(order), NOW, USUAL) == seconds


def test_retry_after_wins_over_a_reset() -> None:
    headers = lines(ratelimit_remaining="0", ratelimit_reset=str(int(NOW) + 600), retry_after="29")
    assert wait_of(headers, NOW, USUAL) == 29


def test_a_reset_of_a_limit_that_is_not_used_up_is_no_wait() -> None:
    headers = lines(x_ratelimit_remaining="4211", x_ratelimit_reset=str(int(NOW) + 1800))
    assert wait_of(headers, NOW, USUAL) is None


def test_the_latest_reset_of_the_used_up_limits_counts() -> None:
    headers = lines(
        x_ratelimit_remaining_requests="0",
        x_ratelimit_reset_requests="6m0s",
        x_ratelimit_remaining_tokens="0",
        x_ratelimit_reset_tokens="120ms",
        x_ratelimit_remaining_images="5",
        x_ratelimit_reset_images="24h0m0s",
    )
    assert wait_of(headers, NOW, USUAL) == 360


@pytest.mark.parametrize(
    ("name", "text", "seconds"),
    [
        ("x-ms-ratelimit-microsoft.costmanagement-entity-retry-after", "17", 17.0),
        ("x-ratelimit-reset-after", "0.5", 0.5),
        ("x-ratelimit-reset", str(int(NOW * 1000) + 30_000), 30.0),
        ("x-ratelimit-reset", "Sun Nov 15 2026 12:00:30 GMT+0000 (Coordinated Universal Time)", 30),
        ("anthropic-ratelimit-requests-reset", "2026-11-15T12:00:30Z", 30.0),
        ("ratelimit-reset", str(int(NOW) - 5), 0.0),
        ("x_rate_limit_reset", "30", 30.0),
        ("x-ratelimit-reset", "-30", None),
        ("x-ratelimit-reset", "1h30m", 5400.0),
        ("x-ratelimit-reset", "9" * 300, None),
        ("x-ratelimit-used", "30", None),
        ("x-corporate-limit-reset", "30", None),
    ],
)
def test_resets_are_told_by_their_size_and_name(
    name: str, text: str, seconds: float | None
) -> None:
    assert wait_of(((name, text),), NOW, USUAL) == seconds


@pytest.mark.parametrize(
    ("kind", "text", "seconds"),
    [
        (ResetKind.DELTA, "200000000", 200000000.0),
        (ResetKind.EPOCH, str(int(NOW) + 3), 3.0),
        (ResetKind.EPOCH, "17", 0.0),
        (ResetKind.EPOCH_MS, str(int(NOW * 1000) + 3000), 3.0),
        (ResetKind.DATE, "2026-11-15T12:00:30Z", 30.0),
        (ResetKind.EPOCH, "2026-11-15T12:00:30Z", 30.0),
    ],
)
def test_a_declared_kind_is_not_guessed_at(kind: ResetKind, text: str, seconds: float) -> None:
    throttling = RateLimitRules(reset_kind=kind)
    assert wait_of(lines(x_ratelimit_reset=text), NOW, throttling) == seconds


def test_declared_names_stand_for_the_usual_ones() -> None:
    headers = lines(
        x_organization_rate_limit_limit="240",
        x_organization_rate_limit_remaining="12",
        x_organization_rate_limit_reset=str(int(NOW) + 34),
        x_instant_test_rate_limit_remaining="0",
        x_ratelimit_limit="100",
        x_ratelimit_remaining="1",
        x_ratelimit_reset="5000",
    )
    expected = RateLimit(limit=240, remaining=12, reset_at=NOW + 34)
    assert rate_limit_of(headers, NOW, THOUSANDEYES) == expected
    assert wait_of(headers, NOW, THOUSANDEYES) is None


@pytest.mark.parametrize(
    "others",
    [
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "55"},
        {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "55s"},
        {"x-other-rate-limit-remaining": "0", "x-other-rate-limit-reset": str(int(NOW) + 55)},
        {"ratelimit": '"daily";r=0;t=55'},
        {"x-rate-limit": "remaining=0;reset=55"},
        {"x-ratelimit-remaining": "minute=0,hour=9", "x-ratelimit-reset": "minute=55,hour=900"},
    ],
)
@pytest.mark.parametrize("left", ["0", "12"])
def test_a_used_up_limit_counts_though_the_definition_declares_another(
    others: dict[str, str], left: str
) -> None:
    headers = lines(
        others,
        x_organization_rate_limit_limit="240",
        x_organization_rate_limit_remaining=left,
        x_organization_rate_limit_reset=str(int(NOW) + 22),
    )
    assert wait_of(headers, NOW, THOUSANDEYES) == 55
    told = rate_limit_of(headers, NOW, THOUSANDEYES)
    assert told is not None
    assert (told.remaining, told.reset_at) == (0, NOW + 55)


def test_a_header_for_which_the_definition_names_another_is_not_read() -> None:
    rules = RateLimitRules(reset_headers=("x-ratelimit-reset-after",))
    headers = lines(
        x_ratelimit_remaining="0", x_ratelimit_reset_after="5", x_ratelimit_reset="3000"
    )
    assert wait_of(headers, NOW, rules) == 5


@pytest.mark.parametrize(
    ("headers", "seconds", "rate"),
    [
        (
            {"x-ms-ratelimit-a.b-qpu-remaining": "QueriesPerHour:597,QueriesPerMin:9"},
            None,
            RateLimit(remaining=9, reset_at=NOW + 60),
        ),
        (
            {"x-ms-ratelimit-a.b-qpu-remaining": "QueriesPerHour:597,QueriesPer10Sec:0"},
            10,
            RateLimit(remaining=0, reset_at=NOW + 10),
        ),
        (
            {"x-ms-ratelimit-a.b-entity-remaining": "DefaultQuota:0"},
            None,
            RateLimit(remaining=0),
        ),
        (
            {
                "x-ms-ratelimit-a.b-qpu-remaining": "QueriesPerHour:0,QueriesPerMin:57",
                "x-ms-ratelimit-a.b-qpu-retry-after": "17",
            },
            17,
            RateLimit(remaining=0, reset_at=NOW + 17),
        ),
        (
            {
                "x-ms-ratelimit-remaining-resource": "A.B/Get3Min;107,A.B/Get30Min;0",
                "x-ms-ratelimit-reset-resource": "A.B/Get3Min;20,A.B/Get30Min;900",
            },
            900,
            RateLimit(remaining=0, reset_at=NOW + 900),
        ),
        (  # Brave's
            {
                "x-ratelimit-limit": "1, 15000",
                "x-ratelimit-remaining": "0, 14523",
                "x-ratelimit-reset": "1, 1419704",
            },
            1,
            RateLimit(limit=1, remaining=0, reset_at=NOW + 1),
        ),
        (
            {"x-ratelimit-remaining": "5, 0", "x-ratelimit-reset": "1, 3600"},
            3600,
            RateLimit(remaining=0, reset_at=NOW + 3600),
        ),
        (
            {"x-ratelimit-remaining": "5, 0", "x-ratelimit-reset": "60"},
            60,
            RateLimit(remaining=0, reset_at=NOW + 60),
        ),
        (
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "requests=22, tokens=1m5s"},
            65,
            RateLimit(remaining=0, reset_at=NOW + 65),
        ),
        (
            {
                "x-ratelimit-limit": "10;w=60, 100;w=3600",
                "x-ratelimit-remaining": "9;w=60, 0;w=3600",
                "x-ratelimit-reset": "30;w=60, 1800;w=3600",
            },
            1800,
            RateLimit(limit=100, remaining=0, reset_at=NOW + 1800),
        ),
        (
            {"x-rate-limit": "limit=10;remaining=0;reset=9"},
            9,
            RateLimit(limit=10, remaining=0, reset_at=NOW + 9),
        ),
        (
            {"x-ratelimit": "minute;limit=10;remaining=0;reset=9, day;remaining=0;reset=700"},
            700,
            RateLimit(remaining=0, reset_at=NOW + 700),
        ),
        (
            {"x-rate-limit": "limit=10, remaining=3, reset=9, limit=99, remaining=0, reset=70"},
            70,
            RateLimit(limit=99, remaining=0, reset_at=NOW + 70),
        ),
        (
            {"x-rate-limit": "minuteRemaining=0;minuteReset=22;hourRemaining=0;hourReset=55"},
            55,
            RateLimit(remaining=0, reset_at=NOW + 55),
        ),
        ({"x-ratelimit-limit": "10, 10;w=1, 50;w=60"}, None, RateLimit(limit=10)),
        (
            {"x-ratelimit-limit": "10;w=60", "x-ratelimit-remaining": "7"},
            None,
            RateLimit(limit=10, remaining=7),
        ),
    ],
)
def test_a_header_may_hold_several_windows(
    headers: dict[str, str], seconds: float | None, rate: RateLimit
) -> None:
    assert wait_of(lines(headers), NOW, USUAL) == seconds
    assert rate_limit_of(lines(headers), NOW, USUAL) == rate


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"error": {"message": "Rate limit reached. Please try again in 20s. Visit us."}}, 20),
        ({"error": {"message": "Please try again in 6m0.5s."}}, 360.5),
        ({"error": {"message": "Please retry after 5 seconds"}}, 5),
        ({"message": "Please retry your request in 250 ms"}, 0.25),
        ({"message": "Slow down (Retry-After: 5 seconds)"}, 5),
        ({"detail": "Request was throttled. Expected available in 24 seconds."}, 24),
        ({"detail": "Wait for 1 minute and 30 seconds before the next request."}, 90),
        ({"detail": "try again in 1 hour, 2 minutes"}, 3720),
        ({"detail": "Try again in an hour"}, 3600),
        ({"detail": "Limit resets in 2 days"}, 172_800),
        ({"detail": "Retry after 2026-11-15T12:00:30Z."}, 30),
        ({"detail": "The quota resets at 2026-11-15T12:00:30+00:00"}, 30),
        ({"detail": "Retry after 2026-11-15 11:00:30 UTC"}, 0),
        ({"error": {"details": [{"@type": "RetryInfo", "retryDelay": "34s"}]}}, 34),
        ({"error": {"details": [{"retryDelay": {"seconds": "34", "nanos": 0}}]}}, 34),
        ({"retry_after": 64.57, "global": False}, 64.57),
        ({"retry_after": "30"}, 30),
        ({"retry_after_ms": 1500}, 1.5),
        ({"retryAfterSeconds": 9}, 9),
        ({"parameters": {"retry_after": 7}}, 7),
        ([{"errors": ["Try again in 3 seconds", "Try again in 8 seconds"]}], 8),
        ("Please retry in 12 seconds", 12),
        ({"message": "Try again in a few minutes"}, None),
        ({"message": "At most 60 requests per 10 seconds. You retry 3 times."}, None),
        ({"message": "The limit was reset 5 minutes ago"}, None),
        ({"message": "try again in 20"}, None),
        ({"message": "try again in 20 months"}, None),
        ({"retry_after": True}, None),
        ({"retry_after": -5}, None),
        ({"retry_after": None}, None),
        ({"retry_after": 10**30}, None),
        ({"retries": 5, "window_seconds": 60}, None),
    ],
)
def test_a_wait_in_the_body_is_read_where_it_cannot_mean_anything_else(
    body: object, seconds: float | None
) -> None:
    assert read_body_wait(body, "", NOW) == seconds


def test_a_body_that_is_no_json_is_read_at_its_beginning() -> None:
    assert read_body_wait(None, "<p>Please wait 30 seconds.</p>", NOW) == 30
    assert read_body_wait(None, "x" * 100_000 + " wait 30 seconds", NOW) is None


def test_a_body_of_any_size_is_read_to_a_bound() -> None:
    deep: object = {"retry_after": 5}
    for _ in range(5000):
        deep = [deep, "try again in " * 500]
    assert read_body_wait(deep, "", NOW) is None


def test_names_without_the_word_can_be_declared() -> None:
    throttling = RateLimitRules(
        limit_headers=("x-quota",), remaining_headers=("x-left",), reset_headers=("x-renews",)
    )
    headers = lines(x_quota="100", x_left="7", x_renews="60")
    assert rate_limit_of(headers, NOW, throttling) == RateLimit(
        limit=100, remaining=7, reset_at=NOW + 60
    )


def test_the_values_of_docker_hub_carry_their_window() -> None:
    headers = lines(ratelimit_limit="100;w=21600", ratelimit_remaining="76;w=21600")
    assert rate_limit_of(headers, NOW, USUAL) == RateLimit(limit=100, remaining=76)


def test_the_structured_fields_of_the_ietf_are_read() -> None:
    headers = lines(
        ratelimit_policy='"burst";q=100;w=60, "daily";q=1000;w=86400',
        ratelimit='"burst";r=50;t=30, "daily";r=10;t=36000',
    )
    assert rate_limit_of(headers, NOW, USUAL) == RateLimit(
        limit=1000, remaining=10, reset_at=NOW + 36000
    )
    assert wait_of(headers, NOW, USUAL) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ('"a";r=0;t=30, "b";r=0;t=50, "c";r=5;t=900', 50.0),
        ("default;r=0;t=5", 5.0),
        ('"a,b;c=\\"";r=0;t=7', 7.0),
        ("limit=10, remaining=0, reset=9", 9.0),
        ('"a";r=0', None),
        ('"a";r=zero;t=1', None),
        ('"a";r=-1;t=1', None),
        ('"unterminated;r=0;t=3', None),
        (";;;===", None),
        ("100", None),
    ],
)
def test_malformed_items_are_passed_over(text: str, seconds: float | None) -> None:
    assert wait_of(lines(ratelimit=text), NOW, USUAL) == seconds


def test_a_used_up_limit_is_the_tightest() -> None:
    headers = lines(
        x_ratelimit_limit_day="1000",
        x_ratelimit_remaining_day="900",
        x_ratelimit_reset_day="80000",
        x_ratelimit_limit_second="10",
        x_ratelimit_remaining_second="0",
        x_ratelimit_reset_second="1",
    )
    assert rate_limit_of(headers, NOW, USUAL) == RateLimit(limit=10, remaining=0, reset_at=NOW + 1)


def test_without_resets_the_fewest_remaining_are_the_tightest() -> None:
    headers = lines(x_ratelimit_remaining_a="50", x_ratelimit_remaining_b="7")
    assert rate_limit_of(headers, NOW, USUAL) == RateLimit(remaining=7)


def test_of_two_lines_of_one_name_the_stricter_counts() -> None:
    headers = (("x-ratelimit-remaining", "50"), ("x-ratelimit-remaining", "7"))
    assert rate_limit_of(headers, NOW, USUAL) == RateLimit(remaining=7)


def test_a_limit_alone_is_told() -> None:
    assert rate_limit_of(lines(x_ratelimit_limit="60"), NOW, USUAL) == RateLimit(limit=60)


@pytest.mark.parametrize("text", ["unlimited", "-1", "inf", "nan", ""])
def test_a_limit_that_is_no_number_is_not_told(text: str) -> None:
    assert (
        rate_limit_of(lines(x_ratelimit_limit=text, x_ratelimit_remaining=text), NOW, USUAL) is None
    )


def test_most_answers_tell_nothing() -> None:
    headers = lines(date="Sun, 15 Nov 2026 12:00:00 GMT", content_type="application/json")
    assert rate_limit_of(headers, NOW, USUAL) is None
    assert wait_of(headers, NOW, USUAL) is None


@pytest.mark.parametrize("names", [("reset", "reset_after"), ("reset_after", "reset")])
def test_of_two_resets_of_one_limit_the_later_counts(names: tuple[str, str]) -> None:
    resets = {f"x_ratelimit_{name}": text for name, text in zip(names, ("600", "5"), strict=True)}
    headers = lines({"x_ratelimit_remaining": "0", **resets})
    assert wait_of(headers, NOW, USUAL) == 600
    assert rate_limit_of(headers, NOW, USUAL) == RateLimit(remaining=0, reset_at=NOW + 600)


def test_of_two_used_up_limits_the_tightest_is_the_one_that_resets_last() -> None:
    headers = {
        "x-ratelimit-remaining-second": "0",
        "x-ratelimit-reset-second": "6",
        "x-ratelimit-remaining-hour": "0",
        "x-ratelimit-reset-hour": "600",
    }
    for order in (list(headers.items()), list(headers.items())[::-1]):
        assert rate_limit_of(tuple(order), NOW, USUAL) == RateLimit(remaining=0, reset_at=NOW + 600)
        assert wait_of(tuple(order), NOW, USUAL) == 600


def test_a_used_up_limit_without_a_reset_is_compared_with_others() -> None:
    headers = lines(
        x_ratelimit_remaining_day="0",
        x_ratelimit_remaining_hour="0",
        x_ratelimit_reset_hour="600",
        x_ratelimit_remaining_minute="7",
    )
    for order in (headers, headers[::-1]):
        assert rate_limit_of(order, NOW, USUAL) == RateLimit(remaining=0, reset_at=NOW + 600)
        assert wait_of(order, NOW, USUAL) == 600
