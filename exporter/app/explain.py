"""One poll of a target, step by step: request, answer, paths, conversions, series.

Every line is redacted before it leaves this module. An answer is shown by its shape (keys, types,
first values), which stays a few lines however large it is.
"""

import asyncio
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from exporter.app.once import SecretLoader, pipeline_of
from exporter.config.credentials import SecretReader
from exporter.fetch.client import Client
from exporter.kernel.calendar import format_duration
from exporter.kernel.redactor import Redactor
from exporter.kernel.secrets import clip
from exporter.mapping.explain import RowMatch, trace
from exporter.mapping.read import read_payload
from exporter.mapping.samples import samples
from exporter.mapping.status import target_status
from exporter.model.outcome import Exchange, Failure, Fetched, Payload, Unchanged
from exporter.model.reading import Note, Reading
from exporter.model.target import Target
from exporter.pipeline import too_late
from exporter.store.exposition import render

DEEP = 5
"""Levels of an answer that are shown."""
WIDE = 12
"""Keys of a map that are shown."""
LINES = 60
"""Lines of a shape in all."""
_LONGEST = 60  # characters of a value


def shape(document: object) -> Iterator[str]:
    """Yield a line for each part of a document; of a list its first row."""
    for number, line in enumerate(_shape(document, "", 0)):
        if number == LINES:
            yield "…"
            return
        yield line


def _shape(value: object, name: str, depth: int) -> Iterator[str]:
    indent = "  " * depth
    label = f"{clip(name, _LONGEST)}: " if name else ""
    match value:
        case dict():
            yield f"{indent}{label}map of {len(value)}"
            if depth < DEEP:
                for key in list(value)[:WIDE]:
                    yield from _shape(value[key], str(key), depth + 1)
                if len(value) > WIDE:
                    yield f"{indent}  … {len(value) - WIDE} more keys"
        case list():
            yield f"{indent}{label}list of {len(value)}"
            if value and depth < DEEP:
                yield from _shape(value[0], "[0]", depth + 1)
        case None:
            yield f"{indent}{label}null"
        case bool():
            yield f"{indent}{label}{str(value).lower()}"
        case str():
            yield f'{indent}{label}"{clip(value, _LONGEST)}"'
        case _:
            yield f"{indent}{label}{clip(str(value), _LONGEST)}"


EXPLAINING = ("content-type", "retry-after", "etag", "link", "www-authenticate", "location")
"""Headers that explain an answer; those of rate limits are shown too."""
MOST_EXCHANGES = 8
MOST_ACCOUNTS = 3
MOST_SERIES = 100
"""How many of each are shown; ``once`` prints every series."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The lines to print, and whether the poll failed."""

    lines: tuple[str, ...]
    failed: bool


async def explain(target: Target) -> Explanation:
    """Poll every collector of a target once and report each step."""
    redactor = Redactor()
    pipeline = pipeline_of(SecretLoader(SecretReader(os.environ), redactor))
    lines = list(_introduction(target))
    readings: dict[str, Reading] = {}
    async with pipeline.client as client:
        for name in target.collectors:
            lines.append("")
            reading = await _collector(target, name, client, lines)
            if reading is not None:
                readings[name] = reading
    lines += _series(target, readings)
    failed = len(readings) < len(target.collectors)
    return Explanation(lines=tuple(redactor.message(line) for line in lines), failed=failed)


def _introduction(target: Target) -> Iterator[str]:
    definition = target.definition
    yield f"target {target.name}: {definition.title} ({definition.name}), {definition.origin}"
    yield f"  base address  {target.base_url}"
    for name, values in target.params.items():
        yield f"  params.{name}  {', '.join(values)}"


async def _collector(target: Target, name: str, client: Client, lines: list[str]) -> Reading | None:
    """Poll a collector, add what happened to `lines`, and return what was learned, if anything."""
    collector = target.definition.collectors[name]
    exchanges: list[Exchange] = []
    at = time.time()
    try:
        async with asyncio.timeout(target.poll_timeout):
            fetched = await client.fetch(
                target, collector, at=at, on_exchange=exchanges.append, excerpts=True
            )
    except TimeoutError:
        fetched = Fetched(result=too_late(target, len(exchanges)))
    title = f": {collector.title}" if collector.title else ""
    lines.append(f"collector {name}{title} (every {format_duration(target.collectors[name])})")
    lines += _exchanges(exchanges)
    match fetched.result:
        case Failure() as failure:
            lines += _failed(failure, exchanges)
            return None
        case Unchanged():
            lines.append("  = unchanged since the last poll")
            return Reading(collector=name, at=at)
        case tuple() as payloads:
            for payload in payloads[:MOST_ACCOUNTS]:
                lines += _payload(target, name, payload)
            more = len(payloads) - MOST_ACCOUNTS
            if more > 0:
                lines.append(f"  … and {more} more accounts, read in the same way")
            reading = read_payload(target, name, payloads, at)
            if isinstance(reading, Failure):
                lines.append(f"  ✗ {reading.reason.value}: {reading.detail}")
                return None
            lines += _notes(reading.notes)
            return reading


def _exchanges(exchanges: Sequence[Exchange]) -> Iterator[str]:
    """Yield the exchanges; of many the first and the last, which may be the one that failed."""
    left_out = len(exchanges) - MOST_EXCHANGES
    for number, exchange in enumerate(exchanges, 1):
        if left_out > 0 and number == MOST_EXCHANGES:
            yield f"  … {left_out} more requests of this kind"
        if left_out <= 0 or number < MOST_EXCHANGES or number == len(exchanges):
            yield from _exchange(exchange)


def _exchange(exchange: Exchange) -> Iterator[str]:
    yield f"  → {exchange.method} {exchange.url}"
    for name, value in exchange.request_headers.items():
        yield f"      {name}: {value}"
    if exchange.status is None:
        yield f"  ← no answer, after {exchange.seconds:.2f} s"
        return
    yield f"  ← {exchange.status}, {exchange.size} bytes in {exchange.seconds * 1000:.0f} ms"
    for name, value in exchange.headers.items():
        plain = name.replace("-", "")
        if name in EXPLAINING or "ratelimit" in plain or "retryafter" in plain:
            yield f"      {name}: {clip(value)}"


def _failed(failure: Failure, exchanges: Sequence[Exchange]) -> Iterator[str]:
    """Say why nothing was learned, with the beginning of the answer that said so."""
    excerpt = exchanges[-1].excerpt if exchanges else ""
    if excerpt:
        yield f"      {excerpt}"
    yield f"  ✗ {failure.reason.value}: {failure.detail}"
    if failure.wait is not None:
        yield f"    the vendor says: come again in {failure.wait:g} s"


def _payload(target: Target, name: str, payload: Payload) -> Iterator[str]:
    whose = f" of account {payload.account}" if payload.account else ""
    pages = len(payload.pages)
    if not pages:
        yield f"  answer{whose}: the vendor says that there is none"
        return
    yield f"  answer{whose}, {pages} page{'' if pages == 1 else 's'}"
    yield from (f"      {line}" for line in shape(payload.pages[0].document))
    yield f"  paths{whose}"
    for match in trace(target.definition, name, (payload,), items=target.items):
        yield from (f"      {line}" for line in _rule(match))


def _rule(match: RowMatch) -> Iterator[str]:
    head, where = match.label, match.where
    if match.problem:
        yield f"{head}: {where}: ✗ {match.problem}"
        return
    if not match.found:
        reason = "the definition says what that means" if match.explained else ""
        nothing = f"nothing in {match.rows} row(s)" if match.rows else "no rows"
        yield ": ".join(filter(None, (head, where, nothing, reason)))
        return
    rows = "" if match.rows == 1 else f": {match.found} of {match.rows} rows"
    tail = f": {match.conversion}" if match.conversion and match.found > 1 else ""
    yield f"{head}: {where}{rows}{tail}"
    for one in match.values:
        whose = f"{one.whose}: " if one.whose else ""
        sign = "→" if one.fits else "✗"
        yield f"    {whose}{one.raw} {sign} {one.meaning}".rstrip(" →")
    if match.found > len(match.values):
        bad = f", {match.misfits} of them cannot be read" if match.misfits else ""
        yield f"    … {match.found - len(match.values)} more{bad}"


def _series(target: Target, readings: Mapping[str, Reading]) -> list[str]:
    found, notes = samples(target_status(target, readings, time.time()))
    blocks = render(found)
    lines = [line for block in blocks.values() for line in block.decode().splitlines()]
    shown = [f"  {line}" for line in lines[:MOST_SERIES]]
    if len(lines) > MOST_SERIES:
        shown.append(f"  … {len(lines) - MOST_SERIES} more: once --target={target.name} has all")
    return ["", f"series ({len(lines)})", *shown, *_notes(notes)]


def _notes(notes: Iterable[Note]) -> Iterator[str]:
    yield from (f"  ! {note.reason}: {note.detail}" for note in notes)
