"""A hundred thousand polls of which half fail, with reloads all the while: nothing grows."""

import asyncio
import gc
import random
import sys
from typing import NamedTuple

import pytest

from exporter.model.events import Event, PollFinished
from exporter.model.outcome import Failure, Poll, Reason, Unchanged
from exporter.model.reading import RateLimit
from exporter.schedule.job import Job
from exporter.schedule.runner import Runner
from tests.support.schedule import EPOCH, a_failure, a_job, a_poll, simulate

TARGETS, POLLS = 500, 100_000
FAILURES = (Reason.HTTP_5XX, Reason.RATE_LIMITED, Reason.SCHEMA, Reason.TIMEOUT)


def jobs(generation: int) -> list[Job]:
    """Return the jobs of a config of which a twentieth of the targets is new each time."""
    moved = generation * TARGETS // 20
    return [
        a_job(f"t{number}", interval=10.0, budget=f"b{number // 2}", host=f"h{number % 20}")
        for number in range(moved, moved + TARGETS)
    ]


class Size(NamedTuple):
    blocks: int
    places: int
    tasks: int
    targets: int
    queues: int
    kept: int


class Life:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.polls = 0
        self.rng = random.Random(4)  # noqa: S311 - a simulation
        self.sizes: list[Size] = []
        self.runner = Runner(poll=self.poll, emit=self.hear, wall=self.wall, random=self.rng.random)

    def wall(self) -> float:
        return EPOCH + self.loop.time()

    def hear(self, event: Event) -> None:
        self.polls += isinstance(event, PollFinished)

    async def poll(self, job: Job) -> Poll:
        await asyncio.sleep(0)
        turn = self.rng.getrandbits(16)
        outcome: Failure | Unchanged = Unchanged()
        if turn % 2:
            reason = FAILURES[turn // 2 % 4]
            outcome = a_failure(reason, 5.0 if reason is Reason.RATE_LIMITED else None)
        if turn % 977 == 0:
            raise ZeroDivisionError
        rate = RateLimit(limit=5000.0, remaining=4000.0, reset_at=self.wall() + 300.0)
        return a_poll(job, outcome, at=self.wall(), rate=rate)

    def size(self) -> Size:
        gc.collect()
        table = self.runner._table
        return Size(
            blocks=sys.getallocatedblocks(),
            places=self.runner._timers.size,
            tasks=len(asyncio.all_tasks()),
            targets=len(table.targets),
            queues=len(table.queues),
            kept=len(table.kept_states) + len(table.kept_budgets) + len(table._hosts),
        )

    async def live(self) -> None:
        generation = 0
        self.runner.swap(jobs(generation))
        task = asyncio.create_task(self.runner.run())  # noqa: TID251 - the test is its owner
        while self.polls < POLLS:
            await asyncio.sleep(97.0)
            generation += 1
            self.runner.swap(jobs(generation))
            self.sizes.append(self.size())
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.slow
def test_nothing_grows_over_a_hundred_thousand_polls_of_which_half_fail() -> None:
    lives: list[Life] = []

    async def main() -> None:
        lives.append(Life())
        await lives[0].live()

    simulate(main())
    sizes = lives[0].sizes
    quarter = len(sizes) // 4
    early = Size(*map(max, zip(*sizes[quarter : 2 * quarter], strict=True)))
    late = Size(*map(max, zip(*sizes[-quarter:], strict=True)))
    assert late.blocks < 1.03 * early.blocks
    assert late.places <= 2 * TARGETS + 2 * late.queues + 64
    assert late.tasks <= 2 + 64
    assert late.targets == TARGETS
    assert late.queues <= TARGETS
    assert late.kept <= early.kept + TARGETS // 5
