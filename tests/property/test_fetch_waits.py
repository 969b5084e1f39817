"""Whatever headers hold, reading them never raises and never gives a wait that cannot be waited."""

import math

from hypothesis import given
from hypothesis import strategies as st

from exporter.fetch.ratelimit import read_body_wait, read_rate_limit
from exporter.model.definition.ratelimit import RateLimitRules, ResetKind
from tests.support.vendor import NOW

NAMES = st.sampled_from(
    [
        "retry-after",
        "retry-after-ms",
        "x-retry-after",
        "ratelimit",
        "ratelimit-policy",
        "ratelimit-reset",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-ratelimit-reset-tokens",
        "x-ratelimit-remaining-tokens",
        "x-rate-limit",
        "x-organization-rate-limit-reset",
        "x-ms-ratelimit-entity-retry-after",
        "date",
        "age",
    ]
)
NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.integers(0, 10**400).map(str),
    st.integers(int(NOW) - 10**6, int(NOW) + 10**6).map(str),
)
STRUCTURED = st.from_regex(r'("[a-z]*"|[a-z]+)(\s*;\s*[rtqw]\s*=\s*-?\d*)*(, *)?', fullmatch=True)
COMPOUND = st.from_regex(
    r"((a|QueriesPerHour|reset|remaining)?[:=]?[0-9]{1,6}s?(;w=[0-9]{1,5})?[,;] ?){1,4}",
    fullmatch=True,
)
TEXTS = st.one_of(NUMBERS, STRUCTURED, COMPOUND, st.text(max_size=60), st.dates().map(str))
HEADERS = st.lists(st.tuples(NAMES, TEXTS), max_size=8).map(tuple)
THROTTLINGS = st.builds(
    RateLimitRules,
    reset_kind=st.sampled_from(ResetKind),
    limit_headers=st.just(()) | st.tuples(NAMES),
    remaining_headers=st.just(()) | st.tuples(NAMES),
    reset_headers=st.just(()) | st.tuples(NAMES),
)


@given(HEADERS, THROTTLINGS)
def test_a_wait_is_finite_and_not_negative(
    headers: tuple[tuple[str, str], ...], throttling: RateLimitRules
) -> None:
    seconds = read_rate_limit(headers, NOW, throttling).wait
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


@given(HEADERS, THROTTLINGS)
def test_a_rate_is_finite_and_not_negative(
    headers: tuple[tuple[str, str], ...], throttling: RateLimitRules
) -> None:
    told = read_rate_limit(headers, NOW, throttling).rate
    if told is not None:
        numbers = (told.limit, told.remaining, told.reset_at)
        assert any(number is not None for number in numbers[:2])
        assert all(number is None or (math.isfinite(number) and number >= 0) for number in numbers)


@given(HEADERS, st.integers(0, 10**6))
def test_retry_after_is_a_floor(headers: tuple[tuple[str, str], ...], seconds: int) -> None:
    told = (*headers, ("retry-after", str(seconds)))
    found = read_rate_limit(told, NOW, RateLimitRules()).wait
    assert found is not None
    assert found >= seconds


@given(HEADERS, THROTTLINGS, st.integers(0, 10**6), st.integers(0, 3))
def test_a_used_up_limit_more_never_shortens_the_wait(
    headers: tuple[tuple[str, str], ...], rules: RateLimitRules, seconds: int, form: int
) -> None:
    more = (
        (("x-second-ratelimit-remaining", "0"), ("x-second-ratelimit-reset", f"{seconds}s")),
        (("x-rate-limit", f"remaining=0;reset={seconds}s"),),
        (("ratelimit", f'"second";r=0;t={seconds}'),),
        (
            ("x-second-ratelimit-remaining", "hour:5,minute:0"),
            ("x-second-ratelimit-reset", f"hour:9s,minute:{seconds}s"),
        ),
    )[form]
    before = read_rate_limit(headers, NOW, rules)
    after = read_rate_limit((*headers, *more), NOW, rules)
    assert after.retry_after == before.retry_after
    assert after.wait is not None
    assert after.wait >= (before.wait or 0)
    if before.retry_after is None:
        assert after.wait >= seconds


WORDS = st.sampled_from(
    [
        "try again in ",
        "retry after ",
        "wait ",
        "20",
        " seconds",
        "6m0s",
        "an hour",
        "and ",
        "9" * 20,
    ]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.lists(WORDS, max_size=6).map("".join),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["retry_after", "retryDelay", "retry_after_ms", "x"]), inner
        )
    ),
    max_leaves=20,
)


@given(JSON, st.text(max_size=60) | st.lists(WORDS, max_size=6).map("".join))
def test_a_wait_of_a_body_is_finite_and_not_negative(document: object, text: str) -> None:
    seconds = read_body_wait(document, text, NOW)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)
