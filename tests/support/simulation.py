"""A real engine on vendors in memory, in a loop whose time passes at once.

Everything between the plan and the cache is the real thing, the ledger on its file included; only
the wire is a function call and time is what the test says. So days of polls take seconds, and the
process can be killed between any two of them.
"""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeVar

from exporter.app.engine import Engine, World
from exporter.config.credentials import SecretReader
from exporter.config.plan import load_text
from exporter.fetch.http import HttpRequest, HttpResponse, joined
from exporter.kernel.override import override
from exporter.model.events import Event
from exporter.model.outcome import Failure
from exporter.model.target import Http, Plan, Rejected
from exporter.store.file_ledger import FileLedger
from tests.support.parsed_exposition import ParsedExposition
from tests.support.schedule import EPOCH, CalendarLoop

Vendor = Callable[[HttpRequest], Awaitable[HttpResponse | Failure]]
_Result = TypeVar("_Result")


class SimulatedLoop(CalendarLoop):
    """The calendar's loop; what would go to a thread is done at once, between two instants."""

    @override
    def run_in_executor(  # type: ignore[override] # it always is a future of this loop
        self, executor: Executor | None, func: Callable[..., _Result], *args: Any
    ) -> "asyncio.Future[_Result]":
        future: asyncio.Future[_Result] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - raised where the future is awaited
            future.set_exception(error)
        return future


def simulated(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run `main` in a loop of its own."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(main)


def reply(
    wire: HttpRequest, document: object, *, status: int = 200, **headers: str
) -> HttpResponse:
    """Return an answer in JSON; underscores in the names of headers are hyphens."""
    named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    lines = tuple({"content-type": "application/json", **named}.items())
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return HttpResponse(status=status, lines=lines, headers=joined(lines), body=body, url=wire.url)


def plan_from(folder: Path, document: Mapping[str, Any]) -> Plan:
    """Return the plan of a configuration that has to be good; paths begin at `folder`."""
    plan = load_text(json.dumps(document), name="test", directory=str(folder), environ={})
    assert not isinstance(plan, Rejected), [str(problem) for problem in plan.problems]
    return plan


class Wires:
    """Stands where the network is: every request is handed to `vendor`."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor

    async def send(
        self, wire: HttpRequest, http: Http, *, most: int, warm: bool = False
    ) -> HttpResponse | Failure:
        return await self._vendor(wire)

    async def close(self) -> None:
        pass


def _spare_the_disk(ledger: FileLedger) -> None:
    """Let nobody wait until the bytes are on the disk: in these tests no plug is pulled."""
    file, opened = ledger._file, ledger._file._open

    def open_() -> sqlite3.Connection:
        is_new = file._connection is None
        connection = opened()
        if is_new:
            connection.execute("PRAGMA synchronous = OFF")
        return connection

    file._open = open_  # type: ignore[method-assign]


class Process:
    """One life of the exporter. `wall` is the clock of the machine, `told` every event."""

    def __init__(
        self,
        plan: Plan,
        vendor: Vendor,
        *,
        wall: Callable[[], float],
        emit: Callable[[Event], None],
        random: Callable[[], float] = lambda: 0.0,
    ) -> None:
        world = World(
            wall=wall,
            clock=asyncio.get_running_loop().time,
            random=random,
            read_secret=SecretReader({}).read,
            emit=emit,
        )
        self.engine = Engine(plan, world)
        self.engine._client.send = Wires(vendor).send
        if isinstance(self.engine._ledger, FileLedger):
            _spare_the_disk(self.engine._ledger)
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.engine.start()
        self._running = asyncio.create_task(self.engine.run())  # noqa: TID251 - the test is its owner

    async def stop(self) -> None:
        """End in order, as by SIGTERM."""
        await self._end()
        await self.engine.stop()

    async def kill(self) -> None:
        """End as by SIGKILL: what was not written yet is lost."""
        ledger = self.engine._ledger
        if isinstance(ledger, FileLedger):
            ledger._closed = True
            ledger._cancel_timer()
        await self._end()
        if isinstance(ledger, FileLedger):
            ledger._file.close()
        self.engine.exposition.close()

    async def _end(self) -> None:
        assert self._running is not None
        self._running.cancel()
        await asyncio.wait([self._running])
        assert self._running.cancelled()

    def scrape(self) -> ParsedExposition:
        return ParsedExposition(self.engine.exposition.body().decode())


class Clock:
    """The machine's clock: loop time plus an offset that jumps."""

    def __init__(self) -> None:
        self.offset = EPOCH

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.offset
