"""Keeps what stays for long out of the garbage collector's sight.

At 50,000 targets one look at everything holds the event loop for a second, and the collector looks
whenever a quarter more has come. So what is there is frozen. Garbage that hangs together in cycles
is frozen with it, a few objects at each reload: after some reloads everything is looked at after
all. (To count what is frozen takes as long as a look at it.)

The daemon: the engine, the web side and the signals, from start to stop.

What a scrape gets: the cached body and the exporter's own metrics after it.

What the addresses ask of the daemon.

Start a daemon with its web side in an event loop, and stop both.
"""

import asyncio
import gc
import math
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO

import msgspec

from exporter.app.engine import Engine, World
from exporter.app.observability import Observability
from exporter.app.once import Keys
from exporter.app.options import Options
from exporter.app.view import Viewer
from exporter.config.files import SecretReader
from exporter.config.plan import changed, present
from exporter.kernel.exposition_text import Dialect
from exporter.kernel.secrets import Redactor
from exporter.model.events import ConfigLoaded, ConfigRejected
from exporter.model.target import Plan, Rejected, Source
from exporter.observe.logs import Log
from exporter.observe.metrics import SelfMetrics
from exporter.store.cache import INLINE, ExpositionCache
from exporter.store.exposition import Deflated, assemble_gzip, deflate, followed_by
from exporter.store.ledger import StateInUseError
from exporter.web.access import AccessControl
from exporter.web.address import Address, parse_address
from exporter.web.negotiate import Format
from exporter.web.routes import Backend, Body, Dispatcher, routes
from exporter.web.server import WebServer

if TYPE_CHECKING:
    from exporter.web.access import AccessControl


SWEEP_EVERY: Final = 32
"""Reloads."""


class GcTuning:
    """The frozen part of this process's memory."""

    def __init__(self) -> None:
        self._reloads = 0

    def rest(self) -> None:
        """Freeze what is there now."""
        gc.freeze()

    def reloaded(self) -> None:
        """Freeze what is there after a reload; of every few reloads free what is garbage."""
        self._reloads += 1
        if self._reloads % SWEEP_EVERY == 0:
            gc.unfreeze()
            gc.collect()
        gc.freeze()


LOOK = 5.0
"""Seconds between two looks at what can only be noticed by looking: renewed secrets."""
READY_AFTER = 30.0
"""Seconds after which the exporter counts as ready, whatever the vendors do."""
Load = Callable[[], Plan | Rejected]
_STATE_MOVED = (
    "state.file: the state cannot move while the exporter runs."
    " Put the old path back, or restart with the new one."
)


class Daemon:
    """One exporter in one event loop, without its web side. ``load`` reads the configuration anew.

    To be made inside the running loop.
    """

    def __init__(
        self,
        plan: Plan,
        options: Options,
        *,
        load: Load,
        world: World,
        telling: Observability,
    ) -> None:
        self._options = options
        self._load = load
        self._world = world
        self._telling = telling
        self._began = world.clock()
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._reload_wanted = asyncio.Event()
        self._started = False
        self._refusal: StateInUseError | None = None
        self._settled = False
        self._heap = GcTuning()
        self._sources = plan.sources
        self.problems: tuple[str, ...] = ()
        """What the last reload complained of; nothing if it was taken."""
        self.emit = telling.emit
        self.engine = Engine(plan, msgspec.structs.replace(world, emit=self.emit))
        telling.attach(self.engine.runner, self.engine.shelf)

    def catch_signals(self) -> None:
        """End at SIGTERM and SIGINT, reload at SIGHUP: from now on, the start included."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)

    async def run(self) -> None:
        """Poll until told to stop, which also ends a start that takes long.

        Raises StateInUseError if another process uses the state file.
        """
        try:
            async with asyncio.TaskGroup() as group:
                work = group.create_task(self._work())
                await self._stopping.wait()
                work.cancel()
        finally:
            await self.engine.stop()
        if self._refusal is not None:
            raise self._refusal

    async def _work(self) -> None:
        async with self._reloading:  # a reload waits for the start
            self._heap.rest()
            try:
                await self.engine.start()
            except StateInUseError as error:
                self._refusal = error
                self.stop()
                return
            self._loaded(self.engine.plan)
            self._started = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self.engine.run())
            group.create_task(self._look())
            group.create_task(self._obey())

    async def reload(self) -> tuple[str, ...]:
        """Read the configuration again; return every problem, none when it is in force."""
        async with self._reloading:
            try:
                plan = await asyncio.to_thread(self._load)
            except Exception as error:  # noqa: BLE001 - our own bug must not end the daemon
                self._sources = await asyncio.to_thread(present, self._sources)
                return self._reject((f"our own bug: {type(error).__name__} while it was read",))
            self._sources = plan.sources
            if isinstance(plan, Rejected):
                return self._reject(tuple(str(problem) for problem in plan.problems))
            if plan.state_file != self.engine.plan.state_file:
                return self._reject((_STATE_MOVED,))
            self.problems = ()
            self._heap.rest()  # or the collector looks at the new plan again and again meanwhile
            change = self.engine.apply(plan)
            await self.engine.close_unused()
            self._heap.reloaded()
            self._loaded(plan, len(change.added), len(change.removed), len(change.changed))
            return ()

    def _reject(self, problems: tuple[str, ...]) -> tuple[str, ...]:
        self.problems = problems
        self.emit(ConfigRejected(at=self._world.wall(), problems=problems))
        return problems

    def not_ready(self) -> str:
        """Return why the exporter is not ready, "" when it is."""
        if self._stopping.is_set():
            return "it is stopping"
        if not self._started:
            return "it is starting"
        waited = self._world.clock() - self._began >= READY_AFTER
        return "" if waited or self.engine.runner.attempted() else "first polls are under way"

    def stop(self) -> None:
        """End `run`: not ready at once, polls cancelled, the ledger flushed."""
        self._stopping.set()

    def _loaded(self, plan: Plan, added: int = 0, removed: int = 0, changed: int = 0) -> None:
        self._telling.track(plan.targets.values())
        self._settled = False
        self._heap.rest()
        self.emit(
            ConfigLoaded(
                at=self._world.wall(),
                targets=len(plan.targets),
                added=added,
                removed=removed,
                changed=changed,
            )
        )

    async def _look(self) -> None:
        """Notice a clock that was set, renewed secrets and, if asked to, changed files."""
        while True:
            self.engine.mind_the_clock()
            for name in self.engine.wake_renewed():
                self._telling.log.info("secret changed, polling at once", account=name)
            await asyncio.sleep(LOOK)
            self._settle()
            if self._options.auto_reload and await self._files_changed():
                await self.reload()

    async def _files_changed(self) -> bool:
        """Tell whether the files of the last configuration, taken or rejected, have changed."""
        sources: tuple[Source, ...] = self._sources
        return await asyncio.to_thread(changed, sources)

    def _settle(self) -> None:
        """Let what was learned rest, as it comes, until there is something of every target."""
        if not self._settled:
            self._settled = self.engine.runner.attempted()
            self._heap.rest()

    async def _obey(self) -> None:
        """Reload whenever SIGHUP came; what that finds is an event, and so a log line."""
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            await self.reload()


TURN = 8
"""Chunks of the self-metrics that are written before somebody else may have the event loop."""


class _Compressed(NamedTuple):
    """Pieces of the self-metrics and the same compressed: most scrapes find them unchanged."""

    pieces: list[bytes]
    deflated: Deflated


class Scrape:
    """Serves ``/metrics`` and ``/probe`` from memory: the cached body, then the self-metrics."""

    def __init__(self, cache: ExpositionCache, self_metrics: SelfMetrics) -> None:
        self._cache = cache
        self._self_metrics = self_metrics
        self._compressed: dict[Dialect, _Compressed] = {}

    async def everything(self, form: Format, gzip: bool) -> Body:  # noqa: FBT001 - web's callable
        """Return the whole exposition; compressed it is one gzip member."""
        for number, _ in enumerate(self._self_metrics.warm()):
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)
        dialect = form.dialect
        steady, moving = self._self_metrics.steady(dialect), self._self_metrics.moving(dialect)
        if not gzip:
            return (await self._cache.text(dialect), *steady, *moving)
        body = await self._cache.gzip(dialect)

        def compress() -> Body:
            known = self._compressed.get(dialect)
            if known is None or known.pieces != steady:
                known = self._compressed[dialect] = _Compressed(steady, deflate(steady))
            return assemble_gzip(followed_by(body, known.deflated, steady), b"".join(moving))

        large = sum(map(len, steady)) > INLINE
        return await self._cache.run_in_thread(compress) if large else compress()

    async def one(self, target: str, form: Format) -> bytes:
        """Return the families of one target."""
        return self._cache.probe(target, form.dialect) + form.dialect.end


def site(daemon: Daemon, options: Options, telling: Observability, viewer: Viewer) -> Backend:
    """Return what the table of addresses is made of."""
    engine = daemon.engine
    scrape = Scrape(engine.shelf, telling.metrics)

    async def one(name: str, form: Format) -> bytes | None:
        return await scrape.one(name, form) if name in engine.plan.targets else None

    return Backend(
        scrape=scrape.everything,
        probe=one,
        names=lambda: engine.plan.targets,
        not_ready=daemon.not_ready,
        reload=daemon.reload if options.lifecycle else None,
        config_text=lambda: engine.plan.text,
        view=viewer.status,
    )


Announce = Callable[[Sequence[Address]], None]


async def serve(
    plan: Plan, options: Options, *, load: Load, stream: TextIO | None, announce: Announce
) -> None:
    """Poll and serve until SIGTERM or SIGINT.

    Raises CannotListen, BadWebConfig or OSError (of its files) before the first poll.
    """
    clock = asyncio.get_running_loop().time
    redactor = Redactor()
    telling = Observability(options, stream=stream, wall=time.time, clock=clock, redactor=redactor)
    try:
        await _serve(
            plan, options, load=load, telling=telling, redactor=redactor, announce=announce
        )
    finally:
        telling.close()


async def _serve(
    plan: Plan,
    options: Options,
    *,
    load: Load,
    telling: Observability,
    redactor: Redactor,
    announce: Announce,
) -> None:
    clock = asyncio.get_running_loop().time
    keys = Keys(SecretReader(os.environ), redactor)
    world = World(
        wall=time.time,
        clock=clock,
        dice=random.SystemRandom().random,
        read_secret=keys.read,
        emit=lambda event: None,
    )
    daemon = Daemon(plan, options, load=load, world=world, telling=telling)

    broke = _Failures(telling.log, clock)

    def complain(problem: str) -> None:
        telling.log.error("the web configuration cannot be used, the old one stays", err=problem)

    access = _access_control(options.web_config_file, clock, complain)
    viewer = Viewer(
        daemon.engine, telling.history, wall=time.time, problems=lambda: daemon.problems
    )
    table = routes(
        site(daemon, options, telling, viewer),
        telemetry_path=options.telemetry_path,
        prefix=options.route_prefix,
        external_url=options.external_url,
    )
    server = WebServer(
        Dispatcher(table, failed=broke, access=access),
        most_connections=options.most_connections,
        notice=lambda what, fields: telling.log.warning(what, **fields),
    )
    daemon.catch_signals()
    addresses = [parse_address(text) for text in options.listen]
    bound = await server.start(addresses, tls=access.context if access else None)
    try:
        announce(bound)
        telling.log.info("listening", addresses=[str(address) for address in bound])
        await daemon.run()
    finally:
        await server.stop()
        if access is not None:
            access.close()


class _Failures:
    """Logs that an address failed: once a minute for each kind of failure, with their number.

    Clients bring them about as they like: one that reads nothing, four hundred times a second.
    """

    _EVERY = 60.0
    _MOST_KINDS = 100

    def __init__(self, log: Log, clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._told: dict[tuple[str, str], float] = {}
        self._untold: Counter[tuple[str, str]] = Counter()

    def __call__(self, path: str, error: BaseException) -> None:
        kind, now = (path, f"{type(error).__name__}: {error}"), self._clock()
        if now - self._told.get(kind, -math.inf) < self._EVERY:
            self._untold[kind] += 1
            return
        if len(self._told) >= self._MOST_KINDS:
            self._told.clear()
        self._told[kind] = now
        more = self._untold.pop(kind, 0)
        fields: dict[str, object] = {"more_before": more} if more else {}
        self._log.error("an address failed", path=path, err=error, **fields)


def _access_control(
    path: str, clock: Callable[[], float], complain: Callable[[str], None]
) -> "AccessControl | None":
    if not path:
        return None
    from exporter.web.access import AccessControl  # noqa: PLC0415 - most daemons have no web configuration

    return AccessControl(path, clock=clock, complain=complain)
