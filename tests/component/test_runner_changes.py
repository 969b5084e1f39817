"""The runner over reloads and restarts, in virtual time."""

import asyncio
import itertools
from collections import Counter

import pytest

from exporter.model.events import Event, PollFinished
from exporter.model.outcome import Poll, Reason, Unchanged
from exporter.schedule.job import Job
from exporter.schedule.persistence import Snapshot
from tests.support.schedule import (
    DAY,
    EPOCH,
    World,
    a_failure,
    a_job,
    a_poll,
    close,
)

pytestmark = pytest.mark.looptime


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
            written[target] = world.runner.snapshot_of(target)

    jobs = [a_job("one"), a_job("two", budget="b")]
    world = World(*jobs, emit=write)
    world.outcomes["one"] = [a_failure(Reason.RATE_LIMITED, 1000.0)]
    await world.run(50.0)
    assert list(written["one"].budgets) == ["host#key"]
    assert written["two"].budgets == {}
    parts = written.values()
    whole = Snapshot(
        at=max(part.at for part in parts),
        states={key: state for part in parts for key, state in part.states.items()},
        budgets={key: budget for part in parts for key, budget in part.budgets.items()},
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
        task = asyncio.create_task(again.runner.run())  # noqa: TID251 - the test is its owner
        await asyncio.sleep(10.0)
        snapshot = again.runner.snapshot()  # what the ledger wrote before the process died
        task.cancel()
        await asyncio.wait([task])
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert len(starts) == 7
    assert min(gaps) >= 300.0 - 1e-6


async def test_the_start_of_a_poll_is_told_before_it_runs() -> None:
    told: list[Snapshot] = []

    def started(name: str) -> None:
        assert name not in world.starts
        told.append(world.runner.snapshot_of(name))

    world = World(a_job(), started=started)
    await world.run(5.0)
    began = world.starts["video"][0]
    (snapshot,) = told
    state = snapshot.states["video", "usage"]
    assert state.due == pytest.approx(EPOCH + began + 300.0)
    assert state.started == pytest.approx(EPOCH + began)


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
