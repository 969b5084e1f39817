"""Back-off: how long to stay away after failures."""

import math

import pytest

from exporter.schedule.state import backoff, padded


def test_the_wait_doubles_with_each_failure_up_to_the_cap() -> None:
    waits = [backoff(n, 0.0, floor=0.0, base=30.0, cap=600.0) for n in range(1, 8)]
    assert waits == [30.0, 60.0, 120.0, 240.0, 480.0, 480.0, 480.0]


def test_chance_spreads_the_wait_upward_and_the_cap_leaves_room_for_it() -> None:
    assert backoff(1, 0.5, floor=0.0, base=40.0, cap=600.0) == 45.0
    assert backoff(50, 0.999999, floor=0.0, base=40.0, cap=600.0) == pytest.approx(600.0, abs=0.01)


def test_a_hundred_thousand_failures_overflow_nothing() -> None:
    assert backoff(100_000, 0.0, floor=0.0, base=1.0, cap=3600.0) == 2880.0


def test_a_floor_is_rounded_up_by_a_second_more_and_spread_upward() -> None:
    assert backoff(1, 0.0, floor=119.2, base=1.0, cap=86_400.0) == 121.0
    assert backoff(1, 0.5, floor=120.0, base=1.0, cap=86_400.0) == 127.0


def test_the_cap_wins_over_the_floor() -> None:
    assert backoff(1, 0.5, floor=1e9, base=1.0, cap=86_400.0) == 86_400.0
    assert backoff(1, 0.5, floor=math.inf, base=1.0, cap=86_400.0) == 86_400.0


def test_a_long_wait_is_spread_by_half_a_minute_at_most() -> None:
    assert padded(36_000.0, 1.0) == 36_031.0


@pytest.mark.parametrize("nothing", [0.0, -5.0, math.nan, -math.inf])
def test_a_floor_that_says_nothing_is_none(nothing: float) -> None:
    assert padded(nothing, 0.5) == 0.0
    assert backoff(1, 0.0, floor=nothing, base=30.0, cap=600.0) == 30.0
