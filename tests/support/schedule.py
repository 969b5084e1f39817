"""Values and a world for tests of the schedule, and a loop whose time passes at once."""

import asyncio
import itertools
import selectors
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from exporter.kernel.override import override
from exporter.model.definition.ratelimit import RateLimitRules
from exporter.model.events import Event, PollFinished
from exporter.model.outcome import Exchange, Failure, Poll, Reason, Unchanged
from exporter.model.reading import RateLimit, Reading
from exporter.schedule.job import Job
from exporter.schedule.runner import Runner

EPOCH = 1_790_000_000.0  # wall time when loop time is 0
DAY = 86_400.0


def a_job(target: str = "video", collector: str = "usage", **other: Any) -> Job:
    settings: dict[str, Any] = {"provider": "example", "interval": 300.0, "budget": "host#key"}
    return Job(target=target, collector=collector, **(settings | other))


def throttling(**settings: Any) -> RateLimitRules:
    return RateLimitRules(**settings)


def exchanges(count: int) -> tuple[Exchange, ...]:
    one = Exchange(
        method="GET",
        url="https://api.example.com/usage",
        request_headers={},
        status=200,
        headers={},
        size=2,
        seconds=0.1,
    )
    return (one,) * count


def a_poll(
    job: Job,
    outcome: Reading | Unchanged | Failure,
    *,
    at: float = EPOCH,
    rate: RateLimit | None = None,
    requests: int = 1,
) -> Poll:
    return Poll(
        target=job.target,
        provider=job.provider,
        collector=job.collector,
        at=at,
        seconds=0.0,
        outcome=outcome,
        rate=rate,
        exchanges=exchanges(requests),
    )


def a_failure(reason: Reason, wait: float | None = None) -> Failure:
    return Failure(reason=reason, detail=f"it was {reason}", wait=wait)


def a_reading(**parts: Any) -> Reading:
    return Reading(collector="usage", at=EPOCH, **parts)


class Events(list[Event]):
    """A listener that keeps what it hears."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self if isinstance(event, kind)]


Answer = Callable[[Job], Awaitable[Any]]


class World:
    """A runner whose polls are answered by a script, one list of starts per target."""

    def __init__(self, *jobs: Job, **settings: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.events = Events()
        self.offset = EPOCH - self.loop.time()
        self.starts: dict[str, list[float]] = {}
        self.outcomes: dict[str, list[Failure | Unchanged]] = {}
        self.answers: dict[str, Answer] = {}
        self.took = 0.0
        self.requests = 1
        self.rate: RateLimit | None = None
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        usual: dict[str, Any] = {"emit": self.events, "random": lambda: 0.0, "wall": self.wall}
        self.runner = Runner(poll=self.poll, **(usual | settings))
        if jobs:
            self.runner.swap(jobs)

    def wall(self) -> float:
        return self.loop.time() + self.offset

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward."""
        self.offset += seconds

    async def poll(self, job: Job) -> Poll:
        names = (job.target, f"{job.target}/{job.collector}", job.budget, job.host, "all")
        self.starts.setdefault(job.target, []).append(self.loop.time())
        self.running.update(names)
        self.most |= self.running
        try:
            answer = self.answers.get(job.target)
            if answer is not None:
                poll: Poll = await answer(job)
                return poll
            await asyncio.sleep(self.took)
            script = self.outcomes.get(job.target, [])
            outcome = script.pop(0) if script else Unchanged()
            return a_poll(job, outcome, at=self.wall(), rate=self.rate, requests=self.requests)
        finally:
            self.running.subtract(names)

    async def run(self, seconds: float) -> None:
        task = asyncio.create_task(self.runner.run())  # noqa: TID251 - the test is its owner
        await asyncio.sleep(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def gaps(self, target: str) -> list[float]:
        starts = self.starts[target]
        return [later - earlier for earlier, later in itertools.pairwise(starts)]

    def finished(self, target: str) -> list[PollFinished]:
        return [event for event in self.events.of(PollFinished) if event.poll.target == target]


def close(*seconds: float) -> Any:
    """Return what equals these seconds, but for the rounding of floats."""
    return pytest.approx(list(seconds), abs=1e-6)


# ------------------------------------------------------------------------------ time at once


class Calendar(selectors.SelectSelector):
    """Does not wait for its time-outs: time is what it was asked to wait, in sum."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen again")
        self.now += max(0.0, timeout)
        return []


class CalendarLoop(asyncio.SelectorEventLoop):
    """A loop for a simulated month: as looptime's, without sockets and five times as fast."""

    def __init__(self) -> None:
        self._calendar = Calendar()
        super().__init__(self._calendar)

    @override
    def time(self) -> float:
        return self._calendar.now


def simulate(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=CalendarLoop) as runner:
        runner.run(main)
