"""Cadence: how often, and at which moment."""

from typing import Any

import pytest

from exporter.schedule import state
from tests.support.schedule import DAY, EPOCH, a_job


def test_a_phase_is_the_same_after_every_start() -> None:
    assert state.phase("", "video", "usage") == state.phase("", "video", "usage")
    assert state.phase("", "video", "usage") == pytest.approx(0.71331, abs=1e-5)


def test_phases_spread_evenly_and_names_do_not_run_together() -> None:
    phases = [state.phase("", f"target-{n}", "usage") for n in range(1000)]
    tenths = [sum(int(10 * phase) == n for phase in phases) for n in range(10)]
    assert min(tenths) > 70
    assert state.phase("ab", "c") != state.phase("a", "bc")


@pytest.mark.parametrize(
    ("jobs", "first", "steady"),
    [(1, 1.0, 1.0), (40, 2.0, 20.0), (600, 30.0, 300.0), (50_000, 250.0, 300.0)],
)
def test_first_polls_come_within_seconds_and_later_ones_spread_out(
    jobs: int, first: float, steady: float
) -> None:
    assert state.first_spread(jobs, 300.0) == first
    assert state.steady_spread(jobs, 300.0) == steady


def test_polls_are_never_spread_over_more_than_their_interval() -> None:
    assert state.first_spread(50_000, 60.0) == 60.0
    assert state.steady_spread(50_000, 60.0) == 60.0


def test_a_dead_key_is_tried_six_times_on_its_first_day_and_four_times_a_day_later() -> None:
    tries, now = [0.0], 0.0
    for refusals in range(1, 12):
        now += state.auth_pause(refusals, 0.0)
        tries.append(now)
    assert sum(at < DAY for at in tries) == 6
    assert sum(DAY <= at < 2 * DAY for at in tries) == 4


@pytest.mark.parametrize(
    ("ratio", "interval"),
    [(None, 600.0), (0.5, 600.0), (0.75, 600.0), (0.825, 240.0), (0.9, 150.0), (1.7, 150.0)],
)
def test_an_adaptive_job_comes_faster_near_its_limit(ratio: float | None, interval: float) -> None:
    job = a_job(interval=600.0, adaptive=True)
    assert state.paced_interval(job, ratio) == pytest.approx(interval)


def test_only_who_asks_for_it_comes_faster() -> None:
    assert state.paced_interval(a_job(interval=600.0), 0.99) == 600.0


@pytest.mark.parametrize("slowest", [{"min_interval": 400.0}, {"data_cadence": 400.0}])
def test_neither_the_minimum_nor_the_vendors_own_cadence_is_undercut(
    slowest: dict[str, Any],
) -> None:
    job = a_job(interval=600.0, adaptive=True, **slowest)
    assert state.paced_interval(job, 1.0) == 400.0


def test_data_that_changes_more_rarely_than_we_poll_does_not_slow_us_down() -> None:
    job = a_job(interval=600.0, adaptive=True, data_cadence=DAY)
    assert state.paced_interval(job, 1.0) == 600.0


def test_a_poll_is_moved_to_shortly_after_the_data_changes() -> None:
    job = a_job(interval=3600.0, data_cadence=3600.0)
    hour = EPOCH - EPOCH % 3600.0
    due = state.aligned(job, hour + 1800.0)
    assert hour + 3600.0 <= due < hour + 3600.0 + 300.0
    assert state.aligned(job, due) == due


def test_a_poll_that_started_a_moment_late_does_not_lose_its_turn() -> None:
    job = a_job(interval=3600.0, data_cadence=3600.0)
    hour = EPOCH - EPOCH % 3600.0
    due = state.aligned(job, hour)
    assert state.aligned(job, due + 20.0) == due + 20.0


@pytest.mark.parametrize("data_cadence", [None, 0.0, DAY, 3000.0])
def test_polls_that_come_more_often_than_data_or_out_of_step_stay_where_they_are(
    data_cadence: float | None,
) -> None:
    job = a_job(interval=3600.0, data_cadence=data_cadence)
    assert state.aligned(job, EPOCH + 1234.5) == EPOCH + 1234.5


def test_a_cadence_of_minutes_is_a_cache_and_no_appointment() -> None:
    job = a_job(interval=600.0, data_cadence=300.0)
    assert state.aligned(job, EPOCH + 1234.5) == EPOCH + 1234.5


@pytest.mark.parametrize("interval", [5400.0, 9000.0, 3601.0])
def test_an_interval_that_is_no_multiple_of_the_cadence_is_not_aligned(interval: float) -> None:
    job = a_job(interval=interval, data_cadence=3600.0)
    for due in (EPOCH, EPOCH + 1234.5, EPOCH + 3599.0):
        assert state.aligned(job, due) == due


def test_an_interval_of_several_cadences_is_aligned_with_the_next() -> None:
    job = a_job(interval=7200.0, data_cadence=3600.0)
    hour = EPOCH - EPOCH % 3600.0
    assert hour + 3600.0 <= state.aligned(job, hour + 1800.0) < hour + 3600.0 + 300.0
