"""Secrets at run time: read when a poll needs them, and made known to the redactor.

One poll of each target, without a schedule: for ``once`` and for trying things out.
"""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TextIO

import msgspec

from exporter.app.publisher import DROPS, throttle
from exporter.config.credentials import SecretReader
from exporter.fetch.client import Client
from exporter.kernel.exposition_text import Dialect
from exporter.kernel.redactor import Redactor
from exporter.kernel.secrets import Secret
from exporter.mapping.samples import samples
from exporter.mapping.status import target_status
from exporter.model.families import FAMILIES, Sample
from exporter.model.outcome import Failure, Poll
from exporter.model.reading import Note, RateLimit, Reading
from exporter.model.target import Plan, SecretSource, Target
from exporter.observe.family_table import FamilyTable
from exporter.observe.logs import Form, Log, Output, set_up
from exporter.observe.metrics import FAILURES, POLLS, CollectorRow
from exporter.pipeline import Pipeline
from exporter.store.exposition import header, render


class Keys:
    """Reads secrets and tells the redactor of each."""

    def __init__(self, reader: SecretReader, redactor: Redactor) -> None:
        self._reader = reader
        self._redactor = redactor

    def read(self, source: SecretSource) -> Secret:
        """Return the present value. Raises SecretUnavailable with a text without the secret."""
        secret = self._reader.read(source)
        self._redactor.learn(secret)
        return secret


LOG_READ_WITHIN = 5.0
"""Seconds that the end of the command waits for a reader of its log."""
AT_ONCE = 16
"""Budgets that are polled at the same time; within a budget, one poll after the other."""


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What one poll of every collector brought, in the order of the configuration."""

    polls: tuple[tuple[Target, tuple[Poll, ...]], ...]

    @property
    def failed(self) -> bool:
        """Tell whether any poll failed."""
        return any(isinstance(poll.outcome, Failure) for _, all_ in self.polls for poll in all_)

    def exposition(self) -> bytes:
        """Return what the round learned, in the text format."""
        found = [sample for target, polls in self.polls for sample in _samples(target, polls)]
        blocks = render(found)
        lines = [
            header(family, Dialect.TEXT) + blocks[family.name]
            for family in FAMILIES
            if family.name in blocks
        ]
        return b"".join((*lines, _counts(self.polls)))


def pipeline_of(keys: Keys) -> Pipeline:
    """Return a pipeline of its own, on the real clocks. To be called in the running loop."""
    client = Client(read_secret=keys.read, wall=time.time)
    clock = asyncio.get_running_loop().time
    return Pipeline(client=client, wall=time.time, clock=clock)


async def poll_once(targets: Iterable[Target], pipeline: Pipeline) -> Round:
    """Poll every collector of every target once. Nothing is retried and nothing waits."""
    targets = list(targets)
    budgets: dict[str, list[Target]] = defaultdict(list)
    for target in targets:
        budgets[target.budget].append(target)
    found: dict[str, tuple[Poll, ...]] = {}
    slots = asyncio.Semaphore(AT_ONCE)

    async def poll_budget(members: Sequence[Target]) -> None:
        async with slots:
            for target in members:
                found[target.name] = tuple(
                    [await pipeline.collect(target, name) for name in target.collectors]
                )

    async with asyncio.TaskGroup() as group:
        for members in budgets.values():
            group.create_task(poll_budget(members))
    return Round(polls=tuple((target, found[target.name]) for target in targets))


async def once(plan: Plan, *, only: str, log_level: str, log_format: str, stream: TextIO) -> Round:
    """Poll the plan's targets, or the one named ``only``, and log what failed."""
    redactor = Redactor()
    output = Output(stream)
    log = set_up(
        level=log_level,
        form=Form(log_format),
        output=output,
        wall=time.time,
        redactor=redactor,
        counted=lambda level: None,
    )
    pipeline = pipeline_of(Keys(SecretReader(os.environ), redactor))
    targets = [target for name, target in plan.targets.items() if only in ("", name)]
    async with pipeline.client:
        result = await poll_once(targets, pipeline)
    for target, polls in result.polls:
        for poll in polls:
            _log(log, poll)
        _, notes = _joined(target, polls)
        for note in notes:
            _log_note(log, target, note)
    output.close(LOG_READ_WITHIN)
    return result


def _log_note(log: Log, target: Target, note: Note) -> None:
    """Write what did not fit and did not fail the poll; nobody else tells it here."""
    drop = note.reason in DROPS
    log.warning(
        "series were left out" if drop else "noted",
        provider=target.provider,
        account=target.name,
        reason=note.reason,
        count=note.count,
        detail=note.detail,
    )


def _log(log: Log, poll: Poll) -> None:
    fields = {"provider": poll.provider, "account": poll.target, "collector": poll.collector}
    if isinstance(poll.outcome, Failure):
        failure = poll.outcome
        log.warning("poll failed", **fields, reason=failure.reason.value, err=failure.detail)
        return
    log.debug("poll succeeded", **fields, requests=len(poll.exchanges))


def _joined(target: Target, polls: Sequence[Poll]) -> tuple[tuple[Sample, ...], list[Note]]:
    readings = {poll.collector: poll.outcome for poll in polls if isinstance(poll.outcome, Reading)}
    now = max((poll.at for poll in polls), default=0.0)
    found, notes = samples(target_status(target, readings, now))
    return found, [*(note for one in readings.values() for note in one.notes), *notes]


def _samples(target: Target, polls: Sequence[Poll]) -> list[Sample]:
    found, _ = _joined(target, polls)
    rate: RateLimit | None = None
    health = []
    for poll in polls:
        rate = poll.rate or rate
        labels = (poll.provider, poll.target, poll.collector)
        good = not isinstance(poll.outcome, Failure)
        health.append(Sample(family="usage_up", labels=labels, value=float(good)))
        if good:
            family = "usage_last_success_timestamp_seconds"
            health.append(Sample(family=family, labels=labels, value=round(poll.at, 3)))
    return [*found, *health, *throttle(target.provider, target.name, rate)]


def _counts(rounds: Iterable[tuple[Target, tuple[Poll, ...]]]) -> bytes:
    """Return how the polls ended, as the daemon would count them."""
    sheet: FamilyTable[CollectorRow] = FamilyTable(POLLS, FAILURES)
    for target, polls in rounds:
        for poll in polls:
            interval = target.collectors[poll.collector]
            row = CollectorRow(poll.provider, poll.target, poll.collector, interval)
            row.polls = 1
            if isinstance(poll.outcome, Failure):
                row.fail(poll.outcome.reason)
            sheet.add(row)
    return b"".join(sheet.pieces(Dialect.TEXT))
