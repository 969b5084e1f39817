"""Who waits, and how long: asked at each scrape, so it must not look at every target."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from exporter.model.event import Event, PollFinished
from exporter.model.target import Target
from exporter.schedule.view import JobStatus

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
        self._budget: dict[str, str] = {}
        self._members: Mapping[str, list[Account]] = {}

    def __call__(self, event: Event) -> None:
        """Note how a poll ended; a good answer may ask for a wait, too."""
        if not isinstance(event, PollFinished):
            return
        name = event.poll.target
        key = (name, event.poll.collector)
        (self._failing.add if event.failures else self._failing.discard)(key)
        if name in self._budget and any(one.budget.wait > 0 for one in self._statuses(name)):
            self._waiting.add(self._budget[name])

    def track(self, targets: Iterable[Target]) -> None:
        """Make `targets` the ones that there are."""
        members: dict[str, list[Account]] = defaultdict(list)
        self._budget = {}
        for target in targets:
            self._budget[target.name] = target.budget
            members[target.budget].append((target.provider, target.name))
        self._members = members
        self._failing = {key for key in self._failing if key[0] in self._budget}
        self._waiting &= members.keys()

    def recall(self, failing: Iterable[tuple[str, str]], waiting: Iterable[str]) -> None:
        """Note what an earlier process knew: targets and collectors that failed, and budgets."""
        self._failing |= {key for key in failing if key[0] in self._budget}
        self._waiting |= self._members.keys() & set(waiting)

    def left(self) -> dict[Account, float]:
        """Return the seconds left by (provider, account), for those alone that wait."""
        waits: dict[Account, float] = {}
        for budget in list(self._waiting):
            members = self._members[budget]
            left = max((one.budget.wait for one in self._statuses(members[0][1])), default=0.0)
            if left > 0:
                waits |= dict.fromkeys(members, left)
            else:
                self._waiting.discard(budget)
        for name in {target for target, _ in self._failing if target in self._budget}:
            for status in self._statuses(name):
                if status.wait > 0:
                    key = (status.provider, status.target)
                    waits[key] = max(waits.get(key, 0.0), status.wait)
        return waits
