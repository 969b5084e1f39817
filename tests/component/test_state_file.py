"""The state file in the life of processes: hung, removed, replaced, wanted by two."""

import asyncio
import contextlib
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.model.events import Event
from exporter.store.file_ledger import FileLedger
from exporter.store.ledger import Restored, StateInUseError
from tests.support.adjustable_clock import adjustable_clock
from tests.support.cli_process import exporter as command
from tests.support.engine_harness import plan_of, running
from tests.support.ledgers import NOW, PAUSE, a_reading, oks, opened, restored, until
from tests.support.metered_vendor import MeteredVendor, row, rows, target, write_config
from tests.support.processes import exporter
from tests.support.processes import until as sooner_or_later


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "state.db"


@pytest.fixture
def events() -> list[Event]:
    return []


@contextlib.contextmanager
def hung(ledger: FileLedger) -> Iterator[threading.Event]:
    """Let whatever is asked of the file hang until the event is set."""
    gate = threading.Event()
    ask = ledger._file.ask

    def hanging(*question: object) -> object:
        gate.wait(10)
        return ask(*question)  # type: ignore[arg-type]

    ledger._file.ask = hanging  # type: ignore[method-assign, assignment]
    try:
        yield gate
    finally:
        gate.set()


def ledger_of(file: Path, events: list[Event], stalled: float = 0.1) -> FileLedger:
    return FileLedger(str(file), emit=events.append, wall=lambda: NOW, pause=PAUSE, stalled=stalled)


# ------------------------------------------------------------------------ a disk that hangs


async def test_a_disk_that_hangs_at_start_costs_the_state_alone_and_is_told_once(
    file: Path, events: list[Event]
) -> None:
    async with opened(file) as ledger:
        ledger.save_schedule({"old": b"1", "both": b"1"})
    ledger = ledger_of(file, events)
    with hung(ledger) as gate:
        assert await ledger.load({"a": "f"}) == Restored()
        ledger.save_schedule({"new": b"2", "both": b"2"})
        assert not await ledger.settle(5.0)  # no poll waits for a disk that is known to hang
        await asyncio.sleep(0.5)
        assert oks(events) == [False]
        assert "the disk has not answered for 0.1 s" in str(events[0])
        gate.set()
        await until(lambda: len(events) == 2)
    assert oks(events) == [False, True]
    await ledger.close()
    # What was known by then is newer; what the file alone knew stays in it.
    assert (await restored(file)).schedule == {"old": b"1", "new": b"2", "both": b"2"}


async def test_a_disk_that_hangs_later_is_told_once_and_used_again(
    file: Path, events: list[Event]
) -> None:
    ledger = ledger_of(file, events)
    await ledger.load({})
    with hung(ledger) as gate:
        ledger.save_schedule({"job": b"1"})
        await until(lambda: events)
        ledger.save_schedule({"job": b"2"})
        began = time.monotonic()
        assert not await ledger.settle(5.0)
        assert time.monotonic() - began < 3.0
        gate.set()
        await until(lambda: len(events) == 2)
        assert await ledger.settle(10.0)
    await ledger.close()
    assert oks(events) == [False, True]
    assert (await restored(file)).schedule == {"job": b"2"}


@pytest.mark.parametrize(
    "when",
    ["start", *(pytest.param(when, marks=pytest.mark.slow) for when in ("running", "closing"))],
)
async def test_a_disk_that_hangs_does_not_hold_the_end(tmp_path: Path, when: str) -> None:
    """A process whose disk answers after 40 s ends within 5 s of SIGTERM."""
    meter = MeteredVendor(usage=rows(row(start=None, end=None)))
    async with meter.vendor:
        one = target(meter, poll_interval="1s", poll_timeout="1s")
        path = write_config(tmp_path, one, state={"file": "state.db"})

        def live_and_die() -> tuple[float, str]:
            module = f"tests.support.cli_hanging_disk {when} 40"
            with exporter(
                tmp_path, "run", f"--config.file={path}", module=module, covered=False
            ) as live:
                if when == "running":
                    live.first("home")
                    time.sleep(2)
                else:
                    sooner_or_later(lambda: live.get("/metrics").status == 200)
                    time.sleep(1)
                began = time.monotonic()
                live.tell(signal.SIGTERM)
                assert live.ended(20) == 0
                return time.monotonic() - began, live.log

        seconds, log = await asyncio.to_thread(live_and_die)
    assert seconds < 5.0
    assert "Traceback" not in log


@pytest.mark.slow
async def test_a_daemon_polls_and_is_ready_while_its_disk_hangs(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=rows(row(start=None, end=None)))
    async with meter.vendor:
        path = write_config(tmp_path, target(meter), state={"file": "state.db"})

        def live() -> str:
            module = "tests.support.cli_hanging_disk start 50"
            with exporter(
                tmp_path, "run", f"--config.file={path}", module=module, covered=False
            ) as live:
                live.first("home")
                assert live.get("/-/ready").status == 200
                return live.log

        log = await asyncio.to_thread(live)
    assert log.count("state cannot be kept, polling goes on") == 1
    assert "the disk has not answered for 5 s" in log


# ------------------------------------------------------------------------ removed, replaced


@pytest.mark.parametrize("what", ["file", "folder", "replaced"])
async def test_a_file_that_is_lost_is_begun_anew_and_told_once(
    file: Path, events: list[Event], what: str
) -> None:
    anew: list[bool] = []
    ledger = FileLedger(
        str(file),
        emit=events.append,
        wall=lambda: NOW,
        pause=PAUSE,
        begun_anew=lambda: anew.append(True),
    )
    await ledger.load({})
    ledger.save_reading("a", "f", a_reading(1), NOW)
    assert await ledger.settle(10.0)
    if what == "file":
        for path in file.parent.glob("state.db*"):
            path.unlink()
    elif what == "folder":
        shutil.rmtree(file.parent)
    else:
        copy = file.with_name("copy")
        with contextlib.closing(sqlite3.connect(copy)) as other:
            other.execute("VACUUM")
        copy.replace(file)
    for turn in range(3):
        ledger.save_reading("b", "f", a_reading(turn), NOW)
        assert await ledger.settle(10.0)
    await until(lambda: anew)
    await ledger.close()
    assert anew == [True]
    assert oks(events) == [False, True]
    assert "removed or replaced while it was in use" in str(events[0])
    assert (await restored(file, b="f")).readings == {"b": ((a_reading(2), NOW),)}


@adjustable_clock
async def test_what_is_in_memory_is_in_the_new_file(tmp_path: Path) -> None:
    """Two targets, of which one is polled after the folder is gone: both survive a restart."""
    one, other = MeteredVendor(), MeteredVendor()
    async with one.vendor, other.vendor:
        path = write_config(
            tmp_path,
            target(one, poll_interval="10m"),
            target(other, "work", poll_interval="1d"),
            state={"file": "var/state.db"},
        )
        async with running(plan_of(path)) as harness:
            await harness.first()
            await asyncio.sleep(0.7)  # the ledger writes by the real clock
            shutil.rmtree(tmp_path / "var")
            await harness.go(700)
            await asyncio.sleep(0.7)
            assert oks(harness.events) == [False, True]
            later = harness.wall()
        asked = len(other.asked)
        async with running(plan_of(path), start=later) as harness:
            assert harness.scrape().get("usage_bytes", account="home") == 250
            assert harness.scrape().get("usage_bytes", account="work") == 250
            await harness.go(60)
        assert len(other.asked) == asked


# ------------------------------------------------------------------------ two processes


async def test_a_second_ledger_on_the_file_is_refused(file: Path, events: list[Event]) -> None:
    async with opened(file) as first:
        assert await first.load({}) == Restored()
        second = ledger_of(file, events, stalled=10.0)
        with pytest.raises(StateInUseError, match=r"process \d+ on .* uses this state file"):
            await second.load({})
        second.save_schedule({"second": b"1"})
        await second.close()
        first.save_schedule({"first": b"1"})
        assert await first.settle(10.0)
    assert events == []
    assert (await restored(file)).schedule == {"first": b"1"}


async def test_a_link_does_not_hide_that_it_is_the_same_file(
    file: Path, tmp_path: Path, events: list[Event]
) -> None:
    async with opened(file) as first:
        await first.load({})
        link = tmp_path / "link.db"
        link.symlink_to(file)
        with pytest.raises(StateInUseError):
            await ledger_of(link, events, stalled=10.0).load({})


async def test_a_process_that_is_just_ending_is_waited_for(file: Path) -> None:
    first = ledger_of(file, [])
    await first.load({})
    async with opened(file) as second, asyncio.TaskGroup() as group:
        loading = group.create_task(second.load({}))
        await asyncio.sleep(0.3)
        assert not loading.done()
        group.create_task(first.close())


async def test_the_second_process_is_refused_and_a_kill_lets_go_of_the_file(
    tmp_path: Path,
) -> None:
    meter = MeteredVendor(usage=rows(row(start=None, end=None)))
    async with meter.vendor:
        path = write_config(tmp_path, target(meter), state={"file": "state.db"})
        words = ("run", f"--config.file={path}")

        def first_of_all() -> None:
            with exporter(tmp_path, *words) as live:
                live.first("home")
                done = asyncio.run(command(*words, "--web.listen-address=127.0.0.1:0"))
                assert done.code == 1
                line = done.line("state.file:")
                assert f"process {live.process.pid} on " in line
                assert str(tmp_path / "state.db") in line
                assert "Stop the other one, or set another state.file here." in line
                assert "Traceback" not in done.err
                live.tell(signal.SIGKILL)
                live.ended(5)
            with exporter(tmp_path, *words) as live:
                live.until(lambda seen: bool(seen.all("usage_bytes")))
                assert "state" not in live.log.replace("state.db", "")

        await asyncio.to_thread(first_of_all)
    assert len(meter.asked) == 1
