"""A folder with an answer for each collector, read as the client would read it.

``usage.json`` (or ``.jsonl``) is the answer to the collector ``usage``; ``usage.1.json`` and so on
are its pages; ``usage.headers.json`` (``usage.1.headers.json``) is a map of headers. With accounts,
``accounts.json`` lists them, and a folder of an account's id may hold answers of its own.

A vendor played from a folder of recorded exchanges, in the place of the network.

``index.json`` lists the exchanges: request (method, url, headers, body) and response (status,
headers, and the file of its body). A request is answered by the exchange that fits it; the
vendor's own addresses in bodies and headers become those that were asked.

A definition on captured answers: what ``providers test`` prints, without the network.
"""

import os
import re
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from glob import escape
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from exporter.config.credentials import SecretReader
from exporter.config.plan import load_plan, load_text
from exporter.fetch.classify import classify_response, rules_of
from exporter.fetch.client import Account, AccountsError, Client, find_accounts
from exporter.fetch.http import HttpRequest, HttpResponse, joined
from exporter.fetch.paginate import Pager, PagingError
from exporter.fetch.request import (
    Draft,
    RequestError,
    Signature,
    draft_request,
    to_http_request,
    uses_account,
)
from exporter.kernel.calendar import parse_timestamp
from exporter.kernel.exposition_text import Dialect
from exporter.kernel.problems import did_you_mean
from exporter.kernel.secrets import clip, redact_url
from exporter.kernel.templates import TemplateValues
from exporter.mapping.explain import PERIOD, RowMatch, trace
from exporter.mapping.read import read_payload
from exporter.mapping.samples import samples
from exporter.mapping.status import target_status
from exporter.model.definition.provider import Collector, Definition
from exporter.model.families import FAMILIES
from exporter.model.outcome import Failure, Page, Payload, Reason, Unchanged
from exporter.model.reading import Note, Reading
from exporter.model.target import Http, Rejected, Target
from exporter.store.exposition import header, render

_OK = 200


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder holds for a collector, and what is wrong with it."""

    payloads: tuple[Payload, ...] = ()
    complaints: tuple[str, ...] = ()


class _UnusableError(ValueError):
    """A file is not there, or cannot be used. The text says which and why."""


class _Reader(msgspec.Struct, frozen=True, kw_only=True):
    """Reads the answers to one request; ``complaints`` gather what is wrong with the pages."""

    target: Target
    collector: Collector
    folder: Path
    draft: Draft
    at: float
    complaints: list[str]

    def pages(self) -> tuple[Page, ...]:
        """Turn the pages as the client does. Raises _UnusableError where nothing can be mapped."""
        files = list(_files(self.collector, self.folder))
        if not files:
            name = self.folder / f"{self.collector.name}.json"
            raise _UnusableError(f"no answer: {name} is not there")
        pager = Pager(self.collector.paging, self.draft.kept)
        pages: list[Page] = []
        for number, file in enumerate(files, 1):
            if pager.wanted is None:
                self._complain(f"{file.name} is not asked for: the paging ends before it")
                continue
            answer = self._answer(
                file, number, to_http_request(self.draft, Signature(), pager.wanted).url
            )
            classified = classify_response(
                answer, rules_of(self.target.definition, self.collector), self.at
            )
            try:
                match classified:
                    case Page():
                        pages.append(classified)
                        pager.advance(answer, classified.document)
                    case Failure():
                        raise _UnusableError(f"{file.name}: {classified.detail}")
                    case _:
                        pager.end()
            except PagingError as error:
                raise _UnusableError(f"{file.name}: {error}") from error
        if pager.wanted is not None:
            wanted = f"{self.collector.name}.{len(pages) + 1}.json"
            self._complain(f"the paging asks for page {pager.wanted.number}: {wanted} is not there")
        return tuple(pages)

    def _complain(self, what: str) -> None:
        self.complaints.append(f"{self.collector.name}: {what}")

    def _answer(self, file: Path, number: int, url: str) -> HttpResponse:
        lines = tuple(_headers(self.collector.name, self.folder, number))
        accepted = self.collector.verdict.accepted
        try:
            body = file.read_bytes() if self.collector.format.has_body else b""
        except OSError as error:
            raise _UnusableError(f"{file.name}: {error.strerror or error}") from error
        return HttpResponse(
            status=_OK if _OK in accepted else min(accepted),
            lines=lines,
            headers=joined(lines),
            body=body,
            url=url,
        )


def answers(target: Target, name: str, folder: Path, at: float) -> Told:
    """Return the answers to a collector; `at` is the instant that its request is rendered for."""
    collector = target.definition.collectors[name]
    values = target.values(target.clock(at))
    complaints: list[str] = []
    payloads = []
    try:
        for account in _accounts(target, collector, folder, values, at):
            known = values if account is None else values.with_texts({"account.id": account.id})
            reader = _Reader(
                target=target,
                collector=collector,
                folder=_place(collector, folder, account),
                draft=draft_request(collector.request, target, known, target.clock(at)),
                at=at,
                complaints=complaints,
            )
            label = "" if account is None else account.label
            payloads.append(Payload(pages=reader.pages(), account=label))
    except (_UnusableError, AccountsError, RequestError) as error:
        return Told(complaints=(*complaints, f"{name}: {error}"))
    return Told(payloads=tuple(payloads), complaints=tuple(complaints))


def _place(collector: Collector, folder: Path, account: Account | None) -> Path:
    """Return the folder of an account's own answers where it has one."""
    if account is None or not any(_files(collector, folder / account.id)):
        return folder
    return folder / account.id


def _accounts(
    target: Target, collector: Collector, folder: Path, values: TemplateValues, at: float
) -> Sequence[Account | None]:
    rules = target.definition.accounts
    if not uses_account(collector.request):
        return [None]
    if target.accounts or rules is None:
        return [Account(name, name) for name in target.accounts]
    reader = _Reader(
        target=target,
        collector=rules.collector,
        folder=folder,
        draft=draft_request(rules.collector.request, target, values, target.clock(at)),
        at=at,
        complaints=[],
    )
    pages = reader.pages()
    if reader.complaints:
        raise _UnusableError(reader.complaints[0])
    return list(find_accounts(rules, pages))


def _headers(name: str, folder: Path, number: int) -> Iterator[tuple[str, str]]:
    for file in (folder / f"{name}.headers.json", folder / f"{name}.{number}.headers.json"):
        if not file.exists():
            continue
        try:
            text = file.read_text("utf-8")
            known = msgspec.json.decode(text, type=dict[str, str | list[str]])
        except UnicodeDecodeError as error:
            raise _UnusableError(f"{file.name}: not UTF-8 (byte {error.start})") from error
        except (OSError, msgspec.DecodeError) as error:
            why = clip(str(error))
            raise _UnusableError(f"{file.name} is no map of headers: {why}") from error
        for key, value in known.items():
            several = [value] if isinstance(value, str) else value
            yield from ((key.lower(), one) for one in several)


def _files(collector: Collector, folder: Path) -> Iterator[Path]:
    """Yield the files of a collector's pages, in their order."""
    name = collector.name
    if not collector.format.has_body:
        headers = folder / f"{name}.headers.json"
        yield from [headers] if headers.exists() else []
        return
    single = [path for end in ("json", "jsonl") if (path := folder / f"{name}.{end}").exists()]
    numbered = {
        int(number): path
        for path in folder.glob("*.json*")
        if path.name.startswith(f"{name}.")
        and path.suffix in (".json", ".jsonl")
        and (number := path.stem.removeprefix(f"{name}.")).isdecimal()
    }
    yield from single or [numbered[number] for number in sorted(numbered)]


INDEX = "index.json"
_BAD = 400  # statuses from here on are refusals: good answers are preferred


class BadRecordError(ValueError):
    """The folder cannot be played. The text says why."""


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    method: str = "GET"
    url: str
    headers: Mapping[str, str] = {}
    body: Any = None


class _Response(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    headers: Mapping[str, str] = {}
    body: str | None = None


class _Exchange(msgspec.Struct, frozen=True, kw_only=True):
    case: str = ""
    request: _Request
    response: _Response


class _Index(msgspec.Struct, frozen=True, kw_only=True):
    exchanges: list[_Exchange]
    reference_time: str = ""


class Recorded:
    """Answers what was recorded. ``at`` is the instant of the exchanges, None if nobody says.

    ``signed``: a request must carry the headers that were recorded, credentials among them. Only
    the exchanges called one of ``cases`` answer, where any are named.
    """

    def __init__(self, folder: Path, *, signed: bool, cases: Collection[str] = ()) -> None:
        index = _read(folder)
        self.at = _instant(index.reference_time)
        self._folder = folder
        self._signed = signed
        self._exchanges = [one for one in index.exchanges if not cases or one.case in cases]
        _check_cases(cases, [one.case for one in index.exchanges])
        self._played: set[int] = set()
        origins = {_origin(one.request.url) for one in index.exchanges}
        self._origins = re.compile("|".join(map(re.escape, sorted(origins, key=len, reverse=True))))

    async def __call__(
        self, wire: HttpRequest, http: Http, /, *, most: int, warm: bool = False
    ) -> HttpResponse | Failure:
        """Answer a request of the client."""
        fitting = [number for number, one in enumerate(self._exchanges) if self._fits(one, wire)]
        if not fitting:
            detail = f"nothing was recorded for {self._shown(wire)}{self._nearest(wire)}"
            return Failure(reason=Reason.CONNECT, detail=detail)
        chosen = min(fitting, key=self._preference)
        self._played.add(chosen)
        return self._answer(self._exchanges[chosen].response, wire)

    def _preference(self, number: int) -> tuple[bool, bool, int, int]:
        """Good answers first, those that were not played before, those that demand the most."""
        one = self._exchanges[number]
        refused = one.response.status >= _BAD
        return refused, number in self._played, -len(one.request.headers), number

    def _fits(self, one: _Exchange, wire: HttpRequest) -> bool:
        return not self._differences(one, wire)

    def _differences(self, one: _Exchange, wire: HttpRequest) -> list[str]:
        """Return in what a request differs from a recorded one."""
        asked, recorded = _address(wire.url), _address(one.request.url)
        found = [] if wire.method == one.request.method else ["the method"]
        if asked[0] != recorded[0]:
            found.append("the path")
        found += sorted(
            f"{name}= in the query"
            for name in {pair[0] for pair in set(asked[1]) ^ set(recorded[1])}
        )
        if one.request.body is not None and not _is_same_body(one.request.body, wire.body):
            found.append("the body")
        if self._signed:
            sent = {name.lower(): value for name, value in wire.headers.items()}
            found += [
                f"the header {name}"
                for name, value in one.request.headers.items()
                if sent.get(name.lower()) != value
            ]
        return found

    def _nearest(self, wire: HttpRequest) -> str:
        compared = [(self._differences(one, wire), one) for one in self._exchanges]
        if not compared:
            return ""
        differences, one = min(compared, key=lambda pair: ("the path" in pair[0], len(pair[0])))
        if "the path" in differences:
            return ""
        return f'; the nearest, "{one.case}", differs in {", ".join(differences)}'

    def _shown(self, wire: HttpRequest) -> str:
        return f"{wire.method} {unquote(redact_url(wire.url))}"

    def _answer(self, response: _Response, wire: HttpRequest) -> HttpResponse | Failure:
        here = _origin(wire.url)
        lines = tuple(
            (name.lower(), self._origins.sub(here, value))
            for name, value in response.headers.items()
        )
        try:
            body = (self._folder / response.body).read_bytes() if response.body else b""
        except OSError as error:
            why = error.strerror or str(error)
            return Failure(reason=Reason.CONNECT, detail=f"{response.body}: {why}")
        local = self._origins.sub(here, body.decode("utf-8", "surrogateescape"))
        return HttpResponse(
            status=response.status,
            lines=lines,
            headers=joined(lines),
            body=local.encode("utf-8", "surrogateescape"),
            url=wire.url,
        )


def _read(folder: Path) -> _Index:
    try:
        return msgspec.json.decode((folder / INDEX).read_text("utf-8"), type=_Index)
    except UnicodeDecodeError as error:
        raise BadRecordError(f"{folder / INDEX}: not UTF-8 (byte {error.start})") from error
    except (OSError, msgspec.DecodeError) as error:
        raise BadRecordError(f"{folder / INDEX}: {clip(str(error))}") from error


def _check_cases(wanted: Iterable[str], known: Collection[str]) -> None:
    for case in wanted:
        if case not in known:
            raise BadRecordError(f'{INDEX} has no case "{case}".{did_you_mean(case, known)}')


def _instant(text: str) -> float | None:
    try:
        return parse_timestamp(text)
    except ValueError as error:
        raise BadRecordError(f"{INDEX}: reference_time: {error}") from error


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _address(url: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    parts = urlsplit(url)
    return unquote(parts.path), tuple(sorted(parse_qsl(parts.query, keep_blank_values=True)))


def _is_same_body(recorded: object, sent: bytes | None) -> bool:
    """Compare a body by what it means: JSON, or the arguments of a form."""
    text = (sent or b"").decode("utf-8", "replace")
    if isinstance(recorded, str):
        return recorded == text or sorted(parse_qsl(recorded)) == sorted(parse_qsl(text))
    try:
        return bool(msgspec.json.decode(text) == recorded)
    except msgspec.DecodeError:
        form = dict(parse_qsl(text, keep_blank_values=True))
    return isinstance(recorded, dict) and form == {key: str(one) for key, one in recorded.items()}


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
    matches: tuple[RowMatch, ...] = ()


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
    matches: list[RowMatch] = []
    unmatched: list[str] = []
    async for name, learned in _collectors(target, folder, at, recorded):
        complaints += learned.complaints
        remarks += learned.remarks
        matches += learned.matches
        unmatched += learned.unmatched
        if learned.reading is not None:
            readings[name] = learned.reading
    found, notes = samples(target_status(target, readings, at))
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
        exposition=b"".join(header(one, Dialect.TEXT) + blocks[one.name] for one in known),
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
    reading = read_payload(target, name, payloads, at)
    if isinstance(reading, Failure):
        told = wrong or [f"{name}: {reading.reason.value}: {reading.detail}"]
        return msgspec.structs.replace(learned, complaints=(*complaints, *told))
    notes = (f"{name}: {note.reason}: {note.detail}" for note in reading.notes)
    return msgspec.structs.replace(
        learned, reading=reading, complaints=(*complaints, *wrong, *notes)
    )


def _periods(matches: Iterable[RowMatch]) -> list[RowMatch]:
    """Return what was found of the definition's period, unless any answer told it."""
    found = [one for one in matches if one.rule == PERIOD]
    told = {one.role for one in found if one.found}
    return sorted((one for one in found if one.role not in told), key=lambda one: one.role)


def _noted(note: Note) -> str:
    hint = " --at=TIME replays answers at their own time." if note.reason == "period_over" else ""
    return f"{note.reason}: {note.detail}{hint}"


def _unfit(matches: Iterable[RowMatch]) -> Iterator[str]:
    """Yield the rules that cannot be searched and the values that cannot be read."""
    for match in matches:
        if match.problem:
            yield f"{_rehearsal_place(match)}: {match.problem}"
        if match.misfits:
            first = match.values[0]
            whose = f"{first.whose}: " if first.whose else ""
            more = f" (and {match.misfits - 1} more)" if match.misfits > 1 else ""
            yield f"{_rehearsal_place(match)}: {whose}{first.raw}: {first.meaning}{more}"


def _unmatched(matches: Iterable[RowMatch]) -> Iterator[tuple[str, bool]]:
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


def _rehearsal_place(match: RowMatch) -> str:
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
