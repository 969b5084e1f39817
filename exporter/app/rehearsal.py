"""A definition on captured answers: what ``providers test`` prints, without the network."""

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from glob import escape
from itertools import groupby
from pathlib import Path

import msgspec

from exporter.app.answers import answers
from exporter.app.recorded import Recorded
from exporter.config.files import SecretReader
from exporter.config.load import load_plan, load_text
from exporter.fetch.client import Client
from exporter.mapping.join import samples
from exporter.mapping.read import read
from exporter.mapping.trace import PERIOD, Match, trace
from exporter.model.definition import Definition
from exporter.model.outcome import Failure, Payload, Unchanged
from exporter.model.plan import Rejected
from exporter.model.reading import Note, Reading
from exporter.model.sample import FAMILIES
from exporter.model.target import Target
from exporter.store.exposition import Format as Exposition
from exporter.store.exposition import header, render

CONFIG = "config.yaml"
EXPECTED = "expected.prom"
_MOST_LINES = 10
"""Lines of an exposition that are named when they are missing, or too many."""


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """The exposition, and every complaint: where and what. ``remarks`` are no faults."""

    exposition: bytes
    complaints: tuple[str, ...]
    remarks: tuple[str, ...] = ()


class _Learned(msgspec.Struct, frozen=True, kw_only=True):
    reading: Reading | None = None
    complaints: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    matches: tuple[Match, ...] = ()


def target_for(
    definition: Definition, path: Path, params: Mapping[str, str], base_url: str = ""
) -> Target | Rejected:
    """Return a target of the definition in ``path``, with made-up credentials."""
    needs = sorted(definition.auth[0].needs)
    address = base_url or ("" if definition.base_url is not None else "http://127.0.0.1")
    target = {
        "name": "test",
        "provider": definition.name,
        "credentials": dict.fromkeys(needs, "made-up"),
        "params": dict(params),
        "items": True,
        "collectors": dict.fromkeys(_switchable(definition, params), True),
    } | ({"base_url": address} if address else {})
    config = {"providers": {"files": [escape(str(path))]}, "targets": [target]}
    text = msgspec.json.encode(config).decode()
    plan = load_text(text, name="(the test)", directory=str(path.parent), environ={})
    return plan if isinstance(plan, Rejected) else plan.targets["test"]


def _switchable(definition: Definition, params: Mapping[str, str]) -> Iterator[str]:
    """Yield the collectors that can be polled: the others lack a parameter in their path."""
    known = {f"params.{name}" for name in params}
    known |= {f"params.{one.name}" for one in definition.params.values() if one.default is not None}
    needed = {f"params.{one.name}" for one in definition.params.values() if one.required}
    for name, collector in definition.collectors.items():
        wanted = {one for one in collector.request.path.variables if one.startswith("params.")}
        if wanted <= known | needed:
            yield name


def target_beside(definition: Definition, folder: Path) -> Target | Rejected | None:
    """Return the target of the folder's own configuration that is of this definition, if any."""
    path = folder / CONFIG
    if not path.is_file():
        return None
    plan = load_plan(str(path), environ=os.environ, definitions={definition.name: definition})
    if isinstance(plan, Rejected):
        return plan
    found = (one for one in plan.targets.values() if one.provider == definition.name)
    return next(found, None)


async def rehearse(
    target: Target, folder: Path, *, at: float, recorded: Recorded | None
) -> Rehearsal:
    """Map the answers in a folder at the instant `at`, and say what did not match.

    A role that finds nothing is a fault, unless the folder says what the exposition must be.
    """
    readings: dict[str, Reading] = {}
    complaints: list[str] = []
    remarks: list[str] = []
    matches: list[Match] = []
    unmatched: list[str] = []
    async for name, learned in _collectors(target, folder, at, recorded):
        complaints += learned.complaints
        remarks += learned.remarks
        matches += learned.matches
        unmatched += learned.unmatched
        if learned.reading is not None:
            readings[name] = learned.reading
    found, notes = samples(target, readings, at)
    complaints += [text for text, _ in _unmatched(_periods(matches))]
    if (folder / EXPECTED).is_file():
        remarks += unmatched
    else:
        complaints += unmatched
    complaints += [_noted(note) for note in notes]
    blocks = render(found)
    known = [family for family in FAMILIES if family.name in blocks]
    lines = [line for one in known for line in blocks[one.name].decode().splitlines()]
    complaints += _compared(folder / EXPECTED, lines)
    return Rehearsal(
        exposition=b"".join(header(one, Exposition.TEXT) + blocks[one.name] for one in known),
        complaints=tuple(dict.fromkeys(complaints)),
        remarks=tuple(dict.fromkeys(remarks)),
    )


async def _collectors(
    target: Target, folder: Path, at: float, recorded: Recorded | None
) -> AsyncIterator[tuple[str, _Learned]]:
    if recorded is None:
        for name in target.collectors:
            told = answers(target, name, folder, at)
            yield name, _learned(target, name, told.payloads, at, told.complaints)
        return
    reader = SecretReader(os.environ)
    async with Client(read_secret=reader.read, wall=lambda: at, send=recorded) as client:
        for name in target.collectors:
            fetched = await client.fetch(target, target.definition.collectors[name], at=at)
            match fetched.result:
                case Failure() as failure:
                    yield name, _Learned(complaints=(f"{name}: {failure.detail}",))
                case Unchanged():
                    yield name, _Learned(complaints=(f"{name}: 304 to a request without an ETag",))
                case tuple() as payloads:
                    yield name, _learned(target, name, payloads, at, ())


def _learned(
    target: Target, name: str, payloads: tuple[Payload, ...], at: float, complaints: Sequence[str]
) -> _Learned:
    """Read the answers of a collector, if there are any, and say what did not match."""
    if not payloads:
        return _Learned(complaints=tuple(complaints))
    matches = trace(target.definition, name, payloads, items=target.items)
    wrong = [f"{name}: {text}" for text in _unfit(matches)]
    found = list(_unmatched(one for one in matches if one.rule != PERIOD))
    learned = _Learned(
        unmatched=tuple(f"{name}: {text}" for text, is_wrong in found if is_wrong),
        remarks=tuple(f"{name}: {text}" for text, is_wrong in found if not is_wrong),
        matches=matches,
    )
    reading = read(target, name, payloads, at)
    if isinstance(reading, Failure):
        told = wrong or [f"{name}: {reading.reason.value}: {reading.detail}"]
        return msgspec.structs.replace(learned, complaints=(*complaints, *told))
    notes = (f"{name}: {note.reason}: {note.detail}" for note in reading.notes)
    return msgspec.structs.replace(
        learned, reading=reading, complaints=(*complaints, *wrong, *notes)
    )


def _periods(matches: Iterable[Match]) -> list[Match]:
    """Return what was found of the definition's period, unless any answer told it."""
    found = [one for one in matches if one.rule == PERIOD]
    told = {one.role for one in found if one.found}
    return sorted((one for one in found if one.role not in told), key=lambda one: one.role)


def _noted(note: Note) -> str:
    hint = " --at=TIME replays answers at their own time." if note.reason == "period_over" else ""
    return f"{note.reason}: {note.detail}{hint}"


def _unfit(matches: Iterable[Match]) -> Iterator[str]:
    """Yield the rules that cannot be searched and the values that cannot be read."""
    for match in matches:
        if match.problem:
            yield f"{_place(match)}: {match.problem}"
        if match.misfits:
            first = match.values[0]
            whose = f"{first.whose}: " if first.whose else ""
            more = f" (and {match.misfits - 1} more)" if match.misfits > 1 else ""
            yield f"{_place(match)}: {whose}{first.raw}: {first.meaning}{more}"


def _unmatched(matches: Iterable[Match]) -> Iterator[tuple[str, bool]]:
    """Yield the roles of which no path found anything, and whether that is wrong.

    It is not where there were no rows, or where the definition says what nothing means.
    """
    for (rule, role, _), group in groupby(matches, key=lambda one: (one.rule, one.role, one.place)):
        paths = list(group)
        if any(one.found or one.problem for one in paths):
            continue
        places = " or ".join(dict.fromkeys(one.path for one in paths))
        where = f"{paths[0].place} / {places}" if paths[0].place else places
        told = f"{rule} {role}".rstrip()
        nothing = f"nothing in {paths[0].rows} row(s)" if paths[0].rows else "there are no rows"
        yield f"{told}: {where}: {nothing}", bool(paths[0].rows) and not paths[0].explained


def _place(match: Match) -> str:
    where = " / ".join(filter(None, (match.place, match.path)))
    return ": ".join(filter(None, (f"{match.rule} {match.role}".rstrip(), where)))


def _compared(expected: Path, lines: Sequence[str]) -> Iterator[str]:
    """Yield what an exposition lacks of the expected one, and what it has besides."""
    if not expected.is_file():
        return
    wanted = [one for one in expected.read_text("utf-8").splitlines() if one and one[0] != "#"]
    yield from _listed("missing", [one for one in wanted if one not in set(lines)])
    yield from _listed("not expected", [one for one in lines if one not in set(wanted)])


def _listed(what: str, lines: Sequence[str]) -> Iterator[str]:
    yield from (f"{EXPECTED}: {what}: {line}" for line in lines[:_MOST_LINES])
    if len(lines) > _MOST_LINES:
        yield f"{EXPECTED}: {what}: {len(lines) - _MOST_LINES} more"
