"""A vendor played from a folder of recorded exchanges, in the place of the network.

``index.json`` lists the exchanges: request (method, url, headers, body) and response (status,
headers, and the file of its body). A request is answered by the exchange that fits it; the
vendor's own addresses in bodies and headers become those that were asked.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from exporter.fetch.wire import Answer, Wire, joined
from exporter.kernel.problems import did_you_mean
from exporter.kernel.secrets import clip, redact_url
from exporter.kernel.timestamps import parse_timestamp
from exporter.model.outcome import Failure, Reason
from exporter.model.target import Http

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
        self, wire: Wire, http: Http, *, most: int, warm: bool = False
    ) -> Answer | Failure:
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

    def _fits(self, one: _Exchange, wire: Wire) -> bool:
        return not self._differences(one, wire)

    def _differences(self, one: _Exchange, wire: Wire) -> list[str]:
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

    def _nearest(self, wire: Wire) -> str:
        compared = [(self._differences(one, wire), one) for one in self._exchanges]
        if not compared:
            return ""
        differences, one = min(compared, key=lambda pair: ("the path" in pair[0], len(pair[0])))
        if "the path" in differences:
            return ""
        return f'; the nearest, "{one.case}", differs in {", ".join(differences)}'

    def _shown(self, wire: Wire) -> str:
        return f"{wire.method} {unquote(redact_url(wire.url))}"

    def _answer(self, response: _Response, wire: Wire) -> Answer | Failure:
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
        return Answer(
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
