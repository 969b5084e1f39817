"""What happened lately to each target: kept so that successes cannot hide last night's error.

As blackbox_exporter keeps it: the last polls in one list, the last failures in one of their
own, both short.
"""

from collections.abc import Collection
from typing import Final

import msgspec

from exporter.model.events import Event, PollFinished
from exporter.model.outcome import Failure, Reason

_SUCCESSES: Final = 2
_FAILURES: Final = 5


class Success(msgspec.Struct, frozen=True, gc=False):
    """A poll that learned something, or that nothing changed. Epoch seconds, seconds."""

    at: float
    collector: str
    seconds: float


class FailedPoll(msgspec.Struct, frozen=True, gc=False):
    """A poll that failed. ``detail`` is one line without secrets."""

    at: float
    collector: str
    reason: Reason
    detail: str


class Recent(msgspec.Struct, frozen=True):
    """The newest polls of a target, newest first."""

    successes: tuple[Success, ...] = ()
    failures: tuple[FailedPoll, ...] = ()


class History:
    """The last two successes and the last five failures of each target.

    Tuples and not deques: those take 760 bytes each, empty or not, and there may be 50,000
    targets.
    """

    def __init__(self) -> None:
        self._successes: dict[str, tuple[Success, ...]] = {}
        self._failures: dict[str, tuple[FailedPoll, ...]] = {}

    def __call__(self, event: Event) -> None:
        """Note the poll that `event` tells of, if it tells of one."""
        if not isinstance(event, PollFinished):
            return
        poll = event.poll
        if isinstance(poll.outcome, Failure):
            failed = FailedPoll(poll.at, poll.collector, poll.outcome.reason, poll.outcome.detail)
            older = self._failures.get(poll.target, ())
            self._failures[poll.target] = (failed, *older[: _FAILURES - 1])
        else:
            done = Success(poll.at, poll.collector, poll.seconds)
            before = self._successes.get(poll.target, ())
            self._successes[poll.target] = (done, *before[: _SUCCESSES - 1])

    def recent(self, target: str) -> Recent:
        """Return what is known of `target`: nothing, for a name that was never polled."""
        return Recent(self._successes.get(target, ()), self._failures.get(target, ()))

    def keep(self, targets: Collection[str]) -> None:
        """Forget all targets but these."""
        for memory in (self._successes, self._failures):
            for name in memory.keys() - set(targets):
                del memory[name]
