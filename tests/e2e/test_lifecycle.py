"""Start, reload, kill, start again, stop: the daemon as a process among processes."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from exporter.demo.server import Close, Pause, json_response
from tests.support.metered_vendor import TOKEN, MeteredVendor, row, rows, target, write_config
from tests.support.processes import Exporter, ask, exporter, until

pytestmark = pytest.mark.timeout(120)

HANGS = (Pause(60.0), Close())


@contextmanager
def vendors(*meters: MeteredVendor) -> Iterator[None]:
    """Run vendors in a loop of their own, in a thread."""
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with asyncio.TaskGroup() as group:
            for meter in meters:
                await meter.vendor.__aenter__()
            ready.set()
            group.create_task(asyncio.to_thread(over.wait))
        for meter in meters:
            await meter.vendor.__aexit__(None, None, None)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def meter(used: float = 250.0) -> MeteredVendor:
    """Return a vendor whose values have no period: they are true on any day."""
    return MeteredVendor(usage=rows(row(used=used, start=None, end=None)))


def run(folder: Path, path: Path, *more: str) -> AbstractContextManager[Exporter]:
    return exporter(folder, "run", f"--config.file={path}", "--log.level=debug", *more)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    one = meter()
    with vendors(one):
        path = write_config(tmp_path, target(one))
        with run(tmp_path, path) as live:
            live.first("home")
            began = time.monotonic()
            live.tell(number)
            assert live.ended(5) == 0
            assert time.monotonic() - began < 5
            log = live.log
    assert "Traceback" not in log
    assert TOKEN not in log


def test_a_signal_ends_it_while_vendors_and_scrapers_hang(tmp_path: Path) -> None:
    one, other = meter(), MeteredVendor(usage=HANGS)
    with vendors(one, other):
        state = {"file": "state.db"}
        path = write_config(tmp_path, target(one), target(other, "work"), state=state)
        with run(tmp_path, path) as live:
            live.first("home")
            until(lambda: other.asked, what="a poll that hangs")
            with half_a_request(live):
                began = time.monotonic()
                live.tell(signal.SIGTERM)
                assert live.ended(5) == 0
                assert time.monotonic() - began < 5
            assert "Traceback" not in live.log


@contextmanager
def half_a_request(live: Exporter) -> Iterator[None]:
    port = int(live.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
        yield


def test_a_killed_process_leaves_its_values_to_the_next_one(tmp_path: Path) -> None:
    one = meter()
    with vendors(one):
        path = write_config(tmp_path, target(one), state={"file": "state.db"})
        with run(tmp_path, path) as live:
            before = live.first("home")
            time.sleep(1.5)  # what was learned half a second ago is on the disk
            live.tell(signal.SIGKILL)
            live.ended(5)
        one.answers["usage"] = json_response({"detail": "down"}, status=503)
        with run(tmp_path, path) as live:
            seen = live.until(lambda seen: bool(seen.all("usage_bytes")))
            time.sleep(1)
            assert live.get("/-/ready").status == 200
            live.tell(signal.SIGTERM)
            assert live.ended(5) == 0
    age = "usage_last_success_timestamp_seconds"
    assert seen.get("usage_bytes", account="home") == 250
    assert seen.get("usage_up", account="home") == 1
    assert seen.get(age, account="home") == before.get(age, account="home")
    assert len(one.asked) == 1  # the vendor was not asked again before its time


def test_kills_at_any_moment_never_spoil_the_state(tmp_path: Path) -> None:
    one = meter()
    with vendors(one):
        path = write_config(
            tmp_path, target(one, poll_interval="1s", poll_timeout="1s"), state={"file": "state.db"}
        )
        for number in range(4):
            with run(tmp_path, path) as live:
                live.first("home")
                time.sleep(0.15 * number)
                live.tell(signal.SIGKILL)
                live.ended(5)
                assert "state cannot be kept" not in live.log
                assert "Traceback" not in live.log


def test_a_reload_by_signal_and_by_post_and_a_bad_one_by_neither(tmp_path: Path) -> None:
    one = meter()
    with vendors(one):
        home, work = target(one, "home"), target(one, "work")
        path = write_config(tmp_path, home)
        with run(tmp_path, path, "--web.enable-lifecycle") as live:
            live.first("home")
            write_config(tmp_path, home, work)
            live.tell(signal.SIGHUP)
            live.first("home", "work")
            path.write_text("targets: [{nam: x}]")
            live.tell(signal.SIGHUP)
            live.until(lambda seen: seen.get("usage_exporter_config_last_reload_successful") == 0)
            refused = ask(f"{live.url}/-/reload", method="POST")
            still = live.scrape()
            write_config(tmp_path, work)
            taken = ask(f"{live.url}/-/reload", method="POST")
            after = live.scrape()
    assert refused.status == 500
    assert 'Did you mean "name"?' in refused.text
    assert len(still.all("usage_bytes")) == 2
    assert taken.status == 200
    assert [series.labels["account"] for series in after.all("usage_bytes")] == ["work"]


def test_a_mended_key_file_is_enough(tmp_path: Path) -> None:
    one = meter()
    key = tmp_path / "key"
    key.write_text("worn-out")
    with vendors(one):
        path = write_config(tmp_path, target(one, credentials={"token_file": "key"}))
        with run(tmp_path, path) as live:
            live.until(lambda seen: seen.get("usage_up", account="home") == 0)
            key.write_text(TOKEN)
            live.first("home")


def test_the_health_check_of_the_image_asks_it(tmp_path: Path) -> None:
    one = meter()
    with vendors(one):
        path = write_config(tmp_path, target(one))
        with run(tmp_path, path, "--log.format=json") as live:
            live.first("home")
            command = (sys.executable, "-m", "exporter", "healthcheck")
            codes = [
                subprocess.run((*command, f"--url={live.url}{path}"), check=False).returncode  # noqa: S603
                for path in ("/-/healthy", "/-/nothing")
            ]
            lines = [json.loads(line) for line in live.log.splitlines()]
    assert codes == [0, 1]
    assert {line["msg"] for line in lines} >= {"listening", "configuration loaded"}
