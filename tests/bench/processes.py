"""Programs that are measured: started on a port of their own, read in /proc, and ended."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE = 30.0  # seconds


class Program:
    """A running program. `port` is where it listens."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def cpu(self) -> float:
        """Return the seconds of CPU that it and the processes below it have used so far."""
        return sum(_cpu(pid) for pid in _family(self.process.pid))

    def resident(self) -> int:
        """Return the bytes of memory that are resident, those of its children included."""
        return sum(_status(pid, "VmRSS") for pid in _family(self.process.pid))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def running(
    command: Sequence[str],
    port: int,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[Program]:
    """Run a program until the end of the block; it has to listen on `port` by itself."""
    with spawned(command, environ=environ, folder=folder) as process:
        await_port(port, process)
        yield Program(process, port)


@contextlib.contextmanager
def spawned(
    command: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program without waiting for anything; it is ended with the block."""
    process = subprocess.Popen(  # noqa: S603 - our own commands
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_environ() | dict(environ or {}),
        cwd=folder,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def clean_environ() -> dict[str, str]:
    """Return the environment without what changes how Python starts."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}


def await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Return when something listens; raise TimeoutError or RuntimeError if nothing ever will."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.005)
    raise TimeoutError(f"{process.args!r} does not listen")


def _family(pid: int) -> list[int]:
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in below for one in _family(int(child)))]


def _cpu(pid: int) -> float:
    """Read nanoseconds where the kernel counts them, else ticks of 10 ms."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except OSError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
