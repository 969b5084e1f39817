"""The readers of events, and the one way in to all of them.

Who waits, and how long: asked at each scrape, so it must not look at every target.

All that is told about the exporter: its log, its own metrics, the recent history.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TextIO

from exporter import __version__
from exporter.app.options import Options
from exporter.kernel.secrets import Redactor
from exporter.model.events import Event, PollFinished
from exporter.model.target import Target
from exporter.observe.eventlog import EventLog
from exporter.observe.history import History
from exporter.observe.logs import Form, Log, Output, log_stray_errors, set_up
from exporter.observe.metrics import Build, LiveValues, SelfMetrics, Tracked
from exporter.schedule.runner import Runner
from exporter.schedule.status import JobStatus
from exporter.store.cache import ExpositionCache

Observer = Callable[[Event], None]


class Observers:
    """Hands each event to every observer. One that fails is logged and left out of nothing."""

    def __init__(self, observers: Sequence[Observer], log: Log) -> None:
        self._observers = tuple(observers)
        self._log = log

    def __call__(self, event: Event) -> None:
        """Tell everybody."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - a reader must not stop what it reads about
                self._log.error(
                    "an observer failed",
                    observer=type(observer).__name__,
                    told=type(event).__name__,
                    err=type(error).__name__,
                )


Account = tuple[str, str]
"""Provider and the target's name: the labels."""


class Waits:
    """Notes whose polls fail and which budgets wait, for `left` to ask about those alone.

    ``statuses`` gives the jobs of a target.
    """

    def __init__(self, statuses: Callable[[str], Iterable[JobStatus]]) -> None:
        self._statuses = statuses
        self._failing: set[tuple[str, str]] = set()
        self._waiting: set[str] = set()
        self._targets: dict[str, Target] = {}
        self._known_members: Mapping[str, list[Account]] | None = None

    def __call__(self, event: Event) -> None:
        """Note how a poll ended; a good answer may ask for a wait, too."""
        if not isinstance(event, PollFinished):
            return
        name = event.poll.target
        key = (name, event.poll.collector)
        (self._failing.add if event.failures else self._failing.discard)(key)
        target = self._targets.get(name)
        if target is not None and any(one.budget.wait > 0 for one in self._statuses(name)):
            self._waiting.add(target.budget)

    def track(self, targets: Iterable[Target]) -> None:
        """Make `targets` the ones that there are."""
        self._targets = {target.name: target for target in targets}
        self._known_members = None
        self._failing = {key for key in self._failing if key[0] in self._targets}
        if self._waiting:
            self._waiting &= self._members().keys()

    def recall(self, failing: Iterable[tuple[str, str]], waiting: Iterable[str]) -> None:
        """Note what an earlier process knew: targets and collectors that failed, and budgets."""
        self._failing |= {key for key in failing if key[0] in self._targets}
        if known := set(waiting):
            self._waiting |= self._members().keys() & known

    def left(self) -> dict[Account, float]:
        """Return the seconds left by (provider, account), for those alone that wait."""
        waits: dict[Account, float] = {}
        for budget in list(self._waiting):
            members = self._members()[budget]
            left = max((one.budget.wait for one in self._statuses(members[0][1])), default=0.0)
            if left > 0:
                waits |= dict.fromkeys(members, left)
            else:
                self._waiting.discard(budget)
        for name in {target for target, _ in self._failing if target in self._targets}:
            for status in self._statuses(name):
                if status.wait > 0:
                    key = (status.provider, status.target)
                    waits[key] = max(waits.get(key, 0.0), status.wait)
        return waits

    def _members(self) -> Mapping[str, list[Account]]:
        """Return who shares each budget; worked out when a first one waits."""
        members = self._known_members
        if members is None:
            found: dict[str, list[Account]] = defaultdict(list)
            for target in self._targets.values():
                found[target.budget].append((target.provider, target.name))
            members = self._known_members = found
        return members


class Observability:
    """Made before the engine, so that what goes wrong while it is made can be told."""

    def __init__(
        self,
        options: Options,
        *,
        stream: TextIO | None,
        wall: Callable[[], float],
        clock: Callable[[], float],
        redactor: Redactor,
    ) -> None:
        self.waits = Waits(self._statuses)
        self.metrics = SelfMetrics(
            Build(version=__version__, revision=options.revision, branch=options.branch),
            LiveValues(
                backoffs=self.waits.left,
                lateness=self._lateness,
                series=self._series,
            ),
            clock=clock,
            process=options.exporter_metrics,
        )
        self._output = Output(stream, dropped=self.metrics.count_dropped_log_messages)
        self.log = set_up(
            level=options.log_level,
            form=Form(options.log_format),
            output=self._output,
            wall=wall,
            redactor=redactor,
            counted=self.metrics.count_log_message,
        )
        self._undo = log_stray_errors(self.log) if self._output.is_of_process else None
        self.history = History()
        self._events = EventLog(self.log, clock=clock, polls=options.log_level == "debug")
        self._runner: Runner
        self._shelf: ExpositionCache

    def close(self) -> None:
        """Write what waits to be written of the log, for a second at most; drop what follows."""
        if self._undo is not None:
            self._undo()
        self._output.close()

    def ask(self, runner: Runner, shelf: ExpositionCache) -> None:
        """Say whom to ask at each scrape. To be called before the first one."""
        self._runner = runner
        self._shelf = shelf

    def observers(self) -> tuple[Observer, ...]:
        """Return the readers of events."""
        return (self._events, self.metrics, self.history, self.waits)

    def track(self, targets: Iterable[Target]) -> None:
        """Make `targets` the ones that are told about."""
        targets = list(targets)
        self.waits.track(targets)
        self.history.keep([target.name for target in targets])
        self.metrics.track(
            Tracked(provider=target.provider, account=target.name, intervals=target.collectors)
            for target in targets
        )

    def _statuses(self, target: str) -> Iterable[JobStatus]:
        return self._runner.statuses_of(target)

    def _lateness(self) -> float:
        return self._runner.lateness()

    def _series(self) -> int:
        return self._shelf.series()
