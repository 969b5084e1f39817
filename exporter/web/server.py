"""The HTTP server: listening sockets, connections and their limits, start and stop.

aiohttp's own server accepts any number of connections and waits without limit for a request whose
headers come one byte a minute; asyncio's accepts until no file descriptor is left and
logs every try that fails. Limits here:

- at most `most_connections` (512, and half of the file descriptors: polls need the rest). Room for
  a new connection is made by closing the one that has waited longest for its next request, so
  that idle clients, however many, keep no scrape out;
- 5 s from the first byte to the last header, 75 s between requests, 64 headers of 8 kB each,
  32 kB all together; bodies of requests are not read;
- pipelined requests stay in the network while one is being answered.
"""

import asyncio
import errno
import resource
import socket
import ssl
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final, TypeAlias, cast

from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from aiohttp.web_server import Server

from exporter.kernel.override import override
from exporter.web.address import Address, CannotListen
from exporter.web.response import Handler, UnreadAnswers, text_response

READ_HEADERS: Final = 5.0
"""Seconds from the first byte (or the connection) to the last header, as kube-state-metrics."""
_IDLE: Final = 75.0  # seconds between requests: Prometheus comes once a minute
_LINGER: Final = 1.0  # seconds in which a request's body is received and thrown away
_READ_BUFFER: Final = 1 << 14  # bytes of a body, which no address reads
_LONGEST_LINE: Final = 8190
_MOST_HEADERS: Final = 64
_LONGEST_HEAD: Final = 1 << 15
"""Bytes of all header lines of a request: 64 lines of 8 kB on each connection are 250 MB."""
_HEAD_TOO_LONG: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nServer: usage-exporter\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)
_OVERLOAD_ENDS: Final = 10.0  # seconds without overload after which it counts as over
MOST_CONNECTIONS: Final = 512
"""As Prometheus' own ``--web.max-connections``."""
_LEAST_CONNECTIONS: Final = 8
_BACKLOG: Final = 128
_GRACE: Final = 3.0
_HANDSHAKE: Final = 5.0
_SEND_BUFFER: Final = 1 << 20  # a 10 MB body leaves in half the time of the default 16 kB
_SMALL_SEND_BUFFER: Final = 1 << 16
_LARGE_SEND_BUFFERS: Final = 32  # connections that get one: a container's limit counts this memory
_ACCEPTED_AT_ONCE: Final = 32
_FIRST_RETRY: Final = 0.05  # seconds after a failed accept, doubled each time up to the last
_LAST_RETRY: Final = 1.0
Notice: TypeAlias = Callable[[str, Mapping[str, object]], None]
"""Called with a message and its fields when an overload begins and when it is over."""


class WebServer:
    """Answers requests on any number of addresses, from `start` to `stop`."""

    def __init__(
        self,
        handler: Handler,
        *,
        read_headers: float = READ_HEADERS,
        grace: float = _GRACE,
        most_connections: int = MOST_CONNECTIONS,
        notice: Notice = lambda what, fields: None,
    ) -> None:
        self._handler = handler
        self._read_headers = read_headers
        self._grace = grace
        self._most = most_connections
        self._notice = notice
        self._connections: Connections | None = None
        self._listeners: list[_Listener] = []

    async def start(
        self, addresses: Sequence[Address], *, tls: ssl.SSLContext | None = None
    ) -> tuple[Address, ...]:
        """Listen on all `addresses`; return them with the ports that were given.

        Raises CannotListen when one of them fails; then none is listened on.
        """
        sockets: list[socket.socket] = []
        try:
            sockets.extend(map(_open, addresses))
        except CannotListen:
            for opened in sockets:
                opened.close()
            raise
        most = self._most
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if descriptors != resource.RLIM_INFINITY:
            most = min(most, max(descriptors // 2, _LEAST_CONNECTIONS))
        self._connections = Connections(
            self._handler, most=most, notice=self._notice, read_headers=self._read_headers
        )
        self._listeners = [_Listener(opened, self._connections, tls) for opened in sockets]
        return tuple(
            Address(address.host, opened.getsockname()[1])
            for address, opened in zip(addresses, sockets, strict=True)
        )

    async def stop(self) -> None:
        """Accept no more connections, give running handlers a moment, and close all.

        A handler that hangs is cancelled when half of the grace (3 s) is over.
        """
        for listener in self._listeners:
            listener.close()
        if self._connections is not None:
            self._connections.stop()
            self._connections.pre_shutdown()
            # aiohttp waits this long for the handler to end, and again after it cancelled it.
            await self._connections.shutdown(self._grace / 2)
        self._listeners.clear()


class _Listener:
    """Accepts connections on one socket."""

    def __init__(
        self, opened: socket.socket, connections: "Connections", tls: ssl.SSLContext | None
    ) -> None:
        self._socket = opened
        self._connections = connections
        self._tls = tls
        self._retry_after = _FIRST_RETRY
        self._timer: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        """Accept no more."""
        if self._timer is not None:
            self._timer.cancel()
        else:
            asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _listen(self) -> None:
        self._timer = None
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if self._connections.full:
                if not self._connections.handshaking:
                    self._retry("all connections are being answered")
                return  # a handshake makes room in a moment: the loop calls this again
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no file descriptor is left, for example
                self._connections.close_idlest()
                self._retry((error.strerror or str(error)).lower())
                return
            self._retry_after = _FIRST_RETRY
            accepted.setblocking(False)
            if self._connections.open >= _LARGE_SEND_BUFFERS:
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_SEND_BUFFER)
            self._connections.accept(accepted, self._tls)

    def _retry(self, why: str) -> None:
        self._connections.accept_failed(why)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._timer = loop.call_later(self._retry_after, self._listen)
        self._retry_after = min(self._retry_after * 2, _LAST_RETRY)


class Connections(Server):
    """All connections: makes a `Connection` for each accepted socket, `most` of them at once."""

    def __init__(self, handler: Handler, *, most: int, notice: Notice, read_headers: float) -> None:
        super().__init__(self._answer)
        self.unread = UnreadAnswers()
        self.open = 0
        """How many connections there are, those included whose TLS handshake goes on."""
        self._handler = handler
        self._read_headers = read_headers
        self._most = most
        # Those that wait for a request or in a handshake, the one that waits longest first.
        self._idle: OrderedDict[Connection | asyncio.Task[None], None] = OrderedDict()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._overload = _Overload(notice)

    @property
    def full(self) -> bool:
        """Whether no further connection fits: all are being answered."""
        return self.open >= self._most and not self._idle

    @property
    def handshaking(self) -> bool:
        """Whether accepted sockets are about to become connections."""
        return bool(self._handshakes)

    def accept(self, accepted: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Take over an accepted socket."""
        if self.open >= self._most:
            self.close_idlest()
            self._overload.report(
                "connections have reached their limit, those that wait longest are closed",
                {"limit": self._most},
            )
        self.open += 1
        task = asyncio.get_running_loop().create_task(self._connect(accepted, tls))
        self._handshakes.add(task)

    def accept_failed(self, why: str) -> None:
        """Note that connections cannot be accepted at the moment."""
        self._overload.report(
            "connections cannot be accepted, the next try comes soon",
            {"err": why, "open": self.open},
        )

    def close_idlest(self) -> None:
        """Close the connection that has waited longest for its next request, if there is one."""
        if self._idle:
            oldest, _ = self._idle.popitem(last=False)
            self._overload.closed += 1
            if isinstance(oldest, Connection):
                oldest.abort()
            else:
                oldest.cancel()

    def mark_idle(self, connection: "Connection") -> None:
        """Note that `connection` waits for its next request."""
        self._idle[connection] = None

    def mark_busy(self, connection: "Connection") -> None:
        """Note that `connection` has a request to answer, or is closed."""
        self._idle.pop(connection, None)

    def stop(self) -> None:
        """End all handshakes, and the notice about an overload."""
        for task in self._handshakes:
            task.cancel()
        self._overload.stop()

    async def _connect(self, accepted: socket.socket, tls: ssl.SSLContext | None) -> None:
        counted = True

        def closed() -> None:  # called once or twice: a connection may end within its handshake
            nonlocal counted
            if counted:
                counted = False
                self.open -= 1

        def make() -> Connection:
            return Connection(self, loop=self._loop, read_headers=self._read_headers, closed=closed)

        task = cast("asyncio.Task[None]", asyncio.current_task())
        if tls is not None:
            self._idle[task] = None  # a handshake that does not go on makes room, too
        try:
            await self._loop.connect_accepted_socket(
                make, accepted, ssl=tls, ssl_handshake_timeout=_HANDSHAKE if tls else None
            )
        except BaseException as error:
            closed()
            if not isinstance(error, OSError):  # a client that left, or speaks no TLS
                raise
        finally:
            self._idle.pop(task, None)
            self._handshakes.discard(task)

    async def _answer(self, request: BaseRequest) -> StreamResponse:
        connection = cast(Connection, request.protocol)
        connection.request_begun()
        try:
            if sum(len(name) + len(value) for name, value in request.raw_headers) > _LONGEST_HEAD:
                what = f"The headers are longer than {_LONGEST_HEAD} bytes."
                response = text_response(what, status=431)
                response.force_close()
                return response
            return await self._handler(request)
        finally:
            connection.request_ended()


class Connection(RequestHandler):
    """Reads requests from one client, with a deadline and a limit for their headers."""

    __slots__ = ("_answering", "_closed", "_deadline", "_head", "_read_headers", "unread")

    def __init__(
        self,
        manager: Connections,
        *,
        loop: asyncio.AbstractEventLoop,
        read_headers: float,
        closed: Callable[[], None],
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to switch it off
            keepalive_timeout=_IDLE,
            lingering_time=_LINGER,
            read_bufsize=_READ_BUFFER,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            max_headers=_MOST_HEADERS,
            auto_decompress=False,
        )
        self.unread = manager.unread
        self._read_headers = read_headers
        self._closed = closed
        self._deadline: asyncio.TimerHandle | None = None
        self._answering = False
        self._head = 0  # bytes of the unfinished head of a request

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # With no write buffer a write is over when the system has all bytes: what is left in the
        # transport would neither count as unread nor have a deadline.
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=1, low=0)
        self._start_deadline()
        cast(Connections, self._manager).mark_idle(self)

    @override
    def data_received(self, data: bytes) -> None:
        if self._deadline is None and not self._answering:
            self._start_deadline()
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
        self._stop_deadline()
        self._closed()
        if self._manager is not None:
            cast(Connections, self._manager).mark_busy(self)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close at once, whatever the client has not read."""
        self._stop_deadline()
        if self.transport is not None:
            self.transport.abort()

    def request_begun(self) -> None:
        """Note that a request is complete and about to be answered."""
        self._answering = True
        self._stop_deadline()
        if self._manager is not None:
            cast(Connections, self._manager).mark_busy(self)

    def request_ended(self) -> None:
        """Note that the response is written."""
        self._answering = False
        if self._manager is not None:
            cast(Connections, self._manager).mark_idle(self)
        is_paused = self._reading_paused or self._buffer_paused
        if self.transport is not None and not (is_paused or self.transport.is_closing()):
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
        # a handler raised has been logged by the dispatcher.
        if request.writer.output_size > 0:
            raise ConnectionResetError("The response has begun: its status cannot change.")
        is_internal = status == HTTPStatus.INTERNAL_SERVER_ERROR
        what = "Internal error." if is_internal else "Not a valid HTTP request."
        response = text_response(what, status=status)
        response.force_close()
        return response

    def _start_deadline(self) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._read_headers, self.abort)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Overload:
    """Gives notice once that there are too many connections, and once that it is over."""

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.closed = 0

    def report(self, what: str, fields: Mapping[str, object]) -> None:
        loop = asyncio.get_running_loop()
        self._last = loop.time()
        if self._timer is None:
            self._notice(what, fields)
            self._timer = loop.call_later(_OVERLOAD_ENDS, self._check)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._last + _OVERLOAD_ENDS - loop.time()
        if left > 0:
            self._timer = loop.call_later(left, self._check)
            return
        self._timer = None
        closed, self.closed = self.closed, 0
        self._notice("connections are accepted as usual again", {"closed_meanwhile": closed})


def _open(address: Address) -> socket.socket:
    """Return a socket that listens on `address`. Raises CannotListen."""
    try:
        opened = _listen(address)
    except OSError as error:
        # create_server adds "(while attempting to bind on …)", which the message says already.
        why = (error.strerror or str(error)).partition(" (")[0].lower()
        raise CannotListen(str(address), why, _advice(address, error)) from error
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    opened.setblocking(False)
    return opened


def _listen(address: Address) -> socket.socket:
    if not address.host and socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", address.port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True
        )
    found = socket.getaddrinfo(
        address.host or "0.0.0.0",  # noqa: S104 - an empty host means every interface
        address.port,
        type=socket.SOCK_STREAM,
        flags=socket.AI_PASSIVE,
    )
    family, *_, where = min(found, key=lambda info: info[0] != socket.AF_INET)  # IPv4 first, as Go
    return socket.create_server((str(where[0]), address.port), family=family, backlog=_BACKLOG)


def _advice(address: Address, error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return "Write an address of this machine, or :PORT for all of them."
    if error.errno == errno.EADDRINUSE:
        other = address.port + 1 if address.port < 65535 else 10187  # noqa: PLR2004 - the last port
        return f"Stop what listens there, or choose another port, for example :{other}."
    if error.errno in {errno.EACCES, errno.EPERM}:
        return "Ports below 1024 are the system's; choose one above, for example :10187."
    return "Choose another address, for example :10187."
