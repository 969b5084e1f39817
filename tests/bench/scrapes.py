"""What a scrape costs, beside a static file and the peers that serve as many series."""

import contextlib
import statistics
import urllib.request
from collections.abc import Iterator, Sequence

from tests.bench import peers
from tests.bench.processes import Program, free_port, running
from tests.bench.table import Row, seconds
from tests.bench.wire import Browser

MANY, FEW = 100_000, 1_000
BLOCK = 10
GZIP = "Accept-Encoding: gzip"
ROUNDS = {MANY: 60, FEW: 600}


@contextlib.contextmanager
def serving(module: str, series: int, *more: str) -> Iterator[Program]:
    """Serve so many series by a program of this folder, in the image's environment."""
    port = free_port()
    python = str(peers.own_environment())
    command = [python, "-m", f"tests.bench.{module}", str(port), str(series), *more]
    with running(command, port, environ=peers.own_environ()) as program:
        yield program


class Cost:
    """Seconds that scrapes took, and the CPU that the server used for each."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.cpu = 0.0

    def p50(self) -> float:
        """Return the median time."""
        return statistics.median(self.times)

    def each(self) -> float:
        """Return the CPU of one."""
        return self.cpu / len(self.times)


Question = tuple[Program, str, tuple[str, ...]]


def side_by_side(questions: Sequence[Question], rounds: int) -> list[Cost]:
    """Ask all in turn, `BLOCK` times each, so that what slows the machine slows each of them."""
    with contextlib.ExitStack() as stack:
        browsers = [
            stack.enter_context(Browser(program.port, path, *headers))
            for program, path, headers in questions
        ]
        costs = [Cost() for _ in questions]
        for _ in range(rounds // BLOCK):
            for (program, _, _), browser, cost in zip(questions, browsers, costs, strict=True):
                browser.get()
                before = program.cpu()
                cost.times += [browser.get() for _ in range(BLOCK)]
                cost.cpu += program.cpu() - before
        return costs


def rows() -> Iterator[Row]:
    """Yield the rows of scrapes."""
    with serving("serving", MANY) as we:
        with peers.nginx(fetched(we), fetched(we, "gzip")) as nginx:
            yield from _beside_a_file(we, nginx)
        with contextlib.suppress(peers.Missing):
            yield from _beside_go(we, MANY, (40, 80))
    yield _longest()
    with serving("serving", FEW) as we:
        yield from _beside_go(we, FEW, (10, 10))
        yield from _beside_python(we)
        yield from _beside_pushgateway(we)


def fetched(program: Program, coding: str = "identity") -> bytes:
    """Return the body that a program serves, as it travels."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{program.port}/metrics", headers={"Accept-Encoding": coding}
    )
    with urllib.request.urlopen(request, timeout=60.0) as answer:  # noqa: S310 - loopback
        return bytes(answer.read())


def _beside_a_file(we: Program, nginx: Program) -> Iterator[Row]:
    rounds = ROUNDS[MANY]
    plain, file = side_by_side([(we, "/metrics", ()), (nginx, "/plain", ())], rounds)
    packed, packed_file = side_by_side(
        [(we, "/metrics", (GZIP,)), (nginx, "/gzip", ())], 5 * rounds
    )
    yield _times("scrape of 100,000 series, plain, p50", plain, file, "nginx", 1.3)
    yield _times("the same, gzip, p50", packed, packed_file, "nginx", 1.5)
    changed, file = side_by_side([(we, "/changed", ()), (nginx, "/plain", ())], rounds)
    yield Row(
        what="the same, plain, one target changed each time, CPU",
        ours=seconds(changed.each()),
        peer=f"nginx, plain: {seconds(file.each())}",
        value=changed.each() / file.each(),
        unit=" ×",
        bar=3.0,
    )


def _times(what: str, ours: Cost, peer: Cost, name: str, bar: float) -> Row:
    return Row(
        what=what,
        ours=seconds(ours.p50()),
        peer=f"{name}: {seconds(peer.p50())}",
        value=ours.p50() / peer.p50(),
        unit=" ×",
        bar=bar,
    )


def _less(what: str, ours: Cost, peer: Cost, name: str, bar: float | None) -> Row:
    return Row(
        what=what,
        ours=seconds(ours.each()),
        peer=f"{name}: {seconds(peer.each())}",
        value=peer.each() / ours.each(),
        unit=" × less",
        bar=bar,
        least=True,
    )


def _beside_go(we: Program, series: int, bars: tuple[float, float]) -> Iterator[Row]:
    with peers.client_golang(series) as go:
        for headers, name, bar in zip(((), (GZIP,)), ("plain", "gzip"), bars, strict=True):
            mine, theirs = side_by_side(
                [(we, "/metrics", headers), (go, "/metrics", headers)], ROUNDS[series] // 3
            )
            what = f"scrape of {series:,} series, {name}, CPU"
            yield _less(what, mine, theirs, "client_golang", bar)


def _beside_python(we: Program) -> Iterator[Row]:
    with serving("reference", FEW) as python:
        mine, theirs = side_by_side(
            [(we, "/metrics", ()), (python, "/metrics", ())], ROUNDS[FEW] // 3
        )
    yield _less("the same, plain", mine, theirs, "prometheus_client", None)


def _beside_pushgateway(we: Program) -> Iterator[Row]:
    with peers.pushgateway(FEW) as gateway:
        mine, theirs = side_by_side(
            [(we, "/metrics", ()), (gateway, "/metrics", ())], ROUNDS[FEW] // 3
        )
    yield _less("the same, plain", mine, theirs, "pushgateway", None)


def _longest() -> Row:
    """Return the longest callback: of a program on asyncio's own loop, that can be looked into."""
    with (
        serving("serving", MANY, "asyncio") as program,
        Browser(program.port, "/longest") as watch,
    ):
        watch.get()
        side_by_side([(program, "/changed", ()), (program, "/changed", (GZIP,))], ROUNDS[MANY])
        watch.get()
        held = float(watch.body()) / 1e3
    return Row(
        what="longest hold of the event loop meanwhile (CPU of one callback)",
        ours=seconds(held),
        peer="",
        value=held * 1e3,
        unit=" ms",
        bar=20.0,
    )
