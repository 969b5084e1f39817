"""A definition on captured answers: what ``providers test`` prints, without the network."""

import time
from collections.abc import Iterable, Iterator, Mapping
from glob import escape
from pathlib import Path

import msgspec

from exporter.config.load import load_text
from exporter.mapping.join import samples
from exporter.mapping.read import read
from exporter.mapping.trace import trace
from exporter.model.definition import Definition, Format
from exporter.model.outcome import Failure, Page, Payload
from exporter.model.plan import Rejected
from exporter.model.reading import Reading
from exporter.model.sample import FAMILIES
from exporter.model.target import Target
from exporter.store.exposition import Format as Exposition
from exporter.store.exposition import header, render


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """The exposition, and every complaint: where and what."""

    exposition: bytes
    complaints: tuple[str, ...]


def target_for(definition: Definition, path: Path, params: Mapping[str, str]) -> Target | Rejected:
    """Return a target of the definition in ``path``, with made-up credentials."""
    needs = sorted(definition.auth[0].needs)
    config = {
        "providers": {"files": [escape(str(path))]},
        "targets": [
            {
                "name": "test",
                "provider": definition.name,
                "base_url": "http://127.0.0.1",
                "credentials": dict.fromkeys(needs, "made-up"),
                "params": dict(params),
                "items": True,
                "collectors": dict.fromkeys(definition.collectors, True),
            }
        ],
    }
    text = msgspec.json.encode(config).decode()
    plan = load_text(text, name="(the test)", directory=str(path.parent), environ={})
    return plan if isinstance(plan, Rejected) else plan.targets["test"]


def rehearse(target: Target, answers: Path) -> Rehearsal:
    """Map the answers in a folder and say what did not match.

    ``<collector>.json`` (or ``.jsonl``) is an answer, ``<collector>.1.json`` and so on are pages,
    ``<collector>.headers.json`` is a map of headers.
    """
    complaints: list[str] = []
    readings: dict[str, Reading] = {}
    now = time.time()
    for name in target.collectors:
        try:
            pages = tuple(_pages(target, name, answers))
        except (OSError, msgspec.DecodeError) as error:
            complaints.append(f"{name}: {error}")
            continue
        if not pages:
            complaints.append(f"{name}: no answer: {answers / name}.json is not there")
            continue
        payload = Payload(pages=pages)
        complaints += _unmatched(target, name, payload)
        match read(target, name, (payload,), now):
            case Failure() as failure:
                complaints.append(f"{name}: {failure.reason.value}: {failure.detail}")
            case Reading() as reading:
                readings[name] = reading
                complaints += [f"{name}: {note.reason}: {note.detail}" for note in reading.notes]
    found, notes = samples(target, readings, now)
    blocks = render(found)
    exposition = b"".join(
        header(family, Exposition.TEXT) + blocks[family.name]
        for family in FAMILIES
        if family.name in blocks
    )
    complaints += [f"{note.reason}: {note.detail}" for note in notes]
    return Rehearsal(exposition=exposition, complaints=tuple(complaints))


def _pages(target: Target, name: str, answers: Path) -> Iterator[Page]:
    form = target.definition.collectors[name].format
    headers = answers / f"{name}.headers.json"
    known = (
        msgspec.json.decode(headers.read_bytes(), type=dict[str, str]) if headers.exists() else {}
    )
    lowered = {key.lower(): value for key, value in known.items()}
    if form is Format.HEADERS:
        if lowered:
            yield Page(document=lowered, headers=lowered)
        return
    for file in _files(name, answers):
        yield Page(document=_decoded(file, form), headers=lowered)


def _files(name: str, answers: Path) -> Iterable[Path]:
    single = [path for end in ("json", "jsonl") if (path := answers / f"{name}.{end}").exists()]
    numbered = [
        path
        for path in answers.glob(f"{name}.*.json*")
        if path.name.removeprefix(f"{name}.").partition(".")[0].isdigit()
    ]
    return single or sorted(numbered, key=lambda path: int(path.name.split(".")[-2]))


def _decoded(file: Path, form: Format) -> object:
    content = file.read_bytes()
    if form is Format.JSONL:
        return msgspec.json.Decoder().decode_lines(content)
    return msgspec.json.decode(content)


def _unmatched(target: Target, name: str, payload: Payload) -> Iterator[str]:
    for match in trace(target.definition, name, (payload,), items=True):
        where = f"{match.place} / {match.path}" if match.place else match.path
        if match.problem:
            yield f"{name}: {match.rule} {match.role}: {where}: {match.problem}"
        elif not match.found:
            yield f"{name}: {match.rule} {match.role}: {where}: nothing in {match.rows} row(s)"
