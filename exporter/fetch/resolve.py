"""Host names: looked up by the system, in threads, and kept for five minutes.

The C library looks them up and not a resolver of our own (c-ares, aiodns): the exporter finds what
``curl`` and ``getent`` find on the same machine, whatever nsswitch.conf says.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

from exporter.fetch.offload import BlockingCalls
from exporter.kernel.calendar import format_duration
from exporter.kernel.override import override
from exporter.kernel.secrets import clip

CONNECTING: ContextVar[asyncio.Timeout] = ContextVar("CONNECTING")
"""The time-out of the connection that the running task makes. It is suspended during a look-up."""
Address: TypeAlias = tuple[socket.AddressFamily, str]
LookUp: TypeAlias = Callable[[str], list[Address]]
"""Blocks, and returns the addresses of a name; raises OSError."""
_KEPT: Final = 300.0  # seconds that the addresses of a name are used
_MOST_KEPT: Final = 4096  # names
_LONGEST_NAME: Final = 253  # letters, RFC 1035
_LONGEST_LABEL: Final = 63
_LONGEST_SHOWN: Final = 80
_REASONS: Final = {
    socket.EAI_NONAME: "there is no such name",
    socket.EAI_NODATA: "it has no address",
    socket.EAI_ADDRFAMILY: "it has no address of a kind that this machine can reach",
    socket.EAI_AGAIN: "no name server answered",
    socket.EAI_FAIL: "the name server refused",
}
_NONE_OF_THE_KIND: Final = frozenset({socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY})


class LookUpError(OSError):
    """A name has no address, or none came in time. ``text`` says so, with the name."""

    def __init__(self, text: str) -> None:
        super().__init__(0, text)
        self.text = text


class Resolver(AbstractResolver):
    """aiohttp's resolver: one look-up at a time for each name, whatever number of requests wait.

    A look-up may take `timeout` seconds, which do not count as time to connect.
    """

    def __init__(
        self, calls: BlockingCalls, *, timeout: float, look_up: LookUp | None = None
    ) -> None:
        self._calls = calls
        self._timeout = timeout
        self._look_up = look_up or _ask_system
        self._known: dict[str, tuple[float, deque[Address]]] = {}

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name, another one first each time. Raises LookUpError."""
        name = host.lower()
        loop = asyncio.get_running_loop()
        until, addresses = self._known.pop(name, (0.0, deque()))
        if not addresses or until <= loop.time():
            addresses = deque(await self._addresses(name))
            until = loop.time() + _KEPT
        self._known[name] = until, addresses
        if len(self._known) > _MOST_KEPT:
            del self._known[next(iter(self._known))]
        found = [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=kind,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, address in addresses
            if family in (socket.AF_UNSPEC, kind)
        ]
        addresses.rotate(-1)
        return found

    @override
    async def close(self) -> None:
        """Do nothing: a thread that hangs ends with the process."""

    def forget(self, host: str) -> None:
        """Look a name up again when it is needed next: its addresses may be wrong."""
        self._known.pop(host.lower(), None)

    async def _addresses(self, name: str) -> list[Address]:
        """Look a name up, with the time-out of the connection suspended. Raises LookUpError."""
        loop = asyncio.get_running_loop()
        shown = clip(name, _LONGEST_SHOWN)
        if len(name.rstrip(".")) > _LONGEST_NAME or any(
            len(label) > _LONGEST_LABEL for label in name.split(".")
        ):
            raise LookUpError(f"the name {shown} is longer than a name may be")
        connecting = CONNECTING.get(None)
        deadline = connecting.when() if connecting else None
        began = loop.time()
        if connecting and deadline is not None:
            connecting.reschedule(None)
        try:
            found = await self._calls.call(
                ("name", name), lambda: self._look_up(name), timeout=self._timeout
            )
        except TimeoutError:
            within = format_duration(self._timeout)
            raise LookUpError(f"the name {shown} could not be looked up within {within}") from None
        except OSError as error:
            if isinstance(error, socket.gaierror):
                why = _REASONS.get(error.errno or 0, "the system's resolver failed")
            else:
                why = error.strerror or str(error)
            raise LookUpError(f"the name {shown} cannot be resolved: {why}") from error
        finally:
            if connecting and deadline is not None:
                connecting.reschedule(deadline + loop.time() - began)
        if not found:
            raise LookUpError(f"the name {shown} cannot be resolved: it has no address")
        return found


def _ask_system(name: str) -> list[Address]:
    """Ask the C library. Raises OSError."""
    try:
        letters = name.encode("ascii")  # given a text, Python refuses some names that exist
    except UnicodeEncodeError:
        raise OSError(0, "it is not written in ASCII") from None
    local = name.rstrip(".").endswith("localhost")
    try:
        # Without the flag, a machine without IPv6 waits for name servers that drop such questions;
        # with it, the loopback addresses do not count as IPv6.
        found = _get_addresses(letters, 0 if local else socket.AI_ADDRCONFIG)
    except socket.gaierror as error:
        if local or error.errno not in _NONE_OF_THE_KIND:
            raise
        found = _get_addresses(letters, 0)
    addresses: dict[Address, None] = {}
    for family, _, _, _, sockaddr in found:
        host = str(sockaddr[0])
        if any(sockaddr[3:]):  # a link-local address of IPv6 is nothing without its interface
            host, _ = socket.getnameinfo(sockaddr, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
        addresses[family, host] = None
    return list(addresses)


def _get_addresses(name: bytes, flags: int) -> list[Any]:
    return socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=flags)
