"""The state of a job: how a poll ended decides when the next one comes."""

import math
from typing import Any

import msgspec
import pytest

from exporter.kernel.calendar import Span
from exporter.kernel.units import Kind
from exporter.model.events import TargetBack, TargetDown
from exporter.model.outcome import Failure, Reason, Unchanged
from exporter.model.reading import Reading, Usage
from exporter.schedule import state
from exporter.schedule.job import Job
from exporter.schedule.state import JobState, PollEnd, StateEvent
from tests.support.schedule import DAY, EPOCH, a_failure, a_job, a_poll, a_reading

JOB = a_job()
NEW = state.new_state(JOB, 0.0)


def step_both(
    before: JobState,
    outcome: Reading | Unchanged | Failure,
    started: float,
    *,
    job: Job = JOB,
    took: float = 0.0,
    until: float = -math.inf,
    requests: int = 1,
    ratio: float | None = None,
) -> tuple[JobState, tuple[StateEvent, ...]]:
    now = started + took
    end = PollEnd(now=now, wall=EPOCH + now, started=started)
    poll = a_poll(job, outcome, at=EPOCH + started, requests=requests)
    return state.poll_ended(job, before, poll, end, budget_wait=until, ratio=ratio)


def step(
    before: JobState, outcome: Reading | Unchanged | Failure, started: float, **told: object
) -> JobState:
    return step_both(before, outcome, started, **told)[0]  # type: ignore[arg-type]


def dues(reason: Reason, count: int, job: Job = JOB) -> list[float]:
    """Return the gaps between polls that all fail for `reason`, each at once."""
    now, gaps, current = 0.0, [], state.new_state(job, 0.0)
    for _ in range(count):
        current = step(current, a_failure(reason), now, job=job)
        gaps.append(current.due - now)
        now = current.due
    return gaps


def test_a_good_poll_is_followed_by_the_next_one_interval_after_its_start() -> None:
    after = step(NEW, Unchanged(), 10.0, took=4.0)
    assert (after.due, after.started, after.last_success) == (310.0, 10.0, EPOCH + 10.0)
    assert after.failures == 0


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.CONNECT, Reason.TLS, Reason.HTTP_5XX])
def test_transient_failures_are_retried_ever_more_slowly(reason: Reason) -> None:
    assert dues(reason, 4) == [300.0, 600.0, 720.0, 720.0]


def test_a_failed_poll_never_comes_sooner_than_a_good_one_at_short_intervals() -> None:
    assert dues(Reason.HTTP_5XX, 5, a_job(interval=60.0)) == [60.0, 120.0, 240.0, 480.0, 720.0]


def test_a_failed_daily_poll_is_retried_before_tomorrow() -> None:
    gaps = dues(Reason.CONNECT, 12, a_job(interval=DAY))
    assert gaps[:3] == [300.0, 600.0, 1200.0]
    assert max(gaps) == pytest.approx(DAY / 1.25)


def test_no_failure_undercuts_the_providers_minimum() -> None:
    job = a_job(interval=DAY, min_interval=43_200.0)
    for reason in Reason:
        assert min(dues(reason, 20, job)) >= 43_200.0


@pytest.mark.parametrize("reason", [Reason.AUTH, Reason.FORBIDDEN])
def test_a_refused_credential_is_tried_a_few_times_a_day(reason: Reason) -> None:
    assert dues(reason, 5) == [900.0, 3600.0, 21_600.0, 21_600.0, 21_600.0]
    assert dues(reason, 2, a_job(interval=DAY)) == [DAY, DAY]


@pytest.mark.parametrize(
    "reason",
    [
        Reason.HTTP_4XX,
        Reason.NOT_JSON,
        Reason.TOO_LARGE,
        Reason.SCHEMA,
        Reason.PAGING,
        Reason.INTERNAL,
    ],
)
def test_an_answer_that_we_cannot_use_is_asked_for_ever_more_slowly(reason: Reason) -> None:
    assert dues(reason, 5) == [300.0, 600.0, 1200.0, 2400.0, 2880.0]


@pytest.mark.parametrize("reason", [Reason.RATE_LIMITED, Reason.QUOTA_EXHAUSTED])
def test_a_throttled_job_comes_again_when_its_budget_may(reason: Reason) -> None:
    assert step(NEW, a_failure(reason), 10.0, until=130.0).due == 130.0
    assert step(NEW, a_failure(reason), 10.0, until=11.0).due == 40.0


def test_a_wait_that_the_vendor_told_is_a_floor_for_any_failure() -> None:
    for reason in Reason:
        after = step(NEW, a_failure(reason, 5000.0), 0.0, until=5000.0)
        assert after.due >= 5000.0


def test_a_hundred_thousand_failures_overflow_nothing() -> None:
    streak = state.FailureStreak(
        reason=Reason.TIMEOUT, detail="", since=0.0, failures=100_000, alike=100_000
    )
    before = msgspec.structs.replace(NEW, streak=streak)
    for reason in Reason:
        assert step(before, a_failure(reason), 0.0).due <= DAY


def test_a_target_goes_down_once_and_again_when_the_reason_changes() -> None:
    first, down = step_both(NEW, a_failure(Reason.TIMEOUT), 0.0, took=30.0)
    assert down == (
        TargetDown(
            provider="example",
            target="video",
            collector="usage",
            reason=Reason.TIMEOUT,
            detail="it was timeout",
            next_poll=EPOCH + 330.0,
        ),
    )
    second, quiet = step_both(first, a_failure(Reason.TIMEOUT), 300.0)
    assert quiet == ()
    third, again = step_both(second, a_failure(Reason.SCHEMA), 900.0)
    assert [type(event) for event in again] == [TargetDown]
    assert third.failures == 3


def test_a_target_that_is_back_tells_how_long_it_was_down() -> None:
    down = step(step(NEW, a_failure(Reason.CONNECT), 0.0), a_failure(Reason.CONNECT), 300.0)
    after, events = step_both(down, Unchanged(), 900.0)
    assert events == (
        TargetBack(
            provider="example", target="video", collector="usage", failures=2, down_for=900.0
        ),
    )
    assert after.streak is None
    assert step_both(after, Unchanged(), 1200.0)[1] == ()


def test_a_new_kind_of_trouble_begins_its_back_off_anew_but_counts_on() -> None:
    now = 0.0
    current = NEW
    for _ in range(5):
        current = step(current, a_failure(Reason.TIMEOUT), now)
        now = current.due
    current = step(current, a_failure(Reason.AUTH), now)
    assert current.due - now == 900.0
    assert current.failures == 6


def test_the_next_poll_of_a_throttled_target_is_told_as_it_will_be() -> None:
    _, (down,) = step_both(NEW, a_failure(Reason.RATE_LIMITED, 120.0), 0.0, until=126.0)
    assert isinstance(down, TargetDown)
    assert down.next_poll == EPOCH + 126.0


def test_the_first_gap_is_stretched_once() -> None:
    before = state.new_state(JOB, 0.0, settle=50.0)
    first = step(before, Unchanged(), 0.0)
    assert first.due == 350.0
    assert step(first, Unchanged(), 350.0).due == 650.0


def test_the_number_of_requests_is_learned_at_once_and_unlearned_slowly() -> None:
    after = step(NEW, Unchanged(), 0.0, requests=9)
    assert after.cost == 9
    after = step(after, Unchanged(), 300.0, requests=1)
    assert after.cost == 7
    failed = step(after, a_failure(Reason.PAGING), 600.0, requests=2)
    assert failed.cost == 7
    assert step(failed, a_failure(Reason.PAGING), 900.0, requests=12).cost == 12


def test_an_adaptive_job_comes_sooner_near_its_limit_and_slows_down_when_it_fails() -> None:
    job = a_job(interval=600.0, adaptive=True)
    after = step(state.new_state(job, 0.0), a_reading(), 0.0, job=job, ratio=0.95)
    assert (after.due, after.interval) == (150.0, 150.0)
    unchanged = step(after, Unchanged(), 150.0, job=job)
    assert unchanged.due == 300.0
    assert step(unchanged, a_failure(Reason.SCHEMA), 300.0, job=job).interval == 600.0


def test_the_end_of_the_period_is_remembered_for_a_used_up_quota() -> None:
    def usage(end: float) -> Usage:
        span = Span(EPOCH - DAY, EPOCH + end)
        return Usage(resource="characters", kind=Kind.QUANTITY, used=1.0, period=span)

    reading = a_reading(usages=(usage(-5.0), usage(900.0), usage(500.0)))
    after = step(NEW, reading, 0.0)
    assert after.period_end == EPOCH + 500.0
    assert step(after, a_failure(Reason.TIMEOUT), 300.0).period_end == EPOCH + 500.0


def test_a_daily_poll_comes_after_the_data_changes() -> None:
    job = a_job(interval=DAY, data_cadence=DAY)
    after = step(state.new_state(job, 0.0), Unchanged(), 0.0, job=job)
    due = EPOCH + after.due
    assert due % DAY < 300.0
    assert DAY <= after.due < 2 * DAY


# -------------------------------------------------------------------- config, secret, restart


def test_a_longer_interval_moves_the_next_poll_back_and_a_shorter_one_forward() -> None:
    before = step(NEW, Unchanged(), 100.0)
    assert state.interval_changed(a_job(interval=900.0), before, 150.0).due == 1000.0
    assert state.interval_changed(a_job(interval=60.0), before, 150.0).due == 160.0


def test_a_new_interval_does_not_end_a_back_off() -> None:
    before = step(NEW, a_failure(Reason.AUTH), 0.0)
    assert state.interval_changed(a_job(interval=60.0), before, 150.0).due == 900.0
    assert (
        state.interval_changed(a_job(interval=60.0, min_interval=2000.0), before, 150.0).due
        == 2000.0
    )


def test_a_job_that_was_never_polled_keeps_its_first_time() -> None:
    assert (
        state.interval_changed(a_job(interval=60.0), state.new_state(JOB, 40.0), 10.0).due == 40.0
    )
    assert (
        state.interval_changed(a_job(interval=20.0), state.new_state(JOB, 40.0), 10.0).due == 30.0
    )


@pytest.mark.parametrize("reason", [Reason.AUTH, Reason.FORBIDDEN])
def test_a_new_secret_is_tried_at_once_where_the_old_was_refused(reason: Reason) -> None:
    job = a_job(min_interval=200.0)
    before = step(NEW, a_failure(reason), 0.0, job=job)
    assert state.secret_changed(job, before, 50.0).due == 50.0
    assert state.secret_changed(job, before, 0.25).due == 1.0


def test_a_new_secret_of_a_healthy_target_is_tried_as_soon_as_the_provider_allows() -> None:
    job = a_job(min_interval=200.0)
    before = step(NEW, Unchanged(), 0.0, job=job)
    assert state.secret_changed(job, before, 50.0).due == 200.0
    assert state.secret_changed(job, before, 250.0).due == 250.0
    assert state.secret_changed(job, before, 400.0) is before


def test_a_new_secret_changes_nothing_about_other_troubles() -> None:
    before = step(NEW, a_failure(Reason.CONNECT), 0.0)
    assert state.secret_changed(JOB, before, 50.0) is before


def test_a_poll_that_we_cancelled_counts_as_a_request_and_as_nothing_else() -> None:
    job = a_job(min_interval=200.0)
    before = step(NEW, Unchanged(), 0.0, job=job)
    after = state.poll_cancelled(job, before, 300.0)
    assert (after.due, after.started, after.last_success) == (500.0, 300.0, EPOCH)


def test_whoever_restarts_us_again_and_again_gets_no_more_polls() -> None:
    before = step(NEW, Unchanged(), 0.0)
    assert state.process_stopped(JOB, before, 300.0).due == 600.0
    daily = a_job(interval=DAY)
    assert state.process_stopped(daily, state.new_state(daily, 0.0), 10.0).due == 310.0


def test_a_process_that_ends_in_its_polls_does_not_try_a_refused_key_more_often() -> None:
    before = step(NEW, a_failure(Reason.AUTH), 0.0)
    again = state.process_died(before, 900.0)
    assert (again.due, again.started) == (900.0 + 3600.0, 900.0)
    assert state.process_died(again, 4500.0).due == 4500.0 + 21_600.0
    assert state.process_stopped(JOB, before, 900.0).due == 900.0 + 900.0
    assert state.process_died(step(NEW, a_failure(Reason.HTTP_5XX), 0.0), 300.0).due == 600.0


@pytest.mark.parametrize(
    ("reason", "furthest"),
    [
        (None, 300.0),
        (Reason.HTTP_5XX, 3600.0),
        (Reason.SCHEMA, 3600.0),
        (Reason.AUTH, 990.0),
        (Reason.RATE_LIMITED, DAY),
    ],
)
def test_a_remembered_time_that_no_wait_could_have_made_is_cut(
    reason: Reason | None, furthest: float
) -> None:
    before = step(NEW, Unchanged() if reason is None else a_failure(reason), 0.0)
    far = msgspec.structs.replace(before, due=1e8, started=1e8)
    restored = state.restored(JOB, far, 1000.0)
    assert restored.due == 1000.0 + furthest
    assert restored.started == 1000.0


def test_a_remembered_time_that_can_be_is_kept() -> None:
    before = step(NEW, a_failure(Reason.AUTH), 900.0)
    restored = state.restored(JOB, before, 1000.0)
    assert restored.due == before.due == 1800.0
    assert restored.streak == before.streak


def test_a_cancelled_poll_does_not_come_sooner_than_it_was_due() -> None:
    waiting = msgspec.structs.replace(step(NEW, Unchanged(), 0.0), due=9000.0)
    assert state.poll_cancelled(JOB, waiting, 100.0).due == 9000.0
    assert state.poll_cancelled(a_job(min_interval=200.0), waiting, 8900.0).due == 9100.0


def test_a_refused_key_waits_its_interval_where_that_is_longer_than_the_pause() -> None:
    daily = a_job(interval=DAY)
    before = step(state.new_state(daily, 0.0), a_failure(Reason.AUTH), 0.0, job=daily)
    assert state.process_died(before, 1000.0).due == 1000.0 + DAY
    assert state.process_stopped(daily, before, 1000.0).due == 1000.0 + DAY


@pytest.mark.parametrize(
    ("settings", "furthest"),
    [
        ({"interval": DAY}, DAY),
        ({"interval": 300.0, "min_interval": DAY}, DAY),
        ({"interval": DAY / 2, "data_cadence": DAY / 2}, DAY),
        ({"interval": 7200.0, "data_cadence": 3600.0}, 10_800.0),
    ],
)
def test_a_healthy_job_is_due_within_its_interval_and_cadence_after_a_restart(
    settings: dict[str, Any], furthest: float
) -> None:
    job = a_job(**settings)
    before = step(state.new_state(job, 0.0), Unchanged(), 0.0, job=job)
    far = msgspec.structs.replace(before, due=100_000.0)
    assert state.restored(job, far, 0.0).due == furthest
    near = msgspec.structs.replace(before, due=furthest - 1.0)
    assert state.restored(job, near, 0.0).due == furthest - 1.0
