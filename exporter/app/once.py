"""One poll of each target, without a schedule: ``usage-exporter once``.

Nothing is retried and nothing waits. Targets of one budget are polled one after the other, so that
the vendor's limit holds; budgets are polled side by side. ``explain`` uses the same pipeline.
"""

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

import msgspec

from exporter.app.publisher import throttle
from exporter.config.credentials import SecretReader
from exporter.fetch.client import Client
from exporter.kernel.exposition_text import Dialect
from exporter.kernel.redactor import Redactor
from exporter.kernel.secrets import Secret
from exporter.mapping.samples import samples
from exporter.mapping.status import target_status
from exporter.model.families import Sample
from exporter.model.outcome import Failure, Poll
from exporter.model.reading import DROPS, Note, RateLimit, Reading
from exporter.model.target import Plan, SecretSource, Target
from exporter.observe.family_table import FamilyTable
from exporter.observe.logs import Form, Output, set_up
from exporter.observe.metrics import FAILURES, POLLS, CollectorRow
from exporter.pipeline import Pipeline
from exporter.store.exposition import render, text_of

MOST_BUDGETS = 16
"""Budgets that are polled at the same time."""
LOG_READ_WITHIN = 5.0
"""Seconds that the end of the command waits for a reader of its log."""


class SecretLoader:
    """Reads secrets when a poll needs them, and makes each known to the redactor."""

    def __init__(self, reader: SecretReader, redactor: Redactor) -> None:
        self._reader = reader
        self._redactor = redactor

    def read(self, source: SecretSource) -> Secret:
        """Return the present value. Raises SecretUnavailable with a text without the secret."""
        secret = self._reader.read(source)
        self._redactor.learn(secret)
        return secret


class TargetResult(msgspec.Struct, frozen=True, kw_only=True):
    """The polls of one target, and what their readings become. ``notes`` say what was left out."""

    target: Target
    polls: tuple[Poll, ...]
    samples: tuple[Sample, ...]
    notes: tuple[Note, ...]


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What one poll of every collector brought, in the order of the configuration."""

    results: tuple[TargetResult, ...]

    @property
    def failed(self) -> bool:
        """Whether any poll failed."""
        return any(isinstance(poll.outcome, Failure) for one in self.results for poll in one.polls)

    def exposition(self) -> bytes:
        """Return what the round learned, in the text format."""
        found = [sample for one in self.results for sample in (*one.samples, *_health(one))]
        return text_of(render(found)) + _counts(self.results)


def pipeline_of(secrets: SecretLoader) -> Pipeline:
    """Return a pipeline of its own, on the real clocks. To be called in the running loop."""
    client = Client(read_secret=secrets.read, wall=time.time)
    return Pipeline(client=client, wall=time.time, clock=asyncio.get_running_loop().time)


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
    pipeline = pipeline_of(SecretLoader(SecretReader(os.environ), redactor))
    targets = [target for name, target in plan.targets.items() if only in ("", name)]
    async with pipeline.client:
        result = await poll_once(targets, pipeline)
    for one in result.results:
        for poll in one.polls:
            fields = {
                "provider": poll.provider,
                "account": poll.target,
                "collector": poll.collector,
            }
            if isinstance(poll.outcome, Failure):
                reason, detail = poll.outcome.reason.value, poll.outcome.detail
                log.warning("poll failed", **fields, reason=reason, err=detail)
            else:
                log.debug("poll succeeded", **fields, requests=len(poll.exchanges))
        for note in one.notes:  # what did not fit and did not fail the poll
            log.warning(
                "series were left out" if note.reason in DROPS else "noted",
                provider=one.target.provider,
                account=one.target.name,
                reason=note.reason,
                count=note.count,
                detail=note.detail,
            )
    output.close(LOG_READ_WITHIN)
    return result


async def poll_once(targets: Sequence[Target], pipeline: Pipeline) -> Round:
    """Poll every collector of every target once."""
    budgets: dict[str, list[Target]] = defaultdict(list)
    for target in targets:
        budgets[target.budget].append(target)
    found: dict[str, TargetResult] = {}
    limiter = asyncio.Semaphore(MOST_BUDGETS)

    async def poll_budget(members: Sequence[Target]) -> None:
        async with limiter:
            for target in members:
                polls = [await pipeline.collect(target, name) for name in target.collectors]
                found[target.name] = _result(target, polls)

    async with asyncio.TaskGroup() as group:
        for members in budgets.values():
            group.create_task(poll_budget(members))
    return Round(results=tuple(found[target.name] for target in targets))


def _result(target: Target, polls: Sequence[Poll]) -> TargetResult:
    readings = {poll.collector: poll.outcome for poll in polls if isinstance(poll.outcome, Reading)}
    now = max((poll.at for poll in polls), default=0.0)
    found, notes = samples(target_status(target, readings, now))
    own_notes = (note for one in readings.values() for note in one.notes)
    return TargetResult(
        target=target, polls=tuple(polls), samples=found, notes=(*own_notes, *notes)
    )


def _health(result: TargetResult) -> Iterator[Sample]:
    """Yield how the polls of a target ended, and the vendor's own limit as they saw it."""
    rate: RateLimit | None = None
    for poll in result.polls:
        rate = poll.rate or rate
        labels = (poll.provider, poll.target, poll.collector)
        good = not isinstance(poll.outcome, Failure)
        yield Sample(family="usage_up", labels=labels, value=float(good))
        if good:
            family = "usage_last_success_timestamp_seconds"
            yield Sample(family=family, labels=labels, value=round(poll.at, 3))
    yield from throttle(result.target.provider, result.target.name, rate)


def _counts(results: Iterable[TargetResult]) -> bytes:
    """Return how the polls ended, as the daemon would count them."""
    table: FamilyTable[CollectorRow] = FamilyTable(POLLS, FAILURES)
    for one in results:
        for poll in one.polls:
            interval = one.target.collectors[poll.collector]
            row = CollectorRow(poll.provider, poll.target, poll.collector, interval)
            row.polls = 1
            if isinstance(poll.outcome, Failure):
                row.fail(poll.outcome.reason)
            table.add(row)
    return b"".join(table.pieces(Dialect.TEXT))
