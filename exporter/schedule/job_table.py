"""Which jobs are scheduled, and how a reload of the config changes that.

The table holds an entry for each job, by target, and a queue for each budget. `swap` compares the
jobs of a new config with the present ones:

- an unchanged job keeps its entry: state, timers and budget;
- a job whose interval or limits changed keeps its entry with another due time;
- a job whose request, credential, host or account changed gets a new entry, made of what is kept of
  the old one;
- of a job that is removed its waits are kept, and so is the budget of a queue without jobs, for as
  long as they hold something back: removing a target and adding it again wins no poll.

A budget may have other keys (`known_as`): the key is a digest of the secret, and a renewed secret
changes it. `restore` fills what is kept from a snapshot of an earlier process.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from exporter.model.health import Health
from exporter.schedule import budget, persistence, state
from exporter.schedule.budget import NOTHING_KNOWN, Budget
from exporter.schedule.job import BudgetLimits, Job, budget_limits_of
from exporter.schedule.persistence import Forgotten, JobKey, Snapshot
from exporter.schedule.queue import BudgetQueue, Host, JobEntry, Place
from exporter.schedule.state import Clocks, JobState

Names: TypeAlias = Collection[str]
"""Of targets."""


class JobChange(msgspec.Struct):
    """What a swap of the jobs did, for the runner to act on."""

    added: list[JobEntry] = msgspec.field(default_factory=list)
    removed: list[JobEntry] = msgspec.field(default_factory=list)
    rescheduled: list[JobEntry] = msgspec.field(default_factory=list)
    closed: list[BudgetQueue] = msgspec.field(default_factory=list)
    forgotten: Forgotten = msgspec.field(default_factory=Forgotten)


class JobTable:
    """All entries by target, all queues by budget. `seed` moves the phases of first polls."""

    def __init__(self, seed: str = "") -> None:
        self.targets: dict[str, tuple[JobEntry, ...]] = {}
        self.queues: dict[str, BudgetQueue] = {}
        self.kept_budgets: dict[str, Budget] = {}  # of queues that were closed, or of a snapshot
        self.kept_states: dict[str, dict[str, JobState]] = {}  # by target and collector
        self._aliases: dict[str, str] = {}  # keys of queues by their other key
        self._other_keys: dict[str, list[str]] = {}  # the aliases of a queue by its own key
        self._hosts: dict[str, Host] = {}
        self._failing: set[JobEntry] = set()
        self._waiting: set[BudgetQueue] = set()
        self._members: dict[str, list[JobEntry]] | None = None  # by budget; made when asked for
        self._limits: dict[object, BudgetLimits] = {}
        self._seed = seed

    def entries(self) -> Iterator[JobEntry]:
        """Iterate over all entries."""
        return (entry for entries in self.targets.values() for entry in entries)

    def members(self, key: str) -> list[JobEntry]:
        """Return the entries that share a budget."""
        if self._members is None:
            self._members = {}
            for entry in self.entries():
                self._members.setdefault(entry.queue.key, []).append(entry)
        return self._members.get(key, [])

    def clock_moved(self, by: float) -> None:
        """Move what counts in wall time: the clock was set forward by so many seconds."""
        for entry in self.entries():
            entry.state = state.clock_moved(entry.state, by)

    def known_as(self, key: str, other: str) -> None:
        """Keep a budget under another key, too: the next config will use that one."""
        if key in self.queues and other not in self.queues:
            self._drop_alias(other)
            self._aliases[other] = key
            self._other_keys.setdefault(key, []).append(other)

    def _drop_alias(self, other: str) -> str | None:
        """Return the key of the queue that was also known as `other`, and end that."""
        key = self._aliases.pop(other, None)
        if key is not None:
            self._other_keys[key].remove(other)
            if not self._other_keys[key]:
                del self._other_keys[key]
        return key

    # -------------------------------------------------------------------------------- who waits

    def note(self, entry: JobEntry, now: float) -> None:
        """Note whether an entry fails and whether its budget waits, after a change of either.

        So `waits`, which every scrape asks, looks at those alone.
        """
        if entry.state.streak is None or entry.place is Place.REMOVED:
            self._failing.discard(entry)
        else:
            self._failing.add(entry)
        if entry.queue.hold(now, 1) is not None:
            self._waiting.add(entry.queue)

    def waits(self, now: float) -> dict[tuple[str, str], float]:
        """Return the seconds left by provider and target, of those that wait."""
        ends = [(entry.job, entry.state.due) for entry in self._failing]
        for queue in tuple(self._waiting):
            held = queue.hold(now, 1)
            if held is None:
                self._waiting.discard(queue)
            else:
                ends += [(entry.job, held.until) for entry in self.members(queue.key)]
        left: dict[tuple[str, str], float] = {}
        for job, until in ends:
            key = (job.provider, job.target)
            if until - now > left.get(key, 0.0):
                left[key] = until - now
        return left

    # ------------------------------------------------------------------------------ over a restart

    def snapshot(self, clocks: Clocks) -> Snapshot:
        """Return what must survive a restart."""
        states = {_key(entry.job): entry.if_process_died() for entry in self.entries()}
        for target, kept in self.kept_states.items():
            states |= {(target, collector): state for collector, state in kept.items()}
        budgets = {queue.key: queue.if_process_died() for queue in self.queues.values()}
        budgets |= {other: budgets[key] for other, key in self._aliases.items()}
        return persistence.snapshot(states, self.kept_budgets | budgets, clocks)

    def snapshot_of(self, target: str, clocks: Clocks) -> Snapshot:
        """Return what must survive of one target's jobs, and of the budgets that they share.

        Of a target that was removed it is the waits.
        """
        entries = self.targets.get(target, ())
        if not entries:
            kept = self.kept_states.get(target, {})
            states = {(target, collector): state for collector, state in kept.items()}
            return persistence.snapshot(states, {}, clocks)
        budgets = {entry.queue.key: entry.queue.if_process_died() for entry in entries}
        for key in tuple(budgets):
            budgets |= dict.fromkeys(self._other_keys.get(key, ()), budgets[key])
        states = {_key(entry.job): entry.if_process_died() for entry in entries}
        return persistence.snapshot(states, budgets, clocks)

    def restore(self, snapshot: Snapshot, clocks: Clocks) -> None:
        """Keep what an earlier process knew for the jobs that come."""
        known = persistence.recalled(snapshot, clocks)
        for key, kept in known.states.items():
            self._keep(key, kept)
        self.kept_budgets.update(known.budgets)

    def _keep(self, key: JobKey, kept: JobState) -> None:
        target, collector = key
        self.kept_states.setdefault(target, {})[collector] = kept

    def _take_kept(self, key: JobKey) -> JobState | None:
        """Return what is kept of a job, and keep it no more."""
        target, collector = key
        states = self.kept_states.get(target)
        if states is None:
            return None
        kept = states.pop(collector, None)
        if not states:
            del self.kept_states[target]
        return kept

    def forget_idle(self, now: float) -> Forgotten:
        """Forget what is kept and holds nothing back any more; return its keys."""
        jobs = tuple(
            (target, collector)
            for target, states in self.kept_states.items()
            for collector, kept in states.items()
            if kept.due <= now
        )
        idle = tuple(key for key, kept in self.kept_budgets.items() if budget.idle(kept, now))
        for key in jobs:
            self._take_kept(key)
        for name in idle:
            del self.kept_budgets[name]
        return Forgotten(jobs, idle)

    # -------------------------------------------------------------------------- other jobs

    def swap(
        self, jobs: Iterable[Job], now: float, *, changed: Names = (), replaced: Names = ()
    ) -> JobChange:
        """Make `jobs` the scheduled ones.

        The request or credential of targets in `changed` is another one; those in `replaced` are
        other accounts, so that how their polls ended is forgotten too. Raises ValueError, and
        changes nothing, if two jobs are of one target and collector.
        """
        wanted: dict[JobKey, Job] = {}
        for job in jobs:
            if wanted.setdefault(_key(job), job) is not job:
                raise ValueError(
                    f'target "{job.target}" has two jobs of its collector "{job.collector}". '
                    "Names of targets must be unique."
                )
        change = JobChange()
        stay = self._stay_or_remove(wanted, frozenset(changed), frozenset(replaced), change, now)
        new = [job for job in wanted.values() if _key(job) not in stay]
        for job in new:
            entry = JobEntry(job, self._first_state(job, len(new), now), self._queue_of(job, now))
            self.note(entry, now)
            change.added.append(entry)
            stay[_key(job)] = entry
        self._regroup([stay[key] for key in wanted])
        change.closed = [
            queue for queue in self.queues.values() if queue.jobs == 0 and not queue.running
        ]
        for queue in change.closed:
            self.close(queue)
        change.forgotten = self.forget_idle(now)
        return change

    def _stay_or_remove(
        self,
        wanted: Mapping[JobKey, Job],
        changed: frozenset[str],
        replaced: frozenset[str],
        change: JobChange,
        now: float,
    ) -> dict[JobKey, JobEntry]:
        """Return the entries that stay; remove the others, and keep what is known of their jobs."""
        stay = {}
        for entry in self.entries():
            old, key = entry.job, _key(entry.job)
            job = wanted.get(key)
            if job is None:
                self._remove(entry, change, _kept_of_removed(entry))
            elif old.target in replaced:
                started = entry.started
                self._remove(entry, change, state.new_state(job, started + job.min_interval))
            elif old.target in changed or (
                (old.budget, old.host, old.provider) != (job.budget, job.host, job.provider)
            ):
                # With another budget or host alone the same is asked: what is well keeps its time.
                kept = entry.state
                if (
                    old.target in changed
                    or entry.running is not None
                    or kept.health is not Health.UP
                ):
                    due = entry.started + job.min_interval
                    kept = state.request_changed(job, kept, due)
                self._remove(entry, change, kept)
            else:
                stay[key] = entry
                if job is not old and job != old:
                    entry.job = job
                    entry.state = state.interval_changed(job, entry.state, now)
                    change.rescheduled.append(entry)
        return stay

    def _remove(self, entry: JobEntry, change: JobChange, kept: JobState) -> None:
        entry.place = Place.REMOVED
        self._failing.discard(entry)
        change.removed.append(entry)
        self._keep(_key(entry.job), msgspec.structs.replace(kept, started=entry.started))

    def _first_state(self, job: Job, new_jobs: int, now: float) -> JobState:
        phase = state.phase(self._seed, job.target, job.collector)
        spread = state.first_spread(new_jobs, job.interval)
        first = now + phase * spread
        kept = self._take_kept(_key(job))
        if kept is not None:
            known = state.restored(job, kept, now)
            due = known.due if known.due >= now else max(first, known.started + job.min_interval)
            return msgspec.structs.replace(known, due=due)
        settle = phase * (state.steady_spread(new_jobs, job.interval) - spread)
        return state.new_state(job, first, settle=settle)

    def _queue_of(self, job: Job, now: float) -> BudgetQueue:
        queue = self.queues.get(job.budget)
        if queue is None:
            limits = self._shared_limits((job,))
            alias_of = self._drop_alias(job.budget)
            kept = (
                self.kept_budgets.pop(job.budget, None)
                if alias_of is None
                else self.queues[alias_of].budget
            )
            known = NOTHING_KNOWN if kept is None else budget.restored(kept, limits, now)
            queue = BudgetQueue(job.budget, self._host(job.host), limits, known)
            self.queues[job.budget] = queue
        return queue

    def _host(self, name: str) -> Host:
        return self._hosts.setdefault(name, Host(name))

    def _shared_limits(self, jobs: Iterable[Job]) -> BudgetLimits:
        """Return the limits of `jobs`; equal ones are one object, as there may be many queues."""
        distinct = {(job.throttling, job.reserve): job for job in jobs}
        key = frozenset(distinct)
        if key not in self._limits:
            self._limits[key] = budget_limits_of(distinct.values())
        return self._limits[key]

    def _regroup(self, entries: list[JobEntry]) -> None:
        """Take `entries` for all there are: by target, and each queue's limits and demand."""
        targets: dict[str, list[JobEntry]] = {}
        members: dict[str, list[JobEntry]] = {}
        for entry in entries:
            targets.setdefault(entry.job.target, []).append(entry)
            members.setdefault(entry.job.budget, []).append(entry)
        self.targets = {name: tuple(group) for name, group in targets.items()}
        self._members = None
        self._limits.clear()
        for key, queue in self.queues.items():
            group = members.get(key, [])
            queue.jobs = len(group)
            queue.demand = sum(entry.state.cost / entry.state.interval for entry in group)
            if group:
                queue.limits = self._shared_limits(entry.job for entry in group)
                queue.host = self._host(group[0].job.host)
        hosts = {id(queue.host) for queue in self.queues.values()}
        self._hosts = {name: host for name, host in self._hosts.items() if id(host) in hosts}

    def close(self, queue: BudgetQueue) -> None:
        """Remove a queue that has neither jobs nor running polls; its budget is kept."""
        del self.queues[queue.key]
        self._waiting.discard(queue)
        names = self._other_keys.pop(queue.key, [])
        for name in names:
            del self._aliases[name]
        self.kept_budgets |= dict.fromkeys([queue.key, *names], queue.budget)


def _key(job: Job) -> JobKey:
    return job.target, job.collector


def _kept_of_removed(entry: JobEntry) -> JobState:
    """Return the waits of a job that leaves; one that runs comes back after an interval."""
    due = entry.state.due if entry.running is None else entry.started + entry.state.interval
    return state.removed(entry.state, due)
