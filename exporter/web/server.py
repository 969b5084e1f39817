"""The server: its sockets, start and stop."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Sequence
from typing import Final

from exporter.web.addresses import Address
from exporter.web.answers import Handler
from exporter.web.connection import READ_HEADERS, Connections
from exporter.web.refusals import CannotListen

_BACKLOG: Final = 128
_GRACE: Final = 3.0
_HANDSHAKE: Final = 5.0
_SEND_BUFFER: Final = 1 << 20  # a 10 MB body leaves in half the time of the default 16 kB


class Server:
    """Answers requests on any number of addresses, from `start` to `stop`."""

    def __init__(
        self, handler: Handler, *, read_headers: float = READ_HEADERS, grace: float = _GRACE
    ) -> None:
        self._handler = handler
        self._read_headers = read_headers
        self._grace = grace
        self._connections: Connections | None = None
        self._servers: list[asyncio.Server] = []

    async def start(
        self, addresses: Sequence[Address], *, tls: ssl.SSLContext | None = None
    ) -> tuple[Address, ...]:
        """Listen on all `addresses`; return them with the ports that were given.

        Raises CannotListen when one of them fails; then none is listened on.
        """
        sockets = _open_all(addresses)
        self._connections = Connections(self._handler, read_headers=self._read_headers)
        loop = asyncio.get_running_loop()
        for opened in sockets:
            server = await loop.create_server(
                self._connections,
                sock=opened,
                backlog=_BACKLOG,
                ssl=tls,
                ssl_handshake_timeout=_HANDSHAKE if tls else None,
            )
            self._servers.append(server)
        return tuple(_bound(*pair) for pair in zip(addresses, sockets, strict=True))

    async def stop(self) -> None:
        """Take no more connections, give running answers a moment, and close all.

        A handler that hangs is cancelled when half of the grace (3 s) is over.
        """
        for server in self._servers:
            server.close()
        if self._connections is not None:
            self._connections.pre_shutdown()
            # aiohttp waits this long for the handler to end, and again after it cancelled it.
            await self._connections.shutdown(self._grace / 2)
        self._servers.clear()


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
