"""How the schedule carries many jobs: memory each, lateness, CPU. Prints; asserts nothing.

    python tests/bench/scheduler_scale.py [--jobs 50000] [--interval 60] [--seconds 90]
                                          [--per-budget 1]

Polls are trivial: what is measured is the schedule alone. The first intervals, in which the polls
spread out, are left out of lateness and CPU.
"""

import argparse
import asyncio
import gc
import random
import resource
import sys
import time
import tracemalloc

from exporter.model.event import Event, PollFinished
from exporter.model.outcome import Poll, Unchanged
from exporter.schedule.job import Job
from exporter.schedule.runner import Runner


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def jobs(count: int, interval: float, per_budget: int) -> list[Job]:
    """Return jobs as a config of one provider with one collector gives them."""
    hosts = [f"api{number}.example.com" for number in range(50)]
    return [
        Job(
            target=f"target-{number}",
            provider="example",
            collector="usage",
            interval=interval,
            budget=f"api.example.com#{number // per_budget:012x}",
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


async def weigh(count: int, per_budget: int) -> None:
    """Print the bytes that a job takes, before and after its first polls."""
    gc.collect()
    tracemalloc.start()
    work = jobs(count, 2.0, per_budget)
    of_jobs = tracemalloc.get_traced_memory()[0]
    runner = Runner(poll=poll, emit=Listener(), wall=time.time, dice=random.random)
    runner.swap(work)
    del work
    gc.collect()
    new = tracemalloc.get_traced_memory()[0]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(runner.run())
        await asyncio.sleep(2.0 + count / 200)  # two polls of each
        task.cancel()
    gc.collect()
    polled = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    own, fresh, used = of_jobs / count, new / count, polled / count
    say(f"bytes per job: {own:.0f} of its own, {fresh:.0f} with its state, {used:.0f} after polls")


async def watch_the_machine(late: list[float]) -> None:
    """Note how late a bare timer is: what the machine and its other work cost by themselves."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.02
        await asyncio.sleep(0.02)
        late.append(loop.time() - due)


def quantiles(late: list[float]) -> str:
    """Return the distribution of `late` in words."""
    ordered = sorted(late)
    shares = {share: 1000 * ordered[int(share * len(ordered))] for share in (0.5, 0.9, 0.99, 0.999)}
    told = ", ".join(f"p{100 * share:g} {late:.2f} ms" for share, late in shares.items())
    return f"{told}, max {1000 * ordered[-1]:.2f} ms"


async def measure(count: int, interval: float, seconds: float, per_budget: int) -> None:
    """Run `count` jobs for `seconds` after they have spread, and print what it took."""
    listener = Listener()
    runner = Runner(poll=poll, emit=listener, wall=time.time, dice=random.random)
    work = jobs(count, interval, per_budget)
    began = time.perf_counter()
    runner.swap(work)
    say(f"swap: {time.perf_counter() - began:.2f} s")
    began = time.perf_counter()
    runner.swap(work)
    say(f"swap of the same: {time.perf_counter() - began:.2f} s")
    gc.freeze()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(runner.run())
        await asyncio.sleep(2.0 * interval)
        bare: list[float] = []
        timer = group.create_task(watch_the_machine(bare))
        listener.listening = True
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.sleep(seconds)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        listener.listening = False
        task.cancel()
        timer.cancel()
    polls = len(listener.lateness)
    say(f"polls: {polls} in {wall:.1f} s, {polls / wall:.0f} a second")
    say(f"lateness of polls: {quantiles(listener.lateness)}")
    say(f"lateness of a bare timer beside them: {quantiles(bare)}")
    say(f"CPU: {100 * cpu / wall:.1f} % of a core, {1e6 * cpu / polls:.0f} µs a poll")
    began = time.perf_counter()
    statuses = len(runner.statuses())
    say(f"{statuses} statuses: {1000 * (time.perf_counter() - began):.0f} ms")
    say(f"resident: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=50_000)
    parser.add_argument("--interval", type=float, default=60.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--per-budget", type=int, default=1)
    options = parser.parse_args()
    asyncio.run(weigh(min(options.jobs, 2_000), options.per_budget))
    asyncio.run(measure(options.jobs, options.interval, options.seconds, options.per_budget))


if __name__ == "__main__":
    main()
