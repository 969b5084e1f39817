"""Runs a definition on the recorded answers of its vendor, through the pipeline of the daemon.

``tests/providers/<name>/`` holds, beside the exchanges (see `tests.support.replay`):

config.yaml    the target that is tested, at the address ``http://vendor.invalid``
cases.yaml     which exchanges the vendor answers with, and what must come of them
expected.prom  what is published at the reference instant
expected.json  the values that were worked out by hand, without any engine
"""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from exporter.config.credentials import SecretReader
from exporter.config.plan import load_text
from exporter.fetch.client import Client
from exporter.kernel.calendar import parse_timestamp
from exporter.mapping.samples import samples
from exporter.mapping.status import target_status
from exporter.model.definition.provider import Definition
from exporter.model.families import FAMILIES
from exporter.model.outcome import Failure, Poll
from exporter.model.reading import Note, Reading
from exporter.model.target import Plan, Target
from exporter.pipeline import Pipeline
from exporter.store.exposition import render
from tests.support.replay import PROVIDERS, Replay, read_exchanges

NOW = 1794744000.0  # 2026-11-15T12:00:00Z, the reference instant of every exchange
_VENDOR = "http://vendor.invalid"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One trial of a definition.

    ``serve`` are the exchanges that the vendor answers with (default: the one that the case is
    named after); ``collector`` is polled, without it all that the target polls. ``reason`` and
    ``says`` are those of the failure that must come, ``wait`` its seconds. Otherwise ``publishes``
    are lines that must be there and ``lacks`` texts that no line may hold. ``target`` changes the
    target's settings, ``at`` the instant. ``stranger``: a request that is not recorded is made.
    """

    serve: list[str] = []
    collector: str = ""
    reason: str = ""
    says: str = ""
    wait: float | None = None
    publishes: list[str] = []
    lacks: list[str] = []
    target: dict[str, Any] = {}
    at: str = ""
    stranger: bool = False


class Cases(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider's exchanges are for.

    ``golden`` are those behind expected.prom. ``series`` names, for each metric of expected.json,
    the series that its values are published as, in their order, and the unit that they have there;
    ``absent`` does it for a metric without values: texts that no line may hold. ``not_published``
    gives a reason for each metric that no family carries. ``unused`` are exchanges that the
    definition does not make, and why.
    """

    golden: list[str]
    cases: dict[str, Case] = {}
    not_published: dict[str, str] = {}
    series: dict[str, dict[str, str]] = {}
    absent: dict[str, list[str]] = {}
    unused: dict[str, str] = {}


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a case: the polls in their order, the lines of the exposition, the notes."""

    polls: tuple[Poll, ...]
    lines: tuple[str, ...]
    notes: tuple[Note, ...]
    asked: tuple[str, ...]
    strangers: tuple[str, ...]

    @property
    def failures(self) -> list[Failure]:
        return [poll.outcome for poll in self.polls if isinstance(poll.outcome, Failure)]


def provider_names() -> list[str]:
    """Return the providers that have a folder of answers."""
    return sorted(path.parent.name for path in PROVIDERS.glob("*/index.json"))


def cases_of(name: str, folder: Path = PROVIDERS) -> Cases:
    """Return what is to be tried with a provider."""
    tree = yaml.safe_load((folder / name / "cases.yaml").read_text())
    for case, one in (tree.get("cases") or {}).items():
        one.setdefault("serve", [case])
    return msgspec.convert(tree, Cases)


def golden_case(name: str, folder: Path = PROVIDERS) -> Case:
    """Return the case of expected.prom: everything that the target polls."""
    return Case(serve=cases_of(name, folder).golden)


def target_of(folder: Path, origin: str, changes: Mapping[str, Any]) -> Target:
    """Load the target of config.yaml, with `changes`, at the address of the replay."""
    tree = yaml.safe_load((folder / "config.yaml").read_text())
    tree["targets"][0] |= changes
    text = yaml.safe_dump(tree).replace(_VENDOR, origin)
    plan = load_text(text, name="config.yaml", directory=str(folder), environ=os.environ)
    assert isinstance(plan, Plan), [str(problem) for problem in plan.problems]
    return plan.targets["test"]


async def run(folder: Path, case: Case) -> Trial:
    """Poll a target at the instant of `case`, against the exchanges that it serves."""
    now = (parse_timestamp(case.at) or NOW) if case.at else NOW
    async with Replay(read_exchanges(folder).values()) as replay:
        replay.serve = case.serve
        target = target_of(folder, replay.origin, case.target)
        wanted = [case.collector] if case.collector else list(target.collectors)
        polls = await _poll(target, wanted, now)
        return _trial(target, polls, now, replay)


async def _poll(target: Target, collectors: list[str], now: float) -> list[Poll]:
    reader = SecretReader({})
    async with Client(read_secret=reader.read, wall=lambda: now) as client:
        pipeline = Pipeline(client=client, wall=lambda: now, clock=asyncio.get_running_loop().time)
        return [await pipeline.collect(target, collector) for collector in collectors]


def _trial(target: Target, polls: list[Poll], now: float, replay: Replay) -> Trial:
    readings = {poll.collector: poll.outcome for poll in polls if isinstance(poll.outcome, Reading)}
    found, notes = samples(target_status(target, readings, now))
    blocks = render(found)
    text = b"".join(blocks.get(family.name, b"") for family in FAMILIES).decode()
    notes += tuple(note for reading in readings.values() for note in reading.notes)
    return Trial(
        polls=tuple(polls),
        lines=tuple(text.splitlines()),
        notes=notes,
        asked=tuple(replay.asked),
        strangers=tuple(replay.strangers),
    )


def definition_of(name: str) -> Definition:
    """Return the definition of the target that is tested."""
    return target_of(PROVIDERS / name, _VENDOR, {}).definition
