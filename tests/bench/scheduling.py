"""How the schedule carries many jobs: ``... scheduling JOBS INTERVAL SECONDS``.

Polls are trivial: what is measured is the schedule alone. The first intervals, in which the polls
spread out, are left out. Prints bytes of a job besides the job itself, the lateness of polls and
of a bare timer beside them (what the machine costs by itself), in seconds, and CPU as a share.
"""

import asyncio
import gc
import json
import random
import sys
import time
import tracemalloc

import uvloop

from exporter.model.events import Event, PollFinished
from exporter.model.outcome import Poll, Unchanged
from exporter.schedule.job import Job
from exporter.schedule.runner import Runner

WEIGHED = 2_000
"""Jobs of which the memory is taken."""


def jobs(count: int, interval: float) -> list[Job]:
    """Return jobs as a config of one provider with one collector gives them, ten to a key."""
    hosts = [f"api{number}.example.com" for number in range(50)]
    return [
        Job(
            target=f"target-{number}",
            provider="example",
            collector="usage",
            interval=interval,
            budget=f"api.example.com#{number // 10:012x}",
            host=hosts[number % 50],
        )
        for number in range(count)
    ]


async def poll(job: Job) -> Poll:
    """Find nothing new, after one turn of the loop."""
    await asyncio.sleep(0)
    return Poll(
        target=job.target,
        provider=job.provider,
        collector=job.collector,
        at=time.time(),
        seconds=0.0,
        outcome=Unchanged(),
    )


class Listener:
    """Keeps the lateness of each poll while it is told to."""

    def __init__(self) -> None:
        self.listening = False
        self.lateness: list[float] = []

    def __call__(self, event: Event) -> None:
        if self.listening and isinstance(event, PollFinished):
            self.lateness.append(event.lateness)


async def weighed() -> float:
    """Return the bytes that a job takes after its first polls, the job itself included."""
    gc.collect()
    tracemalloc.start()
    runner = Runner(poll=poll, emit=Listener(), wall=time.time, random=random.random)
    runner.swap(jobs(WEIGHED, 2.0))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(runner.run())
        await asyncio.sleep(2.0 + WEIGHED / 200)  # two polls of each
        task.cancel()
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return taken / WEIGHED


async def bare_timer(late: list[float]) -> None:
    """Note how late a timer is that does nothing."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.02
        await asyncio.sleep(0.02)
        late.append(loop.time() - due)


def p99(late: list[float]) -> float:
    """Return what 99 of 100 are at most."""
    return sorted(late)[int(0.99 * len(late))]


async def measured(count: int, interval: float, seconds: float) -> dict[str, float]:
    """Run `count` jobs for `seconds` after they have spread."""
    listener = Listener()
    runner = Runner(poll=poll, emit=listener, wall=time.time, random=random.random)
    work = jobs(count, interval)
    began = time.perf_counter()
    runner.swap(work)
    swapped = time.perf_counter() - began
    gc.freeze()
    bare: list[float] = []
    async with asyncio.TaskGroup() as group:
        task = group.create_task(runner.run())
        await asyncio.sleep(2.0 * interval)
        timer = group.create_task(bare_timer(bare))
        listener.listening = True
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.sleep(seconds)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        listener.listening = False
        task.cancel()
        timer.cancel()
    polls = len(listener.lateness)
    return {
        "swap": swapped,
        "polls": polls / wall,
        "p99": p99(listener.lateness),
        "bare": p99(bare),
        "share": cpu / wall,
        "each": cpu / polls,
    }


async def everything(count: int, interval: float, seconds: float) -> dict[str, float]:
    """Return all figures."""
    return {"bytes": await weighed(), **await measured(count, interval, seconds)}


if __name__ == "__main__":
    given = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    sys.stdout.write(json.dumps(uvloop.run(everything(*given))) + "\n")
