"""The pure steps of the schedule, whatever they are told."""

import math

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.model.health import WaitCause
from exporter.model.outcome import Failure, Reason, Unchanged
from exporter.model.reading import RateLimit
from exporter.schedule import budget, state
from exporter.schedule.budget import (
    NOTHING_KNOWN,
    RESET_MARGIN,
    Budget,
    Window,
    hold,
    poll_ended,
    poll_started,
)
from exporter.schedule.job import BudgetLimits
from exporter.schedule.persistence import read_schedule, recalled, schedule_rows, snapshot
from exporter.schedule.state import JITTER, Clocks, FailureStreak, JobState, PollEnd, backoff
from tests.support.schedule import EPOCH, a_job, a_poll

failures = st.integers(0, 10**9)
chances = st.floats(0.0, 1.0, exclude_max=True)
seconds = st.floats(0.0, 1e6)
floors = st.floats()  # whatever a vendor says: negative, infinite, not a number
bases = st.floats(0.001, 1e4)
caps = st.floats(0.001, 1e6)
paces = st.fixed_dictionaries({"base": bases, "cap": caps})
reasons = st.sampled_from(Reason)


# --------------------------------------------------------------------------------------- back-off


@given(failures, chances, floors, bases, caps)
@example(100_000, 0.5, 0.0, 1.0, 3600.0)
@example(1, 0.0, math.inf, 1.0, 3600.0)
def test_a_back_off_lies_between_its_floor_and_its_cap(
    count: int, chance: float, floor: float, base: float, cap: float
) -> None:
    wait = backoff(count, chance, floor=floor, base=base, cap=cap)
    assert 0.0 <= wait <= cap
    assert wait >= min(cap / (1.0 + JITTER), base)
    if floor > 0.0:
        assert wait >= min(floor, cap)


@given(failures, chances, seconds, seconds, paces)
def test_a_higher_floor_never_means_a_shorter_wait(
    count: int, chance: float, floor: float, more: float, pace: dict[str, float]
) -> None:
    lower = backoff(count, chance, floor=floor, **pace)
    assert backoff(count, chance, floor=floor + more, **pace) >= lower


@given(failures, chances, floors, paces)
def test_another_failure_never_means_a_shorter_wait(
    count: int, chance: float, floor: float, pace: dict[str, float]
) -> None:
    before = backoff(count, chance, floor=floor, **pace)
    assert backoff(count + 1, chance, floor=floor, **pace) >= before


# ---------------------------------------------------------------------------------------- cadence


@given(
    st.floats(1.0, 1e6),
    st.floats(0.0, 1e6),
    st.none() | st.floats(0.0, 1e6),
    st.none() | st.floats(0.0, 100.0),
)
def test_no_pressure_undercuts_the_minimum_or_exceeds_the_interval(
    interval: float, minimum: float, data_cadence: float | None, ratio: float | None
) -> None:
    job = a_job(interval=interval, min_interval=minimum, data_cadence=data_cadence, adaptive=True)
    pace_cause = state.paced_interval(job, ratio)
    assert minimum <= pace_cause <= max(interval, minimum)


@given(st.integers(1, 100), st.sampled_from([60.0, 900.0, 3600.0, 86_400.0]), st.floats(0, 4e9))
def test_alignment_moves_a_poll_later_by_less_than_a_cadence(
    times: int, data_cadence: float, due: float
) -> None:
    job = a_job(interval=times * data_cadence, data_cadence=data_cadence)
    aligned = state.aligned(job, due)
    assert due <= aligned < due + data_cadence
    assert state.aligned(job, aligned) == aligned


# ----------------------------------------------------------------------------------- one job's step


@given(
    st.builds(Failure, reason=reasons, detail=st.just(""), wait=st.none() | floors),
    failures,
    chances,
    st.tuples(st.floats(1.0, 1e6), st.floats(0.0, 1e6)),
    st.floats(0.0, 600.0),
)
def test_no_failure_brings_the_next_poll_before_the_minimum_or_the_told_wait(
    outcome: Failure, count: int, chance: float, paces: tuple[float, float], took: float
) -> None:
    minimum, wait = min(paces), outcome.wait
    job = a_job(interval=max(paces), min_interval=minimum)
    streak = FailureStreak(reason=outcome.reason, detail="", since=0.0, failures=count, alike=count)
    before = msgspec.structs.replace(state.new_state(job, 0.0), streak=streak if count else None)
    end = PollEnd(now=took, wall=EPOCH + took, started=0.0, chance=chance)
    poll = a_poll(job, outcome)
    after, _ = budget.poll_ended(
        budget.NOTHING_KNOWN, BudgetLimits(), poll, end, cost=1.0, spent=1.0
    )
    stepped, _ = state.poll_ended(job, before, poll, end, budget_wait=after.until)
    due = max(stepped.due, after.until)
    assert due >= minimum
    assert due <= took + max(job.interval, 86_400.0) * (1.0 + JITTER)
    if wait is not None and wait > 0.0:
        assert due >= took + min(wait, 86_400.0)
    assert stepped.failures == count + 1


# ------------------------------------------------------------------------------------- the budget


polls = st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(1, 5)), min_size=1, max_size=40)


@given(st.floats(0.01, 10.0), st.integers(1, 20), polls)
def test_no_span_of_time_holds_more_requests_than_the_declared_rate_allows(
    rate: float, burst: int, polls: list[tuple[float, int]]
) -> None:
    limits = BudgetLimits(rate=rate, burst=float(burst))
    budget, now, made = NOTHING_KNOWN, 0.0, [(0.0, 0)]
    for pause, cost in polls:
        now += pause
        held = hold(budget, limits, now, cost=cost, in_flight=0.0)
        if held is not None:
            assert held.until > now
            now = held.until
            assert hold(budget, limits, now, cost=cost, in_flight=0.0) is None
        budget = poll_started(budget, limits, now, cost=cost, in_flight=0.0, demand=1.0)
        made.append((now, cost))
    dearest = max(cost for _, cost in polls)
    for first in range(len(made)):
        total = 0
        for at, cost in made[first:]:
            total += cost
            span = at - made[first][0]
            # A poll dearer than the burst may run ahead of the rate once, and pays for it.
            assert total <= rate * span + max(burst, dearest) + dearest * (dearest > burst) + 1e-6


@given(
    st.integers(1, 200),
    st.floats(0.0, 1.0),
    st.floats(0.0, 2.0),
    st.lists(st.tuples(st.floats(0.0, 20.0), st.integers(0, 3)), max_size=80),
)
def test_the_reserve_is_never_touched_by_our_doing(
    limit: int, reserve: float, demand: float, turns: list[tuple[float, int]]
) -> None:
    limits = BudgetLimits(reserve=reserve)
    kept = min(math.floor(reserve * limit), limit - 1)
    remaining, reset, now = limit, 600.0, 0.0
    budget = NOTHING_KNOWN
    for pause, others in turns:
        now += pause
        held = hold(budget, limits, now, cost=1.0, in_flight=0.0)
        if held is not None:
            now = held.until
            assert now <= reset + RESET_MARGIN + 1e-6
        if now >= reset:
            remaining, reset = limit, reset + 600.0
        if held is not None and hold(budget, limits, now, cost=1.0, in_flight=0.0):
            continue
        if budget.window is not None:
            assert remaining - 1 >= kept
        budget = poll_started(budget, limits, now, cost=1.0, in_flight=0.0, demand=demand)
        remaining = max(0, remaining - 1 - others)  # the answer tells of the others' requests
        rate = RateLimit(limit=limit, remaining=remaining, reset_at=EPOCH + reset)
        end = PollEnd(now=now, wall=EPOCH + now, started=now)
        poll = a_poll(a_job(), Unchanged(), rate=rate)
        budget, _ = poll_ended(budget, limits, poll, end, cost=1.0, spent=1.0)


numbers = st.none() | floors
rates = st.none() | st.builds(
    RateLimit, limit=numbers, remaining=numbers, reset_at=numbers, wait=numbers
)
outcomes = st.just(Unchanged()) | st.builds(
    Failure, reason=reasons, detail=st.just(""), wait=numbers
)


@given(st.lists(st.tuples(outcomes, rates, st.floats(0.0, 1e4)), max_size=20), chances)
def test_whatever_a_vendor_says_polls_go_on_within_a_day(
    answers: list[tuple[Failure | Unchanged, RateLimit | None, float]], chance: float
) -> None:
    limits = BudgetLimits(rate=1.0, burst=2.0)
    budget, now = NOTHING_KNOWN, 0.0
    for outcome, rate, took in answers:
        held = hold(budget, limits, now, cost=1.0, in_flight=0.0)
        steps = 0
        while held is not None:
            assert now < held.until <= now + 86_401.0
            now, steps = held.until, steps + 1
            assert steps < 10
            held = hold(budget, limits, now, cost=1.0, in_flight=0.0)
        budget = poll_started(budget, limits, now, cost=1.0, in_flight=0.0, demand=0.01)
        now += took
        end = PollEnd(now=now, wall=EPOCH + now, started=now, chance=chance)
        poll = a_poll(a_job(), outcome, rate=rate)
        budget, _ = poll_ended(budget, limits, poll, end, cost=1.0, spent=2.0)


# ------------------------------------------------------------------------------------- the restart


times = st.integers(0, 10**9).map(lambda milliseconds: milliseconds / 1000.0)
streaks = st.builds(
    FailureStreak,
    reason=reasons,
    detail=st.text(max_size=9),
    since=times,
    failures=st.integers(1, 99),
    alike=st.integers(1, 99),
)
states = st.builds(
    JobState,
    due=times,
    interval=st.just(0.0),
    started=times,
    streak=st.none() | streaks,
    last_success=st.none() | times,
    calls=st.floats(1.0, 99.0),
    period_end=st.none() | times,
)
windows = st.builds(
    Window, limit=st.none() | times, remaining=times, reset=st.none() | times, seen_at=times
)
all_budgets = st.builds(
    Budget,
    until=times | st.just(-math.inf),
    cause=st.none() | st.sampled_from(WaitCause),
    throttlings=st.integers(0, 99),
    rejections=st.integers(0, 99),
    tokens=st.none() | st.floats(-99.0, 99.0),
    tokens_at=times,
    window=st.none() | windows,
    next_start=times | st.just(-math.inf),
    recovery_end=times | st.just(-math.inf),
)


def rounded(thing: object) -> object:
    """Return the values of `thing` with times to the millisecond."""
    if isinstance(thing, msgspec.Struct):
        return {name: rounded(getattr(thing, name)) for name in thing.__struct_fields__}
    return round(thing, 3) if isinstance(thing, float) and math.isfinite(thing) else thing


@given(states, all_budgets, times, times)
def test_what_is_remembered_is_what_was(
    kept: JobState, budget: Budget, now: float, passed: float
) -> None:
    rows = schedule_rows(snapshot({("a", "b"): kept}, {"c": budget}, Clocks(now=now, wall=EPOCH)))
    written, useless = read_schedule(rows, EPOCH)
    assert useless == ()
    again = recalled(written, Clocks(now=now + passed, wall=EPOCH + passed))
    assert rounded(again.states["a", "b"]) == rounded(kept)
    found = again.budgets.get("c", NOTHING_KNOWN)
    assert rounded(found) == rounded(budget)
