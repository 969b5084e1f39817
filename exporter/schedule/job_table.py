"""Who is scheduled: every job's entry, every budget's lane, and what is remembered of the gone."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from exporter.model.health import Health
from exporter.schedule import budget, persistence, state
from exporter.schedule.budget import NOTHING_KNOWN, Budget, restored
from exporter.schedule.job import BudgetLimits, Job, budget_limits_of
from exporter.schedule.persistence import Forgotten, Snapshot
from exporter.schedule.queue import BudgetQueue, HostCount, JobEntry, QueuePlace
from exporter.schedule.state import Clocks, JobState

JobNames: TypeAlias = Collection[str]
"""Of targets."""


class JobChange(msgspec.Struct):
    """What a swap of the jobs did, for the runner to act on."""

    admitted: list[JobEntry] = msgspec.field(default_factory=list)
    retired: list[JobEntry] = msgspec.field(default_factory=list)
    refitted: list[JobEntry] = msgspec.field(default_factory=list)
    closed: list[BudgetQueue] = msgspec.field(default_factory=list)
    forgotten: Forgotten = msgspec.field(default_factory=Forgotten)


class JobTable:
    """All entries by target, all lanes by budget.

    The states of removed jobs and the budgets of removed lanes are kept while they hold something
    back: who leaves the config and comes again has not won a poll by it.
    """

    def __init__(self, seed: str = "") -> None:
        self.targets: dict[str, tuple[JobEntry, ...]] = {}
        self.lanes: dict[str, BudgetQueue] = {}
        self.kept_budgets: dict[str, Budget] = {}
        self.kept_states: dict[str, dict[str, JobState]] = {}  # by target and collector
        self._aliases: dict[str, str] = {}  # of lanes, by their other key
        self._other_keys: dict[str, list[str]] = {}  # the aliases of a lane, by its own key
        self._hosts: dict[str, HostCount] = {}
        self.failing: set[JobEntry] = set()
        self.waiting: set[BudgetQueue] = set()
        self._members: dict[str, list[JobEntry]] | None = None  # by budget; made when asked for
        self._limits: dict[object, BudgetLimits] = {}
        self._seed = seed

    def entries(self) -> Iterator[JobEntry]:
        """Iterate over all entries."""
        return (entry for entries in self.targets.values() for entry in entries)

    def note(self, entry: JobEntry, now: float) -> None:
        """Keep `failing` and `waiting` true after a change of an entry or of its budget.

        They answer `waits` at each scrape without a look at every job.
        """
        if entry.state.streak is None or entry.place is QueuePlace.GONE:
            self.failing.discard(entry)
        else:
            self.failing.add(entry)
        if entry.lane.hold(now, 1) is not None:
            self.waiting.add(entry.lane)

    def waits(self, now: float) -> dict[tuple[str, str], float]:
        """Return the seconds left by provider and target, of those that wait."""
        left: dict[tuple[str, str], float] = {}

        def longer(job: Job, until: float) -> None:
            key = (job.provider, job.target)
            if until - now > left.get(key, 0.0):
                left[key] = until - now

        for lane in tuple(self.waiting):
            held = lane.hold(now, 1)
            if held is None:
                self.waiting.discard(lane)
                continue
            for entry in self.members(lane.key):
                longer(entry.job, held.until)
        for entry in self.failing:
            longer(entry.job, entry.state.due)
        return left

    def members(self, key: str) -> list[JobEntry]:
        """Return the entries that share a budget."""
        if self._members is None:
            self._members = {}
            for entry in self.entries():
                self._members.setdefault(entry.lane.key, []).append(entry)
        return self._members.get(key, [])

    def clock_moved(self, by: float) -> None:
        """Move what counts in wall time: the clock was set forward by so many seconds."""
        for entry in self.entries():
            entry.state = state.clock_moved(entry.state, by)

    def swap(
        self,
        jobs: Iterable[Job],
        now: float,
        *,
        changed: JobNames = (),
        replaced: JobNames = (),
    ) -> JobChange:
        """Make `jobs` the scheduled ones.

        Jobs of targets in `changed` begin anew, and so do those in trouble whose budget or host is
        another one now; those in `replaced`, which are of other accounts, also forget how their
        polls ended. Raises ValueError, and changes nothing, if two jobs are of one target and
        collector.
        """
        wanted = _by_key(jobs)
        change = JobChange()
        stay = self._sift(wanted, frozenset(changed), frozenset(replaced), change, now)
        self._admit([job for job in wanted.values() if _key(job) not in stay], change, now)
        stay.update((_key(entry.job), entry) for entry in change.admitted)
        self._regroup([stay[key] for key in wanted])
        self._close_empty(change)
        change.forgotten = self.forget_idle(now)
        return change

    def snapshot(self, clocks: Clocks) -> Snapshot:
        """Return what must survive a restart."""
        states = {_key(entry.job): entry.if_process_died() for entry in self.entries()}
        for target, kept in self.kept_states.items():
            states |= {(target, collector): state for collector, state in kept.items()}
        known = {lane.key: lane.if_process_died() for lane in self.lanes.values()}
        known |= {other: known[key] for other, key in self._aliases.items()}
        return persistence.snapshot(states, self.kept_budgets | known, clocks)

    def snapshot_of(self, target: str, clocks: Clocks) -> Snapshot:
        """Return what must survive of one target's jobs, and of the budgets that they share.

        Of a target that has left it is the waits.
        """
        entries = self.targets.get(target, ())
        if not entries:
            kept = self.kept_states.get(target, {})
            states = {(target, collector): state for collector, state in kept.items()}
            return persistence.snapshot(states, {}, clocks)
        known = {entry.lane.key: entry.lane.if_process_died() for entry in entries}
        for key in tuple(known):
            known |= dict.fromkeys(self._other_keys.get(key, ()), known[key])
        states = {_key(entry.job): entry.if_process_died() for entry in entries}
        return persistence.snapshot(states, known, clocks)

    def known_as(self, key: str, other: str) -> None:
        """Keep a budget under another key, too: that is what its jobs will call it one day."""
        if key in self.lanes and other not in self.lanes:
            self._drop_alias(other)
            self._aliases[other] = key
            self._other_keys.setdefault(key, []).append(other)

    def _drop_alias(self, other: str) -> str | None:
        """Return the key of the lane that was also called `other`, and call it so no more."""
        key = self._aliases.pop(other, None)
        if key is not None:
            self._other_keys[key].remove(other)
            if not self._other_keys[key]:
                del self._other_keys[key]
        return key

    def restore(self, snapshot: Snapshot, clocks: Clocks) -> None:
        """Keep what an earlier process knew for the jobs that come."""
        known = persistence.recalled(snapshot, clocks)
        for (target, collector), kept in known.states.items():
            self._keep(target, collector, kept)
        self.kept_budgets.update(known.budgets)

    def _sift(
        self,
        wanted: Mapping[tuple[str, str], Job],
        changed: frozenset[str],
        replaced: frozenset[str],
        change: JobChange,
        now: float,
    ) -> dict[tuple[str, str], JobEntry]:
        """Return the entries that stay; retire and refit the others."""
        stay = {}
        for entry in self.entries():
            old, key = entry.job, _key(entry.job)
            job = wanted.get(key)
            if old.target in replaced:
                self._retire(entry, change, anew=job, forget=True)
                continue
            if job is None or old.target in changed or _moved(old, job):
                self._retire(entry, change, anew=job, changed=old.target in changed)
                continue
            stay[key] = entry
            if job is not old and job != old:
                entry.job = job
                entry.state = state.interval_changed(job, entry.state, now)
                change.refitted.append(entry)
        return stay

    def _retire(
        self,
        entry: JobEntry,
        change: JobChange,
        *,
        anew: Job | None,
        changed: bool = True,
        forget: bool = False,
    ) -> None:
        entry.place = QueuePlace.GONE
        self.failing.discard(entry)
        change.retired.append(entry)
        running = entry.running
        started = entry.state.started if running is None else running.started
        if anew is not None and forget:
            kept = state.new_state(anew, started + anew.min_interval)
        elif anew is not None and (changed or running or entry.state.health is not Health.UP):
            kept = state.request_changed(anew, entry.state, started + anew.min_interval)
        elif anew is not None:
            kept = entry.state
        elif running is not None:
            kept = state.removed(entry.state, started + entry.state.interval)
        else:
            kept = state.removed(entry.state, entry.state.due)
        kept = msgspec.structs.replace(kept, started=started)
        self._keep(*_key(entry.job), kept)

    def _keep(self, target: str, collector: str, kept: JobState) -> None:
        self.kept_states.setdefault(target, {})[collector] = kept

    def _take_kept(self, target: str, collector: str) -> JobState | None:
        """Return what is kept of a job, and keep it no more."""
        states = self.kept_states.get(target)
        if states is None:
            return None
        kept = states.pop(collector, None)
        if not states:
            del self.kept_states[target]
        return kept

    def _admit(self, jobs: list[Job], change: JobChange, now: float) -> None:
        for job in jobs:
            entry = JobEntry(job, self._first_state(job, len(jobs), now), self._lane(job, now))
            self.note(entry, now)
            change.admitted.append(entry)

    def _first_state(self, job: Job, crowd: int, now: float) -> JobState:
        share = state.phase(self._seed, job.target, job.collector)
        spread = state.first_spread(crowd, job.interval)
        first = now + share * spread
        kept = self._take_kept(*_key(job))
        if kept is not None:
            known = state.restored(job, kept, now)
            due = known.due if known.due >= now else max(first, known.started + job.min_interval)
            return msgspec.structs.replace(known, due=due)
        settle = share * (state.steady_spread(crowd, job.interval) - spread)
        return state.new_state(job, first, settle=settle)

    def _lane(self, job: Job, now: float) -> BudgetQueue:
        lane = self.lanes.get(job.budget)
        if lane is None:
            limits = self._shared_limits((job,))
            kept = self._kept(job.budget)
            budget = NOTHING_KNOWN if kept is None else restored(kept, limits, now)
            lane = BudgetQueue(job.budget, self._host(job.host), limits, budget)
            self.lanes[job.budget] = lane
        return lane

    def _kept(self, key: str) -> Budget | None:
        known = self._drop_alias(key)
        return self.kept_budgets.pop(key, None) if known is None else self.lanes[known].budget

    def _host(self, name: str) -> HostCount:
        return self._hosts.setdefault(name, HostCount(name))

    def _shared_limits(self, jobs: Iterable[Job]) -> BudgetLimits:
        """Return the limits of `jobs`; equal ones are one object, as there may be many lanes."""
        distinct = {(job.throttling, job.reserve): job for job in jobs}
        key = frozenset(distinct)
        if key not in self._limits:
            self._limits[key] = budget_limits_of(distinct.values())
        return self._limits[key]

    def _regroup(self, entries: list[JobEntry]) -> None:
        """Take `entries` for all there are: by target, and each lane's limits and demand."""
        targets: dict[str, list[JobEntry]] = {}
        members: dict[str, list[JobEntry]] = {}
        for entry in entries:
            targets.setdefault(entry.job.target, []).append(entry)
            members.setdefault(entry.job.budget, []).append(entry)
        self._members = None
        self.targets = {name: tuple(group) for name, group in targets.items()}
        self._limits.clear()
        for key, lane in self.lanes.items():
            group = members.get(key, [])
            lane.jobs = len(group)
            lane.demand = sum(entry.state.cost / entry.state.interval for entry in group)
            if group:
                lane.limits = self._shared_limits(entry.job for entry in group)
                lane.host = self._host(group[0].job.host)
        hosts = {id(lane.host) for lane in self.lanes.values()}
        self._hosts = {name: host for name, host in self._hosts.items() if id(host) in hosts}

    def _close_empty(self, change: JobChange) -> None:
        change.closed = [
            lane for lane in self.lanes.values() if lane.jobs == 0 and not lane.running
        ]
        for lane in change.closed:
            self.close(lane)

    def close(self, lane: BudgetQueue) -> None:
        """Remove a lane that has neither jobs nor running polls; its budget is kept aside."""
        del self.lanes[lane.key]
        self.waiting.discard(lane)
        names = self._other_keys.pop(lane.key, [])
        for name in names:
            del self._aliases[name]
        self.kept_budgets |= dict.fromkeys([lane.key, *names], lane.budget)

    def forget_idle(self, now: float) -> Forgotten:
        """Forget what is kept of the gone and holds nothing back any more; return its keys."""
        jobs = tuple(
            (target, collector)
            for target, states in self.kept_states.items()
            for collector, kept in states.items()
            if kept.due <= now
        )
        idle = tuple(key for key, kept in self.kept_budgets.items() if budget.idle(kept, now))
        for key in jobs:
            self._take_kept(*key)
        for name in idle:
            del self.kept_budgets[name]
        return Forgotten(jobs, idle)


def _key(job: Job) -> tuple[str, str]:
    return job.target, job.collector


def _moved(old: Job, new: Job) -> bool:
    return (old.budget, old.host, old.provider) != (new.budget, new.host, new.provider)


def _by_key(jobs: Iterable[Job]) -> dict[tuple[str, str], Job]:
    wanted: dict[tuple[str, str], Job] = {}
    for job in jobs:
        if wanted.setdefault(_key(job), job) is not job:
            raise ValueError(
                f'target "{job.target}" has two jobs of its collector "{job.collector}". '
                "Names of targets must be unique."
            )
    return wanted
