"""A real `usage-exporter run` whose name servers do not answer: nothing else waits for them."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.metered_vendor import MeteredVendor, target, write_config
from tests.support.processes import exporter, until

LOADED = "usage_exporter_config_last_reload_success_timestamp_seconds"
HANG = 30  # names, before the rest is looked at: more than any pool of threads used to have
FAST_FROM = 100  # targets, from which on uvloop's loop is used


def dead(meter: MeteredVendor, number: int) -> dict[str, Any]:
    """Return a target whose vendor's name is never answered for."""
    one = target(meter, f"dead-{number}", poll_timeout="2s")
    return {**one, "base_url": f"http://api-{number}.deaf"}


@pytest.mark.parametrize("number", [40, pytest.param(FAST_FROM + 10, marks=pytest.mark.slow)])
async def test_names_that_no_server_answers_for_hold_up_neither_polls_nor_reload_nor_the_end(
    number: int, tmp_path: Path
) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        good = target(meter, "good")
        good["base_url"] = good["base_url"].replace("127.0.0.1", "localhost")
        config = write_config(tmp_path, *(dead(meter, n) for n in range(number)), good)
        await asyncio.to_thread(run, tmp_path, config)


def run(folder: Path, config: Path) -> None:
    words = ("run", f"--config.file={config}")
    with exporter(folder, *words, module="tests.support.cli_hanging_dns") as live:
        live.until(lambda seen: seen.get("usage_up", account="good") == 1)
        live.until(lambda seen: [one.value for one in seen.all("usage_up")].count(0) >= HANG)

        before = live.scrape().get(LOADED) or 0.0
        document = json.loads(config.read_text())
        document["targets"].pop(0)
        config.write_text(json.dumps(document))
        began = time.monotonic()
        live.tell(signal.SIGHUP)
        until(lambda: (live.scrape().get(LOADED) or 0.0) > before)
        assert time.monotonic() - began < 10

        began = time.monotonic()
        live.tell(signal.SIGTERM)
        assert live.ended(10) == 0
        assert time.monotonic() - began < 5


async def test_a_reload_that_hangs_in_a_disk_does_not_hold_up_the_end(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        config = write_config(tmp_path, target(meter, "good"))
        await asyncio.to_thread(reload_and_end, tmp_path, config)


def reload_and_end(folder: Path, config: Path) -> None:
    with exporter(folder, "run", f"--config.file={config}") as live:
        live.until(lambda seen: seen.get("usage_up", account="good") == 1)
        definition = folder / "meter.yaml"
        definition.unlink()
        os.mkfifo(definition)  # nobody writes: to open it takes for ever, as on a disk that is away
        live.tell(signal.SIGHUP)
        time.sleep(1)
        assert live.scrape().get("usage_up", account="good") == 1
        began = time.monotonic()
        live.tell(signal.SIGTERM)
        assert live.ended(10) == 0
        assert time.monotonic() - began < 5
