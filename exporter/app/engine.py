"""The polling half of the exporter: from the plan to the shelf, without a way in or out."""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from exporter.app.publisher import Publisher
from exporter.config.plan import diff
from exporter.fetch.client import Client
from exporter.kernel.secrets import Secret
from exporter.mapping.join import tracked
from exporter.model.event import Event, PollFinished
from exporter.model.outcome import Failure, Poll
from exporter.model.plan import Plan, PlanDiff
from exporter.model.target import SecretSource, Target
from exporter.pipeline import Pipeline
from exporter.schedule.job import Job, jobs_of
from exporter.schedule.memory import BudgetMemo, JobMemo, Snapshot
from exporter.schedule.runner import Runner
from exporter.store.board import Board
from exporter.store.chronicle import Chronicle
from exporter.store.identity import fingerprint
from exporter.store.ledger import Ledger
from exporter.store.records import PointRecord
from exporter.store.shelf import Shelf

LATE = 1.0
"""Seconds after which a poll that its own deadline did not end is ended by the runner."""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine needs of the outside.

    ``wall`` gives epoch seconds, ``clock`` loop time, ``dice`` numbers in [0, 1); ``read_secret``
    the present value of a secret; ``emit`` gets every event.
    """

    wall: Callable[[], float]
    clock: Callable[[], float]
    dice: Callable[[], float]
    read_secret: Callable[[SecretSource], Secret]
    emit: Callable[[Event], None]


class Engine:
    """Polls the targets of a plan and keeps the shelf true.

    To be made inside the running loop. ``start`` brings back what an earlier process knew, ``run``
    polls until cancelled, ``apply`` changes the plan while it runs.
    """

    def __init__(self, plan: Plan, world: World) -> None:
        self.plan = plan
        self.board = Board()
        self.shelf = Shelf()
        self.chronicle = Chronicle()
        self._world = world
        self._client = Client(read_secret=world.read_secret, wall=world.wall)
        self._pipeline = Pipeline(client=self._client, wall=world.wall, clock=world.clock)
        self._ledger = Ledger(plan.state_file, emit=world.emit, wall=world.wall)
        self.runner = Runner(
            poll=self._poll,
            emit=self._observe,
            wall=world.wall,
            dice=world.dice,
            started=self._begin,
        )
        self.publisher = Publisher(
            board=self.board,
            shelf=self.shelf,
            wall=world.wall,
            at=self.runner.at,
            statuses=self.runner.statuses_of,
            history=self.chronicle.of,
            emit=world.emit,
        )

    async def start(self) -> None:
        """Bring back what the ledger knows and schedule the first polls."""
        targets = self.plan.targets
        prints = {name: fingerprint(target) for name, target in targets.items()}
        restored = await self._ledger.load(prints)
        if restored.schedule:
            self.runner.restore(_snapshot(restored.schedule, restored.written_at or 0.0))
        self.runner.swap(_jobs(targets.values()))
        for name, readings in restored.readings.items():
            for reading, at in readings:
                self.board.accept(name, reading, at)
            await self._recall(targets[name], prints[name])
            self.publisher.publish(targets[name])

    def apply(self, plan: Plan) -> PlanDiff:
        """Put another plan into force: unchanged targets keep timers, budgets and series."""
        change = diff(self.plan, plan)
        self.plan = plan
        for name in change.removed:
            self._ledger.forget(name)
        for name in (*change.removed, *change.changed):
            self.publisher.remove(name)
            self.chronicle.forget(name)
        self.runner.swap(_jobs(plan.targets.values()), changed=change.changed)
        return change

    async def run(self) -> None:
        """Poll until cancelled."""
        await self.runner.run()

    async def stop(self) -> None:
        """Write what is left, close what is open."""
        self._save(self.runner.snapshot())
        await self._ledger.close()
        self.shelf.close()
        await self._client.__aexit__(None, None, None)

    async def _poll(self, job: Job) -> Poll:
        return await self._pipeline.collect(self.plan.targets[job.target], job.collector)

    def _observe(self, event: Event) -> None:
        try:
            if isinstance(event, PollFinished):
                self._learn(event.poll)
        finally:  # whatever goes wrong with its values, a poll is counted
            self._world.emit(event)

    def _learn(self, poll: Poll) -> None:
        target = self.plan.targets.get(poll.target)
        if target is None:
            return
        self.publisher.learn(target, poll)
        if not isinstance(poll.outcome, Failure):
            self._write_down(target, poll)
        self._save(self.runner.snapshot_of(target.name))
        self.publisher.publish(target)

    def _write_down(self, target: Target, poll: Poll) -> None:
        readings = self.board.readings(target.name, poll.at, target.stale_after)
        reading = readings.get(poll.collector)
        if not self.plan.state_file or reading is None:
            return
        identity = fingerprint(target)
        if reading is poll.outcome:
            self._ledger.save_reading(target.name, identity, reading, poll.at)
        else:
            self._ledger.renew(target.name, poll.collector, poll.at)
        used = tracked(target, readings, poll.at)
        self.chronicle.add(target.name, poll.at, used)
        self._ledger.save_history(
            PointRecord(target.name, identity, account, resource, poll.at, value)
            for (account, resource), value in used.items()
        )

    async def _recall(self, target: Target, identity: str) -> None:
        points = await self._ledger.history(
            target.name,
            identity,
            since=self._world.wall() - Chronicle.LENGTH,
            step=Chronicle.STEP,
        )
        self.chronicle.put(target.name, points)

    def _begin(self, memo: JobMemo) -> None:
        """Write down that a poll starts: a process that dies of it must not repeat it faster."""
        self._save(Snapshot(at=self._world.wall(), jobs=(memo,)))

    def _save(self, snapshot: Snapshot) -> None:
        if self.plan.state_file:
            self._ledger.save_schedule(_rows(snapshot))


def _jobs(targets: Iterable[Target]) -> list[Job]:
    """Return the jobs of targets. Their deadline is for polls that do not hear the pipeline's."""
    return [
        msgspec.structs.replace(job, timeout=job.timeout + LATE)
        for target in targets
        for job in jobs_of(target)
    ]


def _rows(snapshot: Snapshot) -> dict[str, bytes]:
    encode = msgspec.msgpack.Encoder().encode
    rows = {f"job\0{memo.target}\0{memo.collector}": encode(memo) for memo in snapshot.jobs}
    return rows | {f"budget\0{memo.key}": encode(memo) for memo in snapshot.budgets}


def _snapshot(rows: Mapping[str, bytes], at: float) -> Snapshot:
    jobs, budgets = msgspec.msgpack.Decoder(JobMemo), msgspec.msgpack.Decoder(BudgetMemo)
    return Snapshot(
        at=at,
        jobs=tuple(jobs.decode(row) for key, row in rows.items() if key.startswith("job\0")),
        budgets=tuple(
            budgets.decode(row) for key, row in rows.items() if key.startswith("budget\0")
        ),
    )
