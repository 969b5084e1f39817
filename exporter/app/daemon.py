"""The daemon: engine, web side and signals in one event loop, from start to stop.

Start (`serve`): log and self-metrics; engine; signals; sockets, so that ``/-/healthy`` answers
while the state is restored; then `Daemon.run`: state, polls, and the watch over files and secrets.
Nothing is polled before all addresses are listened on.

Stop (SIGTERM, SIGINT): not ready at once; polls are cancelled and the ledger is flushed
(`Engine.stop`); sockets and connections; the log last. All of it within 5 s.

Reload (SIGHUP, ``/-/reload``, ``--config.auto-reload``): one at a time, read in a thread. A bad
configuration changes nothing.
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
from exporter.app.once import SecretLoader
from exporter.app.options import Options
from exporter.app.view import Viewer
from exporter.config.credentials import SecretReader
from exporter.config.plan import changed, present
from exporter.kernel.exposition_text import Dialect
from exporter.kernel.redactor import Redactor
from exporter.model.events import ConfigLoaded, ConfigRejected
from exporter.model.target import Plan, Rejected
from exporter.observe.logs import Log
from exporter.observe.metrics import SelfMetrics
from exporter.store.cache import INLINE, ExpositionCache
from exporter.store.exposition import Deflated, assemble_gzip, deflate, followed_by
from exporter.store.ledger import StateInUseError
from exporter.web.address import Address, parse_address
from exporter.web.negotiate import Format
from exporter.web.routes import Backend, Body, Dispatcher, routes
from exporter.web.server import WebServer

if TYPE_CHECKING:
    from exporter.web.access import AccessControl

Load = Callable[[], Plan | Rejected]
"""Reads the configuration anew; called in a thread."""
Announce = Callable[[Sequence[Address]], None]
"""Called once with the addresses that are listened on."""
READY_AFTER: Final = 30.0
"""Seconds after which the exporter counts as ready, whatever the vendors do."""
_WATCH_EVERY: Final = 5.0
"""Seconds between two looks at what only a look can notice: a set clock, renewed secrets, files."""
_STATE_MOVED: Final = (
    "state.file: the state cannot move while the exporter runs."
    " Put the old path back, or restart with the new one."
)


async def serve(
    plan: Plan, options: Options, *, load: Load, stream: TextIO | None, announce: Announce
) -> None:
    """Poll and serve until SIGTERM or SIGINT.

    Raises CannotListen, BadWebConfig or OSError (of its files) before the first poll, and
    StateInUseError.
    """
    clock = asyncio.get_running_loop().time
    redactor = Redactor()
    observability = Observability(
        options, stream=stream, wall=time.time, clock=clock, redactor=redactor
    )
    log = observability.log
    access = None
    try:
        world = World(
            wall=time.time,
            clock=clock,
            random=random.SystemRandom().random,
            read_secret=SecretLoader(SecretReader(os.environ), redactor).read,
            emit=lambda event: None,
        )
        daemon = Daemon(plan, options, load=load, world=world, observability=observability)
        if options.web_config_file:
            access = _access_control(options.web_config_file, clock, log)
        table = routes(
            _backend(daemon, options, observability),
            telemetry_path=options.telemetry_path,
            prefix=options.route_prefix,
            external_url=options.external_url,
        )
        server = WebServer(
            Dispatcher(table, failed=_HandlerErrors(log, clock), access=access),
            most_connections=options.most_connections,
            notice=lambda what, fields: log.warning(what, **fields),
        )
        daemon.catch_signals()
        bound = await server.start(
            [parse_address(text) for text in options.listen], tls=access.context if access else None
        )
        try:
            announce(bound)
            log.info("listening", addresses=[str(address) for address in bound])
            await daemon.run()
        finally:
            await server.stop()
    finally:
        if access is not None:
            access.close()
        observability.close()


def _access_control(path: str, clock: Callable[[], float], log: Log) -> "AccessControl":
    from exporter.web.access import AccessControl  # noqa: PLC0415 - most daemons have none

    def complain(problem: str) -> None:
        log.error("the web configuration cannot be used, the old one stays", err=problem)

    return AccessControl(path, clock=clock, complain=complain)


def _backend(daemon: "Daemon", options: Options, observability: Observability) -> Backend:
    """Return what the addresses serve."""
    engine = daemon.engine
    scrape = Scrape(engine.exposition, observability.metrics)
    viewer = Viewer(engine, observability.history, wall=time.time, problems=lambda: daemon.problems)

    async def probe(name: str, form: Format) -> bytes | None:
        return await scrape.one(name, form) if name in engine.plan.targets else None

    return Backend(
        scrape=scrape.everything,
        probe=probe,
        names=lambda: engine.plan.targets,
        not_ready=daemon.not_ready,
        reload=daemon.reload if options.lifecycle else None,
        config_text=lambda: engine.plan.text,
        view=viewer.status,
    )


class Daemon:
    """One exporter in one event loop, without its web side; to be made inside the loop."""

    def __init__(
        self,
        plan: Plan,
        options: Options,
        *,
        load: Load,
        world: World,
        observability: Observability,
    ) -> None:
        self._options = options
        self._load = load
        self._world = world
        self._observability = observability
        self._began = world.clock()
        self._stopping = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._reload_wanted = asyncio.Event()
        self._started = False
        self._state_in_use: StateInUseError | None = None
        self._settled = False  # every target had its first attempt, and what it left is frozen
        self._gc = GcTuning()
        self._sources = plan.sources
        self.problems: tuple[str, ...] = ()
        """The problems of the last reload; none if it was taken."""
        self._emit = observability.emit
        self.engine = Engine(plan, msgspec.structs.replace(world, emit=self._emit))
        observability.attach(self.engine.runner, self.engine.exposition)

    def catch_signals(self) -> None:
        """End at SIGTERM and SIGINT, reload at SIGHUP: from now on, the start included."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)

    async def run(self) -> None:
        """Start, and poll until `stop`, which also ends a start that takes long.

        Raises StateInUseError if another process uses the state file.
        """
        try:
            async with asyncio.TaskGroup() as group:
                work = group.create_task(self._work())
                await self._stopping.wait()
                work.cancel()
        finally:
            await self.engine.stop()
        if self._state_in_use is not None:
            raise self._state_in_use

    def stop(self) -> None:
        """End `run`: not ready at once, polls cancelled, the ledger flushed."""
        self._stopping.set()

    def not_ready(self) -> str:
        """Return why the exporter is not ready, "" when it is."""
        if self._stopping.is_set():
            return "it is stopping"
        if not self._started:
            return "it is starting"
        waited = self._world.clock() - self._began >= READY_AFTER
        return "" if waited or self.engine.runner.attempted() else "first polls are under way"

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
            self._gc.freeze()  # or the collector looks at the new plan again and again meanwhile
            change = self.engine.apply(plan)
            await self.engine.close_unused()
            self._gc.reloaded()
            self._loaded(plan, len(change.added), len(change.removed), len(change.changed))
            return ()

    def _reject(self, problems: tuple[str, ...]) -> tuple[str, ...]:
        self.problems = problems
        self._emit(ConfigRejected(at=self._world.wall(), problems=problems))
        return problems

    def _loaded(self, plan: Plan, added: int = 0, removed: int = 0, changed: int = 0) -> None:
        self._observability.track(plan.targets.values())
        self._settled = False
        self._gc.freeze()
        self._emit(
            ConfigLoaded(
                at=self._world.wall(),
                targets=len(plan.targets),
                added=added,
                removed=removed,
                changed=changed,
            )
        )

    async def _work(self) -> None:
        async with self._reloading:  # a reload waits for the start
            self._gc.freeze()
            try:
                await self.engine.start()
            except StateInUseError as error:
                self._state_in_use = error
                self.stop()
                return
            self._loaded(self.engine.plan)
            self._started = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self.engine.run())
            group.create_task(self._watch())
            group.create_task(self._reload_at_sighup())

    async def _watch(self) -> None:
        """Notice a clock that was set, renewed secrets and, with auto-reload, changed files."""
        engine = self.engine
        while True:
            engine.check_clock()
            for name in engine.wake_renewed():
                self._observability.log.info("secret changed, polling at once", account=name)
            await asyncio.sleep(_WATCH_EVERY)
            if not self._settled:
                self._settled = engine.runner.attempted()
                self._gc.freeze()
            if self._options.auto_reload and await asyncio.to_thread(changed, self._sources):
                await self.reload()

    async def _reload_at_sighup(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            await self.reload()


SWEEP_EVERY: Final = 32
"""Reloads between two collections of what is frozen."""


class GcTuning:
    """Keeps what lives long out of the garbage collector's sight, by freezing it.

    At 50,000 targets one full collection holds the event loop for a second, and the collector
    runs one whenever the heap has grown by a quarter. Garbage in cycles is frozen too, a few
    objects at each reload: every few reloads a full collection frees it. (To count what is frozen
    takes as long as to collect it.)
    """

    def __init__(self) -> None:
        self._reloads = 0

    def freeze(self) -> None:
        """Freeze what is there now."""
        gc.freeze()

    def reloaded(self) -> None:
        """Freeze what is there after a reload; at every few reloads collect first."""
        self._reloads += 1
        if self._reloads % SWEEP_EVERY == 0:
            gc.unfreeze()
            gc.collect()
        gc.freeze()


_CHUNKS: Final = 8
"""Chunks of the self-metrics that are written before other tasks may run."""


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
            if number % _CHUNKS == _CHUNKS - 1:
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


class _HandlerErrors:
    """Logs that an address failed: once a minute for each kind of error, with their number.

    Clients can cause them at any rate: one that reads nothing, four hundred times a second.
    """

    _EVERY = 60.0
    _MOST_KINDS = 100

    def __init__(self, log: Log, clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._logged: dict[tuple[str, str], float] = {}
        self._suppressed: Counter[tuple[str, str]] = Counter()

    def __call__(self, path: str, error: BaseException) -> None:
        kind, now = (path, f"{type(error).__name__}: {error}"), self._clock()
        if now - self._logged.get(kind, -math.inf) < self._EVERY:
            self._suppressed[kind] += 1
            return
        if len(self._logged) >= self._MOST_KINDS:
            self._logged.clear()
        self._logged[kind] = now
        more = self._suppressed.pop(kind, 0)
        fields: dict[str, object] = {"more_before": more} if more else {}
        self._log.error("an address failed", path=path, err=error, **fields)
