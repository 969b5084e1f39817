"""Which secrets a vendor refused: to notice when there is another one to be tried.

The polling half of the exporter: from the plan to the shelf, without a way in or out.
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
from exporter.model.health import Health, WaitCause
from exporter.model.outcome import Failure, Poll, Reason
from exporter.model.reading import Reading
from exporter.model.target import Plan, PlanDiff, SecretSource, Target
from exporter.pipeline import Pipeline
from exporter.schedule.job import Job, jobs_of
from exporter.schedule.persistence import (
    Recalled,
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


class Refused:
    """Remembers the digests of refused secrets by target, never a secret.

    ``read`` gives the present value of a secret. What is remembered outlives the process: whoever
    puts a new secret in place and restarts the exporter must not wait for the old one's pause.
    """

    def __init__(self, read: Callable[[SecretSource], Secret]) -> None:
        self._read = read
        self._digests: dict[str, str] = {}

    def note(self, target: Target) -> str:
        """Remember that the present secrets of a target were refused; return their digest."""
        digest = self._digests[target.name] = self._digest(target)
        return digest

    def recall(self, name: str, digest: str) -> None:
        """Take over what an earlier process, or another target with the same secrets, learned."""
        self._digests[name] = digest

    def of(self, name: str) -> dict[str, str]:
        """Return what is remembered of a target: its name and the digest, or nothing."""
        return {name: self._digests[name]} if name in self._digests else {}

    def renewed(
        self, targets: Mapping[str, Target], statuses: Callable[[str], Iterable[JobStatus]]
    ) -> list[str]:
        """Return the targets that wait after a refusal and have other secrets since.

        Each change is told once. Targets that are gone or well again are forgotten.
        """
        changed = []
        for name, refused in list(self._digests.items()):
            target = targets.get(name)
            if target is None or not any(_is_refused(one) for one in statuses(name)):
                del self._digests[name]
                continue
            present = self._digest(target)
            if present != refused:
                self._digests[name] = present
                changed.append(name)
        return changed

    def _digest(self, target: Target) -> str:
        return " ".join(self._digest_of(source) for source in target.credentials.values())

    def _digest_of(self, source: SecretSource) -> str:
        try:
            return self._read(source).digest()
        except SecretUnavailable:
            return "-"


def _is_refused(status: JobStatus) -> bool:
    """Tell whether a job waits after a refusal: its own, or that of the key that it shares."""
    return status.health is Health.PAUSED or status.budget.cause is WaitCause.REFUSED


SHARED = frozenset({Reason.RATE_LIMITED, Reason.QUOTA_EXHAUSTED, Reason.AUTH})
"""Refusals that make all targets of a budget wait."""
MOVED = 2.0
"""Seconds by which a clock that is set moves; time servers shift it by less, all day."""
PRUNED_EVERY = 3600.0
"""Seconds between two looks at what is kept of targets that left."""
TURN = 64
"""Targets that are shown in one turn of the loop after a restart or a reload."""
PATIENCE = 0.5
"""Seconds that a poll waits for the disk to know of it; a disk that hangs stops no poll."""


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
    """Polls the targets of a plan and keeps the shelf true.

    To be made inside the running loop. ``start`` brings back what an earlier process knew, ``run``
    polls until cancelled, ``apply`` changes the plan while it runs.
    """

    def __init__(self, plan: Plan, world: World) -> None:
        self.plan = plan
        self.board = ReadingCache()
        self.shelf = ExpositionCache()
        self.chronicle = UsageHistory()
        self._world = world
        self._offset = world.wall() - world.clock()
        self._refused = Refused(world.read_secret)
        self._client = Client(read_secret=world.read_secret, wall=world.wall)
        self._pipeline = Pipeline(client=self._client, wall=world.wall, clock=world.clock)
        self._ledger = self._open_ledger(plan.state_file)
        self.runner = Runner(
            poll=self._poll,
            emit=self._observe,
            wall=world.wall,
            random=world.random,
            concurrency=plan.concurrency,
            started=self._begin,
            learn=self._learn,
        )
        self.publisher = Publisher(
            board=self.board,
            shelf=self.shelf,
            wall=world.wall,
            at=self.runner.at,
            statuses=self.runner.statuses_of,
            history=self.chronicle,
            emit=world.emit,
        )

    def _open_ledger(self, path: str) -> Ledger:
        if not path:
            return NoLedger()
        from exporter.store.file_ledger import FileLedger  # noqa: PLC0415 - sqlite3 takes 1.5 MB

        return FileLedger(
            path,
            emit=self._world.emit,
            wall=self._world.wall,
            begun_anew=self._save_all_again,
        )

    async def start(self) -> Recalled:
        """Bring back what the ledger knows and schedule the first polls.

        Raises StateInUseError if another process uses the state file.
        """
        targets = self.plan.targets
        prints = {name: fingerprint(target) for name, target in targets.items()}
        since = self._world.wall() - UsageHistory.LENGTH
        restored = await self._ledger.load(prints, since=since, step=UsageHistory.STEP)
        known = read_rows(restored.schedule, restored.written_at or 0.0, prints)
        # A clock that shows less than when that was written (a machine without a battery for it
        # begins in 1970) tells no ages: they are what they were then, as the waits are.
        back = self._world.wall() - (restored.written_at or 0.0)
        back = back if back < -MOVED else 0.0
        self.runner.restore(known.snapshot)
        self.runner.swap(_jobs(targets))
        for name, readings in restored.readings.items():
            for reading, at in readings:
                self.board.accept(name, reading, at + back)
            self.chronicle.put(name, restored.histories.get(name, {}))
        # Of some nothing is known but that they are down: that must be seen, too.
        shown = {*restored.readings, *(name for name, _ in known.snapshot.states)}
        for number, name in enumerate(name for name in targets if name in shown):
            self.publisher.publish(targets[name])
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)  # a liveness probe must not wait for 50,000 targets
        for name, digest in known.refused.items():
            self._refused.recall(name, digest)
        for name in known.other_accounts:
            self._ledger.forget(name)
            self._write(schedule_rows(self.runner.snapshot_of(name)))
        self._write(account_rows(prints))
        self._write(useless_keys(known, schedule_rows(self.runner.snapshot()), targets))
        self._prune()
        return known

    def apply(self, plan: Plan) -> PlanDiff:
        """Put another plan into force: unchanged targets keep timers, budgets and series.

        A changed target keeps what is known of its account, as over a restart, and its timers if
        it is asked the same as before.
        """
        before, change = self.plan.targets, diff_plans(self.plan, plan)
        self.plan = plan
        others = {
            name: None  # in the order of the plan, and found at once among 50,000
            for name in change.changed
            if fingerprint(before[name]) != fingerprint(plan.targets[name])
        }
        self._write(
            account_rows({n: fingerprint(plan.targets[n]) for n in (*change.added, *others)})
        )
        for name in (*change.removed, *others):
            self._ledger.forget(name)
            self.publisher.remove(name)
            self.chronicle.forget(name)
        anew = [n for n in change.changed if not asks_the_same(before[n], plan.targets[n])]
        for name in (*change.removed, *anew):
            self._forget_versions(before[name])
        self.runner.limit(plan.concurrency)
        gone = self.runner.swap(_jobs(plan.targets), changed=anew, replaced=others)
        self._write(forgotten_keys(gone, plan.targets))
        for name in change.removed:
            self._write(schedule_rows(self.runner.snapshot_of(name)))
        now = self._world.wall()
        for number, name in enumerate(change.changed):
            if number < TURN:
                self._show_changed(name, shown=name not in others)
            else:  # 50,000 of them hold the loop for seconds: the others follow a few at a turn
                shown = name not in others
                self.runner.at(now, partial(self._show_changed, name, shown=shown))
        return change

    async def close_unused(self) -> None:
        """Close the connections that the targets of the last plan alone used."""
        await self._client.keep(self.plan.targets.values())

    def _show_changed(self, name: str, *, shown: bool) -> None:
        self._write(schedule_rows(self.runner.snapshot_of(name)))
        if shown:
            self._refresh(name)

    def _forget_versions(self, target: Target) -> None:
        """Ask for whole answers: what an unchanged one renews is gone, or was read otherwise."""
        for collector in target.collectors:
            self._client.forget(target, collector)

    def _prune(self) -> None:
        """Delete from time to time what was kept of the gone and holds nothing back any more."""
        self._write(forgotten_keys(self.runner.forget_idle(), self.plan.targets))
        self.runner.at(self._world.wall() + PRUNED_EVERY, self._prune)

    def wake_renewed(self) -> list[str]:
        """Poll at once where a refused secret was replaced; return these targets."""
        names = self._refused.renewed(self.plan.targets, self.runner.statuses_of)
        self._place_arrived(self.plan.without_secret.intersection(names))
        for name in names:
            self.runner.wake(name)
        return names

    def _place_arrived(self, names: Iterable[str]) -> None:
        """Give targets whose secret was missing when they were loaded the budget of their secret.

        Others may use it, and what the vendor told them holds for these, too.
        """
        targets = dict(self.plan.targets)
        for name in names:
            with suppress(SecretUnavailable):
                budget = present_budget(targets[name], self._world.read_secret)
                targets[name] = msgspec.structs.replace(targets[name], budget=budget)
        if any(targets[name] is not target for name, target in self.plan.targets.items()):
            self.apply(msgspec.structs.replace(self.plan, targets=targets))

    def mind_the_clock(self) -> None:
        """Notice that the machine was suspended, or its clock set.

        What is shown and written is in the clock's time; ages and waits are not.
        """
        _ = self.runner.notice_suspension()
        offset = self._world.wall() - self._world.clock()
        moved = offset - self._offset
        if abs(moved) < MOVED:
            return
        self._offset = offset
        self.board.clock_moved(moved)
        self.runner.clock_moved(moved)
        self.publisher.clock_moved()
        self._world.emit(ClockMoved(by=moved))
        now = self._world.wall()
        for name in self.plan.targets:
            self.runner.at(now, partial(self._restate, name))

    def _restate(self, name: str) -> None:
        """Write and show anew when a target was polled and will be."""
        self._write(schedule_rows(self.runner.snapshot_of(name)))
        if self.plan.state_file:
            for collector, at in self.board.successes(name).items():
                self._ledger.renew(name, collector, at)
        self._refresh(name)

    def _save_all_again(self) -> None:
        """Write what is known of every target into a new state file, a few targets at a turn."""
        now = self._world.wall()
        for name in self.plan.targets:
            self.runner.at(now, partial(self._save_again, name))

    def _save_again(self, name: str) -> None:
        target = self.plan.targets.get(name)
        if target is None:
            return
        identity = fingerprint(target)
        for reading, at in self.board.held(name):
            self._ledger.save_reading(name, identity, reading, at)
        self._ledger.save_history(
            PointRecord(name, identity, account, resource, at, used)
            for (account, resource), points in self.chronicle.of(name).items()
            for at, used in points
        )
        self._write(account_rows({name: identity}))
        self._write(refused_rows(self._refused.of(name)))
        self._write(schedule_rows(self.runner.snapshot_of(name)))

    async def run(self) -> None:
        """Poll until cancelled."""
        await self.runner.run()

    async def stop(self) -> None:
        """Write what is left, close what is open."""
        self._write(schedule_rows(self.runner.snapshot()))
        await self._ledger.close()
        self.shelf.close()
        await self._client.__aexit__(None, None, None)

    async def _poll(self, job: Job) -> Poll:
        target = self.plan.targets[job.target]
        if self.plan.state_file:
            # A process that dies of this poll must not repeat it faster: first it is written down.
            await self._ledger.settle(PATIENCE)
        offset = self._offset
        poll = await self._pipeline.collect(target, job.collector)
        self.mind_the_clock()
        # A poll that a clock was set in began by the old one.
        return msgspec.structs.replace(poll, at=poll.at + self._offset - offset)

    def _observe(self, event: Event) -> None:
        try:
            if isinstance(event, PollFinished):
                self.mind_the_clock()
                self._follow_up(event.poll)
        finally:  # whatever goes wrong with its values, a poll is counted
            self._world.emit(event)

    def _learn(self, poll: Poll) -> float | None:
        """Take in what a poll brought; return the highest ratio that it speaks of, for the pace."""
        target = self.plan.targets.get(poll.target)
        if target is None:
            return None
        status = self.publisher.learn(target, poll)
        if status is None:
            return None
        self._write_down(target, poll, status)
        return status.pressure(poll.outcome) if isinstance(poll.outcome, Reading) else None

    def _follow_up(self, poll: Poll) -> None:
        """Act on how a poll ended once the schedule knows of it, and show it."""
        target = self.plan.targets.get(poll.target)
        if target is None:
            return
        if _holds_all(poll):
            self._follow_key(target)
        if self.plan.state_file:
            self._write(schedule_rows(self.runner.snapshot_of(target.name)))
        if isinstance(poll.outcome, Failure) and poll.outcome.reason.health is Health.PAUSED:
            self._mark(target)
        if _holds_all(poll):
            self._ledger.hasten()  # whoever kills us now must not make us ask again
            self._show_waits(target)
        self.publisher.publish(target)

    def _mark(self, target: Target) -> None:
        """Remember a refused key, for all who wait because of it: they may outlive who asked."""
        digest = self._refused.note(target)
        sharing = (self.plan.targets[name] for name in self.runner.sharing(target.name))
        names = [other.name for other in sharing if other.credentials == target.credentials]
        for name in names:
            self._refused.recall(name, digest)
        self._write(refused_rows(dict.fromkeys(names, digest)))

    def _follow_key(self, target: Target) -> None:
        """Let the budget be found under the key that a renewed secret gives it.

        The next configuration will call it so, and what the vendor told the new secret must hold.
        """
        with suppress(SecretUnavailable):
            present = present_budget(target, self._world.read_secret)
            if present != target.budget:
                self.runner.known_as(target.budget, present)

    def _show_waits(self, waiting: Target) -> None:
        """Let those that share a budget that waits show when they come again, a few at a turn."""
        now = self._world.wall()
        for name in self.runner.sharing(waiting.name):
            if name != waiting.name:
                self.runner.at(now, partial(self._refresh, name))

    def _refresh(self, name: str) -> None:
        target = self.plan.targets.get(name)
        if target is not None:
            self.publisher.publish(target)

    def _write_down(self, target: Target, poll: Poll, status: TargetStatus) -> None:
        if not self.plan.state_file:
            return
        reading = status.readings.get(poll.collector)
        if reading is None:
            return
        identity = fingerprint(target)
        if reading is poll.outcome:
            self._ledger.save_reading(target.name, identity, reading, poll.at)
        else:
            self._ledger.renew(target.name, poll.collector, poll.at)
        used = status.tracked()
        self.chronicle.add(target.name, poll.at, used)
        self._ledger.save_history(
            PointRecord(target.name, identity, account, resource, poll.at, value)
            for (account, resource), value in used.items()
        )

    def _begin(self, name: str) -> None:
        """Write down that a poll of a target starts, and what it takes from its budget."""
        self.mind_the_clock()
        if self.plan.state_file:
            self._write(schedule_rows(self.runner.snapshot_of(name)))

    def _write(self, lines: Mapping[str, bytes | None]) -> None:
        if self.plan.state_file:
            self._ledger.save_schedule(lines)


def asks_the_same(old: Target, new: Target) -> bool:
    """Tell whether two versions of a target differ only in when, and in what is made of answers.

    A renewed secret alone, which another budget shows, is no reason to ask at once.
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


def _holds_all(poll: Poll) -> bool:
    """Tell whether all targets of the budget may have to wait after this."""
    if isinstance(poll.outcome, Failure) and poll.outcome.reason in SHARED:
        return True
    return poll.rate is not None and poll.rate.wait is not None
