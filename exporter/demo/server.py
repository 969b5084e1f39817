"""The fake vendors on a real socket: requests, responses, and scripts of what goes over the wire.

HTTP/1.1 is written by hand, so that it can also be done wrong: a web framework would mend what a
fault is meant to break (a short body, a reset, bytes that drip). A `FakeVendor` gives a correct
response, which a `FaultInjector` may replace by a `Script`: bytes, pauses, the end of a connection.
"""

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, TypeAlias
from urllib.parse import parse_qsl, urlsplit

import msgspec


class VendorRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request; header names in lower case, ``query`` as pairs in their order."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = {}
    body: bytes = b""
    origin: str = ""  # "http://127.0.0.1:4711/tpstreams": what this vendor's own links start with

    def argument(self, name: str, default: str = "") -> str:
        """Return the last value of a query argument."""
        return next((value for key, value in reversed(self.query) if key == name), default)


FAULT_MARK = ".breaks-by-"
"""In a token, between the vendor's own and the name of the fault that hits its account."""


def has_token(request: VendorRequest, scheme: str, token: str) -> bool:
    """Tell whether a request has the token, with or without the name of a fault."""
    given, _, key = request.headers.get("authorization", "").partition(" ")
    return given.lower() == scheme.lower() and key.partition(FAULT_MARK)[0] == token


class VendorResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One well-formed response."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Send(msgspec.Struct, frozen=True):
    """Bytes as they are."""

    data: bytes


class Pause(msgspec.Struct, frozen=True):
    """Nothing, for some seconds."""

    seconds: float


class Close(msgspec.Struct, frozen=True):
    """The connection ends in order (FIN)."""


class Reset(msgspec.Struct, frozen=True):
    """The connection ends at once (RST)."""


Action: TypeAlias = Send | Pause | Close | Reset
Script: TypeAlias = tuple[Action, ...]
_PHRASES = {200: "OK", 304: "Not Modified", 401: "Unauthorized", 429: "Too Many Requests"}


def json_response(
    document: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> VendorResponse:
    """Return an answer with a JSON body."""
    more = tuple((headers or {}).items())
    body = json.dumps(document, separators=(",", ":")).encode()
    return VendorResponse(status=status, headers=(("Content-Type", content_type), *more), body=body)


def response_head(response: VendorResponse, *, length: int | None = None) -> bytes:
    """Return the status line and headers, with the length of the body or the one given."""
    size = len(response.body) if length is None else length
    lines = [f"HTTP/1.1 {response.status} {_PHRASES.get(response.status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    lines.append(f"Content-Length: {size}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def script_of(response: VendorResponse) -> Script:
    """Return the script that sends a response as it should be."""
    return (Send(response_head(response) + response.body),)


FakeVendor = Callable[[VendorRequest, float], VendorResponse]
"""(request, now in epoch seconds) -> the correct response."""
FaultInjector = Callable[[str, VendorRequest, VendorResponse], Script | None]
"""(vendor, request, correct response) -> what is sent instead, or None to send that."""
_LONGEST_HEAD = 64 * 1024
_LONGEST_BODY = 1024 * 1024


class FakeVendors:
    """Serves each vendor under its name: ``http://127.0.0.1:PORT/<name>/…``.

    ``requests`` counts the requests by vendor; ``wall`` gives the time that the numbers follow.
    """

    def __init__(
        self,
        vendors: Mapping[str, FakeVendor],
        *,
        wall: Callable[[], float],
        inject: FaultInjector = lambda vendor, request, response: None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: dict[str, int] = dict.fromkeys(vendors, 0)
        self._vendors = vendors
        self._wall = wall
        self._inject = inject
        self._port = port
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.Task[object]] = {}

    @property
    def origin(self) -> str:
        """The address of the server, without a vendor's name."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, limit=_LONGEST_HEAD, ssl=self._tls
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is None:
            return
        self._server.close()
        answering = list(self._open.values())
        for writer, task in list(self._open.items()):
            writer.transport.abort()
            task.cancel()  # a script may be in the middle of a long pause
        if answering:
            await asyncio.wait(answering)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            self._open[writer] = task
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # the client has left, or speaks no HTTP
        except asyncio.CancelledError:
            pass  # the server stops; asyncio would log a cancelled handler as an error
        finally:
            self._open.pop(writer, None)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False ends the connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head.split("\r\n")
        method, target, _ = request_line.split(" ", 2)
        pairs = (line.split(":", 1) for line in lines if ":" in line)
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        length = min(int(headers.get("content-length", "0")), _LONGEST_BODY)
        body = await reader.readexactly(length) if length else b""
        url = urlsplit(target)
        name, _, path = url.path.removeprefix("/").partition("/")
        vendor = self._vendors.get(name)
        if vendor is None:
            return await _play(
                script_of(VendorResponse(status=404, body=b"no such vendor")), writer
            )
        self.requests[name] += 1
        request = VendorRequest(
            method=method,
            path=f"/{path}",
            query=tuple(parse_qsl(url.query, keep_blank_values=True)),
            headers=headers,
            body=body,
            origin=f"{self.origin}/{name}",
        )
        response = vendor(request, self._wall())
        script = self._inject(name, request, response)
        if script is None:
            script = script_of(response)
            if method == "HEAD":
                script = (Send(response_head(response, length=0)),)
        return await _play(script, writer)


async def _play(script: Script, writer: asyncio.StreamWriter) -> bool:
    """Do what the script says; False ends the connection."""
    for action in script:
        match action:
            case Send(data):
                writer.write(data)
                await writer.drain()
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Close():
                return False
            case Reset():
                writer.transport.abort()
                return False
    return True
