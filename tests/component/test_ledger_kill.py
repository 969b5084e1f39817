"""Killed at any moment, and short of space: what the file holds then.

This file is also the program that is killed: ``python test_ledger_kill.py kill DIR KILLS SEED``
forks writers and kills each after a random time, ``full PATH`` runs one into the limit of its file
size. Both print what happened as JSON.
"""

import asyncio
import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from exporter.kernel.units import Kind
from exporter.model.events import Event, LedgerStatus
from exporter.model.reading import Reading, Usage
from exporter.store.file_ledger import FileLedger
from exporter.store.ledger import PointRecord
from exporter.store.sqlite import load_state
from exporter.store.state_file import open_database

ROOT = Path(__file__).parents[2]
SLOTS = 12
NOW = 1_763_208_000.0
FINGERPRINTS = {"a": "f"}


class Report(msgspec.Struct):
    """What the killer saw."""

    kills: int = 0
    opened: int = 0  # files that opened as they are, were whole and told one story
    checked: int = 0  # values that were saved more than a second before a kill
    lost: int = 0  # those of them that were not in the file
    invented: int = 0  # values in the file that nobody had saved
    empty: int = 0  # kills before the file was made


def run(*arguments: str) -> bytes:
    command = [sys.executable, __file__, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(  # noqa: S603 - our own file
        command, env=environment, check=True, timeout=280, stdout=subprocess.PIPE
    ).stdout


@pytest.mark.slow
def test_200_kills_lose_no_more_than_the_last_second_and_no_file(tmp_path: Path) -> None:
    report = msgspec.json.decode(run("kill", str(tmp_path), "210", "1"), type=Report)
    assert report.kills >= 200
    assert report.opened + report.empty == report.kills
    assert report.checked > 1000
    assert report.lost == 0
    assert report.invented == 0
    assert list(tmp_path.glob("*.corrupt-*")) == []


def test_a_disk_that_fills_up_and_gets_room_again_loses_nothing(tmp_path: Path) -> None:
    story = json.loads(run("full", str(tmp_path / "state.db")))
    assert story["oks"] == [False, True]
    assert story["rows"] == story["saved"]


# --------------------------------------------------------------------------------- the program


def a_reading(number: int) -> Reading:
    usage = Usage(resource="bandwidth", kind=Kind.BYTES, used=float(number))
    return Reading(collector="usage", at=NOW + number, usages=(usage,))


async def write_for_ever(path: str, pipe: int) -> None:
    ledger = FileLedger(path, emit=print, wall=lambda: NOW)
    restored = await ledger.load(FINGERPRINTS)
    number = int(restored.schedule.get("number", b"0"))
    while True:
        number += 1
        ledger.save_reading("a", "f", a_reading(number), NOW + number)
        ledger.save_schedule({"number": str(number).encode()})
        ledger.save_history([PointRecord("a", "f", "", "bandwidth", NOW + number, float(number))])
        os.write(pipe, f"{number} {time.monotonic()}\n".encode())
        await asyncio.sleep(0.005)


def start(path: Path) -> tuple[int, int]:
    """Fork a writer; return its pid and the end of the pipe that tells what it saved."""
    reading_end, writing_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading_end)
        asyncio.run(write_for_ever(str(path), writing_end))
    os.close(writing_end)
    return pid, reading_end


def saved_by(pipe: int) -> list[tuple[int, float]]:
    with os.fdopen(pipe) as lines:
        return [(int(number), float(at)) for number, at in map(str.split, lines)]


def number_in(path: Path) -> int:
    """Return the number that all parts of the file agree on; -1 if they do not."""
    connection, aside = open_database(str(path), NOW)
    restored = load_state(connection, FINGERPRINTS)
    last = connection.execute("SELECT max(at) FROM history").fetchone()[0]
    connection.close()
    if not restored.schedule:
        return 0
    number = int(restored.schedule["number"])
    whole = (
        restored.readings == {"a": ((a_reading(number), NOW + number),)} and last == NOW + number
    )
    return number if whole and not aside else -1


def kill_and_look(path: Path, pid: int, pipe: int, report: Report) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    saved = saved_by(pipe)
    report.kills += 1
    if not path.exists():
        report.empty += 1
        return
    number = number_in(path)
    report.opened += number >= 0
    # By the writer's own clock: a machine that lets it wait does not make the promise untrue.
    last, ended = saved[-1] if saved else (0, 0.0)
    due = [n for n, at in saved if at < ended - 1.0]
    report.checked += len(due)
    report.lost += len([n for n in due if n > number])
    report.invented += bool(saved) and number > last


def kill(directory: str, kills: int, seed: int) -> Report:
    """Keep SLOTS writers running, each at its own file, until enough were killed."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    report = Report()
    ends: list[tuple[float, Path, int, int]] = []
    paths = [Path(directory) / f"state-{slot}.db" for slot in range(SLOTS)]
    while report.kills < kills:
        for path in paths:
            life = rng.uniform(*rng.choice(((0.0, 0.1), (0.0, 0.6), (1.1, 1.6))))
            ends.append((time.monotonic() + life, path, *start(path)))
        paths = []
        ends.sort()
        end, path, pid, pipe = ends.pop(0)
        time.sleep(max(0.0, end - time.monotonic()))
        kill_and_look(path, pid, pipe, report)
        paths.append(path)
    for _, path, pid, pipe in ends:
        kill_and_look(path, pid, pipe, report)
    return report


async def fill(path: str) -> dict[str, object]:
    """Save more than the file may hold, then let it grow."""
    oks: list[bool] = []

    def note(event: Event) -> None:
        if isinstance(event, LedgerStatus):
            oks.append(event.ok)

    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, most))
    ledger = FileLedger(path, emit=note, wall=lambda: NOW, pause=0.02)
    await ledger.load({})
    saved = 0
    while not oks:
        saved += 1
        ledger.save_schedule({f"row {saved}": bytes(5_000)})
        await asyncio.sleep(0.001)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    while len(oks) == 1:  # noqa: ASYNC110 - it is told in a callback
        await asyncio.sleep(0.01)
    await ledger.close()
    with sqlite3.connect(path) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM schedule").fetchone()
    connection.close()
    return {"oks": oks, "rows": rows, "saved": saved}


def main(what: str, path: str, *more: str) -> object:
    if what == "kill":
        return msgspec.to_builtins(kill(path, *map(int, more)))
    return asyncio.run(fill(path))


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))  # noqa: T201 - this is its answer
