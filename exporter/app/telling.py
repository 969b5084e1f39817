"""All that is told about the exporter: its log, its own metrics, the recent history."""

from collections.abc import Callable, Iterable
from typing import TextIO

from exporter import __version__
from exporter.app.observers import Observer
from exporter.app.options import Options
from exporter.app.waits import Waits
from exporter.kernel.secrets import Redactor
from exporter.model.target import Target
from exporter.observe.eventlog import EventLog
from exporter.observe.history import History
from exporter.observe.logs import Form, Output, log_stray_errors, set_up
from exporter.observe.metrics import Build, Now, SelfMetrics, Tracked
from exporter.schedule.runner import Runner
from exporter.schedule.view import JobStatus
from exporter.store.shelf import Shelf


class Telling:
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
            Now(
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
        self._shelf: Shelf

    def close(self) -> None:
        """Write what waits to be written of the log, for a second at most; drop what follows."""
        if self._undo is not None:
            self._undo()
        self._output.close()

    def ask(self, runner: Runner, shelf: Shelf) -> None:
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
