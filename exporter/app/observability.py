"""The readers of events, and the one way in to all of them: log, self-metrics, recent polls."""

from collections.abc import Callable, Iterable
from typing import TextIO

from exporter import __version__
from exporter.app.options import Options
from exporter.kernel.problems import type_and_place
from exporter.kernel.redactor import Redactor
from exporter.model.events import Event
from exporter.model.target import Target
from exporter.observe.eventlog import EventLog
from exporter.observe.history import PollHistory
from exporter.observe.logs import Form, Output, log_stray_errors, set_up
from exporter.observe.metrics import Build, LiveValues, SelfMetrics, Tracked
from exporter.schedule.runner import Runner
from exporter.store.cache import ExpositionCache

Observer = Callable[[Event], None]


class Observability:
    """What tells people and Prometheus about the exporter.

    Made before the engine, so that what goes wrong while that is made can be logged. `emit` hands
    an event to every reader.
    """

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
        self.history = PollHistory()
        event_log = EventLog(self.log, clock=clock, polls=options.log_level == "debug")
        self._observers: tuple[Observer, ...] = (event_log, self.metrics, self.history)

    def attach(self, runner: Runner, cache: ExpositionCache) -> None:
        """Set what the self-metrics read at each scrape. To be called before the first one."""
        self.metrics.live = LiveValues(
            backoffs=runner.waits, lateness=runner.lateness, series=cache.series
        )

    def emit(self, event: Event) -> None:
        """Hand `event` to every reader. One that fails is logged, and the others get the event."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - a reader must not stop what it reads about
                self.log.error(  # noqa: TRY400 - this log's exceptions are fields
                    "an observer failed",
                    observer=type(observer).__name__,
                    event_type=type(event).__name__,
                    err=type_and_place(error),
                )

    def track(self, targets: Iterable[Target]) -> None:
        """Keep the history and the self-metrics of these targets alone."""
        targets = list(targets)
        self.history.keep([target.name for target in targets])
        self.metrics.track(
            Tracked(provider=target.provider, account=target.name, intervals=target.collectors)
            for target in targets
        )

    def close(self) -> None:
        """Write what waits to be written of the log, for a second at most; drop what follows."""
        if self._undo is not None:
            self._undo()
        self._output.close()
