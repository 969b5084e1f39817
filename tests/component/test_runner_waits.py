"""The runner waits: throttled, refused, failed. In virtual time, to the second."""

import asyncio
import itertools

import pytest

from exporter.model.events import TargetBack, TargetDown, WaitCut
from exporter.model.outcome import Poll, Reason, Unchanged
from exporter.model.reading import RateLimit
from exporter.schedule.job import Job
from exporter.schedule.status import JobStatus
from tests.support.schedule import (
    EPOCH,
    World,
    a_failure,
    a_job,
    a_poll,
    close,
    throttling,
)

pytestmark = pytest.mark.looptime


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
    assert {status.cause for status in seen} == {"paced until the reset"}
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
