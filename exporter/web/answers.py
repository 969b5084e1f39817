"""What every answer has in common: its headers, and the shapes that handlers return."""

import asyncio
import json as stdlib_json
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

Handler: TypeAlias = Callable[[BaseRequest], Awaitable[StreamResponse]]

SERVER: Final = "usage-exporter"
SECURITY: Final[Mapping[str, str]] = MappingProxyType(
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

READ: Final = ("GET", "HEAD")
CHANGE: Final = ("POST", "PUT")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers an address, and to which methods."""

    handler: Handler
    methods: tuple[str, ...] = READ


def text(body: str, *, status: int = 200, headers: Mapping[str, str] = SECURITY) -> Response:
    """Answer with plain text; a newline is added, so that a terminal stays readable."""
    return _answer(body + "\n", "text/plain; charset=utf-8", status, headers)


def json(value: object) -> bytes:
    """Return a struct, or plain values, as JSON."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # half of a surrogate pair, in a vendor's text
        return stdlib_json.dumps(msgspec.to_builtins(value)).encode()


class Shared:
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


class Turns:
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
    return text(
        f"Only {' or '.join(methods)} requests allowed.",
        status=405,
        headers={**SECURITY, "Allow": ", ".join(methods)},
    )


def _answer(body: str, kind: str, status: int, headers: Mapping[str, str]) -> Response:
    # A lone surrogate (a file name of any bytes, in a message) must not end in a 500.
    content = body.encode("utf-8", "replace")
    return Response(body=content, status=status, headers={**headers, "Content-Type": kind})
