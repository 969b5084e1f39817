"""The server: its sockets, start and stop."""

import asyncio
import errno
import resource
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Final

from exporter.web.address import Address, CannotListen
from exporter.web.connection import READ_HEADERS, Connections, Handler, Notice

_BACKLOG: Final = 128
_GRACE: Final = 3.0
_HANDSHAKE: Final = 5.0
_SEND_BUFFER: Final = 1 << 20  # a 10 MB body leaves in half the time of the default 16 kB
_SMALL_SEND_BUFFER: Final = 1 << 16
_LARGE_SEND_BUFFERS: Final = 32  # the system's memory, which a container's limit counts
_ACCEPTED_AT_ONCE: Final = 32
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
MOST_CONNECTIONS: Final = 512
"""As Prometheus' own ``--web.max-connections``."""
_LEAST_CONNECTIONS: Final = 8


class WebServer:
    """Answers requests on any number of addresses, from `start` to `stop`."""

    def __init__(
        self,
        handler: Handler,
        *,
        read_headers: float = READ_HEADERS,
        grace: float = _GRACE,
        most_connections: int = MOST_CONNECTIONS,
        notice: Notice | None = None,
    ) -> None:
        self._handler = handler
        self._read_headers = read_headers
        self._grace = grace
        self._most = most_connections
        self._notice = notice or _unsaid
        self._connections: Connections | None = None
        self._listeners: list[_Listener] = []

    async def start(
        self, addresses: Sequence[Address], *, tls: ssl.SSLContext | None = None
    ) -> tuple[Address, ...]:
        """Listen on all `addresses`; return them with the ports that were given.

        Raises CannotListen when one of them fails; then none is listened on.
        """
        sockets = _open_all(addresses)
        self._connections = Connections(
            self._handler,
            most=_fitting(self._most),
            notice=self._notice,
            read_headers=self._read_headers,
        )
        self._listeners = [_Listener(opened, self._connections, tls) for opened in sockets]
        return tuple(_bound(*pair) for pair in zip(addresses, sockets, strict=True))

    async def stop(self) -> None:
        """Take no more connections, give running answers a moment, and close all.

        A handler that hangs is cancelled when half of the grace (3 s) is over.
        """
        for listener in self._listeners:
            listener.close()
        if self._connections is not None:
            self._connections.give_up()
            self._connections.pre_shutdown()
            # aiohttp waits this long for the handler to end, and again after it cancelled it.
            await self._connections.shutdown(self._grace / 2)
        self._listeners.clear()


class _Listener:
    """Accepts connections on one socket.

    asyncio's own server goes on accepting until no descriptor is left, and then writes a log line
    for each refused try.
    """

    def __init__(
        self, opened: socket.socket, connections: Connections, tls: ssl.SSLContext | None
    ) -> None:
        self._socket = opened
        self._connections = connections
        self._tls = tls
        self._pause = _FIRST_PAUSE
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
                if self._connections.greeting:
                    return  # one of them makes room in a moment; this is called again
                self._rest("all connections are being answered")
                return
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._connections.close_one()
                self._rest((error.strerror or str(error)).lower())
                return
            self._pause = _FIRST_PAUSE
            accepted.setblocking(False)
            if self._connections.open >= _LARGE_SEND_BUFFERS:
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_SEND_BUFFER)
            self._connections.welcome(accepted, self._tls, _HANDSHAKE)

    def _rest(self, why: str) -> None:
        """Try again in a moment, and later each time that it goes wrong again."""
        self._connections.refused(why)
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._timer = loop.call_later(self._pause, self._listen)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)


def _fitting(most: int) -> int:
    """Return how many connections there may be: polls need half of the descriptors."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return most
    return min(most, max(descriptors // 2, _LEAST_CONNECTIONS))


def _unsaid(what: str, fields: Mapping[str, object]) -> None:
    """Say nothing: a server without a log."""


def _open_all(addresses: Sequence[Address]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        sockets.extend(map(_open, addresses))
    except CannotListen:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _open(address: Address) -> socket.socket:
    try:
        opened = _listen(address)
    except OSError as error:
        raise CannotListen(str(address), _why(error), _instead(address, error)) from error
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


def _why(error: OSError) -> str:
    # create_server adds "(while attempting to bind on …)", which the message says already.
    return (error.strerror or str(error)).partition(" (")[0].lower()


def _instead(address: Address, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "Write an address of this machine, or :PORT for all of them."
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"Stop what listens there, or choose another port, for example :{_other(address)}."
            )
        case errno.EACCES | errno.EPERM:
            return "Ports below 1024 are the system's; choose one above, for example :10187."
        case errno.EADDRNOTAVAIL:
            return "Write an address of this machine, or :PORT for all of them."
        case _:
            return "Choose another address, for example :10187."


def _other(address: Address) -> int:
    return address.port + 1 if address.port < 65535 else 10187  # noqa: PLR2004 - the last port


def _bound(address: Address, opened: socket.socket) -> Address:
    return Address(address.host, opened.getsockname()[1])
