"""Log lines go out in a thread: whatever their reader does, nobody waits, and losses are told."""

import fcntl
import io
import os
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.observe.logs import Output

ROOM = 4096  # bytes of the pipe
LINE = "x" * 99  # 100 bytes with its end


class Pipe:
    """A small pipe as the log's stream; nobody reads it until a test does."""

    def __init__(self, *, blocking: bool = True) -> None:
        self.reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, ROOM)
        os.set_blocking(writer, blocking)
        self.stream = open(writer, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - closed below
        self.dropped: list[int] = []
        self.output = Output(self.stream, dropped=self.dropped.append)
        self.output.report_dropped_with(lambda count: f"dropped={count}")
        self.text = b""

    def read_on(self) -> None:
        """Read all there will be, in a thread."""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while piece := os.read(self.reader, 65536):
            self.text += piece

    def lines(self) -> list[str]:
        """Return what was read when all is written."""
        assert self.output.close(10)
        self.stream.close()
        deadline = time.monotonic() + 10
        while not self.text.endswith(b"\n") and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        return self.text.decode().splitlines()


@pytest.fixture(params=[True, False], ids=["blocking", "non-blocking"])
def pipe(request: pytest.FixtureRequest) -> Iterator[Pipe]:
    pipe = Pipe(blocking=request.param)
    yield pipe
    if not pipe.text:  # the thread must not stay behind with its write
        pipe.read_on()
        pipe.output.close(10)
        pipe.stream.close()


def test_a_burst_keeps_its_order_and_loses_nothing(pipe: Pipe) -> None:
    pipe.read_on()
    for number in range(5000):
        pipe.output.line(f"line {number}")
    assert pipe.lines() == [f"line {number}" for number in range(5000)]
    assert pipe.dropped == []


def test_a_pipe_that_nobody_reads_holds_nobody_and_takes_bounded_memory(pipe: Pipe) -> None:
    tracemalloc.start()
    try:
        began = time.monotonic()
        for _ in range(100_000):
            pipe.output.line(LINE)
        seconds = time.monotonic() - began
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seconds < 15  # today's fault: for ever
    assert peak < 10_000_000
    assert sum(pipe.dropped) > 50_000


def test_one_line_tells_how_many_were_dropped_when_somebody_reads_again(pipe: Pipe) -> None:
    for _ in range(60_000):
        pipe.output.line(LINE)
    lost = sum(pipe.dropped)
    pipe.read_on()
    lines = pipe.lines()
    assert lost > 0
    assert lines == [LINE] * (60_000 - lost) + [f"dropped={lost}"]


def test_the_end_of_the_process_waits_no_longer_than_it_is_told(pipe: Pipe) -> None:
    for _ in range(1000):
        pipe.output.line(LINE)
    began = time.monotonic()
    assert not pipe.output.close(0.1)
    assert time.monotonic() - began < 5
    pipe.output.line("too late")
    assert sum(pipe.dropped) == 1


def test_a_reader_that_is_gone_costs_lines_and_no_more() -> None:
    pipe = Pipe()
    os.close(pipe.reader)
    pipe.output.line("one")
    pipe.output.line("two")
    assert pipe.output.close(10)
    pipe.stream.close()
    assert sum(pipe.dropped) == 2


def test_a_full_disk_costs_lines_which_are_told_of_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    full = True
    write = os.write

    def write_if_there_is_room(descriptor: int, data: bytes) -> int:
        if full and len(data) > 4:
            return write(descriptor, data[:4])
        if full:
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr("exporter.observe.logs.os.write", write_if_there_is_room)
    dropped: list[int] = []
    with path.open("w") as stream:
        output = Output(stream, dropped=dropped.append)
        output.report_dropped_with(lambda count: f"dropped={count}")
        output.line("four")
        deadline = time.monotonic() + 10
        while not dropped and time.monotonic() < deadline:
            time.sleep(0.01)
        full = False
        output.line("after")
        assert output.close(10)
    assert path.read_text().splitlines() == ["four", "dropped=1", "after"]


def test_a_stream_that_was_closed_or_never_open_drops_every_line() -> None:
    for stream in (None, io.StringIO()):
        dropped: list[int] = []
        output = Output(stream, dropped=dropped.append)
        if stream is not None:
            stream.close()
        output.line("one")
        output.line("two")
        assert output.close()
        assert dropped == [1, 1]


def test_a_letter_that_the_stream_cannot_write_is_written_as_its_number(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w", encoding="ascii") as stream:
        output = Output(stream)
        output.line("é\udc80")
        assert output.close(10)
    assert path.read_text() == "\\xe9\\udc80\n"
