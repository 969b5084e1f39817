"""Nothing stops the runner: polls and listeners that do what they should not."""

import asyncio
import itertools
import re
from typing import Any

import pytest

from exporter.model.events import Event, PollCrashed, RunnerRecovered
from exporter.model.outcome import Failure, Poll, Reason, Unchanged
from exporter.schedule.job import Job
from tests.support.schedule import (
    World,
    a_failure,
    a_job,
    a_poll,
    close,
)

pytestmark = pytest.mark.looptime


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
    assert re.search(r" in \S*burst \(\S*test_runner_guards\.py:\d+\)", crashed[0].error)
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


async def test_a_poll_that_cannot_be_ended_is_given_up_and_comes_again() -> None:
    freed = asyncio.Event()

    async def undead(job: Job) -> Poll:
        if len(world.starts["video"]) > 1:
            return a_poll(job, Unchanged())
        while not freed.is_set():
            try:
                await freed.wait()
            except asyncio.CancelledError:
                continue
        return a_poll(job, Unchanged())

    world = World(a_job(interval=60.0, timeout=30.0))
    world.answers["video"] = undead
    world.loop.call_later(390.0, freed.set)
    await world.run(400.0)
    errors = [event.error for event in world.events.of(PollCrashed)]
    assert errors == ["a poll went on after its deadline", "a poll does not end"]
    assert world.gaps("video") == close(150.0 - world.starts["video"][0], 60.0, 60.0, 60.0, 60.0)
    assert len(world.finished("video")) == 6


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


async def test_a_random_source_that_raises_does_not_stop_the_runner() -> None:
    rolls = itertools.chain([0.0, None], itertools.repeat(0.0))

    def random() -> float:
        return next(rolls)  # type: ignore[return-value]

    world = World(a_job(interval=60.0), random=random)
    world.outcomes["video"] = [a_failure(Reason.TIMEOUT)] * 2
    await world.run(200.0)
    (mended,) = world.events.of(RunnerRecovered)
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
    assert [event.error for event in world.events.of(RunnerRecovered)] == [
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
    task = asyncio.create_task(world.runner.run())  # noqa: TID251 - the test is its owner
    await asyncio.sleep(5.0)
    with pytest.raises(RuntimeError, match="runs already"):
        await world.runner.run()
    task.cancel()
    await asyncio.wait([task])
    await world.run(70.0)
    assert world.gaps("video") == close(60.0)
