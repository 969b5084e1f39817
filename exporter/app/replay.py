"""Replay of captured answers: what ``providers test`` prints, without the network.

A folder of answers has one for each collector. ``usage.json`` (or ``.jsonl``) is the answer to the
collector ``usage``; ``usage.1.json`` and so on are its pages; ``usage.headers.json``
(``usage.1.headers.json``) is a map of headers. With accounts, ``accounts.json`` lists them, and a
folder of an account's id may hold answers of its own.

A folder with ``index.json`` has recorded exchanges: request (method, url, headers, body) and
response (status, headers, and the file of its body). There the client runs as in a poll, with a
`Recording` in the place of the network; the vendor's own addresses in bodies and headers become
those that were asked.

Both are read at the instant of the answers. Where the folder has ``config.yaml``, its target is
used, and where it has ``expected.prom``, the exposition must be that.
"""

import os
import re
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from glob import escape
from http import HTTPStatus
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
from exporter.kernel.problems import did_you_mean
from exporter.kernel.secrets import clip, redact_url
from exporter.mapping.explain import PERIOD, RowMatch, trace
from exporter.mapping.read import read_payload
from exporter.mapping.samples import samples
from exporter.mapping.status import target_status
from exporter.model.definition.provider import Collector, Definition
from exporter.model.families import FAMILIES
from exporter.model.outcome import Failure, Page, Payload, Reason, Unchanged
from exporter.model.reading import Reading
from exporter.model.target import Http, Rejected, Target
from exporter.store.exposition import render, text_of

INDEX = "index.json"
CONFIG = "config.yaml"
EXPECTED = "expected.prom"
_REFUSED = 400  # statuses from here on are refusals: good answers are preferred
_MOST_LINES = 10
"""Lines of an exposition that are named when they are missing, or too many."""


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """The exposition, and every complaint: where and what. ``remarks`` are no faults."""

    exposition: bytes
    complaints: tuple[str, ...]
    remarks: tuple[str, ...]


async def replay(
    target: Target, folder: Path, *, at: float, recording: "Recording | None"
) -> Replay:
    """Map the answers in a folder at the instant `at`, and say what did not match.

    A role that finds nothing is a fault, unless the folder says what the exposition must be.
    """
    complaints: list[str] = []
    remarks: list[str] = []
    unmatched = remarks if (folder / EXPECTED).is_file() else complaints
    readings: dict[str, Reading] = {}
    matches: list[RowMatch] = []
    async for name, payloads in _payloads(target, folder, at, recording, complaints):
        traced = trace(target.definition, name, payloads, items=target.items)
        matches += traced
        misfits = [f"{name}: {text}" for text in _misfits(traced)]
        complaints += misfits
        for text, is_fault in _unmatched(one for one in traced if one.rule != PERIOD):
            (unmatched if is_fault else remarks).append(f"{name}: {text}")
        reading = read_payload(target, name, payloads, at)
        if isinstance(reading, Failure):
            if not misfits:
                complaints.append(f"{name}: {reading.reason.value}: {reading.detail}")
        else:
            complaints += [f"{name}: {note.reason}: {note.detail}" for note in reading.notes]
            readings[name] = reading
    complaints += [text for text, _ in _unmatched(_periods(matches))]
    found, notes = samples(target_status(target, readings, at))
    for note in notes:
        hint = " --at=TIME replays answers at their own time." * (note.reason == "period_over")
        complaints.append(f"{note.reason}: {note.detail}{hint}")
    blocks = render(found)
    lines = [
        line
        for family in FAMILIES
        if family.name in blocks
        for line in blocks[family.name].decode().splitlines()
    ]
    complaints += _compared(folder / EXPECTED, lines)
    return Replay(
        exposition=text_of(blocks),
        complaints=tuple(dict.fromkeys(complaints)),
        remarks=tuple(dict.fromkeys(remarks)),
    )


async def _payloads(
    target: Target,
    folder: Path,
    at: float,
    recording: "Recording | None",
    complaints: list[str],
) -> AsyncIterator[tuple[str, tuple[Payload, ...]]]:
    """Yield what each collector is answered; what is wrong with an answer goes to `complaints`."""
    if recording is None:
        for name in target.collectors:
            payloads = _read_answers(target, name, folder, at, complaints)
            if payloads:
                yield name, payloads
        return
    reader = SecretReader(os.environ)
    async with Client(read_secret=reader.read, wall=lambda: at, send=recording.send) as client:
        for name in target.collectors:
            fetched = await client.fetch(target, target.definition.collectors[name], at=at)
            match fetched.result:
                case Failure() as failure:
                    complaints.append(f"{name}: {failure.detail}")
                case Unchanged():
                    complaints.append(f"{name}: 304 to a request without an ETag")
                case tuple() as payloads:
                    if payloads:
                        yield name, payloads


# ------------------------------------------------------------------------------- the target


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


# ------------------------------------------------------------------ answers of a collector


class _AnswerError(ValueError):
    """A file is not there, or cannot be used. The text says which and why."""


def _read_answers(
    target: Target, name: str, folder: Path, at: float, complaints: list[str]
) -> tuple[Payload, ...]:
    """Return the answers to a collector's request as it is rendered for the instant `at`."""
    collector = target.definition.collectors[name]
    clock = target.clock(at)
    values = target.values(clock)
    payloads = []
    try:
        for account in _accounts(target, collector, folder, at):
            own, known, label = folder, values, ""
            if account is not None:
                known, label = values.with_texts({"account.id": account.id}), account.label
                if any(_files(collector, folder / account.id)):
                    own = folder / account.id
            draft = draft_request(collector.request, target, known, clock)
            pages = _read_pages(target, collector, own, draft, at=at, complaints=complaints)
            payloads.append(Payload(pages=pages, account=label))
    except (_AnswerError, AccountsError, RequestError) as error:
        complaints.append(f"{name}: {error}")
        return ()
    return tuple(payloads)


def _accounts(
    target: Target, collector: Collector, folder: Path, at: float
) -> Sequence[Account | None]:
    """Return the accounts that a collector asks for, [None] where its request names none."""
    rules = target.definition.accounts
    if not uses_account(collector.request):
        return [None]
    if target.accounts or rules is None:
        return [Account(name, name) for name in target.accounts]
    clock = target.clock(at)
    draft = draft_request(rules.collector.request, target, target.values(clock), clock)
    complaints: list[str] = []
    pages = _read_pages(target, rules.collector, folder, draft, at=at, complaints=complaints)
    if complaints:
        raise _AnswerError(complaints[0])
    return find_accounts(rules, pages)


def _read_pages(
    target: Target,
    collector: Collector,
    folder: Path,
    draft: Draft,
    *,
    at: float,
    complaints: list[str],
) -> tuple[Page, ...]:
    """Read the files as the pages that the paging asks for. Raises _AnswerError."""
    name, accepted = collector.name, collector.verdict.accepted
    files = list(_files(collector, folder))
    if not files:
        raise _AnswerError(f"no answer: {folder / f'{name}.json'} is not there")
    rules = rules_of(target.definition, collector)
    pager = Pager(collector.paging, draft.kept)
    pages: list[Page] = []
    for number, file in enumerate(files, 1):
        if pager.wanted is None:
            complaints.append(f"{name}: {file.name} is not asked for: the paging ends before it")
            continue
        try:
            body = file.read_bytes() if collector.format.has_body else b""
        except OSError as error:
            raise _AnswerError(f"{file.name}: {error.strerror or error}") from error
        lines = tuple(_headers(name, folder, number))
        response = HttpResponse(
            status=HTTPStatus.OK if HTTPStatus.OK in accepted else min(accepted),
            lines=lines,
            headers=joined(lines),
            body=body,
            url=to_http_request(draft, Signature(), pager.wanted).url,
        )
        try:
            match classify_response(response, rules, at):
                case Page() as page:
                    pages.append(page)
                    pager.advance(response, page.document)
                    if pager.continues:
                        pages[-1] = msgspec.structs.replace(page, continues=pager.continues)
                case Failure() as failure:
                    raise _AnswerError(f"{file.name}: {failure.detail}")
                case _:
                    pager.end()
        except PagingError as error:
            raise _AnswerError(f"{file.name}: {error}") from error
    if pager.wanted is not None:
        missing = f"{name}.{len(pages) + 1}.json is not there"
        complaints.append(f"{name}: the paging asks for page {pager.wanted.number}: {missing}")
    return tuple(pages)


def _headers(name: str, folder: Path, number: int) -> Iterator[tuple[str, str]]:
    for file in (folder / f"{name}.headers.json", folder / f"{name}.{number}.headers.json"):
        if not file.exists():
            continue
        try:
            text = file.read_text("utf-8")
            known = msgspec.json.decode(text, type=dict[str, str | list[str]])
        except UnicodeDecodeError as error:
            raise _AnswerError(f"{file.name}: not UTF-8 (byte {error.start})") from error
        except (OSError, msgspec.DecodeError) as error:
            why = clip(str(error))
            raise _AnswerError(f"{file.name} is no map of headers: {why}") from error
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


# ----------------------------------------------------------------------- recorded exchanges


class BadRecordingError(ValueError):
    """The folder cannot be replayed. The text says why."""


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


class Recording:
    """A vendor that answers what was recorded. ``at`` is the instant of the exchanges, if known.

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

    async def send(
        self, request: HttpRequest, http: Http, /, *, most: int, warm: bool = False
    ) -> HttpResponse | Failure:
        """Answer a request of the client."""
        fitting = [
            number
            for number, one in enumerate(self._exchanges)
            if not self._differences(one, request)
        ]
        if not fitting:
            asked = f"{request.method} {unquote(redact_url(request.url))}"
            detail = f"nothing was recorded for {asked}{self._nearest(request)}"
            return Failure(reason=Reason.CONNECT, detail=detail)
        chosen = min(fitting, key=self._preference)
        self._played.add(chosen)
        return self._respond(self._exchanges[chosen].response, request)

    def _preference(self, number: int) -> tuple[bool, bool, int, int]:
        """Good answers first, those that were not played before, those that demand the most."""
        one = self._exchanges[number]
        refused = one.response.status >= _REFUSED
        return refused, number in self._played, -len(one.request.headers), number

    def _differences(self, one: _Exchange, request: HttpRequest) -> list[str]:
        """Return in what a request differs from a recorded one."""
        asked, recorded = _address(request.url), _address(one.request.url)
        found = [] if request.method == one.request.method else ["the method"]
        if asked[0] != recorded[0]:
            found.append("the path")
        found += sorted(
            f"{name}= in the query"
            for name in {pair[0] for pair in set(asked[1]) ^ set(recorded[1])}
        )
        if one.request.body is not None and not _is_same_body(one.request.body, request.body):
            found.append("the body")
        if self._signed:
            sent = {name.lower(): value for name, value in request.headers.items()}
            found += [
                f"the header {name}"
                for name, value in one.request.headers.items()
                if sent.get(name.lower()) != value
            ]
        return found

    def _nearest(self, request: HttpRequest) -> str:
        compared = [(self._differences(one, request), one) for one in self._exchanges]
        if not compared:
            return ""
        differences, one = min(compared, key=lambda pair: ("the path" in pair[0], len(pair[0])))
        if "the path" in differences:
            return ""
        return f'; the nearest, "{one.case}", differs in {", ".join(differences)}'

    def _respond(self, response: _Response, request: HttpRequest) -> HttpResponse | Failure:
        here = _origin(request.url)
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
            url=request.url,
        )


def _read(folder: Path) -> _Index:
    try:
        return msgspec.json.decode((folder / INDEX).read_text("utf-8"), type=_Index)
    except UnicodeDecodeError as error:
        raise BadRecordingError(f"{folder / INDEX}: not UTF-8 (byte {error.start})") from error
    except (OSError, msgspec.DecodeError) as error:
        raise BadRecordingError(f"{folder / INDEX}: {clip(str(error))}") from error


def _check_cases(wanted: Iterable[str], known: Collection[str]) -> None:
    for case in wanted:
        if case not in known:
            raise BadRecordingError(f'{INDEX} has no case "{case}".{did_you_mean(case, known)}')


def _instant(text: str) -> float | None:
    try:
        return parse_timestamp(text)
    except ValueError as error:
        raise BadRecordingError(f"{INDEX}: reference_time: {error}") from error


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


# --------------------------------------------------------------------- what does not match


def _periods(matches: Iterable[RowMatch]) -> list[RowMatch]:
    """Return what was found of the definition's period, unless any answer has it."""
    found = [one for one in matches if one.rule == PERIOD]
    known = {one.role for one in found if one.found}
    return sorted((one for one in found if one.role not in known), key=lambda one: one.role)


def _misfits(matches: Iterable[RowMatch]) -> Iterator[str]:
    """Yield the rules that cannot be searched and the values that cannot be read."""
    for match in matches:
        place = ": ".join(filter(None, (match.label, match.where)))
        if match.problem:
            yield f"{place}: {match.problem}"
        if match.misfits:
            first = match.values[0]
            whose = f"{first.whose}: " if first.whose else ""
            more = f" (and {match.misfits - 1} more)" if match.misfits > 1 else ""
            yield f"{place}: {whose}{first.raw}: {first.meaning}{more}"


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
        label = f"{rule} {role}".rstrip()
        nothing = f"nothing in {paths[0].rows} row(s)" if paths[0].rows else "there are no rows"
        yield f"{label}: {where}: {nothing}", bool(paths[0].rows) and not paths[0].explained


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
