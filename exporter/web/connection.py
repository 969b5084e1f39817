"""What every answer has in common: its headers, and the shapes that handlers return.

Connections: how many there are, how long they may take, and what their answers may hold.

aiohttp closes what is idle after an answer, but waits for ever for a request whose headers come
one byte a minute, takes as many connections as come, and keeps what a client does not read.
"""

import asyncio
import json as stdlib_json
import socket
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, TypeAlias, cast

import msgspec
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_server import Server

from exporter.kernel.override import override

Handler: TypeAlias = Callable[[BaseRequest], Awaitable[StreamResponse]]
SERVER: Final = "usage-exporter"
SECURITY_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Server": SERVER,  # not "Python/3.11 aiohttp/3.14": no help for whoever looks for holes
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
)
"""On every answer. No address of ours runs a script, is framed, or loads anything."""
READ_METHODS: Final = ("GET", "HEAD")
CHANGE_METHODS: Final = ("POST", "PUT")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers an address, and to which methods."""

    handler: Handler
    methods: tuple[str, ...] = READ_METHODS


def text_response(
    body: str, *, status: int = 200, headers: Mapping[str, str] = SECURITY_HEADERS
) -> Response:
    """Answer with plain text; a newline is added, so that a terminal stays readable."""
    return _answer(body + "\n", "text/plain; charset=utf-8", status, headers)


def json_response(value: object) -> bytes:
    """Return a struct, or plain values, as JSON."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # half of a surrogate pair, in a vendor's text
        return stdlib_json.dumps(msgspec.to_builtins(value)).encode()


class SharedBody:
    """A large body that all get who ask while it is being made: `make` runs once for them.

    So many clients cost the time and the memory of one, whether or not they read the answer.
    """

    def __init__(self, make: Callable[[], Awaitable[bytes]]) -> None:
        self._make = make
        self._flight: asyncio.Task[bytes] | None = None

    async def get(self) -> bytes:
        """Return the body. Raises what `make` raises."""
        flight = self._flight
        if flight is None:
            flight = asyncio.get_running_loop().create_task(self._made())
            flight.add_done_callback(self._land)
            self._flight = flight
        return await asyncio.shield(flight)  # a client that leaves does not take it from the others

    async def _made(self) -> bytes:
        return await self._make()

    def _land(self, flight: asyncio.Task[bytes]) -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()  # seen, also where everybody has left


class TimeSlice:
    """Lets others have the event loop from time to time: work at every size goes in slices."""

    def __init__(self, seconds: float = 0.005) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._began = self._loop.time()

    async def rest(self) -> None:
        """Give the event loop away if it was held for a slice; to be called in between."""
        if self._loop.time() - self._began >= self._seconds:
            await asyncio.sleep(0)
            self._began = self._loop.time()


def method_not_allowed(methods: tuple[str, ...]) -> Response:
    """Answer 405, in the words of Prometheus, with the methods that the address takes."""
    return text_response(
        f"Only {' or '.join(methods)} requests allowed.",
        status=405,
        headers={**SECURITY_HEADERS, "Allow": ", ".join(methods)},
    )


def _answer(body: str, kind: str, status: int, headers: Mapping[str, str]) -> Response:
    # A lone surrogate (a file name of any bytes, in a message) must not end in a 500.
    content = body.encode("utf-8", "replace")
    return Response(body=content, status=status, headers={**headers, "Content-Type": kind})


READ_HEADERS: Final = 5.0
"""Seconds from the first byte (or the connection) to the last header, as kube-state-metrics."""
IDLE: Final = 75.0
"""Seconds that a connection is kept between requests: Prometheus comes once a minute."""
STALLED: Final = 10.0
"""Seconds in which a client has to read the next piece of its answer."""
_LINGER: Final = 1.0  # no address reads a body; this long is one waited for and thrown away
_READ_BUFFER: Final = 1 << 14  # of a body that nobody reads
_LONGEST_LINE: Final = 8190
_MOST_HEADERS: Final = 64
_LONGEST_HEAD: Final = 1 << 15
"""Bytes of all header lines of a request: 64 lines of 8 kB on each connection are 250 MB."""
_WRITE: Final = 1 << 20
_SMALL_WRITE: Final = 1 << 15
_ONE_WRITE: Final = 1 << 18  # a small body is joined: a system call costs more than the copy
_CROWDED: Final = 8 << 20
"""Unread bytes from which on each client gets small pieces, and nobody waits for the others."""
_MOST_PRIVATE: Final = 64 << 20
_MOST_VERSIONS: Final = 64 << 20
_QUIET: Final = 10.0  # seconds without pressure after which it counts as over
Notice: TypeAlias = Callable[[str, Mapping[str, object]], None]
"""Told a message and its fields, when pressure begins and when it is over."""


class UnreadAnswers:
    """The bytes of answers that their clients have not read yet.

    Three kinds of them take memory: the piece that a connection is writing, bodies made for one
    client alone, and old versions of the exposition that slow clients still read.
    """

    def __init__(self) -> None:
        self._pieces = 0
        self._private = 0
        self._versions = 0
        self._readers: OrderedDict[Connection, int] = OrderedDict()
        self._shared: dict[int, list[int]] = {}  # of each version its size, and its readers

    @property
    def crowded(self) -> bool:
        """Whether so much is unread that answers have to be frugal."""
        return self._pieces + self._private >= _CROWDED

    def fits(self, size: int) -> bool:
        """Tell whether a body of `size` bytes for one client alone may be sent now."""
        return self._private == 0 or self._private + size <= _MOST_PRIVATE

    @contextmanager
    def private(self, size: int) -> Iterator[None]:
        """Count a body that is held for one client."""
        self._private += size
        try:
            yield
        finally:
            self._private -= size

    @contextmanager
    def piece(self, size: int) -> Iterator[None]:
        """Count a piece that is on its way."""
        self._pieces += size
        try:
            yield
        finally:
            self._pieces -= size

    @contextmanager
    def reading(self, connection: "Connection", version: object, size: int) -> Iterator[None]:
        """Count a client that reads a version of a shared body.

        Each version that slow clients still read stays in memory. When these are too many, the
        clients that have been reading the longest are cut off.
        """
        key = id(version)  # the answer holds it, so that no other can get its id
        held = self._shared.setdefault(key, [size, 0])
        held[1] += 1
        self._versions += size if held[1] == 1 else 0
        self._readers[connection] = key
        while self._versions > max(_MOST_VERSIONS, 3 * size) and self._cut_oldest(key):
            pass
        try:
            yield
        finally:
            self._leave(connection)

    def _cut_oldest(self, but: int) -> bool:
        oldest = next((one for one, key in self._readers.items() if key != but), None)
        if oldest is None:
            return False
        self._leave(oldest)
        oldest.abort()
        return True

    def _leave(self, connection: "Connection") -> None:
        key = self._readers.pop(connection, None)
        if key is None:
            return
        held = self._shared[key]
        held[1] -= 1
        if not held[1]:
            del self._shared[key]
            self._versions -= held[0]


class StreamedBody(StreamResponse):
    """An answer of a shared body, written piece by piece, with a Content-Length.

    Handed over whole it is copied twice, into aiohttp's join with the headers and into the
    transport's buffer, which takes three times as long.
    """

    def __init__(self, pieces: tuple[bytes, ...], headers: Mapping[str, str]) -> None:
        super().__init__(headers=dict(headers))
        self._pieces = pieces
        self.content_length = sum(map(len, pieces))

    @override
    async def write_eof(self, data: bytes = b"") -> None:
        request = self._req
        if request is not None and request.method != "HEAD" and not self._eof_sent:
            connection = cast(Connection, request.protocol)
            flight = connection.in_flight
            largest = max(self._pieces, key=len)
            with flight.reading(connection, largest, self.content_length or 0):
                for run in _runs(self._pieces, flight):
                    await self._write_run(memoryview(run), flight)
        await super().write_eof(data)

    async def _write_run(self, run: memoryview, flight: UnreadAnswers) -> None:
        start = 0
        while start < len(run):
            piece = run[start : start + (_SMALL_WRITE if flight.crowded else _WRITE)]
            start += len(piece)
            with flight.piece(len(piece)):
                async with asyncio.timeout(STALLED):
                    await self.write(piece)


def send(
    pieces: tuple[bytes, ...], headers: Mapping[str, str], request: BaseRequest
) -> StreamResponse:
    """Return the answer that carries a shared body, in the cheapest way that is safe now."""
    crowded = cast(Connection, request.protocol).in_flight.crowded
    if sum(map(len, pieces)) <= (_SMALL_WRITE if crowded else _ONE_WRITE):
        return Response(body=b"".join(pieces), headers=dict(headers))
    return StreamedBody(pieces, headers)


def _runs(pieces: Iterable[bytes], flight: UnreadAnswers) -> Iterator[bytes]:
    """Yield the bytes of `pieces`, small neighbours joined: such a run is the client's alone."""
    run: list[bytes] = []
    size = 0
    for piece in pieces:
        if run and size + len(piece) > (_SMALL_WRITE if flight.crowded else _ONE_WRITE):
            yield b"".join(run)
            run, size = [], 0
        run.append(piece)
        size += len(piece)
    yield b"".join(run)


class Connection(RequestHandler):
    """Reads requests from one client, with a deadline and a limit for their headers."""

    __slots__ = ("_answering", "_deadline", "_gone", "_head", "_read_headers", "in_flight")

    def __init__(
        self,
        manager: "Connections",
        *,
        loop: asyncio.AbstractEventLoop,
        read_headers: float,
        gone: Callable[[], None],
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to switch it off
            keepalive_timeout=IDLE,
            lingering_time=_LINGER,
            read_bufsize=_READ_BUFFER,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            max_headers=_MOST_HEADERS,
            auto_decompress=False,
        )
        self.in_flight = manager.in_flight
        self._read_headers = read_headers
        self._gone = gone
        self._deadline: asyncio.TimerHandle | None = None
        self._answering = False
        self._head = 0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # An answer is written when the system has all of it: what is left in the transport
        # would neither count nor have a deadline.
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=1, low=0)
        self._arm()
        cast(Connections, self._manager).waits(self)

    @override
    def data_received(self, data: bytes) -> None:
        if self._deadline is None and not self._answering:
            self._arm()
        waiting = self._waiter is not None and not self._messages
        super().data_received(data)
        if not waiting or self._messages:
            self._head = 0
            if self._messages and self._answering and self.transport is not None:
                self.transport.pause_reading()  # pipelined requests have to wait in the network
            return
        self._head += len(data)
        if self._head > _LONGEST_HEAD and self.transport is not None:
            self.transport.write(_HEAD_TOO_LONG)
            self.force_close()

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        self._disarm()
        self._gone()
        manager = self._manager
        if manager is not None:
            cast(Connections, manager).works(self)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close at once, whatever the client has not read."""
        if self.transport is not None:
            self.transport.abort()

    def request_begun(self) -> None:
        """Note that a request is complete and about to be answered."""
        self._answering = True
        self._disarm()
        if self._manager is not None:
            cast(Connections, self._manager).works(self)

    def request_ended(self) -> None:
        """Note that the answer is written."""
        self._answering = False
        if self._manager is not None:
            cast(Connections, self._manager).waits(self)
        if self.transport is not None and not (
            self._reading_paused or self._buffer_paused or self.transport.is_closing()
        ):
            self.transport.resume_reading()

    @override
    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        # What is no HTTP (a port scan, TLS on the plain port) is answered and not logged; what
        # a handler raised has been logged by the dispatch.
        if request.writer.output_size > 0:
            raise ConnectionResetError("The answer has begun; there is no way to say more.")
        known = status != HTTPStatus.INTERNAL_SERVER_ERROR
        response = text_response(
            "Not a valid HTTP request." if known else "Internal error.", status=status
        )
        response.force_close()
        return response

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._read_headers, self._expire)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        self.abort()


class Connections(Server):
    """Makes a `Connection` for each client that comes, `most` of them at once.

    Room for a new one is made by closing the connection that has waited longest for its next
    request: so idle clients, however many, keep no scrape out.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        most: int,
        notice: Notice,
        read_headers: float = READ_HEADERS,
    ) -> None:
        super().__init__(_timed(handler))
        self.in_flight = UnreadAnswers()
        self._headers_within = read_headers
        self._most = most
        self._open = 0
        self._waiting: OrderedDict[Connection | asyncio.Task[None], None] = OrderedDict()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._pressure = _Pressure(notice)

    @property
    def full(self) -> bool:
        """Whether no further connection fits: all are being answered."""
        return self._open >= self._most and not self._waiting

    @property
    def greeting(self) -> bool:
        """Whether accepted sockets are about to become connections."""
        return bool(self._handshakes)

    @property
    def open(self) -> int:
        """How many connections there are, those included whose TLS handshake goes on."""
        return self._open

    def welcome(
        self, accepted: socket.socket, tls: ssl.SSLContext | None, handshake: float
    ) -> None:
        """Take over an accepted socket."""
        if self._open >= self._most:
            self.close_one()
            self._pressure.felt(
                "connections have reached their limit, those that wait longest are closed",
                {"limit": self._most},
            )
        self._open += 1
        task = asyncio.get_running_loop().create_task(self._greet(accepted, tls, handshake))
        self._handshakes.add(task)

    def close_one(self) -> None:
        """Close the connection that has waited longest for its next request, if there is one."""
        if self._waiting:
            oldest, _ = self._waiting.popitem(last=False)
            self._pressure.closed += 1
            if isinstance(oldest, Connection):
                oldest.abort()
            else:
                oldest.cancel()

    def refused(self, why: str) -> None:
        """Note that connections cannot be accepted at the moment."""
        self._pressure.felt(
            "connections cannot be accepted, the next try comes soon",
            {"err": why, "open": self._open},
        )

    def waits(self, connection: Connection) -> None:
        """Note that `connection` waits for its next request."""
        self._waiting[connection] = None

    def works(self, connection: Connection) -> None:
        """Note that `connection` has a request to answer, or is gone."""
        self._waiting.pop(connection, None)

    def give_up(self) -> None:
        """End all handshakes, and the watch over the pressure."""
        for task in self._handshakes:
            task.cancel()
        self._pressure.stop()

    async def _greet(
        self, accepted: socket.socket, tls: ssl.SSLContext | None, handshake: float
    ) -> None:
        left = False

        def leave() -> None:
            nonlocal left
            if not left:
                left = True
                self._open -= 1

        def make() -> Connection:
            return Connection(self, loop=self._loop, read_headers=self._headers_within, gone=leave)

        task = cast("asyncio.Task[None]", asyncio.current_task())
        if tls is not None:
            self._waiting[task] = None  # a handshake that does not go on makes room, too
        try:
            await self._loop.connect_accepted_socket(
                make, accepted, ssl=tls, ssl_handshake_timeout=handshake if tls else None
            )
        except BaseException as error:
            leave()
            if not isinstance(error, OSError):  # a client that left, or speaks no TLS
                raise
        finally:
            self._waiting.pop(task, None)
            self._handshakes.discard(task)


class _Pressure:
    """Tells once that there are too many connections, and once that it is over."""

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.closed = 0

    def felt(self, what: str, fields: Mapping[str, object]) -> None:
        loop = asyncio.get_running_loop()
        self._last = loop.time()
        if self._timer is None:
            self._notice(what, fields)
            self._timer = loop.call_later(_QUIET, self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._last + _QUIET - loop.time()
        if left > 0:
            self._timer = loop.call_later(left, self._look)
            return
        self._timer = None
        closed, self.closed = self.closed, 0
        self._notice("connections are accepted as usual again", {"closed_meanwhile": closed})


_HEAD_TOO_LONG: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nServer: usage-exporter\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)


def _timed(handler: Handler) -> Handler:
    async def answer(request: BaseRequest) -> StreamResponse:
        connection = cast(Connection, request.protocol)
        connection.request_begun()
        try:
            if sum(len(name) + len(value) for name, value in request.raw_headers) > _LONGEST_HEAD:
                refusal = text_response(
                    f"The headers are longer than {_LONGEST_HEAD} bytes.", status=431
                )
                refusal.force_close()
                return refusal
            return await handler(request)
        finally:
            connection.request_ended()

    return answer
