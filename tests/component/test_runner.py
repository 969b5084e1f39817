"""The runner, in virtual time: cadence and who is polled at once, to the second."""

import math
from collections import Counter
from collections.abc import Callable

import pytest

from exporter.model.events import PollFinished
from exporter.model.outcome import Reason, Unchanged
from exporter.model.reading import RateLimit
from exporter.model.target import Concurrency
from tests.support.schedule import (
    EPOCH,
    World,
    a_failure,
    a_job,
    close,
)

pytestmark = pytest.mark.looptime


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
    world = World(*jobs, concurrency=Concurrency(polls=10, per_host=4))
    world.took = 3.0
    await world.run(600.0)
    assert world.most["all"] == 10
    assert max(world.most[f"h{n}"] for n in range(3)) == 4
    assert max(world.most[f"b{n}"] for n in range(50)) == 1
    assert all(len(starts) > 5 for starts in world.starts.values())


async def test_limits_of_polls_at_once_can_be_changed_while_it_runs() -> None:
    jobs = [a_job(f"t{n}", budget=f"b{n}", host=f"h{n % 2}", interval=60.0) for n in range(40)]
    world = World(*jobs, concurrency=Concurrency(polls=2, per_host=1))
    world.took = 10.0
    most = []
    for at, polls in ((200.0, 10), (400.0, 3)):
        wider = Concurrency(polls=polls, per_host=polls)
        world.loop.call_at(world.loop.time() + at, lambda: most.append(world.most.pop("all")))
        world.loop.call_at(world.loop.time() + at, world.runner.limit, wider)
    await world.run(600.0)
    assert most == [2, 10]
    assert all(len(starts) > 3 for starts in world.starts.values())


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
    assert (one.cause, one.running, one.interval) == ("back-off", False, 60.0)
    assert one.wait == pytest.approx(starts[2] + 120.0 - world.loop.time() + EPOCH - world.offset)
    assert (two.failures, two.reason, two.wait, two.cause) == (0, None, 0.0, None)
    assert (one.health, two.health) == ("failing", "up")
    assert (two.calls, two.budget.key, two.budget.jobs) == (3.0, "b", 1)
    assert world.runner.statuses(["two", "nobody"]) == (two,)


async def test_targets_that_were_never_asked_are_known() -> None:
    world = World(a_job("one"), a_job("two"))
    assert not world.runner.attempted()
    assert all(math.isfinite(status.next_poll) for status in world.runner.statuses())
    assert {status.last_attempt for status in world.runner.statuses()} == {None}
    assert {status.health for status in world.runner.statuses()} == {"never_polled"}
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
    assert (status.cause, status.reason) == (why, reason)
    assert status.wait == pytest.approx(left - since)
    assert status.next_poll == pytest.approx(world.wall() + left - since)


async def test_polls_that_wait_for_the_vendor_are_not_late() -> None:
    world = World(*(a_job(f"t{n}", interval=60.0) for n in range(5)))
    world.outcomes = {f"t{n}": [a_failure(Reason.RATE_LIMITED, 500.0)] for n in range(5)}
    owed: list[float] = []
    world.loop.call_later(400.0, lambda: owed.append(world.runner.lateness()))
    await world.run(450.0)
    assert owed == [0.0]
    assert {status.budget.queued for status in world.runner.statuses()} == {4}
