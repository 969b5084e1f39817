"""The only caller of the network: sends one request, reads one answer, names what went wrong.

No retry, no redirect, no cookie, no proxy or netrc of the environment, no decision. Bodies are read
and inflated piece by piece, never beyond the limit of the caller: no step holds the event loop, and
a compressed bomb ends at the limit.
"""

import asyncio
import functools
import itertools
import zlib
from collections.abc import Collection, Generator, Iterator
from http import HTTPStatus
from typing import Final, Protocol

import aiohttp
from yarl import URL

from exporter.fetch.authorize import Digest
from exporter.fetch.connections import NO_ALPN, USUAL_TLS, Pool, Pools
from exporter.fetch.errors import InflateError, Timeouts, TooLargeError, failure_of
from exporter.fetch.http import HttpRequest, HttpResponse, Lines, host_of, joined, origin_of
from exporter.fetch.offload import LARGE, BlockingCalls, Offload
from exporter.fetch.resolve import LookUp, Resolver
from exporter.model.outcome import Failure, Reason
from exporter.model.target import Http, Tls

_LARGEST_ERROR = 1024 * 1024  # bytes of the body of an error
_LARGEST_HEADERS = 128 * 1024  # bytes of an answer's headers, together
_DIGESTS = 1024  # nonces that are remembered
_UNREACHED: Final = frozenset({Reason.CONNECT, Reason.TIMEOUT, Reason.TLS})


class Send(Protocol):
    """Sends one request and reads its answer; raises nothing but cancellation."""

    async def __call__(
        self, request: HttpRequest, http: Http, /, *, most: int, warm: bool = False
    ) -> HttpResponse | Failure: ...


class Transport:
    """Sends requests over pooled connections. `look_up` replaces the system's resolver."""

    def __init__(
        self, timeouts: Timeouts, offload: Offload, *, look_up: LookUp | None = None
    ) -> None:
        calls = BlockingCalls()
        self._timeouts = timeouts
        self._offload = offload
        self._resolver = Resolver(calls, timeout=timeouts.look_up, look_up=look_up)
        self._pools = Pools(timeouts, self._resolver, calls)
        self._digests: dict[tuple[object, ...], Digest] = {}

    async def close(self) -> None:
        """Close every connection."""
        await self._pools.close()

    async def keep(self, settings: Collection[Tls]) -> None:
        """Close the connections of all other TLS settings."""
        await self._pools.keep(settings)

    async def send(
        self, request: HttpRequest, http: Http, /, *, most: int, warm: bool = False
    ) -> HttpResponse | Failure:
        """Send one request and read its answer, at most `most` bytes, also when inflated.

        `warm` keeps the connection for the next minutes. Nothing is raised but cancellation.
        """
        NO_ALPN.set(False)
        pool: Pool | None = None
        try:
            pool = await self._pools.get(_tls_of(request, http), warm=warm)
            pool.users += 1
            try:
                answer = await self._exchange(pool.session, request, http, most)
            finally:
                pool.users -= 1
                await pool.close_if_unused()
        except Exception as error:  # noqa: BLE001 - whatever it is, this request failed by it
            failure = failure_of(
                error, request.url, http.proxy_url, self._timeouts, no_alpn=NO_ALPN.get()
            )
            if failure.reason in _UNREACHED:
                self._doubt(request, http, pool)
            return failure
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._doubt(request, http, pool)
        return answer

    def _doubt(self, request: HttpRequest, http: Http, pool: Pool | None) -> None:
        """Look the name up again next time, and connect anew: the address may be the cause."""
        for url in (request.url, http.proxy_url):
            try:
                host = origin_of(url)[1]
            except ValueError:
                continue
            self._resolver.forget(host)
        if pool is not None:
            pool.check_soon()  # a certificate may have been renewed
            try:
                pool.connector.doubt(_yarl(request.url))
            except ValueError:
                return

    async def _exchange(
        self, session: aiohttp.ClientSession, request: HttpRequest, http: Http, most: int
    ) -> HttpResponse:
        async with session.request(
            request.method,
            _yarl(request.url),
            headers=request.headers,
            data=request.body,
            allow_redirects=False,
            proxy=http.proxy_url or None,
            server_hostname=http.tls.server_name or None,
            middlewares=() if request.digest is None else (self._digest(request, request.digest),),
        ) as response:
            lines = _lines(response)
            body = await _body(response, most, self._offload)
            headers = joined(lines)
            if not all(map(str.isascii, headers.values())):
                # aiohttp gives bytes that are no UTF-8 as lone surrogates.
                lines = tuple(
                    [
                        (name, value.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
                        for name, value in lines
                    ]
                )
                headers = joined(lines)
            # In a TLS tunnel no proxy can answer in the vendor's place.
            is_proxied = http.proxy_url and request.url[:5].lower() == "http:"
            return HttpResponse(
                status=response.status,
                lines=lines,
                headers=headers,
                body=body,
                url=request.url,
                proxy=host_of(http.proxy_url) if is_proxied else "",
            )

    def _digest(self, request: HttpRequest, user: tuple[str, str]) -> Digest:
        """Return the digest of a user at an origin; it keeps the nonce of the last answer."""
        key = (*origin_of(request.url), *user)
        known = self._digests.get(key)
        if known is None:
            if len(self._digests) >= _DIGESTS:
                self._digests.clear()
            known = self._digests[key] = Digest(*user)
        return known


@functools.lru_cache(maxsize=2048)
def _yarl(url: str) -> URL:
    """Parse a URL that is sent as it stands. Raises ValueError."""
    return URL(url, encoded=True)


def _tls_of(request: HttpRequest, http: Http) -> Tls | None:
    """Return the setting of a request, None if it has none and needs none."""
    if http.tls != USUAL_TLS:
        return http.tls
    secure = any(url[:6].lower() == "https:" for url in (request.url, http.proxy_url))
    return http.tls if secure else None


def _lines(response: aiohttp.ClientResponse) -> Lines:
    """Return the header lines, names in lower case. Raises TooLargeError.

    An error's are cut off where they become too large: its status and first lines are enough. Of a
    good answer each may count: the link to the next page stands in one of them.
    """
    lines = tuple([(name.lower(), value) for name, value in response.headers.items()])
    if sum([len(name) + len(value) for name, value in lines]) <= _LARGEST_HEADERS:
        return lines
    sizes = itertools.accumulate(len(name) + len(value) for name, value in lines)
    fitting = sum(size <= _LARGEST_HEADERS for size in sizes)
    if response.status < HTTPStatus.BAD_REQUEST:
        response.close()
        raise TooLargeError(f"the headers have more than {_LARGEST_HEADERS} bytes")
    return lines[:fitting]


async def _body(response: aiohttp.ClientResponse, most: int, offload: Offload) -> bytes:
    """Read the body, inflated. That of an error is dropped if it cannot be read.

    The status and the headers of an error say more than its body: a wait must not be lost because
    the text beside it is too long or cut off.
    """
    if response.method == "HEAD":
        return b""
    is_error = response.status >= HTTPStatus.MULTIPLE_CHOICES
    try:
        most = min(most, _LARGEST_ERROR) if is_error else most
        body = await _read(response, most, offload)
        encoding = response.headers.get("Content-Encoding")
        return await _inflated(body, encoding, most, offload) if body and encoding else body
    except (TooLargeError, InflateError, aiohttp.ClientError, TimeoutError):
        if not is_error:
            raise
        response.close()
        return b""


async def _read(response: aiohttp.ClientResponse, most: int, offload: Offload) -> bytes:
    """Read the body as it travels, never more than `most` bytes of it."""
    length = response.content_length
    if length is not None:
        if length > most:
            response.close()
            raise TooLargeError(f"the answer has {length} bytes, {most} are allowed")
        if length <= LARGE:
            return await response.read()
        await offload.admit()
    # One growing buffer: as a list, an answer that comes byte by byte would take forty times that.
    body = bytearray()
    while chunk := await response.content.readany():
        body += chunk
        if len(body) > most:
            response.close()
            raise TooLargeError(f"the answer has more than {most} bytes")
        if len(body) > LARGE:
            await offload.admit()
    return bytes(body)


async def _inflated(body: bytes, encoding: str, most: int, offload: Offload) -> bytes:
    pieces: list[bytes] = []
    size = 0
    for piece in inflate(body, encoding):
        size += len(piece)
        pieces.append(piece)
        if size > most:
            raise TooLargeError(f"the answer unpacks to more than {most} bytes")
        if len(piece) < size or not piece:
            await asyncio.sleep(0)  # others may run between the pieces of a large answer
        if size > LARGE:
            await offload.admit()
    return b"".join(pieces)


_PIECE = 256 * 1024  # bytes that come out of one step, at most: less than a millisecond
_FIRST_BITE = 1024  # bytes that the first step of a gzip member takes in
_LARGEST_BITE = 64 * 1024
_STEP = 64 * 1024  # bytes taken in between two pieces, if nothing comes out of them
_GZIP = 31  # window bits: with gzip's header and checksum
_ZLIB = 15
_RAW = -15  # what some servers call "deflate"
_MAGIC = b"\x1f\x8b"


def inflate(body: bytes, encoding: str) -> Iterator[bytes]:
    """Yield the pieces of a body with the Content-Encoding `encoding`, each at most 256 KiB.

    The work between two pieces is bounded; a piece is empty where much came in and nothing out.
    A gzip body may have several members, and nothing else behind them.
    Raises InflateError.
    """
    match encoding.strip().lower():
        case "" | "identity":
            yield body
        case "gzip" | "x-gzip":
            place = paused = 0
            while body[place : place + 2] == _MAGIC:
                place = yield from _inflate_stream(body, place, _GZIP)
                if place == len(body):
                    return
                if place - paused > _STEP:  # many small members: each costs some microseconds
                    paused = place
                    yield b""
            raise InflateError("the body is called gzip and is not")
        case "deflate":
            # zlib's header (RFC 1950 2.2), or a raw deflate stream.
            is_zlib = len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0  # noqa: PLR2004 - the RFC's numbers
            yield from _inflate_stream(body, 0, _ZLIB if is_zlib else _RAW)
        case _:
            raise InflateError(f'the body is packed as "{encoding[:32]}", which was not asked for')


def _inflate_stream(body: bytes, place: int, window: int) -> Generator[bytes, None, int]:
    """Yield what the stream at `place` holds; return the place of the first byte after it.

    zlib copies what it does not need of what it is given. So it is given little at first, more as
    the stream goes on: a body of many small streams is not copied once for each of them.
    """
    unpacker = zlib.decompressobj(window)
    bite, silent = _FIRST_BITE, 0
    try:
        while True:
            taken = body[place : place + bite]
            piece = unpacker.decompress(taken, _PIECE)
            over = unpacker.eof
            rest = unpacker.unused_data if over else unpacker.unconsumed_tail
            used = len(taken) - len(rest)
            place += used
            silent = 0 if piece else silent + used
            if piece or silent > _STEP:
                silent = 0
                yield piece
            elif not taken and not over:
                raise InflateError("the packed body is cut off")
            if over:
                return place
            bite = min(2 * bite, _LARGEST_BITE)
    except zlib.error as error:
        raise InflateError("the packed body is broken") from error
