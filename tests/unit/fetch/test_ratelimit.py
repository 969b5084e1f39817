"""Throttling headers: every dialect that vendors were seen to speak."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.fetch.http import Lines
from exporter.fetch.ratelimit import read_rate_limit
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


def test_milliseconds_are_exacter_than_seconds() -> None:
    assert wait_of(lines(retry_after="12", retry_after_ms="11850"), NOW, USUAL) == 11.85
    assert wait_of(lines(retry_after="12", retry_after_ms="0"), NOW, USUAL) == 0
    assert wait_of(lines(retry_after="12", retry_after_ms="soon"), NOW, USUAL) == 12


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
        x_ratelimit_limit="1",
        x_ratelimit_remaining="0",
        x_ratelimit_reset="5000",
    )
    expected = RateLimit(limit=240, remaining=12, reset_at=NOW + 34)
    assert rate_limit_of(headers, NOW, THOUSANDEYES) == expected


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
