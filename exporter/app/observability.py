"""The readers of events, and the one way in to all of them.

All that is told about the exporter: its log, its own metrics, the recent history.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TextIO

from exporter import __version__
from exporter.app.options import Options
from exporter.kernel.secrets import Redactor
from exporter.model.events import Event
from exporter.model.target import Target
from exporter.observe.eventlog import EventLog
from exporter.observe.history import History
from exporter.observe.logs import Form, Log, Output, log_stray_errors, set_up
from exporter.observe.metrics import Build, LiveValues, SelfMetrics, Tracked
from exporter.schedule.runner import Runner
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
        self.metrics = SelfMetrics(
            Build(version=__version__, revision=options.revision, branch=options.branch),
            LiveValues(
                backoffs=self._waits,
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
        return (self._events, self.metrics, self.history)

    def track(self, targets: Iterable[Target]) -> None:
        """Make `targets` the ones that are told about."""
        targets = list(targets)
        self.history.keep([target.name for target in targets])
        self.metrics.track(
            Tracked(provider=target.provider, account=target.name, intervals=target.collectors)
            for target in targets
        )

    def _waits(self) -> Mapping[tuple[str, str], float]:
        return self._runner.waits()

    def _lateness(self) -> float:
        return self._runner.lateness()

    def _series(self) -> int:
        return self._shelf.series()
