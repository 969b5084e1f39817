"""A renewed secret is another caller to the vendor, and the same budget to us."""

import asyncio
from pathlib import Path

import pytest

from exporter.fetch.http import HttpRequest, HttpResponse
from exporter.model.target import Plan
from tests.support.metered_vendor import DEFINITION
from tests.support.simulation import Clock, Process, plan_from, reply, simulated

WAIT = 7200


class Throttled:
    """Answers well, and the key "new" with a wait."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, wire: HttpRequest) -> HttpResponse:
        self.asked.append(asyncio.get_running_loop().time())
        if wire.headers["Authorization"] == "Bearer new":
            return reply(wire, {}, status=429, Retry_After=str(WAIT))
        return reply(wire, {"rows": [{"name": "traffic", "used": 1}]})


def plan(folder: Path) -> Plan:
    (folder / "meter.yaml").write_text(DEFINITION)
    target = {
        "provider": "meter",
        "base_url": "https://meter.example",
        "credentials": {"token_file": "key"},
    }
    targets = [{"name": name, **target} for name in ("home", "work")]
    return plan_from(
        folder,
        {
            "state": {"file": "state.db"},
            "providers": {"files": ["meter.yaml"]},
            "targets": targets,
        },
    )


@pytest.mark.parametrize("how", ["reload", "restart", "kill"])
def test_a_wait_that_the_new_key_was_told_holds(tmp_path: Path, how: str) -> None:
    async def story() -> None:
        key = tmp_path / "key"
        key.write_text("old")
        vendor, clock = Throttled(), Clock()
        process = Process(plan(tmp_path), vendor, wall=clock, emit=lambda event: None)
        await process.start()
        await asyncio.sleep(100)
        key.write_text("new")
        await asyncio.sleep(1000)
        told = vendor.asked[-1]
        if how == "reload":
            process.engine.apply(plan(tmp_path))
        else:
            await (process.stop() if how == "restart" else process.kill())
            process = Process(plan(tmp_path), vendor, wall=clock, emit=lambda event: None)
            await process.start()
        await asyncio.sleep(8000)
        await process.stop()
        later = [at for at in vendor.asked if at > told]
        assert later
        assert min(later) >= told + WAIT

    simulated(story())


def test_a_reload_after_a_renewal_asks_nobody_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        key = tmp_path / "key"
        key.write_text("old")
        vendor = Throttled()
        process = Process(plan(tmp_path), vendor, wall=Clock(), emit=lambda event: None)
        await process.start()
        await asyncio.sleep(100)
        key.write_text("newer")
        process.engine.apply(plan(tmp_path))
        await asyncio.sleep(190)
        assert len(vendor.asked) == 2
        await asyncio.sleep(200)
        assert len(vendor.asked) == 4
        await process.stop()

    simulated(story())
