"""Who is scheduled: every job's entry, every budget's lane, and what is remembered of the gone."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from exporter.model.health import Health
from exporter.schedule import budget, persistence, state
from exporter.schedule.budget import FRESH, Budget, restored
from exporter.schedule.job import BudgetLimits, Job, budget_limits_of
from exporter.schedule.persistence import Clocks, Snapshot
from exporter.schedule.queue import BudgetQueue, HostCount, JobEntry, QueuePlace
from exporter.schedule.state import JobState

JobNames: TypeAlias = Collection[str]
"""Of targets."""


class Forgotten(msgspec.Struct):
    """What held nothing back any more: of jobs, by target and collector, and of budgets."""

    jobs: tuple[tuple[str, str], ...] = ()
    budgets: tuple[str, ...] = ()


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
        self._terms: dict[object, BudgetLimits] = {}
        self._seed = seed

    def entries(self) -> Iterator[JobEntry]:
        """Iterate over all entries."""
        return (entry for entries in self.targets.values() for entry in entries)

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
        known = {lane.key: lane.remembered() for lane in self.lanes.values()}
        known |= {other: known[key] for other, key in self._aliases.items()}
        kept = self.kept_budgets | known
        states = {
            (target, collector): kept_state
            for target, kept_states in self.kept_states.items()
            for collector, kept_state in kept_states.items()
        }
        return persistence.take_snapshot(self.entries(), states, kept, clocks)

    def snapshot_of(self, target: str, clocks: Clocks) -> Snapshot:
        """Return what must survive of one target's jobs, and of the budgets that they share.

        Of a target that has left it is the waits.
        """
        entries = self.targets.get(target, ())
        if not entries:
            states = self.kept_states.get(target, {})
            gone = {(target, collector): kept for collector, kept in states.items()}
            return persistence.take_snapshot((), gone, {}, clocks)
        known = {entry.lane.key: entry.lane.remembered() for entry in entries}
        for key in tuple(known):
            known |= dict.fromkeys(self._other_keys.get(key, ()), known[key])
        return persistence.take_snapshot(entries, {}, known, clocks)

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
        recollection = persistence.recall(snapshot, clocks)
        for (target, collector), kept in recollection.states.items():
            self._keep(target, collector, kept)
        self.kept_budgets.update(recollection.budgets)

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
                entry.state = state.refit(job, entry.state, now)
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
        change.retired.append(entry)
        running = entry.running
        started = entry.state.started if running is None else running.started
        if anew is not None and forget:
            kept = state.fresh(anew, started + anew.min_interval)
        elif anew is not None and (changed or running or entry.state.health is not Health.UP):
            kept = state.anew(anew, entry.state, started + anew.min_interval)
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
        return state.fresh(job, first, settle=settle)

    def _lane(self, job: Job, now: float) -> BudgetQueue:
        lane = self.lanes.get(job.budget)
        if lane is None:
            terms = self._shared_terms((job,))
            kept = self._kept(job.budget)
            budget = FRESH if kept is None else restored(kept, terms, now)
            lane = BudgetQueue(job.budget, self._host(job.host), terms, budget)
            self.lanes[job.budget] = lane
        return lane

    def _kept(self, key: str) -> Budget | None:
        known = self._drop_alias(key)
        return self.kept_budgets.pop(key, None) if known is None else self.lanes[known].budget

    def _host(self, name: str) -> HostCount:
        return self._hosts.setdefault(name, HostCount(name))

    def _shared_terms(self, jobs: Iterable[Job]) -> BudgetLimits:
        """Return the terms of `jobs`; equal ones are one object, as there may be many lanes."""
        distinct = {(job.throttling, job.reserve): job for job in jobs}
        key = frozenset(distinct)
        if key not in self._terms:
            self._terms[key] = budget_limits_of(distinct.values())
        return self._terms[key]

    def _regroup(self, entries: list[JobEntry]) -> None:
        """Take `entries` for all there are: by target, and each lane's terms and demand."""
        targets: dict[str, list[JobEntry]] = {}
        members: dict[str, list[JobEntry]] = {}
        for entry in entries:
            targets.setdefault(entry.job.target, []).append(entry)
            members.setdefault(entry.job.budget, []).append(entry)
        self.targets = {name: tuple(group) for name, group in targets.items()}
        self._terms.clear()
        for key, lane in self.lanes.items():
            group = members.get(key, [])
            lane.jobs = len(group)
            lane.demand = sum(entry.state.cost / entry.state.interval for entry in group)
            if group:
                lane.terms = self._shared_terms(entry.job for entry in group)
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
