"""What is sent: the headers of every response, bodies shared by clients, and what is unread.

A response stays in memory until its client has read it, and clients may read slowly or not at
all. The rules that bound this memory:

- A large body is made once for all clients that ask at the same time (`SharedBody`), and sent
  in pieces of 1 MiB with 10 s for each (`StreamedBody`).
- `UnreadAnswers` counts what is unread. From 8 MiB on, pieces are 32 kB; bodies made for one client
  alone are refused (503) beyond 64 MiB; when slow clients keep more than 64 MiB of old
  versions of shared bodies alive, the slowest are cut off.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias, cast

import msgspec
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from exporter.kernel.override import override

Handler: TypeAlias = Callable[[BaseRequest], Awaitable[StreamResponse]]
SECURITY_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Server": "usage-exporter",  # aiohttp's default gives its version and Python's away
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
)
"""On every response. No address runs a script, is framed, or loads anything."""
STALLED: Final = 10.0
"""Seconds in which a client has to read the next piece of a response."""
_PIECE: Final = 1 << 20
_SMALL_PIECE: Final = 1 << 15
_JOINED: Final = 1 << 18
"""Bytes up to which pieces are joined: a system call costs more than the copy."""
_CROWDED: Final = 8 << 20
_MOST_PRIVATE: Final = 64 << 20
_MOST_VERSIONS: Final = 64 << 20


def text_response(
    body: str, *, status: int = 200, headers: Mapping[str, str] = SECURITY_HEADERS
) -> Response:
    """Return a response in plain text, which ends with a newline for the sake of terminals."""
    return Response(
        # A lone surrogate (a file name of any bytes, in a message) must not end in a 500.
        body=f"{body}\n".encode("utf-8", "replace"),
        status=status,
        headers={**headers, "Content-Type": "text/plain; charset=utf-8"},
    )


def to_json(value: object) -> bytes:
    """Return a struct, or plain values, as JSON."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # half of a surrogate pair, in a vendor's text
        return json.dumps(msgspec.to_builtins(value)).encode()


class TimeSlice:
    """Splits long work on the event loop: `pause` lets other tasks run after each 5 ms."""

    def __init__(self, seconds: float = 0.005) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._began = self._loop.time()

    async def pause(self) -> None:
        """Yield to other tasks if the slice is used up; to be called between steps."""
        if self._loop.time() - self._began >= self._seconds:
            await asyncio.sleep(0)
            self._began = self._loop.time()


class SharedBody:
    """A body that `make` makes once for all clients that ask while it is being made.

    Many clients cost the time and the memory of one, whether or not they read it.
    """

    def __init__(self, make: Callable[[], Awaitable[bytes]]) -> None:
        self._make = make
        self._running: asyncio.Task[bytes] | None = None

    async def get(self) -> bytes:
        """Return the body. Raises what `make` raises."""
        task = self._running
        if task is None:

            async def run() -> bytes:
                return await self._make()

            task = self._running = asyncio.get_running_loop().create_task(run())
            task.add_done_callback(self._done)
        return await asyncio.shield(task)  # a client that leaves does not cancel it for the others

    def _done(self, task: asyncio.Task[bytes]) -> None:
        self._running = None
        if not task.cancelled():
            task.exception()  # marks it as retrieved, also when all clients have left


class Client(Protocol):
    """The connection that a response goes to: ``request.protocol``."""

    unread: "UnreadAnswers"

    def abort(self) -> None:
        """Close at once, whatever the client has not read."""
        ...


class UnreadAnswers:
    """The bytes of responses that their clients have not read yet, of all connections together.

    Three kinds take memory: the piece that a connection is writing, bodies made for one client
    alone, and the versions of shared bodies that slow clients still read.
    """

    def __init__(self) -> None:
        self._pieces = 0
        self._private = 0
        self._versions = 0
        self._readers: OrderedDict[Client, int] = OrderedDict()  # the slowest first
        self._version_readers: dict[int, list[int]] = {}  # by version: its size, its readers

    @property
    def crowded(self) -> bool:
        """Whether so much is unread that responses go out in small pieces."""
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
        """Count a piece that is being written."""
        self._pieces += size
        try:
            yield
        finally:
            self._pieces -= size

    @contextmanager
    def reading(self, client: Client, version: object, size: int) -> Iterator[None]:
        """Count a client that reads a version of a shared body of `size` bytes.

        While the versions are too many, the clients that have been reading other ones the longest
        are cut off.
        """
        key = id(version)  # the response holds the version, so that its id is not used again
        held = self._version_readers.setdefault(key, [size, 0])
        held[1] += 1
        self._versions += size if held[1] == 1 else 0
        self._readers[client] = key
        while self._versions > max(_MOST_VERSIONS, 3 * size):
            slowest = next((one for one, read in self._readers.items() if read != key), None)
            if slowest is None:
                break
            self._forget(slowest)
            slowest.abort()
        try:
            yield
        finally:
            self._forget(client)

    def _forget(self, client: Client) -> None:
        key = self._readers.pop(client, None)
        if key is None:
            return
        held = self._version_readers[key]
        held[1] -= 1
        if not held[1]:
            del self._version_readers[key]
            self._versions -= held[0]


def client_of(request: BaseRequest) -> Client:
    """Return the connection of a request, with the count of what is unread."""
    return cast(Client, request.protocol)


def send(
    pieces: tuple[bytes, ...], headers: Mapping[str, str], request: BaseRequest
) -> StreamResponse:
    """Return the response with a shared body, in the cheapest form that is safe at the moment."""
    largest = _SMALL_PIECE if client_of(request).unread.crowded else _JOINED
    if sum(map(len, pieces)) <= largest:
        return Response(body=b"".join(pieces), headers=dict(headers))
    return StreamedBody(pieces, headers)


class StreamedBody(StreamResponse):
    """A response with a shared body, written piece by piece, with a Content-Length.

    Handed to aiohttp as a whole it would be copied twice, into the join with the headers and into
    the transport's buffer, which takes three times as long.
    """

    def __init__(self, pieces: tuple[bytes, ...], headers: Mapping[str, str]) -> None:
        super().__init__(headers=dict(headers))
        self._pieces = pieces
        self.content_length = sum(map(len, pieces))

    @override
    async def write_eof(self, data: bytes = b"") -> None:
        request = self._req
        if request is not None and request.method != "HEAD" and not self._eof_sent:
            client = client_of(request)
            unread = client.unread
            version = max(self._pieces, key=len)
            with unread.reading(client, version, self.content_length or 0):
                for run in _join_small(self._pieces, unread):
                    view, start = memoryview(run), 0
                    while start < len(view):
                        piece = view[start : start + (_SMALL_PIECE if unread.crowded else _PIECE)]
                        start += len(piece)
                        with unread.piece(len(piece)):
                            async with asyncio.timeout(STALLED):
                                await self.write(piece)
        await super().write_eof(data)


def _join_small(pieces: Iterable[bytes], unread: UnreadAnswers) -> Iterator[bytes]:
    """Yield the bytes of `pieces`, small neighbours joined: such a copy is one client's alone."""
    run: list[bytes] = []
    size = 0
    for piece in pieces:
        if run and size + len(piece) > (_SMALL_PIECE if unread.crowded else _JOINED):
            yield b"".join(run)
            run, size = [], 0
        run.append(piece)
        size += len(piece)
    yield b"".join(run)
