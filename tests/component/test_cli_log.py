"""The daemon as a process whose log nobody reads: it serves, counts what it drops, and ends."""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT, Exporter, free_port

ROOM = 4096


def config(folder: Path) -> Path:
    """Write targets whose vendor does not listen: each is a line of the log."""
    targets = [
        {
            "name": f"target-{number}",
            "provider": "billing_usage",
            "base_url": "http://127.0.0.1:1",
            "credentials": {"token": f"key-{number}-abcdef"},
        }
        for number in range(40)
    ]
    path = folder / "config.yaml"
    path.write_text(json.dumps({"targets": targets}))
    return path


@contextlib.contextmanager
def unread(config: Path, *, closed: bool = False) -> Iterator[tuple[Exporter, int]]:
    """Run the daemon with a full pipe for its log; give the pipe's reading end, too."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, ROOM)
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 64)
    os.set_blocking(writer, True)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "exporter",
        "run",
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=debug",
    ]
    if closed:
        command = ["sh", "-c", 'exec "$@" 2>&- >&- <&-', "sh", *command]
    process = subprocess.Popen(  # noqa: S603 - our own program
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writer
    )
    os.close(writer)
    try:
        live = Exporter(process, config)
        live.url = f"http://127.0.0.1:{port}"
        yield live, reader
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        os.close(reader)


def failures(exporter: Exporter) -> float:
    seen = exporter.scrape().all("usage_exporter_poll_failures_total", reason="connect")
    return sum(one.value for one in seen)


def test_a_log_that_nobody_reads_holds_neither_polls_nor_scrapes_nor_the_end(
    tmp_path: Path,
) -> None:
    with unread(config(tmp_path)) as (exporter, _):
        exporter.until(lambda seen: failures(exporter) >= 40, seconds=15)
        began = time.monotonic()
        exporter.process.terminate()
        assert exporter.process.wait(10) == 0
    assert time.monotonic() - began < 5


def test_a_process_without_standard_streams_serves_and_counts_no_line_as_lost(
    tmp_path: Path,
) -> None:
    with unread(config(tmp_path), closed=True) as (exporter, _):
        seen = exporter.until(lambda seen: failures(exporter) > 0, seconds=15)
        exporter.process.terminate()
        assert exporter.process.wait(10) == 0
    assert seen.get("usage_exporter_log_messages_dropped_total") == 0


def test_a_bug_that_ends_the_daemon_ends_it_though_nobody_reads(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from exporter.cli.daemon import in_loop  # noqa: PLC0415 - this test alone needs it

    async def broken() -> None:
        raise RecursionError("deep")

    assert in_loop(broken) == 1
    told = capfd.readouterr().err
    assert "a bug of its own" in told
    assert "RecursionError: deep at" in told
    assert "Traceback" not in told
