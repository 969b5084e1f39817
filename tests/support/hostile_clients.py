"""A daemon in a process of its own that measures itself, and clients that mean it harm.

As a program (``python -m tests.support.hostile_clients FILE COMMAND…``) it is the command line with
a stop watch in the event loop, whose longest hold it writes to the file.
"""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from tests.support.callback_timer import CallbackTimer
from tests.support.processes import Exporter, free_port, started, until

LISTENED_AT = "127.0.0.1"


class Cost(msgspec.Struct, frozen=True):
    """What something cost the daemon."""

    hold: float
    """Seconds of CPU of the longest callback."""
    grown: float
    """MB of memory at the peak, above what there was before."""


class Measured(Exporter):
    """A daemon that says how long its event loop was held and how much memory it took."""

    port = 0
    holds = Path()

    def status(self, key: str) -> float:
        """Return a line of ``/proc/PID/status``, in MB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:"))

    def is_up(self) -> bool:
        """Tell whether it answers; fail if it has ended."""
        if self.process.poll() is not None:
            pytest.fail(f"it ended by itself:\n{self.log}")
        return self.get("/-/healthy").status in {200, 401}

    @contextlib.contextmanager
    def costing(self) -> Iterator[list[Cost]]:
        """Measure what happens inside; the list has the cost afterwards."""
        cost: list[Cost] = []
        self.holds.with_suffix(".reset").touch()
        until(lambda: not self.holds.with_suffix(".reset").exists(), what="a reset stop watch")
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        before = self.status("VmRSS")
        yield cost
        time.sleep(0.2)  # the stop watch writes ten times a second
        cost.append(Cost(float(self.holds.read_text()), self.status("VmHWM") - before))

    def connect(self, *, receive_buffer: int = 0) -> socket.socket:
        """Open a connection; a small receive buffer makes a client that reads nothing cheap."""
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(10)
        client.connect((LISTENED_AT, self.port))
        return client

    def send(self, request: bytes, *, seconds: float = 30) -> bytes:
        """Send bytes on a connection of their own; return all that comes back until it ends."""
        received = b""
        with self.connect() as client, contextlib.suppress(ConnectionError):
            client.settimeout(seconds)
            sender = threading.Thread(target=_send_all, args=(client, request))
            sender.start()  # who asks a lot and reads nothing meanwhile is cut off
            try:
                while chunk := client.recv(1 << 16):
                    received += chunk
            finally:
                sender.join()
        return received


def request(path: str = "/metrics", *lines: str, method: str = "GET") -> bytes:
    """Return the bytes of a request, the last one on its connection."""
    head = (f"{method} {path} HTTP/1.1", "Host: exporter", "Connection: close", *lines)
    return ("\r\n".join(head) + "\r\n\r\n").encode()


def status_of(answer: bytes) -> int:
    """Return the status of an answer, 0 if there was none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def _send_all(client: socket.socket, request: bytes) -> None:
    with contextlib.suppress(OSError):
        client.sendall(request)


@contextlib.contextmanager
def daemon(folder: Path, *words: str, targets: int = 1, descriptors: int = 0) -> Iterator[Measured]:
    """Run a daemon with so many targets, whose vendor does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        vendor = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    config = folder / "config.yaml"
    lines = [
        f"- {{name: target-{number}, provider: billing_usage, base_url: '{vendor}',"
        " credentials: {token: not-a-secret}, poll_interval: 1h}"
        for number in range(targets)
    ]
    config.write_text("\n".join(["targets:", *lines, ""]))
    port, holds = free_port(), folder / "hold"
    command: Sequence[str] = (
        *(sys.executable, "-m", "tests.support.hostile_clients", str(holds), "run"),
        *(f"--config.file={config}", f"--web.listen-address={LISTENED_AT}:{port}", *words),
    )
    if descriptors:
        command = ("bash", "-c", f'ulimit -n {descriptors}; exec "$0" "$@"', *command)
    log = folder / "daemon.log"
    with started(command, log, covered=False) as process:
        live = Measured(process, log)
        live.port, live.holds = port, holds
        live.url = f"http://{LISTENED_AT}:{port}"
        until(live.is_up, seconds=15, what="a daemon that answers")
        yield live


@contextlib.contextmanager
def unread(live: Measured, count: int, request: bytes) -> Iterator[list[socket.socket]]:
    """Hold connections that ask and read nothing."""
    clients: list[socket.socket] = []
    try:
        for _ in range(count):
            with contextlib.suppress(OSError):
                client = live.connect(receive_buffer=4096)
                clients.append(client)
                client.sendall(request)
        yield clients
    finally:
        for client in clients:
            client.close()


def _write_holds(file: Path) -> None:
    stopwatch = CallbackTimer()
    stopwatch.install()
    reset = file.with_suffix(".reset")

    def write() -> None:
        while True:
            if reset.exists():
                stopwatch.reset()
                reset.unlink()
            new = file.with_suffix(".new")
            new.write_text(str(stopwatch.longest))
            new.replace(file)
            time.sleep(0.1)

    threading.Thread(target=write, daemon=True).start()


if __name__ == "__main__":
    from exporter.cli import daemon as cli_daemon
    from exporter.cli.main import main

    cli_daemon.FAST_FROM = sys.maxsize  # uvloop's callbacks cannot be looked into
    _write_holds(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
