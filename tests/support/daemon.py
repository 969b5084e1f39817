"""The whole daemon in the process of the test: real sockets, real signals, a controlled clock."""

import asyncio
import contextlib
import io
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from exporter.app.daemon import serve
from exporter.app.options import Options
from exporter.config.plan import load_plan
from exporter.model.target import Plan, Rejected
from exporter.web.address import Address
from tests.support.adjustable_clock import AdjustableLoop, advance
from tests.support.engine_harness import plan_of
from tests.support.parsed_exposition import ParsedExposition
from tests.support.serving import Answer, ask
from tests.support.vendor import NOW


class Exporter:
    """A daemon that runs: its addresses, its log, its clock."""

    def __init__(self, port: int, log: io.StringIO) -> None:
        self.port = port
        self._log = log

    @property
    def log(self) -> str:
        """What the daemon has logged so far."""
        return self._log.getvalue()

    async def get(self, path: str, **headers: str) -> Answer:
        """Ask an address."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await ask(self.port, path, headers=named)

    async def post(self, path: str) -> Answer:
        """Send a POST without a body."""
        return await ask(self.port, path, method="POST", headers={"Content-Length": "0"})

    async def scrape(self) -> ParsedExposition:
        """Return what ``/metrics`` says now."""
        return await asyncio.to_thread(ParsedExposition, (await self.get("/metrics")).text)

    async def targets(self) -> dict[str, dict[str, Any]]:
        """Return what ``/api/v1/targets`` says, by account."""
        document = json.loads((await self.get("/api/v1/targets")).text)
        return {target["account"]: target for target in document["targets"]}

    async def until(
        self, holds: Callable[[ParsedExposition], bool], *, step: float = 0.5
    ) -> ParsedExposition:
        """Let time pass until a scrape is as it should be, 1,000 steps at most."""
        seen = await self.scrape()
        for _ in range(1000):
            if holds(seen):
                return seen
            advance(step)
            await asyncio.sleep(0.002)
            seen = await self.scrape()
        raise AssertionError(f"it never came to that:\n{seen.text}\n{self.log}")

    async def first(self, *accounts: str) -> ParsedExposition:
        """Return the first scrape in which every account has had a poll."""
        return await self.until(
            lambda seen: all(seen.all("usage_up", account=account) for account in accounts)
        )


@contextlib.asynccontextmanager
async def exporting(
    path: Path, patch: pytest.MonkeyPatch, *, start: float = NOW, **more: Any
) -> AsyncIterator[Exporter]:
    """Serve a configuration file, and end the daemon by SIGTERM. The clock begins at `start`."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, AdjustableLoop)
    clock, began = loop.time, loop.time()
    patch.setattr(time, "time", lambda: start + clock() - began)
    log = io.StringIO()
    bound: asyncio.Future[Sequence[Address]] = loop.create_future()

    def load() -> Plan | Rejected:
        return load_plan(str(path), environ=os.environ, secrets_required=False)

    options = Options(listen=("127.0.0.1:0",), **more)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(
            serve(plan_of(path), options, load=load, stream=log, announce=bound.set_result)
        )
        (address,) = await bound
        try:
            yield Exporter(address.port, log)
        finally:
            if not running.done():
                signal.raise_signal(signal.SIGTERM)
