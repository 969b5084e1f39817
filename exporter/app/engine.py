"""The polling half of the exporter: a plan goes in, the exposition and events come out.

The engine owns the client, the schedule, the caches and the ledger, and connects them; it holds no
rule of theirs. A poll goes this way: the runner calls `_poll`, which asks the pipeline; `_learn`
takes the outcome into the caches and the ledger and tells the runner how full the target is; after
the runner has scheduled the next poll, `_on_event` writes the schedule and publishes the target.

What is known of a target belongs to an account: a target that becomes another account (its
fingerprint changes) begins with nothing but the time of its last request.

Work that grows with the number of targets is done a few targets at a turn of the loop.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial

import msgspec

from exporter.app.publisher import Publisher
from exporter.config.credentials import SecretUnavailable, present_budget
from exporter.config.plan import diff_plans
from exporter.fetch.client import Client
from exporter.kernel.secrets import Secret
from exporter.mapping.status import TargetStatus
from exporter.model.events import ClockMoved, Event, PollFinished
from exporter.model.health import Health
from exporter.model.outcome import Failure, Poll, Reason
from exporter.model.reading import Reading
from exporter.model.target import Plan, PlanDiff, SecretSource, Target
from exporter.pipeline import Pipeline
from exporter.schedule.job import Job, jobs_of
from exporter.schedule.persistence import (
    account_rows,
    forgotten_keys,
    read_rows,
    refused_rows,
    schedule_rows,
    useless_keys,
)
from exporter.schedule.runner import Runner
from exporter.schedule.status import JobStatus
from exporter.store.cache import ExpositionCache
from exporter.store.ledger import Ledger, NoLedger, PointRecord
from exporter.store.readings import ReadingCache, UsageHistory, fingerprint

TURN = 64
"""Targets that are shown in one turn of the loop after a restart or a reload."""
MOVED = 2.0
"""Seconds by which a clock that is set moves; time servers shift it by less, all day."""
PRUNED_EVERY = 3600.0
"""Seconds between two looks at what is kept of targets that left."""
PATIENCE = 0.5
"""Seconds that a poll waits for the disk to know of it; a disk that hangs stops no poll."""


class RejectedSecrets:
    """Remembers the digests of rejected secrets by target, never a secret.

    ``read`` gives the present value of a secret. The digests outlive the process: a new secret that
    is put in place before a restart must not wait for the pause of the old one.
    """

    def __init__(self, read: Callable[[SecretSource], Secret]) -> None:
        self._read = read
        self._digests: dict[str, str] = {}

    def add(self, target: Target) -> str:
        """Remember that the present secrets of a target were rejected; return their digest."""
        digest = self._digests[target.name] = self._digest(target)
        return digest

    def put(self, name: str, digest: str) -> None:
        """Take over what an earlier process, or another target with the same secrets, learned."""
        self._digests[name] = digest

    def get(self, name: str) -> dict[str, str]:
        """Return what is remembered of a target: its name and the digest, or nothing."""
        return {name: self._digests[name]} if name in self._digests else {}

    def replaced(
        self, targets: Mapping[str, Target], statuses: Callable[[str], Iterable[JobStatus]]
    ) -> list[str]:
        """Return the targets that are paused and have other secrets since, each change once.

        Targets that were removed or are not paused any more are forgotten.
        """
        changed = []
        for name, rejected in list(self._digests.items()):
            target = targets.get(name)
            if target is None or not any(status.paused for status in statuses(name)):
                del self._digests[name]
                continue
            present = self._digest(target)
            if present != rejected:
                self._digests[name] = present
                changed.append(name)
        return changed

    def _digest(self, target: Target) -> str:
        digests = []
        for source in target.credentials.values():
            try:
                digests.append(self._read(source).digest())
            except SecretUnavailable:
                digests.append("-")
        return " ".join(digests)


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine needs of the outside.

    ``wall`` gives epoch seconds, ``clock`` loop time, ``random`` numbers in [0, 1); ``read_secret``
    the present value of a secret; ``emit`` gets every event.
    """

    wall: Callable[[], float]
    clock: Callable[[], float]
    random: Callable[[], float]
    read_secret: Callable[[SecretSource], Secret]
    emit: Callable[[Event], None]


class Engine:
    """Polls the targets of a plan and keeps the exposition up to date.

    To be made inside the running loop. ``start`` brings back what an earlier process knew, ``run``
    polls until cancelled, ``apply`` changes the plan while it runs.
    """

    def __init__(self, plan: Plan, world: World) -> None:
        self.plan = plan
        self.readings = ReadingCache()
        self.exposition = ExpositionCache()
        self.usage_history = UsageHistory()
        self._world = world
        self._offset = world.wall() - world.clock()
        self._rejected = RejectedSecrets(world.read_secret)
        self._client = Client(read_secret=world.read_secret, wall=world.wall)
        self._pipeline = Pipeline(client=self._client, wall=world.wall, clock=world.clock)
        self._ledger: Ledger = NoLedger()
        if plan.state_file:
            from exporter.store.file_ledger import (  # noqa: PLC0415 - sqlite3 takes 1.5 MB
                FileLedger,
            )

            self._ledger = FileLedger(
                plan.state_file,
                emit=world.emit,
                wall=world.wall,
                begun_anew=self._save_all_again,
            )
        self.runner = Runner(
            poll=self._poll,
            emit=self._on_event,
            wall=world.wall,
            random=world.random,
            concurrency=plan.concurrency,
            started=self._poll_started,
            learn=self._learn,
        )
        self.publisher = Publisher(
            readings=self.readings,
            exposition=self.exposition,
            wall=world.wall,
            at=self.runner.at,
            statuses=self.runner.statuses_of,
            history=self.usage_history,
            emit=world.emit,
        )

    # ------------------------------------------------------------------------------ start and stop

    async def start(self) -> None:
        """Bring back what the ledger knows and schedule the first polls.

        Raises StateInUseError if another process uses the state file.
        """
        targets = self.plan.targets
        accounts = {name: fingerprint(target) for name, target in targets.items()}
        since = self._world.wall() - UsageHistory.LENGTH
        restored = await self._ledger.load(accounts, since=since, step=UsageHistory.STEP)
        known = read_rows(restored.schedule, restored.written_at or 0.0, accounts)
        # A clock that shows less than when that was written (a machine without a battery for it
        # begins in 1970) gives no ages: they are what they were then, as the waits are.
        back = self._world.wall() - (restored.written_at or 0.0)
        back = back if back < -MOVED else 0.0
        self.runner.restore(known.snapshot)
        self.runner.swap(_jobs(targets))
        for name, readings in restored.readings.items():
            for reading, at in readings:
                self.readings.accept(name, reading, at + back)
            self.usage_history.put(name, restored.histories.get(name, {}))
        # Of some targets only failures are known: they are shown, too.
        shown = {*restored.readings, *(name for name, _ in known.snapshot.states)}
        for number, name in enumerate(name for name in targets if name in shown):
            self.publisher.publish(targets[name])
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)  # a liveness probe must not wait for 50,000 targets
        for name, digest in known.refused.items():
            self._rejected.put(name, digest)
        for name in known.other_accounts:
            self._ledger.forget(name)
            self._write_schedule_of(name)
        self._write(account_rows(accounts))
        self._write(useless_keys(known, schedule_rows(self.runner.snapshot()), targets))
        self._prune()

    async def run(self) -> None:
        """Poll until cancelled."""
        await self.runner.run()

    async def stop(self) -> None:
        """Write what is left, close what is open."""
        self._write(schedule_rows(self.runner.snapshot()))
        await self._ledger.close()
        self.exposition.close()
        await self._client.__aexit__(None, None, None)

    # ----------------------------------------------------------------------------- another plan

    def apply(self, plan: Plan) -> PlanDiff:
        """Put another plan into force: unchanged targets keep timers, budgets and series.

        A changed target keeps what is known of its account, as over a restart, and its timers if
        its requests are the same as before.
        """
        before, change = self.plan.targets, diff_plans(self.plan, plan)
        self.plan = plan
        other_accounts = {
            name: None  # in the order of the plan, and found at once among 50,000
            for name in change.changed
            if fingerprint(before[name]) != fingerprint(plan.targets[name])
        }
        named = (*change.added, *other_accounts)
        self._write(account_rows({name: fingerprint(plan.targets[name]) for name in named}))
        for name in (*change.removed, *other_accounts):
            self._ledger.forget(name)
            self.publisher.remove(name)
            self.usage_history.forget(name)
        asked_otherwise = [
            name for name in change.changed if not asks_the_same(before[name], plan.targets[name])
        ]
        for name in (*change.removed, *asked_otherwise):
            for collector in before[name].collectors:
                # Without its ETag the whole answer comes: what a 304 would renew is gone.
                self._client.forget(before[name], collector)
        self.runner.limit(plan.concurrency)
        forgotten = self.runner.swap(
            _jobs(plan.targets), changed=asked_otherwise, replaced=other_accounts
        )
        self._write(forgotten_keys(forgotten, plan.targets))
        for name in change.removed:
            self._write_schedule_of(name)
        now = self._world.wall()
        for number, name in enumerate(change.changed):
            update = self._write_schedule_of if name in other_accounts else self._write_and_show
            if number < TURN:
                update(name)
            else:  # 50,000 of them hold the loop for seconds: the others follow a few at a turn
                self.runner.at(now, partial(update, name))
        return change

    async def close_unused(self) -> None:
        """Close the connections that the targets of the last plan alone used."""
        await self._client.keep(self.plan.targets.values())

    def wake_renewed(self) -> list[str]:
        """Poll at once where a rejected secret was replaced; return these targets."""
        names = self._rejected.replaced(self.plan.targets, self.runner.statuses_of)
        targets = dict(self.plan.targets)
        for name in self.plan.without_secret.intersection(names):
            # Its secret was missing when it was loaded. Others may use it too, and what the vendor
            # asked of them holds for this one.
            with suppress(SecretUnavailable):
                budget = present_budget(targets[name], self._world.read_secret)
                targets[name] = msgspec.structs.replace(targets[name], budget=budget)
        if any(targets[name] is not target for name, target in self.plan.targets.items()):
            self.apply(msgspec.structs.replace(self.plan, targets=targets))
        for name in names:
            self.runner.wake(name)
        return names

    # ---------------------------------------------------------------------------------- one poll

    def _poll_started(self, name: str) -> None:
        """Write that a poll of a target starts, and what it takes from its budget."""
        self.check_clock()
        self._write_schedule_of(name)

    async def _poll(self, job: Job) -> Poll:
        target = self.plan.targets[job.target]
        if self.plan.state_file:
            # A process that dies of this poll must not repeat it faster: first it is written.
            await self._ledger.settle(PATIENCE)
        offset = self._offset
        poll = await self._pipeline.collect(target, job.collector)
        self.check_clock()
        # A poll during which the clock was set began by the old one.
        return msgspec.structs.replace(poll, at=poll.at + self._offset - offset)

    def _learn(self, poll: Poll) -> float | None:
        """Take in what a poll brought; return the highest ratio that it gives, for the pace."""
        target = self.plan.targets.get(poll.target)
        status = None if target is None else self.publisher.learn(target, poll)
        if target is None or status is None:
            return None
        self._write_values(target, poll, status)
        return status.pressure(poll.outcome) if isinstance(poll.outcome, Reading) else None

    def _write_values(self, target: Target, poll: Poll, status: TargetStatus) -> None:
        reading = status.readings.get(poll.collector)
        if reading is None:
            return
        used = status.tracked()
        self.usage_history.add(target.name, poll.at, used)
        if not self.plan.state_file:
            return
        account = fingerprint(target)
        if reading is poll.outcome:
            self._ledger.save_reading(target.name, account, reading, poll.at)
        else:
            self._ledger.renew(target.name, poll.collector, poll.at)
        self._ledger.save_history(
            PointRecord(target.name, account, label, resource, poll.at, value)
            for (label, resource), value in used.items()
        )

    def _on_event(self, event: Event) -> None:
        try:
            if isinstance(event, PollFinished):
                self.check_clock()
                target = self.plan.targets.get(event.poll.target)
                if target is not None:
                    self._follow_up(target, event.poll)
        finally:  # whatever goes wrong with its values, a poll is counted
            self._world.emit(event)

    def _follow_up(self, target: Target, poll: Poll) -> None:
        """Act on how a poll ended once the schedule knows of it, and publish the target."""
        reason = poll.outcome.reason if isinstance(poll.outcome, Failure) else None
        rejected = reason is not None and reason.health is Health.PAUSED
        throttled = reason is not None and reason.health is Health.THROTTLED
        # All targets of the budget may have to wait now.
        shared = (
            throttled
            or reason is Reason.AUTH
            or (poll.rate is not None and poll.rate.wait is not None)
        )
        if shared:
            # The next config names the budget by the secret of now, which may have been renewed.
            with suppress(SecretUnavailable):
                present = present_budget(target, self._world.read_secret)
                if present != target.budget:
                    self.runner.known_as(target.budget, present)
        self._write_schedule_of(target.name)
        if rejected:
            # Remembered for all that share the key: they may outlive the target that was polled.
            digest = self._rejected.add(target)
            others = (self.plan.targets[name] for name in self.runner.sharing(target.name))
            names = [one.name for one in others if one.credentials == target.credentials]
            for name in names:
                self._rejected.put(name, digest)
            self._write(refused_rows(dict.fromkeys(names, digest)))
        if shared:
            self._ledger.hasten()  # a kill right now must not make us ask again
            now = self._world.wall()
            for name in self.runner.sharing(target.name):
                if name != target.name:  # they show when they come again, a few at a turn
                    self.runner.at(now, partial(self._show, name))
        self.publisher.publish(target)

    def _show(self, name: str) -> None:
        target = self.plan.targets.get(name)
        if target is not None:
            self.publisher.publish(target)

    # ---------------------------------------------------------------------------------- the clock

    def check_clock(self) -> None:
        """Notice that the machine was suspended, or its clock set.

        What is shown and written is in the clock's time; ages and waits are not.
        """
        _ = self.runner.notice_suspension()
        offset = self._world.wall() - self._world.clock()
        moved = offset - self._offset
        if abs(moved) < MOVED:
            return
        self._offset = offset
        self.readings.clock_moved(moved)
        self.runner.clock_moved(moved)
        self.publisher.clock_moved()
        self._world.emit(ClockMoved(by=moved))
        now = self._world.wall()
        for name in self.plan.targets:
            self.runner.at(now, partial(self._restate, name))

    def _restate(self, name: str) -> None:
        """Write and show again when a target was polled and will be, by the clock of now."""
        for collector, at in self.readings.successes(name).items():
            self._ledger.renew(name, collector, at)
        self._write_and_show(name)

    # --------------------------------------------------------------------------------- the ledger

    def _write(self, rows: Mapping[str, bytes | None]) -> None:
        if self.plan.state_file:
            self._ledger.save_schedule(rows)

    def _write_schedule_of(self, name: str) -> None:
        """Write the states of a target's jobs, and the budgets that they share."""
        if self.plan.state_file:
            self._ledger.save_schedule(schedule_rows(self.runner.snapshot_of(name)))

    def _write_and_show(self, name: str) -> None:
        self._write_schedule_of(name)
        self._show(name)

    def _prune(self) -> None:
        """Delete now and every hour what is kept of removed targets and delays nothing any more."""
        self._write(forgotten_keys(self.runner.forget_idle(), self.plan.targets))
        self.runner.at(self._world.wall() + PRUNED_EVERY, self._prune)

    def _save_all_again(self) -> None:
        """Write what is known of every target into a new state file, a few targets at a turn."""
        now = self._world.wall()
        for name in self.plan.targets:
            self.runner.at(now, partial(self._save_again, name))

    def _save_again(self, name: str) -> None:
        target = self.plan.targets.get(name)
        if target is None:
            return
        account = fingerprint(target)
        for reading, at in self.readings.held(name):
            self._ledger.save_reading(name, account, reading, at)
        self._ledger.save_history(
            PointRecord(name, account, label, resource, at, used)
            for (label, resource), points in self.usage_history.of(name).items()
            for at, used in points
        )
        self._write(account_rows({name: account}))
        self._write(refused_rows(self._rejected.get(name)))
        self._write_schedule_of(name)


def asks_the_same(old: Target, new: Target) -> bool:
    """Return whether two versions of a target make the same requests, if at other times.

    A renewed secret alone, which changes the budget, is no reason to poll at once.
    """
    return new == msgspec.structs.replace(
        old,
        collectors=new.collectors,
        limits=new.limits,
        labels=new.labels,
        poll_timeout=new.poll_timeout,
        stale_after=new.stale_after,
        max_series=new.max_series,
        reserve=new.reserve,
        adaptive=new.adaptive,
        budget=new.budget,
    )


def _jobs(targets: Mapping[str, Target]) -> list[Job]:
    return [job for target in targets.values() for job in jobs_of(target)]
