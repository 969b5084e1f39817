"""Real processes for end-to-end tests: started, requested, waited for, and always ended."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from tests.support.parsed_exposition import ParsedExposition

ROOT = Path(__file__).resolve().parents[2]
_Found = TypeVar("_Found")


def program(name: str) -> str:
    """Return the path of a program that ``.ci/install-e2e`` installs."""
    return shutil.which(name) or pytest.fail(f"{name} is missing. Run: bash .ci/install-e2e")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def until(found: Callable[[], _Found | None], *, seconds: float = 30, what: str = "") -> _Found:
    """Ask again and again until there is an answer that is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        if time.monotonic() > deadline:
            pytest.fail(f"it did not come within {seconds} s: {what}")
        time.sleep(0.1)
    return answer


class Got(msgspec.Struct, frozen=True):
    """An answer; status 0 and no body when there was none."""

    status: int = 0
    headers: Mapping[str, str] = {}  # lower-case names
    body: bytes = b""

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(url: str, *, method: str = "GET", **headers: str) -> Got:
    """Send one request to a server on this machine."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, method=method, headers=named)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
            return _got(answer.status, answer.headers.items(), answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return _got(error.code, error.headers.items(), error.read())
    except OSError:
        return Got()


def _got(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> Got:
    return Got(status, {name.lower(): value for name, value in headers}, body)


class Live:
    """A process and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """What the process has written so far, to stdout and stderr."""
        return self._log.read_text(errors="replace")

    def tell(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def ended(self, seconds: float) -> int:
        """Return the exit code; fail if it takes longer."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return pytest.fail(f"it did not end within {seconds} s:\n{self.log}")


class Exporter(Live):
    """A running exporter."""

    url = ""

    def get(self, path: str, **headers: str) -> Got:
        """Ask one of its addresses."""
        return ask(self.url + path, **headers)

    def scrape(self) -> ParsedExposition:
        """Return what it publishes now; empty while it does not answer."""
        return ParsedExposition(self.get("/metrics").text)

    def until(
        self, holds: Callable[[ParsedExposition], bool], *, seconds: float = 30
    ) -> ParsedExposition:
        """Return the first scrape that is as it should be."""

        def look() -> ParsedExposition | None:
            if self.process.poll() is not None:
                pytest.fail(f"it ended by itself:\n{self.log}")
            seen = self.scrape()
            return seen if holds(seen) else None

        return until(look, seconds=seconds, what=f"a scrape\n{self.log}")

    def first(self, *accounts: str, seconds: float = 30) -> ParsedExposition:
        """Return the first scrape in which these accounts are up and have values."""

        def shown(seen: ParsedExposition) -> bool:
            return all(
                any(one.value for one in seen.all("usage_up", account=name))
                and bool(seen.all("usage_ratio", account=name))
                for name in accounts
            )

        return self.until(shown, seconds=seconds)


def uncovered_environ() -> dict[str, str]:
    """Return an environment in which no coverage is taken of a process.

    To count lines takes several times as long, and memory; and its data are written at the end,
    which is no good where the disk is full or hangs.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("COVERAGE_PROCESS_")
    }


@contextmanager
def started(
    command: Sequence[str], log: Path, *, covered: bool = True
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process and end it afterwards."""
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - only programs that the tests name
            command,
            cwd=ROOT,
            env=None if covered else uncovered_environ(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


@contextmanager
def exporter(
    folder: Path,
    *words: str,
    scheme: str = "http",
    module: str = "exporter",
    covered: bool = True,
) -> Iterator[Exporter]:
    """Run a command that serves, on a free port; `module`, with arguments, may change the world."""
    port = free_port()
    log = folder / f"exporter-{port}.log"
    listen = f"--web.listen-address=127.0.0.1:{port}"
    command = (sys.executable, "-m", *module.split(), *words, listen)
    with started(command, log, covered=covered) as process:
        live = Exporter(process, log)
        live.url = f"{scheme}://127.0.0.1:{port}"
        yield live


@contextmanager
def prometheus(folder: Path, config: Mapping[str, Any]) -> Iterator[str]:
    """Run a Prometheus with a configuration (JSON is YAML); give its address when it is ready."""
    port = free_port()
    path = folder / "prometheus.yml"
    path.write_text(json.dumps(config))
    command = (
        program("prometheus"),
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    log = folder / "prometheus.log"
    with started(command, log):
        url = f"http://127.0.0.1:{port}"
        until(lambda: ask(f"{url}/-/ready").status == 200, what="Prometheus")
        yield url


def query(url: str, expression: str) -> list[dict[str, Any]]:
    """Return the result of an instant query: metric and value of each series."""
    asked = urllib.parse.urlencode({"query": expression})
    got = ask(f"{url}/api/v1/query?{asked}")
    document = json.loads(got.body)
    assert document["status"] == "success", document
    found: list[dict[str, Any]] = document["data"]["result"]
    return found
