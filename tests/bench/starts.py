"""Start and idle memory of the whole program, beside query-exporter and the bare imports."""

import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench import peers
from tests.bench.processes import clean_environ, free_port, spawned
from tests.bench.table import Row, seconds
from tests.bench.vendor import vendor

TARGETS = 10
ROUNDS = 7
IDLE = 6.0
"""Seconds after the first polls at which memory is read."""
IMPORTS = "import asyncio, aiohttp, yaml, prometheus_client, structlog, msgspec, jmespath"

_QUERIES = """\
databases: {db: {dsn: "sqlite:///"}}
metrics: {answer: {type: gauge}}
queries: {one: {databases: [db], interval: 60, metrics: [answer], sql: "select 1 as answer"}}
"""


def rows() -> Iterator[Row]:
    """Yield the rows of start and memory."""
    with tempfile.TemporaryDirectory() as name, vendor() as origin:
        folder = Path(name)
        config = folder / "config.yaml"
        config.write_text(configuration(origin, TARGETS))
        queries = folder / "queries.yaml"
        queries.write_text(_QUERIES)
        yield from _starts(config, queries)
        yield from _memory(config, queries)


def configuration(origin: str, count: int) -> str:
    """Return a config of so many targets of one provider."""
    lines = ["targets:"]
    for number in range(count):
        lines += [
            f"- name: target-{number}",
            "  provider: billing_usage",
            f"  base_url: {origin}",
            f"  credentials: {{token: key-of-target-{number}}}",
        ]
    return "\n".join(lines) + "\n"


def _ours(config: Path, port: int) -> list[str]:
    options = [f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}"]
    return [peers.own_program(), "run", *options]


def _theirs(queries: Path, port: int) -> list[str]:
    options = ["--config", str(queries), "-H", "127.0.0.1", "-p", str(port)]
    return [str(peers.query_exporter()), *options]


def _starts(config: Path, queries: Path) -> Iterator[Row]:
    python = str(peers.own_environment())
    peers.query_exporter()
    commands: dict[str, Callable[[], float]] = {
        "ours": lambda: _first_answer(lambda port: _ours(config, port)),
        "query-exporter": lambda: _first_answer(lambda port: _theirs(queries, port)),
        "bare imports": lambda: _run([python, "-c", IMPORTS]),
        "--version": lambda: _run([peers.own_program(), "--version"]),
        "bare Python": lambda: _run([python, "-c", "pass"]),
        "check": lambda: _run([peers.own_program(), "check", f"--config.file={config}"]),
    }
    took: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(ROUNDS + 1):
        for name, command in commands.items():
            lasted = command()
            if turn:  # the first writes bytecode and fills the page cache
                took[name].append(lasted)
    p50 = {name: statistics.median(times) for name, times in took.items()}
    for what, ours, peer, bar in (
        ("start to the first answered /metrics", "ours", "query-exporter", 0.6),
        ("the same", "ours", "bare imports", 1.5),
        ("--version", "--version", "bare Python", None),
        ("check of ten targets", "check", "bare imports", None),
    ):
        yield Row(
            what=what,
            ours=seconds(p50[ours]),
            peer=f"{peer}: {seconds(p50[peer])}",
            value=p50[ours] / p50[peer],
            unit=" ×",
            bar=bar,
        )


def _first_answer(command: Callable[[int], Sequence[str]]) -> float:
    port = free_port()
    words = command(port)
    began = time.perf_counter()
    with spawned(words) as process:
        _await_metrics(port, process)
        return time.perf_counter() - began


def _await_metrics(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5.0) as answer:
                answer.read()
                return
        except OSError:
            time.sleep(0.005)
    raise RuntimeError(f"{process.args!r} answered nothing")


def _run(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(  # noqa: S603 - our own commands
        list(command),
        check=True,
        capture_output=True,
        env=clean_environ(),
    )
    return time.perf_counter() - began


def _memory(config: Path, queries: Path) -> Iterator[Row]:
    ours = statistics.median(_idle(lambda port: _ours(config, port)) for _ in range(3))
    theirs = _idle(lambda port: _theirs(queries, port))
    yield Row(
        what="memory, ten targets polled and scraped, idle",
        ours=f"{ours / 1e6:.1f} MB",
        peer=f"query-exporter, one query: {theirs / 1e6:.1f} MB",
        value=ours / 1e6,
        unit=" MB",
        bar=45.0,
    )


def _idle(command: Callable[[int], Sequence[str]]) -> int:
    port = free_port()
    with spawned(command(port)) as process:
        _await_metrics(port, process)
        time.sleep(IDLE)
        _await_metrics(port, process)
        status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))
