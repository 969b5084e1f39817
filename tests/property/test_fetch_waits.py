"""Whatever headers hold, reading them never raises and never gives a wait that cannot be waited."""

import math

from hypothesis import given
from hypothesis import strategies as st

from exporter.fetch.ratelimit import read_rate_limit
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
TEXTS = st.one_of(NUMBERS, STRUCTURED, st.text(max_size=60), st.dates().map(str))
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
    others = [name for name, _ in headers if name.startswith("retry-after-ms")]
    found = read_rate_limit(told, NOW, RateLimitRules()).wait
    assert others or (found is not None and found >= seconds)
