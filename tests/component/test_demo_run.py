"""The demo as a whole, in one process: three vendors, values that grow, refusals that pass."""

import asyncio
import contextlib
import io
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from exporter.app.demo import demo
from exporter.app.options import Options
from exporter.config.plan import load_text
from exporter.demo.vendors import demo_config
from exporter.model.target import Plan
from tests.support.adjustable_clock import adjustable_clock, advance
from tests.support.daemon import Exporter
from tests.support.parsed_exposition import ParsedExposition
from tests.support.vendor import NOW

ACCOUNTS = {"video-prod": "tpstreams", "saas-prod": "billing_usage", "network": "thousandeyes"}


async def until_told(out: io.StringIO) -> None:
    turn = asyncio.sleep
    while "Ctrl-C" not in out.getvalue():
        await turn(0.001)


@contextlib.asynccontextmanager
async def showing(patch: pytest.MonkeyPatch, *, chaos: bool = False) -> AsyncIterator[Exporter]:
    loop = asyncio.get_running_loop()
    clock, began = loop.time, loop.time()
    patch.setattr(time, "time", lambda: NOW + clock() - began)
    log, out = io.StringIO(), io.StringIO()
    options = Options(listen=("127.0.0.1:0",))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(
            demo(options, chaos=chaos, environ=os.environ, stream=log, out=out)
        )
        await until_told(out)
        try:
            port = out.getvalue().partition("status page  http://127.0.0.1:")[2].partition("/")[0]
            yield Exporter(int(port), log)
        finally:
            if not running.done():
                signal.raise_signal(signal.SIGTERM)


@adjustable_clock
async def test_the_demo_shows_three_vendors_and_values_that_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def complete(seen: ParsedExposition) -> bool:
        return (
            all(seen.all("usage_percent", account=one, provider=ACCOUNTS[one]) for one in ACCOUNTS)
            and bool(seen.all("usage_cost", account="video-prod"))
            and bool(seen.all("usage_item_quantity", account="network"))
            and bool(seen.all("usage_api_rate_limit_remaining", account="network"))
        )

    async with showing(monkeypatch) as exporter:
        seen = await exporter.until(complete)
        used = seen.get("usage_bytes", account="video-prod", resource="bandwidth") or 0
        await exporter.until(
            lambda now: (
                (now.get("usage_bytes", account="video-prod", resource="bandwidth") or 0) > used
            )
        )
        page = (await exporter.get("/")).text
    assert all(account in page for account in ACCOUNTS)


@adjustable_clock
async def test_the_demo_is_refused_now_and_then_and_mends(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(seen: ParsedExposition) -> bool:
        failures = seen.all("usage_exporter_poll_failures_total", reason="rate_limited")
        return any(one.value for one in failures)

    async with showing(monkeypatch) as exporter:
        await exporter.first(*ACCOUNTS)
        seen = await exporter.until(refused, step=5)
        assert seen.all("usage_percent", account="video-prod")
        await exporter.until(lambda seen: all(one.value for one in seen.all("usage_up")), step=5)
        log = exporter.log
    assert "reason=rate_limited" in log
    assert 'msg="target is back"' in log


@pytest.mark.slow
@adjustable_clock
async def test_chaos_never_spoils_a_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    async with showing(monkeypatch, chaos=True) as exporter:
        seen = await exporter.first(*ACCOUNTS)
        for _ in range(60):
            advance(5.0)
            await asyncio.sleep(0.01)
            seen = await exporter.scrape()
        assert (await exporter.get("/-/healthy")).status == 200
        log = exporter.log
    assert any(one.value for one in seen.all("usage_exporter_poll_failures_total"))
    assert "Traceback" not in log
    assert "level=error" not in log


def test_the_demos_config_is_a_good_one(tmp_path: Path) -> None:
    text = demo_config("http://127.0.0.1:1")
    plan = load_text(text, name="demo", directory=str(tmp_path), environ={})
    assert isinstance(plan, Plan), plan
    assert {name: one.provider for name, one in plan.targets.items()} == ACCOUNTS


@adjustable_clock
async def test_a_demo_whose_config_is_bad_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.app.demo.demo_config", lambda origin, **more: "targets: [{}]")
    options = Options(listen=("127.0.0.1:0",))
    stream = io.StringIO()
    with pytest.raises(RuntimeError, match="name"):
        await demo(options, chaos=False, environ={}, stream=stream, out=stream)
