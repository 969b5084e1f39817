"""The readers of events, and the one way in to all of them."""

from collections.abc import Callable, Sequence

from exporter.model.event import Event
from exporter.observe.logs import Log

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
