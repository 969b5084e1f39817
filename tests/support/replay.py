"""A vendor played from files: answers what was recorded for a method, a path and a query.

The folder of a provider holds ``index.json`` with the exchanges and a file for each body. An
exchange answers only a request that is signed as it says: its request headers must be there. The
vendor's own addresses in bodies and headers become the replay's.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestServer

from exporter.demo.server import VendorRequest, VendorResponse

PROVIDERS = Path(__file__).resolve().parents[1] / "providers"


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answer. ``origin`` is the vendor's, ``query`` is in any order."""

    case: str
    method: str
    origin: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    sent: object
    status: int
    answer_headers: Mapping[str, str]
    body: bytes

    def fits(self, method: str, raw_path: str, headers: Mapping[str, str], sent: object) -> bool:
        path, query = _address(raw_path)
        return (
            (method, path, query) == (self.method, self.path, self.query)
            and all(headers.get(name) == value for name, value in self.headers.items())
            and (self.sent is None or self.sent == sent)
        )


def read_exchanges(folder: Path) -> dict[str, Exchange]:
    """Return the exchanges of a provider by their case."""
    index = json.loads((folder / "index.json").read_text())
    found = [_exchange(folder, one) for one in index["exchanges"]]
    assert len({one.case for one in found}) == len(found), f"{folder.name}: a case occurs twice"
    return {one.case: one for one in found}


def _exchange(folder: Path, one: Mapping[str, Any]) -> Exchange:
    request, answer = one["request"], one["response"]
    parts = urlsplit(request["url"])
    path, query = _address(f"{parts.path}?{parts.query}")
    return Exchange(
        case=one["case"],
        method=request["method"],
        origin=f"{parts.scheme}://{parts.netloc}",
        path=path,
        query=query,
        headers=request["headers"],
        sent=request.get("body"),
        status=answer["status"],
        answer_headers=answer["headers"],
        body=(folder / answer["body"]).read_bytes() if answer["body"] else b"",
    )


def _body(content_type: str, text: str) -> object:
    if content_type == "application/x-www-form-urlencoded":
        return dict(parse_qsl(text))
    return json.loads(text) if text else None


def _address(raw_path: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    path, _, query = raw_path.partition("?")
    return unquote(path), tuple(sorted(parse_qsl(query, keep_blank_values=True)))


class Replay:
    """A server on 127.0.0.1 that plays the exchanges named in `serve`.

    `asked` lists the cases that were asked for, `strangers` the requests that nothing fits. Where
    several fit, the one that demands the most headers answers.
    """

    def __init__(self, exchanges: Iterable[Exchange]) -> None:
        self.exchanges = {one.case: one for one in exchanges}
        self.serve: list[str] = list(self.exchanges)
        self.asked: list[str] = []
        self.strangers: list[str] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app)
        origins = sorted({re.escape(one.origin) for one in self.exchanges.values()})
        self._origins = re.compile("|".join(origins))

    @property
    def origin(self) -> str:
        return f"http://{self._server.host}:{self._server.port}"

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._server.close()

    async def _answer(self, request: web.Request) -> web.Response:
        sent = _body(request.content_type, await request.text())
        fitting = [
            one
            for one in (self.exchanges[case] for case in self.serve)
            if one.fits(request.method, request.raw_path, request.headers, sent)
        ]
        if not fitting:
            self.strangers.append(f"{request.method} {unquote(request.raw_path)}")
            return web.Response(status=418, text="nothing was recorded for this request")
        found = max(fitting, key=lambda one: len(one.headers))
        self.asked.append(found.case)
        return web.Response(
            status=found.status,
            headers={name: self._local(text) for name, text in found.answer_headers.items()},
            body=self._local(found.body.decode()).encode() if found.body else None,
        )

    def _local(self, text: str) -> str:
        return self._origins.sub(self.origin, text)


class RecordedVendor:
    """Answers the exchanges of a case as they were, and 418 to all else.

    Not `exact`: whatever the address is. `strange` are the requests that fit nothing.
    """

    def __init__(self, exchanges: dict[str, Exchange], *cases: str, exact: bool = True) -> None:
        self.strange: list[VendorRequest] = []
        self._exchanges = [exchanges[case] for case in cases]
        self._exact = exact

    def __call__(self, asked: VendorRequest, _now: float) -> VendorResponse:
        """Answer as the vendor did; its links lead to the one who replays them."""
        for exchange in self._exchanges:
            if self._fits(exchange, asked):
                body = exchange.body.replace(exchange.origin.encode(), asked.origin.encode())
                headers = tuple(exchange.answer_headers.items())
                return VendorResponse(status=exchange.status, headers=headers, body=body)
        self.strange.append(asked)
        return VendorResponse(status=418, body=b"this was not recorded")

    def _fits(self, exchange: Exchange, asked: VendorRequest) -> bool:
        signed = exchange.headers.get("Authorization", "")
        if (exchange.method, signed) != (asked.method, asked.headers.get("authorization", "")):
            return False
        here = (exchange.path, exchange.query)
        return not self._exact or here == (asked.path, tuple(sorted(asked.query)))


def exchanges_of(provider: str) -> dict[str, Exchange]:
    """Return what was recorded of a provider, by case."""
    return read_exchanges(PROVIDERS / provider)
