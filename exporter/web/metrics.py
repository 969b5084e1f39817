"""``/metrics``: the exposition, from memory, in the format and coding that was asked for.

A body of 10 MB goes out in pieces of 1 MB. Handed over whole it is copied twice, into aiohttp's
join with the headers and into the transport's buffer, which takes three times as long.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final, TypeAlias

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from exporter.kernel.override import override
from exporter.web import answers
from exporter.web.negotiate import Format, choose_format, choose_gzip

Body: TypeAlias = bytes | tuple[bytes, ...]
"""A body, whole or in the pieces that it is made of, in their order."""

Scrape: TypeAlias = Callable[[Format, bool], Awaitable[Body]]
"""Gives the exposition in a format, as gzip or not. Meets no vendor."""

_VARY: Final = "Accept, Accept-Encoding"
_WRITE: Final = 1 << 20
_ONE_WRITE: Final = 1 << 18  # a small body is joined: a system call costs more than the copy


def exposition(body: Body, *, kind: Format, gzip: bool) -> StreamResponse:
    """Return the answer that carries `body`, with a Content-Length and without chunks."""
    headers = {**answers.SECURITY, "Content-Type": kind.value, "Vary": _VARY}
    if gzip:
        headers["Content-Encoding"] = "gzip"
    pieces = (body,) if isinstance(body, bytes) else body
    if sum(map(len, pieces)) <= _ONE_WRITE:
        return Response(body=b"".join(pieces), headers=headers)
    return _Large(pieces, headers)


class _Large(StreamResponse):
    """An answer whose body is written piece by piece."""

    def __init__(self, pieces: tuple[bytes, ...], headers: dict[str, str]) -> None:
        super().__init__(headers=headers)
        self._pieces = pieces
        self.content_length = sum(map(len, pieces))

    @override
    async def write_eof(self, data: bytes = b"") -> None:
        request = self._req
        if request is not None and request.method != "HEAD" and not self._eof_sent:
            for piece in _runs(self._pieces):
                await self._write_piece(memoryview(piece))
        await super().write_eof(data)

    async def _write_piece(self, piece: memoryview) -> None:
        for start in range(0, len(piece), _WRITE):
            await self.write(piece[start : start + _WRITE])


def _runs(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the bytes of `pieces`, small neighbours joined."""
    run: list[bytes] = []
    size = 0
    for piece in pieces:
        if run and size + len(piece) > _ONE_WRITE:
            yield b"".join(run)
            run, size = [], 0
        run.append(piece)
        size += len(piece)
    yield b"".join(run)


def handler(scrape: Scrape) -> answers.Handler:
    """Return the handler of the telemetry path."""

    async def metrics(request: BaseRequest) -> StreamResponse:
        kind = choose_format(",".join(request.headers.getall("Accept", ())))
        gzip = choose_gzip(",".join(request.headers.getall("Accept-Encoding", ())))
        return exposition(await scrape(kind, gzip), kind=kind, gzip=gzip)

    return metrics
