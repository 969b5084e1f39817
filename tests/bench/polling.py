"""Polls at a steady pace, and the CPU of one: ``... polling MODE ORIGIN STATE_FILE``.

``bare`` asks by aiohttp alone and reads the body; ``engine`` is all that the daemon does with a
poll: schedule, fetch, mapping, forecast, exposition, cache, ledger (if there is a state file),
self-metrics and the log's filter. Prints the seconds of CPU of one.
"""

import asyncio
import itertools
import json
import random
import sys
import time

import aiohttp
import msgspec
import uvloop

from exporter.app.engine import Engine, World
from exporter.app.observability import Observability
from exporter.app.options import Options
from exporter.config.credentials import SecretReader
from exporter.config.plan import load_text
from exporter.kernel.redactor import Redactor
from exporter.model.events import Event, PollFinished
from exporter.model.target import Plan
from tests.bench.starts import configuration

TARGETS, PACE = 300, 1.0
WARM, LASTS = 3.0, 10.0
"""Seconds before the measurement, and of it."""


async def measured(polls: "itertools.count[int]") -> float:
    """Return the seconds of CPU of one poll, all threads together."""
    await asyncio.sleep(WARM)
    began, before = next(polls), time.process_time()
    await asyncio.sleep(LASTS)
    return (time.process_time() - before) / (next(polls) - began - 1)


async def bare(origin: str) -> float:
    """Ask as often, and do nothing with the answers."""
    polls = itertools.count()
    headers = {"Authorization": "Bearer key", "Accept": "application/json"}

    async def ask(session: aiohttp.ClientSession, first: float) -> None:
        await asyncio.sleep(first)
        while True:
            async with session.get(f"{origin}/api/billing/usage", headers=headers) as answer:
                await answer.read()
            next(polls)
            await asyncio.sleep(PACE)

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        asking = [
            group.create_task(ask(session, number * PACE / TARGETS)) for number in range(TARGETS)
        ]
        took = await measured(polls)
        for task in asking:
            task.cancel()
    return took


def plan(origin: str, state_file: str) -> Plan:
    """Return a plan of so many targets that are polled at that pace."""
    text = configuration(origin, TARGETS)
    if state_file:
        text += f"state: {{file: {state_file}}}\n"
    loaded = load_text(text, name="bench", directory=".", environ={})
    assert isinstance(loaded, Plan), loaded
    targets = {
        name: msgspec.structs.replace(target, collectors=dict.fromkeys(target.collectors, PACE))
        for name, target in loaded.targets.items()
    }
    return msgspec.structs.replace(loaded, targets=targets)


async def engine(origin: str, state_file: str) -> float:
    """Poll as the daemon does."""
    polls = itertools.count()
    clock = asyncio.get_running_loop().time
    telling = Observability(
        Options(listen=()), stream=sys.stderr, wall=time.time, clock=clock, redactor=Redactor()
    )

    def emit(event: Event) -> None:
        telling.emit(event)
        if isinstance(event, PollFinished):
            next(polls)

    world = World(
        wall=time.time,
        clock=clock,
        random=random.random,
        read_secret=SecretReader({}).read,
        emit=emit,
    )
    made = Engine(plan(origin, state_file), world)
    telling.attach(made.runner, made.exposition)
    telling.track(made.plan.targets.values())
    await made.start()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(made.run())
        took = await measured(polls)
        running.cancel()
    await made.stop()
    return took


def main() -> None:
    """Read the arguments and measure."""
    mode, origin, state_file = sys.argv[1:]
    work = bare(origin) if mode == "bare" else engine(origin, state_file)
    sys.stdout.write(json.dumps({"seconds": uvloop.run(work)}) + "\n")


if __name__ == "__main__":
    main()
