"""The runner on the loop that the image has: uvloop's handles are not quite asyncio's."""

import asyncio
import random
import time
from functools import partial

import uvloop

from exporter.model.outcome import Poll, Unchanged
from exporter.schedule.job import Job
from exporter.schedule.runner import Runner
from tests.support.schedule import a_poll


async def _call_back(times: int) -> list[int]:
    called: list[int] = []

    async def poll(job: Job) -> Poll:
        return a_poll(job, Unchanged())

    runner = Runner(poll=poll, emit=lambda event: None, wall=time.time, random=random.random)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(runner.run())
        await asyncio.sleep(0)
        for number in range(times):
            runner.at(time.time() - 1.0, partial(called.append, number))
        await asyncio.sleep(0.01)
        running.cancel()
    return called


def test_what_is_due_at_once_is_done_on_uvloop() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert sorted(runner.run(_call_back(3))) == [0, 1, 2]
