from hypothesis import given
from hypothesis import strategies as st

from exporter.web.access import TokenBucket
from exporter.web.webconfig import RateLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_then_one_each_interval() -> None:
    clock, limit = Clock(), RateLimit(interval="10s", burst=3)
    bucket = TokenBucket(clock)
    assert [bucket.take(limit) for _ in range(5)] == [True, True, True, False, False]
    clock.now = 9.9
    assert not bucket.take(limit)
    clock.now = 10.0
    assert [bucket.take(limit), bucket.take(limit)] == [True, False]


def test_no_interval_is_no_limit() -> None:
    bucket = TokenBucket(Clock())
    assert all(bucket.take(RateLimit(interval="0s", burst=0)) for _ in range(100))


def test_another_limit_begins_full() -> None:
    bucket = TokenBucket(Clock())
    assert bucket.take(RateLimit(interval="1h", burst=1))
    assert not bucket.take(RateLimit(interval="1h", burst=1))
    assert bucket.take(RateLimit(interval="1h", burst=2))


@given(st.lists(st.floats(0, 100), max_size=60), st.integers(1, 10))
def test_never_more_than_the_burst_and_the_time_allow(waits: list[float], burst: int) -> None:
    clock, limit = Clock(), RateLimit(interval="10s", burst=burst)
    bucket = TokenBucket(clock)
    passed = 0
    for wait in waits:
        clock.now += wait
        passed += bucket.take(limit)
    assert passed <= burst + clock.now / 10 + 1e-6
