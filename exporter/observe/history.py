"""The last polls of each target, for the status page.

Failures are kept apart, as blackbox_exporter does, so that successes cannot push last night's
error out.
"""

from collections.abc import Collection
from typing import Final

import msgspec

from exporter.model.events import Event, PollFinished
from exporter.model.outcome import Failure, Reason

_SUCCESSES: Final = 2
_FAILURES: Final = 5


class SuccessfulPoll(msgspec.Struct, frozen=True, gc=False):
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


class RecentPolls(msgspec.Struct, frozen=True):
    """The newest polls of a target, newest first."""

    successes: tuple[SuccessfulPoll, ...] = ()
    failures: tuple[FailedPoll, ...] = ()


class PollHistory:
    """The last two successes and the last five failures of each target.

    Tuples and not deques: those take 760 bytes each, empty or not, and there may be 50,000
    targets.
    """

    def __init__(self) -> None:
        self._successes: dict[str, tuple[SuccessfulPoll, ...]] = {}
        self._failures: dict[str, tuple[FailedPoll, ...]] = {}

    def __call__(self, event: Event) -> None:
        """Keep the poll, if `event` is one."""
        if not isinstance(event, PollFinished):
            return
        poll = event.poll
        if isinstance(poll.outcome, Failure):
            failed = FailedPoll(poll.at, poll.collector, poll.outcome.reason, poll.outcome.detail)
            failures = self._failures.get(poll.target, ())
            self._failures[poll.target] = (failed, *failures[: _FAILURES - 1])
        else:
            done = SuccessfulPoll(poll.at, poll.collector, poll.seconds)
            successes = self._successes.get(poll.target, ())
            self._successes[poll.target] = (done, *successes[: _SUCCESSES - 1])

    def recent(self, target: str) -> RecentPolls:
        """Return the last polls of `target`: none, for a name that was never polled."""
        return RecentPolls(self._successes.get(target, ()), self._failures.get(target, ()))

    def keep(self, targets: Collection[str]) -> None:
        """Forget all targets but these."""
        kept = set(targets)
        for polls in (self._successes, self._failures):
            for name in polls.keys() - kept:
                del polls[name]
