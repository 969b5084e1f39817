"""Who waits, and how long: asked at each scrape, so it must not look at every target."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from exporter.model.event import Event, PollFinished
from exporter.model.target import Target
from exporter.schedule.view import JobStatus


class Waits:
    """Notes whose polls fail, for `left` to ask about those and the ones that share their budgets.

    ``statuses`` gives the jobs of a target.
    """

    def __init__(self, statuses: Callable[[str], Iterable[JobStatus]]) -> None:
        self._statuses = statuses
        self._failing: set[tuple[str, str]] = set()
        self._budget: dict[str, str] = {}
        self._members: Mapping[str, list[str]] = {}

    def __call__(self, event: Event) -> None:
        """Note how a poll ended."""
        if isinstance(event, PollFinished):
            key = (event.poll.target, event.poll.collector)
            (self._failing.add if event.failures else self._failing.discard)(key)

    def track(self, targets: Iterable[Target]) -> None:
        """Make `targets` the ones that there are."""
        members = defaultdict(list)
        self._budget = {target.name: target.budget for target in targets}
        for name, budget in self._budget.items():
            members[budget].append(name)
        self._members = members
        self._failing = {key for key in self._failing if key[0] in self._budget}

    def recall(self, failing: Iterable[tuple[str, str]]) -> None:
        """Note the targets and collectors whose polls failed before this process began."""
        self._failing |= {key for key in failing if key[0] in self._budget}

    def left(self) -> dict[tuple[str, str], float]:
        """Return the seconds left by (provider, account), for those alone that wait."""
        budgets = {self._budget[target] for target, _ in self._failing if target in self._budget}
        waits: dict[tuple[str, str], float] = {}
        for name in [name for budget in budgets for name in self._members[budget]]:
            for status in self._statuses(name):
                if status.wait > 0:
                    key = (status.provider, status.target)
                    waits[key] = max(waits.get(key, 0.0), status.wait)
        return waits
