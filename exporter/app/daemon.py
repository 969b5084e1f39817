"""The daemon: the engine, the web side and the signals, from start to stop."""

import asyncio
import signal
from collections.abc import Callable

import msgspec

from exporter.app.engine import Engine, World
from exporter.app.heap import Heap
from exporter.app.observers import Observers
from exporter.app.options import Options
from exporter.app.telling import Telling
from exporter.config.load import changed, present
from exporter.model.event import ConfigLoaded, ConfigRejected
from exporter.model.plan import Plan, Rejected, Source
from exporter.store.recall import StateInUseError

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
        telling: Telling,
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
        self._heap = Heap()
        self._sources = plan.sources
        self.problems: tuple[str, ...] = ()
        """What the last reload complained of; nothing if it was taken."""
        self.emit = Observers(telling.observers(), telling.log)
        self.engine = Engine(plan, msgspec.structs.replace(world, emit=self.emit))
        telling.ask(self.engine.runner, self.engine.shelf)

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
                before = await self.engine.start()
            except StateInUseError as error:
                self._refusal = error
                self.stop()
                return
            self._loaded(self.engine.plan)
            self._telling.waits.recall(before.failing, before.budgets)
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
            for name in self._wake_renewed():
                self._telling.log.info("secret changed, polling at once", account=name)
            await asyncio.sleep(LOOK)
            self._settle()
            if self._options.auto_reload and await self._files_changed():
                await self.reload()

    async def _files_changed(self) -> bool:
        """Tell whether the files of the last configuration, taken or rejected, have changed."""
        sources: tuple[Source, ...] = self._sources
        return await asyncio.to_thread(changed, sources)

    def _wake_renewed(self) -> list[str]:
        names = self.engine.wake_renewed()
        if self.engine.plan.without_secret.intersection(names):
            self._telling.waits.track(self.engine.plan.targets.values())
        return names

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
