"""The runner, in virtual time: every assertion is an exact second."""

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from exporter.model.event import (
    Event,
    PollCrashed,
    PollFinished,
    RunnerMended,
    TargetBack,
    TargetDown,
    WaitCut,
)
from exporter.model.outcome import Failure, Poll, Reason, Unchanged
from exporter.model.reading import RateLimit
from exporter.schedule.job import Job
from exporter.schedule.memory import JobMemo, Snapshot
from exporter.schedule.view import JobStatus
from tests.support.schedule import (
    DAY,
    EPOCH,
    World,
    a_failure,
    a_job,
    a_poll,
    throttling,
)

pytestmark = pytest.mark.looptime


def close(*seconds: float) -> Any:
    return pytest.approx(list(seconds), abs=1e-6)


# ------------------------------------------------------------------------------------ the cadence


async def test_a_job_is_polled_at_its_interval_after_a_first_phase() -> None:
    world = World(a_job(interval=60.0))
    await world.run(200.0)
    first, *_ = world.starts["video"]
    assert 0.0 <= first < 1.0
    assert world.gaps("video") == close(60.0, 60.0, 60.0)
    assert world.runner.attempted()


async def test_first_polls_are_spread_and_the_same_after_every_start() -> None:
    jobs = [a_job(f"t{n}", budget=f"b{n}", interval=60.0) for n in range(200)]
    starts = []
    for _ in range(2):
        world = World(*jobs)
        began = world.loop.time()
        await world.run(15.0)
        starts.append({name: times[0] - began for name, times in world.starts.items()})
    assert starts[0] == pytest.approx(starts[1], abs=1e-6)
    assert len(starts[0]) == 200
    assert 9.0 < max(starts[0].values()) <= 10.0
    per_second = Counter(int(start) for start in starts[0].values())
    assert max(per_second.values()) < 40


async def test_later_polls_spread_further_than_the_first() -> None:
    world = World(*(a_job(f"t{n}", budget=f"b{n}", interval=60.0) for n in range(200)))
    await world.run(230.0)
    last = [starts[-1] for starts in world.starts.values()]
    assert max(last) - min(last) > 50.0
    assert all(gap > 60.0 - 1e-6 for name in world.starts for gap in world.gaps(name))


async def test_every_poll_tells_its_end_and_the_next_one() -> None:
    world = World(a_job(interval=60.0))
    world.took = 2.0
    await world.run(10.0)
    (event,) = world.events
    assert isinstance(event, PollFinished)
    assert event.next_poll == pytest.approx(EPOCH + world.starts["video"][0] + 60.0)
    assert event.failures == 0
    assert event.lateness == pytest.approx(0.0, abs=1e-6)


async def test_a_poll_longer_than_its_interval_is_followed_at_once_by_the_next() -> None:
    world = World(a_job(interval=10.0))
    world.took = 25.0
    await world.run(80.0)
    assert world.gaps("video") == close(25.0, 25.0, 25.0)
    assert world.most["video"] == 1


# ---------------------------------------------------------------------------------- one at a time


async def test_collectors_of_a_target_are_polled_one_after_another() -> None:
    world = World(*(a_job(collector=name, interval=60.0) for name in "abc"), per_budget=9)
    world.took = 5.0
    await world.run(300.0)
    assert world.most["video"] == 1
    assert {name: world.most[f"video/{name}"] for name in "abc"} == {"a": 1, "b": 1, "c": 1}
    assert len(world.starts["video"]) == 15


async def test_limits_of_polls_at_once_hold() -> None:
    jobs = [
        a_job(f"t{n}", budget=f"b{n % 50}", host=f"h{n % 50 % 3}", interval=60.0) for n in range(90)
    ]
    world = World(*jobs, concurrency=10, per_host=4)
    world.took = 3.0
    await world.run(600.0)
    assert world.most["all"] == 10
    assert max(world.most[f"h{n}"] for n in range(3)) == 4
    assert max(world.most[f"b{n}"] for n in range(50)) == 1
    assert all(len(starts) > 5 for starts in world.starts.values())


async def test_a_roomy_budget_runs_two_polls_side_by_side() -> None:
    jobs = [a_job(f"t{n}", interval=60.0) for n in range(30)]
    world = World(*jobs)
    world.took = 1.0
    world.rate = RateLimit(limit=10_000.0, remaining=9_000.0, reset_at=EPOCH + 10_000.0)
    await world.run(100.0)
    assert world.most["host#key"] == 2


async def test_lateness_shows_what_the_runner_owes() -> None:
    world = World(*(a_job(f"t{n}", interval=100.0) for n in range(30)))
    world.took = 10.0
    late = []
    for at in (50.0, 100.0, 150.0):
        world.loop.call_at(world.loop.time() + at, lambda: late.append(world.runner.lateness()))
    await world.run(310.0)
    assert late == pytest.approx([48.5, 98.5, 148.5], abs=2.0)
    worst = max(event.lateness for event in world.events.of(PollFinished))
    assert worst == pytest.approx(290.0, abs=5.0)


# -------------------------------------------------------------------------------------- the waits


async def test_a_retry_after_of_two_minutes_is_kept() -> None:
    world = World(a_job(interval=60.0))
    world.outcomes["video"] = [a_failure(Reason.RATE_LIMITED, 120.0)]
    await world.run(190.0)
    assert world.gaps("video") == close(121.0, 60.0)
    (down,) = world.events.of(TargetDown)
    assert down.reason is Reason.RATE_LIMITED
    assert down.next_poll == pytest.approx(EPOCH + world.starts["video"][0] + 121.0)
    (back,) = world.events.of(TargetBack)
    assert (back.failures, back.down_for) == (1, pytest.approx(121.0))


async def test_two_targets_on_one_key_of_which_one_is_throttled_both_wait() -> None:
    world = World(a_job("one", interval=60.0), a_job("two", interval=60.0))
    world.outcomes["one"] = [Unchanged(), a_failure(Reason.RATE_LIMITED, 300.0)]
    await world.run(600.0)
    refused = world.starts["one"][1]
    starts = sorted(world.starts["one"] + world.starts["two"])
    assert [start for start in starts if refused < start < refused + 300.0 - 1e-6] == []
    assert any(start < refused for start in world.starts["two"])
    assert sum(start > refused for start in world.starts["two"]) >= 4


async def test_targets_on_other_keys_do_not_wait() -> None:
    world = World(a_job("one", interval=60.0), a_job("two", interval=60.0, budget="host#other"))
    world.outcomes["one"] = [a_failure(Reason.RATE_LIMITED, 300.0)]
    await world.run(290.0)
    assert (len(world.starts["one"]), len(world.starts["two"])) == (1, 5)


async def test_a_wait_that_is_cut_is_told() -> None:
    world = World(a_job(throttling=throttling(max_wait=600.0)))
    world.outcomes["video"] = [a_failure(Reason.RATE_LIMITED, 1e9)]
    await world.run(700.0)
    (cut,) = world.events.of(WaitCut)
    assert (cut.asked, cut.applied) == (1e9, 600.0)
    assert world.gaps("video") == close(600.0)


async def test_a_poll_under_way_is_called_off_when_its_budget_must_wait() -> None:
    world = World(a_job("one", interval=60.0), a_job("two", interval=60.0))
    world.rate = RateLimit(limit=1000.0, remaining=900.0, reset_at=EPOCH + 9_000.0)
    await world.run(5.0)  # now the budget is known to be roomy

    async def long(job: Job) -> Poll:
        await asyncio.sleep(15.0)
        pages.append(world.loop.time())
        return a_poll(job, Unchanged())

    async def refused(job: Job) -> Poll:
        await asyncio.sleep(3.0)
        return a_poll(job, a_failure(Reason.RATE_LIMITED, 500.0))

    pages: list[float] = []
    first, second = sorted(world.starts, key=lambda name: world.starts[name][0])
    world.answers = {first: long, second: refused}
    await world.run(200.0)
    assert pages == []
    assert len(world.starts[first]) == len(world.starts[second]) == 2
    world.answers = {}
    await world.run(500.0)
    assert world.starts[first][2] >= world.starts[second][1] + 503.0
    assert [event.failures for event in world.finished(first)][:2] == [0, 0]


async def test_polls_keep_to_the_declared_rate_less_the_reserve() -> None:
    rule = throttling(rate=0.5, burst=1)
    world = World(*(a_job(f"t{n}", throttling=rule, interval=60.0) for n in range(10)))
    await world.run(300.0)
    starts = sorted(start for starts in world.starts.values() for start in starts)
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert min(gaps) >= 2.5 - 1e-6


async def test_pages_count_against_the_declared_rate() -> None:
    rule = throttling(rate=1.0, burst=1)
    world = World(*(a_job(f"t{n}", throttling=rule, reserve=0.0) for n in range(4)))
    world.requests = 10
    await world.run(3000.0)
    assert sum(map(len, world.starts.values())) == pytest.approx(4 * 10, abs=3)
    starts = sorted(start for starts in world.starts.values() for start in starts)
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert min(gaps) >= 10.0 - 1e-6


async def test_polls_slow_down_near_the_reserve_and_the_status_says_so() -> None:
    world = World(*(a_job(f"t{n}", interval=10.0) for n in range(2)))
    world.rate = RateLimit(limit=100.0, remaining=30.0, reset_at=EPOCH + 1000.0)
    seen: list[JobStatus] = []

    async def counted(job: Job) -> Poll:
        assert world.rate is not None
        left = (world.rate.remaining or 0.0) - 1.0
        world.rate = RateLimit(limit=100.0, remaining=left, reset_at=EPOCH + 1000.0)
        return a_poll(job, Unchanged(), rate=world.rate)

    world.answers = {"t0": counted, "t1": counted}
    world.loop.call_later(50.0, lambda: seen.extend(world.runner.statuses()))
    await world.run(999.0)
    assert world.rate is not None
    assert world.rate.remaining == pytest.approx(20.0, abs=1.0)
    assert (world.rate.remaining or 0.0) >= 20.0
    assert {status.why for status in seen} == {"paced until the reset"}
    assert all(0.0 < status.wait <= 101.0 for status in seen)
    rate = seen[0].budget.rate
    assert rate is not None
    assert rate.limit == 100.0
    assert rate.remaining == pytest.approx(28.0, abs=2.0)
    assert rate.reset_at == pytest.approx(EPOCH + 1000.0)


async def test_a_clock_that_jumps_changes_no_wait() -> None:
    world = World(a_job(interval=60.0))
    world.outcomes["video"] = [a_failure(Reason.RATE_LIMITED, 300.0)]
    for at, jump in ((20.0, 3600.0), (100.0, -7200.0), (200.0, 3600.0)):
        world.loop.call_later(at, world.jump, jump)
    await world.run(420.0)
    assert world.gaps("video") == close(301.0, 60.0)


# -------------------------------------------------------------------------------- refused, failed


async def test_a_new_secret_is_used_at_once() -> None:
    world = World(*(a_job(f"t{n}", interval=300.0) for n in range(3)))
    for n in range(3):
        world.outcomes[f"t{n}"] = [a_failure(Reason.AUTH)]

    def rotate() -> None:
        world.outcomes.clear()
        for n in range(3):
            world.runner.wake(f"t{n}")

    world.loop.call_at(world.loop.time() + 500.0, rotate)
    await world.run(510.0)
    assert {round(starts[-1]) for starts in world.starts.values()} == {500}
    statuses = world.runner.statuses()
    assert {status.reason for status in statuses} == {None}


async def test_a_new_secret_does_not_break_a_wait_for_throttling() -> None:
    world = World(a_job())
    world.outcomes["video"] = [a_failure(Reason.RATE_LIMITED, 1000.0)]
    world.loop.call_later(500.0, world.runner.wake, "video")
    world.loop.call_later(501.0, world.runner.wake, "no such target")
    await world.run(1010.0)
    assert world.gaps("video") == close(1001.0)


async def test_a_secret_that_changes_during_a_poll_is_tried_after_it() -> None:
    world = World(a_job())
    world.took = 10.0
    world.outcomes["video"] = [a_failure(Reason.AUTH)]
    world.loop.call_later(5.0, world.runner.wake, "video")
    await world.run(30.0)
    assert world.gaps("video") == close(10.0)


async def test_failures_back_off_and_recover() -> None:
    world = World(a_job(interval=60.0))
    world.outcomes["video"] = [a_failure(Reason.HTTP_5XX)] * 3
    await world.run(600.0)
    assert world.gaps("video") == close(60.0, 120.0, 240.0, 60.0, 60.0)
    assert [event.failures for event in world.finished("video")] == [1, 2, 3, 0, 0, 0]
    assert len(world.events.of(TargetDown)) == 1
    assert len(world.events.of(TargetBack)) == 1


# ------------------------------------------------------------------------------- nothing stops it


async def test_a_poll_that_hangs_ends_at_its_deadline() -> None:
    async def hang(job: Job) -> Poll:
        await asyncio.sleep(1e6)
        raise AssertionError

    world = World(a_job(interval=60.0, timeout=30.0))
    world.answers["video"] = hang
    await world.run(100.0)
    assert world.gaps("video") == close(90.0)  # 30 s of hanging, then the back-off of 60 s
    event = world.finished("video")[0]
    assert isinstance(event.poll.outcome, Failure)
    assert event.poll.outcome.reason is Reason.TIMEOUT
    assert event.poll.outcome.detail == "no complete answer within 30 s"
    assert event.poll.seconds == pytest.approx(30.0)
    assert world.events.of(PollCrashed) == []


class Catastrophe(BaseException):
    pass


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError("token=abc"), "ValueError"),
        (Catastrophe("token=abc"), "Catastrophe"),
        (SystemExit(3), "SystemExit"),
        (TimeoutError("token=abc"), "TimeoutError"),
        (MemoryError(), "MemoryError"),
    ],
)
async def test_a_poll_that_raises_anything_is_told_and_comes_again(
    error: BaseException, name: str
) -> None:
    async def burst(job: Job) -> Poll:
        raise error

    world = World(a_job(interval=60.0))
    world.answers["video"] = burst
    await world.run(70.0)
    assert len(world.starts["video"]) == 2
    crashed = world.events.of(PollCrashed)
    assert len(crashed) == 2
    assert crashed[0].error.startswith(f"{name} in ")
    assert "burst (test_runner.py:" in crashed[0].error
    outcome = world.finished("video")[0].poll.outcome
    assert isinstance(outcome, Failure)
    assert outcome.reason is Reason.INTERNAL
    assert "abc" not in str(world.events)


async def test_a_poll_that_cancels_itself_is_told_and_comes_again() -> None:
    async def give_up(job: Job) -> Poll:
        raise asyncio.CancelledError

    async def cancelled(job: Job) -> Poll:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1.0)
        raise AssertionError

    world = World(a_job("one", interval=60.0), a_job("two", interval=60.0, budget="b"))
    world.answers = {"one": give_up, "two": cancelled}
    await world.run(70.0)
    assert len(world.starts["one"]) == len(world.starts["two"]) == 2
    assert {event.error for event in world.events.of(PollCrashed)} == {
        "a poll was cancelled by somebody else"
    }


async def test_a_poll_that_returns_nonsense_is_told_and_comes_again() -> None:
    async def nothing(job: Job) -> None:
        return None

    world = World(a_job(interval=60.0))
    world.answers["video"] = nothing
    await world.run(70.0)
    assert world.events.of(PollCrashed)[0].error == "a poll returned NoneType"
    assert len(world.starts["video"]) == 2


async def test_a_poll_that_will_not_end_is_told_and_cancelled_again() -> None:
    async def deaf(job: Job) -> Poll:
        try:
            await asyncio.sleep(1e6)
        except asyncio.CancelledError:
            await asyncio.sleep(1e6)
        raise AssertionError

    world = World(a_job(interval=60.0, timeout=30.0))
    world.answers["video"] = deaf
    await world.run(80.0)
    errors = [event.error for event in world.events.of(PollCrashed)]
    assert errors == ["a poll went on after its deadline", "a poll was cancelled by somebody else"]


async def test_a_listener_that_raises_stops_nothing_and_is_reported() -> None:
    def deaf(event: Event) -> None:
        raise ValueError("token=abc")

    reports: list[dict[str, Any]] = []
    world = World(a_job(interval=60.0), emit=deaf)
    world.loop.set_exception_handler(lambda _, context: reports.append(context))
    await world.run(70.0)
    assert len(world.starts["video"]) == 2
    assert reports[0]["message"].startswith("a listener of the poll loop failed: ValueError in ")
    assert "abc" not in str(reports)


async def test_dice_that_break_the_runner_itself_do_not_stop_it() -> None:
    rolls = itertools.chain([0.0, None], itertools.repeat(0.0))

    def dice() -> float:
        return next(rolls)  # type: ignore[return-value]

    world = World(a_job(interval=60.0), dice=dice)
    world.outcomes["video"] = [a_failure(Reason.TIMEOUT)] * 2
    await world.run(200.0)
    (mended,) = world.events.of(RunnerMended)
    assert mended.times == 1
    assert mended.error.startswith("TypeError in ")
    assert len(world.starts["video"]) == 4


async def test_a_timer_that_was_lost_is_noticed() -> None:
    world = World(a_job(interval=60.0))

    def lose() -> None:
        timer = world.runner._timer
        assert timer is not None
        timer.cancel()
        world.runner._timer = None

    world.loop.call_later(30.0, lose)
    await world.run(100.0)
    assert [event.error for event in world.events.of(RunnerMended)] == [
        "the timer of the poll loop was lost"
    ]
    assert len(world.starts["video"]) == 2


async def test_a_runner_stops_at_once_and_takes_its_polls_along() -> None:
    ended = []

    async def hang(job: Job) -> Poll:
        try:
            await asyncio.sleep(1e6)
        finally:
            ended.append(job.target)
        raise AssertionError

    world = World(*(a_job(f"t{n}", budget=f"b{n}") for n in range(5)))
    world.answers = {f"t{n}": hang for n in range(5)}
    began = world.loop.time()
    await world.run(20.0)
    assert world.loop.time() - began == pytest.approx(20.0)
    assert len(ended) == 5
    assert world.events == []


async def test_a_runner_runs_once_at_a_time_and_may_run_again() -> None:
    world = World(a_job(interval=60.0))
    task = asyncio.create_task(world.runner.run())  # noqa: TID251 the test is its owner
    await asyncio.sleep(5.0)
    with pytest.raises(RuntimeError, match="runs already"):
        await world.runner.run()
    task.cancel()
    await asyncio.wait([task])
    await world.run(70.0)
    assert world.gaps("video") == close(60.0)


# ------------------------------------------------------------------------------------- the reload


async def test_a_swap_keeps_the_timers_of_unchanged_jobs() -> None:
    world = World(a_job("one", interval=60.0))
    again = [a_job("one", interval=60.0), a_job("two", interval=60.0)]
    for at in range(5, 200, 5):
        world.loop.call_later(float(at), world.runner.swap, again)
    await world.run(200.0)
    assert world.gaps("one") == close(60.0, 60.0, 60.0)
    assert len(world.starts["two"]) == 4


async def test_a_removed_target_vanishes_with_its_running_poll() -> None:
    world = World(a_job("one"), a_job("two", budget="b"))
    world.took = 10.0
    world.loop.call_later(5.0, world.runner.swap, [a_job("two", budget="b")])
    await world.run(700.0)
    assert len(world.starts["one"]) == 1
    assert world.finished("one") == []
    assert {status.target for status in world.runner.statuses()} == {"two"}


async def test_what_a_removed_poll_brings_nevertheless_is_dropped_but_its_wait_counts() -> None:
    async def stubborn(job: Job) -> Poll:
        try:
            await asyncio.sleep(10.0)
        except asyncio.CancelledError:
            await asyncio.sleep(1.0)
        return a_poll(job, a_failure(Reason.RATE_LIMITED, 400.0))

    world = World(a_job("one"))
    world.answers["one"] = stubborn
    world.loop.call_later(5.0, world.runner.swap, [a_job("two")])
    await world.run(500.0)
    assert world.finished("one") == []
    assert world.starts["two"][0] == pytest.approx(406.0, abs=1.0)


async def test_who_leaves_the_config_and_comes_again_has_not_won_a_poll() -> None:
    job = a_job()
    world = World(job)
    world.outcomes["video"] = [Unchanged(), a_failure(Reason.RATE_LIMITED, 2000.0)]
    for at in (100.0, 400.0):
        world.loop.call_later(at, world.runner.swap, [])
        world.loop.call_later(at + 10.0, world.runner.swap, [])
        world.loop.call_later(at + 20.0, world.runner.swap, [job])
    await world.run(2500.0)
    assert world.gaps("video")[:2] == close(300.0, 2001.0)


async def test_a_target_that_was_changed_begins_anew_but_not_below_the_minimum() -> None:
    job = a_job(min_interval=100.0)
    world = World(job)
    world.outcomes["video"] = [a_failure(Reason.SCHEMA)] * 2
    world.loop.call_later(20.0, lambda: world.runner.swap([job], changed={"video"}))
    await world.run(150.0)
    assert world.gaps("video") == [pytest.approx(100.0, abs=1.0)]
    assert [event.failures for event in world.finished("video")] == [1, 2]


async def test_the_old_poll_of_a_changed_target_ends_before_the_new_one_starts() -> None:
    async def slow_to_end(job: Job) -> Poll:
        try:
            await asyncio.sleep(20.0)
        except asyncio.CancelledError:
            await asyncio.sleep(7.0)
            raise
        raise AssertionError

    world = World(a_job())
    world.answers["video"] = slow_to_end
    world.loop.call_later(5.0, lambda: world.runner.swap([a_job()], changed={"video"}))
    await world.run(15.0)
    assert world.most["video"] == 1
    assert len(world.starts["video"]) == 2


async def test_a_new_interval_counts_from_the_last_poll() -> None:
    world = World(a_job(interval=300.0))
    world.loop.call_later(100.0, world.runner.swap, [a_job(interval=150.0)])
    await world.run(320.0)
    assert world.gaps("video") == close(150.0, 150.0)


async def test_a_target_with_a_new_key_begins_anew_and_free_of_old_waits() -> None:
    world = World(a_job())
    world.outcomes["video"] = [a_failure(Reason.RATE_LIMITED, 4000.0)]
    world.loop.call_later(100.0, world.runner.swap, [a_job(budget="host#new")])
    await world.run(110.0)
    assert world.gaps("video") == [pytest.approx(100.0, abs=1.0)]


async def test_a_bad_list_of_jobs_changes_nothing() -> None:
    world = World(a_job())
    with pytest.raises(ValueError, match='target "video" has two jobs of its collector "usage"'):
        world.runner.swap([a_job(), a_job(interval=5.0)])
    assert [status.interval for status in world.runner.statuses()] == [300.0]


# ------------------------------------------------------------------------------------ the restart


async def restarted(world: World, snapshot: Snapshot, *jobs: Job) -> World:
    again = World()
    again.offset = world.offset
    again.runner.restore(snapshot)
    again.runner.swap(jobs)
    return again


async def test_after_a_restart_no_poll_comes_earlier_than_it_would_have() -> None:
    jobs = [a_job(f"t{n}", interval=300.0) for n in range(20)]
    world = World(*jobs)
    await world.run(100.0)
    snapshot = world.runner.snapshot()
    await asyncio.sleep(50.0)
    again = await restarted(world, snapshot, *jobs)
    assert again.runner.attempted()
    await again.run(400.0)
    for name, starts in again.starts.items():
        assert starts[0] >= world.starts[name][0] + 300.0 - 1e-6


async def test_after_a_restart_a_retry_after_is_still_honoured() -> None:
    jobs = [a_job("one"), a_job("two")]
    world = World(*jobs)
    world.outcomes["one"] = world.outcomes["two"] = [a_failure(Reason.RATE_LIMITED, 1000.0)]
    await world.run(50.0)
    assert sum(map(len, world.starts.values())) == 1
    refused = min(start for starts in world.starts.values() for start in starts)
    again = await restarted(world, world.runner.snapshot(), *jobs)
    await again.run(2000.0)
    assert min(start for starts in again.starts.values() for start in starts) >= refused + 1000.0


async def test_what_one_poll_changed_can_be_written_down_at_once() -> None:
    written: dict[str, Snapshot] = {}

    def write(event: Event) -> None:
        if isinstance(event, PollFinished):
            target = event.poll.target
            written[target] = world.runner.snapshot([target])

    jobs = [a_job("one"), a_job("two", budget="b")]
    world = World(*jobs, emit=write)
    world.outcomes["one"] = [a_failure(Reason.RATE_LIMITED, 1000.0)]
    await world.run(50.0)
    assert [memo.key for memo in written["one"].budgets] == ["host#key"]
    assert written["two"].budgets == ()
    parts = written.values()
    whole = Snapshot(
        at=max(part.at for part in parts),
        jobs=tuple(memo for part in parts for memo in part.jobs),
        budgets=tuple(memo for part in parts for memo in part.budgets),
    )
    again = await restarted(world, whole, *jobs)
    await again.run(1100.0)
    assert again.starts["one"][0] >= world.starts["one"][0] + 1000.0
    assert again.starts["two"][0] == pytest.approx(world.starts["two"][0] + 300.0)


async def test_a_crash_loop_cannot_poll_more_often_than_the_interval() -> None:
    job = a_job(interval=300.0)
    starts: list[float] = []
    snapshot: Snapshot | None = None

    async def die(job: Job) -> Poll:
        starts.append(asyncio.get_running_loop().time())
        await asyncio.sleep(1e6)
        raise AssertionError

    world = World()
    for _ in range(200):
        again = World()
        again.offset = world.offset
        again.answers["video"] = die
        if snapshot is not None:
            again.runner.restore(snapshot)
        again.runner.swap([job])
        task = asyncio.create_task(again.runner.run())  # noqa: TID251 the test is its owner
        await asyncio.sleep(10.0)
        snapshot = again.runner.snapshot()  # what the ledger wrote before the process died
        task.cancel()
        await asyncio.wait([task])
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert len(starts) == 7
    assert min(gaps) >= 300.0 - 1e-6


async def test_the_start_of_a_poll_is_told_before_it_runs() -> None:
    told: list[JobMemo] = []
    world = World(a_job(), started=told.append)
    await world.run(5.0)
    began = world.starts["video"][0]
    (memo,) = told
    assert (memo.target, memo.collector) == ("video", "usage")
    assert memo.due == pytest.approx(EPOCH + began + 300.0)
    assert memo.started == pytest.approx(EPOCH + began)


async def test_after_a_long_sleep_overdue_polls_are_spread() -> None:
    jobs = [a_job(f"t{n}", budget=f"b{n}", interval=300.0) for n in range(200)]
    world = World(*jobs)
    await world.run(100.0)
    snapshot = world.runner.snapshot()
    await asyncio.sleep(5000.0)
    again = await restarted(world, snapshot, *jobs)
    began = again.loop.time()
    await again.run(15.0)
    firsts = [starts[0] - began for starts in again.starts.values()]
    assert len(firsts) == 200
    assert max(Counter(int(first) for first in firsts).values()) < 40


async def test_a_clock_that_was_wrong_before_the_restart_stops_no_target_for_ever() -> None:
    world = World(a_job())
    world.offset += 365 * DAY
    await world.run(100.0)
    snapshot = world.runner.snapshot()
    again = World()
    again.runner.restore(snapshot)
    again.runner.swap([a_job()])
    await again.run(310.0)
    assert again.starts["video"][0] == pytest.approx(world.starts["video"][0] + 300.0)


# ------------------------------------------------------------------------------------- the timers


async def test_a_timer_calls_back_at_its_time_unless_it_is_cancelled() -> None:
    world = World()
    calls: list[tuple[str, float]] = []

    def call(name: str) -> Callable[[], None]:
        return lambda: calls.append((name, world.loop.time() + world.offset))

    world.runner.at(EPOCH + 50.0, call("a"))
    cancelled = world.runner.at(EPOCH + 60.0, call("b"))
    world.runner.at(EPOCH - 10.0, call("past"))
    world.loop.call_later(55.0, cancelled.cancel)
    world.loop.call_later(70.0, lambda: world.runner.at(EPOCH + 80.0, call("c")))
    await world.run(100.0)
    cancelled.cancel()
    assert [name for name, _ in calls] == ["past", "a", "c"]
    assert [at for name, at in calls if name != "past"] == close(EPOCH + 50.0, EPOCH + 80.0)


async def test_a_timer_that_raises_stops_nothing() -> None:
    world = World(a_job(interval=60.0))
    world.loop.set_exception_handler(lambda _, context: None)
    world.runner.at(EPOCH + 50.0, lambda: 1 / 0)
    await world.run(70.0)
    assert len(world.starts["video"]) == 2


# ------------------------------------------------------------------------------------- the status


async def test_the_status_of_a_job_tells_what_people_ask() -> None:
    world = World(a_job("one", interval=60.0), a_job("two", budget="b", interval=60.0))
    world.outcomes["one"] = [Unchanged(), a_failure(Reason.CONNECT), a_failure(Reason.CONNECT)]
    world.requests = 3
    await world.run(150.0)
    one, two = world.runner.statuses()
    assert (one.target, one.provider, one.collector) == ("one", "example", "usage")
    assert (one.failures, one.reason, one.detail) == (2, Reason.CONNECT, "it was connect")
    starts = world.starts["one"]
    assert one.failing_since == pytest.approx(EPOCH + starts[1])
    assert one.last_success == pytest.approx(EPOCH + starts[0])
    assert one.last_attempt == pytest.approx(EPOCH + starts[2])
    assert one.next_poll == pytest.approx(EPOCH + starts[2] + 120.0)
    assert (one.why, one.running, one.interval) == ("back-off", False, 60.0)
    assert one.wait == pytest.approx(starts[2] + 120.0 - world.loop.time() + EPOCH - world.offset)
    assert (two.failures, two.reason, two.wait, two.why) == (0, None, 0.0, "")
    assert (two.calls, two.budget.key, two.budget.jobs) == (3.0, "b", 1)
    assert world.runner.statuses(["two", "nobody"]) == (two,)


async def test_targets_that_were_never_asked_are_known() -> None:
    world = World(a_job("one"), a_job("two"))
    assert not world.runner.attempted()
    assert all(math.isfinite(status.next_poll) for status in world.runner.statuses())
    assert {status.last_attempt for status in world.runner.statuses()} == {None}
    await world.run(5.0)
    assert world.runner.attempted()


@pytest.mark.parametrize(
    ("reason", "wait", "why", "left"),
    [
        (Reason.AUTH, None, "credential refused", 900.0),
        (Reason.FORBIDDEN, None, "permission refused", 900.0),
        (Reason.HTTP_5XX, None, "back-off", 300.0),
        (Reason.RATE_LIMITED, 1000.0, "throttled", 1001.0),
        (Reason.QUOTA_EXHAUSTED, 5000.0, "quota exhausted", 5001.0),
    ],
)
async def test_the_status_says_what_is_left_of_a_wait_and_why(
    reason: Reason, wait: float | None, why: str, left: float
) -> None:
    world = World(a_job())
    world.outcomes["video"] = [a_failure(reason, wait)]
    await world.run(5.0)
    (status,) = world.runner.statuses()
    since = world.loop.time() - world.starts["video"][0]
    assert (status.why, status.reason) == (why, reason)
    assert status.wait == pytest.approx(left - since)
    assert status.next_poll == pytest.approx(world.wall() + left - since)


async def test_lanes_that_wait_for_the_vendor_owe_nothing() -> None:
    world = World(*(a_job(f"t{n}", interval=60.0) for n in range(5)))
    world.outcomes = {f"t{n}": [a_failure(Reason.RATE_LIMITED, 500.0)] for n in range(5)}
    owed: list[float] = []
    world.loop.call_later(400.0, lambda: owed.append(world.runner.lateness()))
    await world.run(450.0)
    assert owed == [0.0]
    assert {status.budget.queued for status in world.runner.statuses()} == {4}
