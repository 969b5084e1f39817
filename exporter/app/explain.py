"""One poll of a target told as a story: request, answer, paths, conversions, series."""

import asyncio
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from exporter.app.keys import Keys
from exporter.app.once import pipeline_of
from exporter.config.files import SecretReader
from exporter.kernel.secrets import clip
from exporter.mapping.join import samples
from exporter.mapping.read import read
from exporter.mapping.trace import Match, trace
from exporter.model.outcome import Exchange, Failure, Fetched, Payload, Unchanged
from exporter.model.reading import Reading
from exporter.model.target import Target
from exporter.observe.redact import Redactor
from exporter.pipeline import too_late
from exporter.store.exposition import render

TELLING = ("content-type", "retry-after", "etag", "link", "www-authenticate", "location")
"""Headers that explain an answer; those of throttling are told too."""
DEEP = 4
"""Levels of an answer's shape that are told."""
WIDE = 12
"""Keys of a map that are told."""


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """The lines to print, and whether the poll failed."""

    lines: tuple[str, ...]
    failed: bool


async def explain(target: Target) -> Story:
    """Poll every collector of a target once and tell what happened."""
    redactor = Redactor()
    pipeline = pipeline_of(Keys(SecretReader(os.environ), redactor))
    lines = list(_introduction(target))
    readings: dict[str, Reading] = {}
    failed = False
    async with pipeline.client as client:
        for name in target.collectors:
            exchanges: list[Exchange] = []
            at = time.time()
            collector = target.definition.collectors[name]
            try:
                async with asyncio.timeout(target.poll_timeout):
                    fetched = await client.fetch(target, collector, at=at, watch=exchanges.append)
            except TimeoutError:
                fetched = Fetched(result=too_late(target, len(exchanges)))
            lines += ["", f"collector {name}" + (f": {collector.title}" if collector.title else "")]
            lines += [line for exchange in exchanges for line in _exchange(exchange)]
            learned, told = _learned(target, name, fetched, at)
            lines += told
            failed = failed or learned is None
            if learned is not None:
                readings[name] = learned
    lines += _series(target, readings)
    return Story(lines=tuple(redactor.text(line) for line in lines), failed=failed)


def _introduction(target: Target) -> Iterator[str]:
    definition = target.definition
    yield f"target {target.name}: {definition.title} ({definition.name}), {definition.origin}"
    yield f"  base address  {target.base_url}"
    for name, values in target.params.items():
        yield f"  params.{name}  {', '.join(values)}"


def _exchange(exchange: Exchange) -> Iterator[str]:
    yield f"  → {exchange.method} {exchange.url}"
    for name, value in exchange.request_headers.items():
        yield f"      {name}: {value}"
    if exchange.status is None:
        yield f"  ← no answer, after {exchange.seconds:.2f} s"
        return
    yield f"  ← {exchange.status}, {exchange.size} bytes in {exchange.seconds * 1000:.0f} ms"
    for name, value in exchange.headers.items():
        if name in TELLING or "ratelimit" in name.replace("-", ""):
            yield f"      {name}: {clip(value)}"


def _learned(
    target: Target, name: str, fetched: Fetched, at: float
) -> tuple[Reading | None, list[str]]:
    match fetched.result:
        case Failure() as failure:
            return None, [f"  ✗ {failure.reason.value}: {failure.detail}", *_wait(failure)]
        case Unchanged():
            return Reading(collector=name, at=at), ["  = unchanged since the last poll"]
        case tuple() as payloads:
            told = [*_shapes(payloads), *_matches(target, name, payloads)]
            reading = read(target, name, payloads, at)
            if isinstance(reading, Failure):
                return None, [*told, f"  ✗ {reading.reason.value}: {reading.detail}"]
            notes = [f"  ! {note.reason}: {note.detail}" for note in reading.notes]
            return reading, [*told, *notes]


def _wait(failure: Failure) -> Iterator[str]:
    if failure.wait is not None:
        yield f"    the vendor says: come again in {failure.wait:g} s"


def _shapes(payloads: Iterable[Payload]) -> Iterator[str]:
    for payload in payloads:
        whose = f" of account {payload.account}" if payload.account else ""
        yield f"  shape{whose}, {len(payload.pages)} page(s)"
        if payload.pages:
            yield from (f"      {line}" for line in shape(payload.pages[0].document))


def shape(value: Any, name: str = "", depth: int = 0) -> Iterator[str]:
    """Yield a line for each level of a document: keys and types, one row for a list."""
    indent = "  " * depth
    label = f"{name}: " if name else ""
    match value:
        case dict():
            yield f"{indent}{label}map of {len(value)}"
            if depth < DEEP:
                for key in list(value)[:WIDE]:
                    yield from shape(value[key], str(key), depth + 1)
                if len(value) > WIDE:
                    yield f"{indent}  …"
        case list():
            yield f"{indent}{label}list of {len(value)}"
            if value and depth < DEEP:
                yield from shape(value[0], "[0]", depth + 1)
        case _:
            kind = "null" if value is None else type(value).__name__
            yield f"{indent}{label}{kind}  {clip(str(value), 60) if value is not None else ''}"


def _matches(target: Target, name: str, payloads: Iterable[Payload]) -> Iterator[str]:
    found = trace(target.definition, name, payloads, items=target.items)
    yield "  paths"
    for match in found:
        yield f"      {_told(match)}"


def _told(match: Match) -> str:
    where = f"{match.place} / {match.path}" if match.place else match.path
    head = f"{match.rule}" + (f" {match.role}" if match.role else "")
    if match.problem:
        return f"{head}: {where}: ✗ {match.problem}"
    if not match.found:
        return f"{head}: {where}: nothing in {match.rows} row(s)"
    values = ", ".join(match.values) + (", …" if match.found > len(match.values) else "")
    tail = f"  → {match.conversion}" if match.conversion else ""
    return f"{head}: {where}: {match.found} of {match.rows} row(s): {values}{tail}"


def _series(target: Target, readings: Mapping[str, Reading]) -> list[str]:
    found, notes = samples(target, readings, time.time())
    blocks = render(found)
    lines = [line for block in blocks.values() for line in block.decode().splitlines()]
    told = [f"  ! {note.reason}: {note.detail}" for note in notes]
    return ["", f"series ({len(lines)})", *(f"  {line}" for line in lines), *told]
