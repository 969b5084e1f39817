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
