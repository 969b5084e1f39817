"""Compressed bodies, inflated piece by piece: no step is long, and a bomb ends at its limit.

What goes wrong on the network, told in words of our own.

The texts of exceptions are never passed on: they hold URLs, and URLs hold keys. (aiohttp's
classes and what they stand for: its ``client_exceptions``.)

The only caller of the network: sends one request, reads one answer, names what went wrong.

No retry, no redirect, no cookie, no proxy or netrc of the environment, no decision. Whatever goes
wrong becomes a failure in words of our own: the texts of exceptions may hold URLs with keys.
"""

import asyncio
import errno
import functools
import itertools
import re
import ssl
import zlib
from collections.abc import Callable, Collection, Generator, Iterator
from contextvars import ContextVar
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

import aiohttp
import msgspec
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from exporter.fetch.authorize import Digest
from exporter.fetch.classify import proxy_advice
from exporter.fetch.http import HttpRequest, HttpResponse, Lines, host_of, joined, origin_of
from exporter.fetch.offload import CONNECTING, LARGE, Address, Calls, LookUpError, Names, Offload
from exporter.kernel.calendar import format_duration
from exporter.kernel.override import override
from exporter.model.outcome import Failure, Reason
from exporter.model.target import Http, Tls

_PIECE = 256 * 1024  # bytes that come out of one step, at most: less than a millisecond
_FIRST_BITE = 1024  # bytes that the first step of a member takes in
_LARGEST_BITE = 64 * 1024
_STEP = 64 * 1024  # bytes taken in between two pieces, if nothing comes out of them
_GZIP = 31  # window bits: with gzip's header and checksum
_ZLIB = 15
_RAW = -15  # what some servers call "deflate"
_MAGIC = b"\x1f\x8b"


class InflateError(ValueError):
    """A compressed body is broken, cut, or packed in a way that was not asked for."""


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
            yield from _members(body)
        case "deflate":
            yield from _unpacked(body, 0, _ZLIB if _is_zlib(body) else _RAW)
        case _:
            raise InflateError(f'the body is packed as "{encoding[:32]}", which was not asked for')


def _members(body: bytes) -> Iterator[bytes]:
    place = paused = 0
    while body[place : place + 2] == _MAGIC:
        place = yield from _unpacked(body, place, _GZIP)
        if place == len(body):
            return
        if place - paused > _STEP:  # many small members: each costs some microseconds
            paused = place
            yield b""
    raise InflateError("the body is called gzip and is not")


def _is_zlib(body: bytes) -> bool:
    """Tell zlib's header (RFC 1950 2.2) from a raw deflate stream."""
    return len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0  # noqa: PLR2004 - the RFC's numbers


def _unpacked(body: bytes, place: int, window: int) -> Generator[bytes, None, int]:
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


_DEEPEST: Final = 16
_WORDS: Final = {
    errno.ECONNREFUSED: "the connection was refused",
    errno.ECONNRESET: "the connection was reset",
    errno.EPIPE: "the connection was reset",
    errno.EHOSTUNREACH: "the host cannot be reached",
    errno.ENETUNREACH: "the network cannot be reached",
    errno.ENETDOWN: "the network is down",
    errno.ETIMEDOUT: "the connection timed out",
    errno.EMFILE: "this process has too many open files",
    errno.ENFILE: "this machine has too many open files",
}
_HTTP2_ALONE: Final = "perhaps it speaks HTTP/2 alone, and this exporter speaks HTTP/1.1"
_HTTP2_FRAME: Final = re.compile(r"b['\"]\\x00\\x00(?:\\x..|\\?.)\\x0[47]")
"""The beginning of SETTINGS or GOAWAY, as it stands in the text of a parser's exception."""


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds to look a name up, to connect (TCP and TLS together), and between two reads."""

    look_up: float = 10.0
    connect: float = 10.0
    read: float = 30.0


class TooLargeError(Exception):
    """An answer is larger than its collector allows."""


class TlsFileError(Exception):
    """A certificate or key of ``tls_config`` cannot be used; the text names the file."""


class _Way(msgspec.Struct, frozen=True):
    """How a request was to go: what the words about its trouble need."""

    proxy: str
    timeouts: Timeouts
    tunnel: bool
    no_alpn: bool

    @property
    def to_proxy(self) -> str:
        """Return ``the proxy host:port``, "" when there is none."""
        return f"the proxy {host_of(self.proxy)}" if self.proxy else ""


def failure_of(
    error: Exception, url: str, proxy: str, timeouts: Timeouts, *, no_alpn: bool = False
) -> Failure:
    """Return what an exception of a request to `url` means.

    `no_alpn`: over TLS, the other end agreed on no protocol.
    """
    way = _Way(proxy, timeouts, url[:6].lower() == "https:", no_alpn)
    secure = [found for found in _chain(error) if isinstance(found, ssl.SSLError)]
    if secure and not isinstance(error, TlsFileError):
        reason, what = Reason.TLS, _tls_words(secure)
        what = f"{way.to_proxy}: {what}" if _is_of_proxy(error, way) else what
    else:
        reason, words = next(
            ((reason, words) for kind, reason, words in _KINDS if isinstance(error, kind)), _UNKNOWN
        )
        what = words(error, way)
    return Failure(reason=reason, detail=f"{host_of(url)}: {what}")


def _is_of_proxy(error: Exception, way: _Way) -> bool:
    """Tell whether it is the way to the proxy that failed, and not the one beyond."""
    try:
        _, host, port = origin_of(way.proxy)
    except ValueError:
        return False
    failed = (str(getattr(error, "host", "")).lower(), getattr(error, "port", 0))
    return failed == (host, port)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it was raised from, however deep, without end in no case."""
    following: BaseException | None = error
    for _ in range(_DEEPEST):
        if following is None:
            return
        yield following
        inner = getattr(following, "certificate_error", None) or getattr(
            following, "os_error", None
        )
        following = inner or following.__cause__ or following.__context__


def _tls_words(errors: list[ssl.SSLError]) -> str:
    """Tell why TLS failed; aiohttp wraps the error that knows into errors that do not."""
    untrusted = next((text for e in errors if (text := getattr(e, "verify_message", None))), None)
    if untrusted:
        return f"the certificate is not trusted: {untrusted}"
    reason = next((text for e in errors if (text := getattr(e, "reason", None))), "NO_REASON_GIVEN")
    hint = "; is this a port without TLS?" if reason == "WRONG_VERSION_NUMBER" else ""
    hint = f"; {_HTTP2_ALONE}" if reason.endswith("NO_APPLICATION_PROTOCOL") else hint
    return f"TLS failed: {reason.replace('_', ' ').lower()}{hint}"


def _os_words(error: Exception) -> str:
    for inner in _chain(error):
        words = _WORDS.get(getattr(inner, "errno", None) or 0)
        if words is not None:
            return words
    # With several addresses asyncio joins the errors into one text without a number.
    texts = " ".join(str(inner) for inner in _chain(error) if isinstance(inner, OSError))
    return next(
        (words for number, words in _WORDS.items() if f"[Errno {number}]" in texts),
        "the connection failed",
    )


def _no_connection(error: Exception, way: _Way) -> str:
    waited = f"no connection within {format_duration(way.timeouts.connect)}"
    if not way.proxy:
        return waited
    hint = ""
    if way.proxy[:6].lower() == "https:":
        hint = "; if the proxy's port is without TLS, write http:// in its address"
    return f"{waited} through {way.to_proxy}{hint}"


def _refused_tunnel(error: Exception, way: _Way) -> str:
    status = getattr(error, "status", 0)
    return f"{way.to_proxy} answered {status} to CONNECT{proxy_advice(status)}"


def _no_name(error: Exception, way: _Way) -> str:
    found = next((inner for inner in _chain(error) if isinstance(inner, LookUpError)), None)
    text = found.text if found else "the name cannot be resolved"
    return f"{way.to_proxy}: {text}" if _is_of_proxy(error, way) else text


def _lost(words: str, way: _Way) -> str:
    """Tell of a connection that ended before any answer came."""
    hint = f"; the server agreed on no protocol in TLS: {_HTTP2_ALONE}" if way.no_alpn else ""
    if way.proxy and not way.tunnel:
        return f"{way.to_proxy}: {words}{hint}"
    return f"{words}{hint}"


def _not_http(error: Exception) -> str:
    is_http2 = _HTTP2_FRAME.search(str(getattr(error, "message", "")))
    return f"what came is not HTTP/1.1{f': {_HTTP2_ALONE}' if is_http2 else ''}"


_Words: TypeAlias = Callable[[Exception, _Way], str]
# The first class that fits counts: the narrow ones stand before those that they are derived from.
_KINDS: tuple[tuple[type[Exception], Reason, _Words], ...] = (
    (TooLargeError, Reason.TOO_LARGE, lambda error, way: str(error)),
    (InflateError, Reason.NOT_JSON, lambda error, way: str(error)),
    (TlsFileError, Reason.TLS, lambda error, way: str(error)),
    (
        aiohttp.ConnectionTimeoutError,
        Reason.TIMEOUT,
        _no_connection,
    ),
    (
        TimeoutError,
        Reason.TIMEOUT,
        lambda error, way: f"nothing came for {format_duration(way.timeouts.read)}",
    ),
    (aiohttp.InvalidURL, Reason.CONNECT, lambda error, way: "this is no web address"),
    (aiohttp.NonHttpUrlClientError, Reason.CONNECT, lambda error, way: "this is no web address"),
    (
        aiohttp.ClientProxyConnectionError,
        Reason.CONNECT,
        lambda error, way: f"{way.to_proxy}: {_os_words(error)}",
    ),
    (aiohttp.ClientHttpProxyError, Reason.CONNECT, _refused_tunnel),
    (aiohttp.ClientConnectorDNSError, Reason.CONNECT, _no_name),
    (
        aiohttp.ServerDisconnectedError,
        Reason.CONNECT,
        lambda error, way: _lost("the connection was closed without an answer", way),
    ),
    (aiohttp.ClientPayloadError, Reason.CONNECT, lambda error, way: "the answer broke off"),
    (aiohttp.ClientResponseError, Reason.CONNECT, lambda error, way: _not_http(error)),
    (aiohttp.ClientConnectorError, Reason.CONNECT, lambda error, way: _os_words(error)),
    (
        aiohttp.ClientConnectionError,
        Reason.CONNECT,
        lambda error, way: _lost(_os_words(error), way),
    ),
    (OSError, Reason.CONNECT, lambda error, way: _lost(_os_words(error), way)),
)
_UNKNOWN: tuple[Reason, _Words] = (
    Reason.INTERNAL,
    lambda error, way: f"the request could not be sent ({type(error).__name__})",
)
_HEADER_LINE = 32 * 1024  # bytes; some send long policies and links
_KEEP_ALIVE = 15.0  # seconds that an idle connection is kept
_KEEP_WARM = 150.0  # the same for those that are soon used again
_ENCODINGS = "gzip, deflate"  # what is inflated below, and no more
_LARGEST_ERROR = 1024 * 1024  # bytes
_LARGEST_HEADERS = 128 * 1024  # bytes of an answer's headers, together
_DIGESTS = 1024  # nonces that are remembered
_DOUBTS = 1024  # hosts that are remembered to have failed
_LOOK = 5.0  # seconds between two looks at the files of a setting
_PATIENCE = 10.0  # seconds for reading them
_PATIENCE_IN_USE = 1.0  # the same while there is a context of them to go on with
_DOUBTED: Final = frozenset({Reason.CONNECT, Reason.TIMEOUT, Reason.TLS})
_NO_ALPN: ContextVar[bool] = ContextVar("NO_ALPN", default=False)
"""Whether the server at the other end of the running task's TLS connection chose no protocol."""
_Stamp: TypeAlias = tuple[tuple[int, int], ...]
_Key: TypeAlias = tuple[Tls | None, bool]
"""Without TLS (None) nothing is read from the disk, and nothing can go stale."""
_USUAL = Tls()
Ask: TypeAlias = Callable[[str], list[Address]]


class _Connector(aiohttp.TCPConnector):
    """Connections, each made within `patience` seconds: TCP, the proxy's consent and TLS together.

    The look-up of the name is not counted (the resolver stops the clock).
    """

    def __init__(
        self, names: Names, *, patience: float, keep: float, context: ssl.SSLContext | None
    ):
        # The scheduler bounds how many polls run at once; a limit here would be a second queue,
        # and its waits would count as time-outs to connect. The resolver keeps addresses itself.
        super().__init__(
            ssl=context or True,
            limit=0,
            resolver=names,
            use_dns_cache=False,
            keepalive_timeout=keep,
        )
        self._patience = patience
        self._era = 0  # counts doubts: a loop's clock may stand still for a millisecond
        self._made: WeakKeyDictionary[ResponseHandler, int] = WeakKeyDictionary()
        self._doubts: dict[tuple[str | None, int | None], int] = {}

    @override
    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own
    ) -> Connection:
        """Return a connection that was made since the host was doubted. Raises TimeoutError."""
        async with asyncio.timeout(self._patience) as connecting:
            CONNECTING.set(connecting)
            while True:
                connection = await super().connect(req, traces, timeout)
                protocol = connection.protocol
                doubted = self._doubts.get((req.url.raw_host, req.url.port), 0)
                if protocol is None or self._made.setdefault(protocol, self._era) >= doubted:
                    break
                connection.close()
        transport = connection.transport
        secure = transport.get_extra_info("ssl_object") if transport else None
        _NO_ALPN.set(secure is not None and secure.selected_alpn_protocol() is None)
        return connection

    def doubt(self, url: URL) -> None:
        """Use no connection again that was made to this host so far."""
        key = (url.raw_host, url.port)
        self._doubts.pop(key, None)
        self._era += 1
        self._doubts[key] = self._era
        if len(self._doubts) > _DOUBTS:
            del self._doubts[next(iter(self._doubts))]


class _Pool:
    """A session with its connections; closed when it is retired and nobody uses it any more."""

    def __init__(
        self, session: aiohttp.ClientSession, connector: _Connector, stamp: _Stamp, looked: float
    ) -> None:
        self.session = session
        self.connector = connector
        self.stamp = stamp
        self.looked = looked
        self.users = 0
        self.retired = False

    async def leave(self) -> None:
        """Close the session if this was the last use of it."""
        if self.retired and not self.users:
            await self.session.close()


class Transport:
    """Sessions by TLS setting, made when they are first needed.

    `ask` takes the place of the system's resolver: it blocks, and returns a name's addresses.
    """

    def __init__(self, timeouts: Timeouts, beside: Offload, *, ask: Ask | None = None) -> None:
        self._timeouts = timeouts
        self._beside = beside
        self._calls = Calls()
        self._names = Names(self._calls, patience=timeouts.look_up, ask=ask)
        self._pools: dict[_Key, _Pool] = {}
        self._usual: ssl.SSLContext | None = None
        self._digests: dict[tuple[object, ...], Digest] = {}

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.session.close()
        self._pools.clear()

    async def keep(self, settings: Collection[Tls]) -> None:
        """Close the connections of all other TLS settings; a context takes a megabyte."""
        kept = {None, _USUAL, *settings}
        gone = [key for key in self._pools if key[0] not in kept]
        for key in gone:
            pool = self._pools.pop(key)
            pool.retired = True
            await pool.leave()

    async def send(
        self, wire: HttpRequest, http: Http, *, most: int, warm: bool = False
    ) -> HttpResponse | Failure:
        """Send one request and read its answer, at most `most` bytes, also when inflated.

        `warm` keeps the connection for the next minutes. Nothing is raised but cancellation.
        """
        _NO_ALPN.set(False)
        pool: _Pool | None = None
        try:
            pool = await self._pool(_tls_of(wire, http), warm=warm)
            pool.users += 1
            try:
                answer = await self._exchange(pool.session, wire, http, most)
            finally:
                pool.users -= 1
                await pool.leave()
        except Exception as error:  # noqa: BLE001 - whatever it is, this request failed by it
            failure = failure_of(
                error, wire.url, http.proxy_url, self._timeouts, no_alpn=_NO_ALPN.get()
            )
        else:
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                self._doubt(wire, http, pool)
            return answer
        if failure.reason in _DOUBTED:
            self._doubt(wire, http, pool)
        return failure

    def _doubt(self, wire: HttpRequest, http: Http, pool: _Pool | None) -> None:
        """Look the name up again next time, and connect anew: the address may be the trouble."""
        for url in (wire.url, http.proxy_url):
            try:
                host = origin_of(url)[1]
            except ValueError:
                continue
            self._names.forget(host)
        if pool is not None:
            pool.looked = -_LOOK  # a certificate may have been renewed
            try:
                pool.connector.doubt(_address(wire.url))
            except ValueError:
                return

    async def _exchange(
        self, session: aiohttp.ClientSession, wire: HttpRequest, http: Http, most: int
    ) -> HttpResponse:
        async with session.request(
            wire.method,
            _address(wire.url),
            headers=wire.headers,
            data=wire.body,
            allow_redirects=False,
            proxy=http.proxy_url or None,
            server_hostname=http.tls.server_name or None,
            middlewares=self._digest(wire),
        ) as response:
            lines = _lines(response)
            body = await _body(response, most, self._beside)
            headers = joined(lines)
            if not all(map(str.isascii, headers.values())):
                lines = tuple([(name, _readable(value)) for name, value in lines])
                headers = joined(lines)
            return HttpResponse(
                status=response.status,
                lines=lines,
                headers=headers,
                body=body,
                url=wire.url,
                proxy=_spokesman(wire, http),
            )

    def _digest(self, wire: HttpRequest) -> tuple[Digest, ...]:
        if wire.digest is None:
            return ()
        key = (*origin_of(wire.url), *wire.digest)
        known = self._digests.get(key)
        if known is None:
            if len(self._digests) >= _DIGESTS:
                self._digests.clear()
            known = self._digests[key] = Digest(*wire.digest)
        return (known,)

    async def _pool(self, tls: Tls | None, *, warm: bool) -> _Pool:
        key = (tls, warm)
        pool = self._pools.get(key)
        if pool is not None and (tls in (None, _USUAL) or await self._is_fresh(tls, pool)):
            return pool
        stamp, context = await self._context(tls)
        pool = self._pools.get(key)
        if pool is not None and pool.stamp == stamp:  # somebody else was quicker
            return pool
        if pool is not None:  # the certificates were renewed
            pool.retired = True
            await pool.leave()
        made = self._pools[key] = self._made(context, stamp, warm=warm)
        return made

    async def _is_fresh(self, tls: Tls | None, pool: _Pool) -> bool:
        """Tell whether the files of a setting are the ones that are in use.

        They count as such while a disk does not say: a poll needs no disk.
        """
        now = asyncio.get_running_loop().time()
        if now - pool.looked < _LOOK:
            return True
        try:
            stamp = await self._calls.call(
                ("stamp", tls), functools.partial(_stamp, tls), patience=_PATIENCE_IN_USE
            )
        except TimeoutError:
            return True
        if stamp == pool.stamp:
            pool.looked = now
        return stamp == pool.stamp

    async def _context(self, tls: Tls | None) -> tuple[_Stamp, ssl.SSLContext | None]:
        """Return the context of a setting; the usual one is 1 MB and serves all that have none."""
        if tls is None:
            return (), None
        if tls == _USUAL and self._usual is not None:
            return _stamp(tls), self._usual
        work = functools.partial(_stamped, tls)
        try:
            stamp, context = await self._calls.call(("tls", tls), work, patience=_PATIENCE)
        except TimeoutError:
            names = ", ".join(filter(None, (tls.ca_file, tls.cert_file, tls.key_file)))
            raise TlsFileError(
                f"tls_config: {names or 'the certificates of the system'} could not be read within "
                f"{format_duration(_PATIENCE)}; does the disk answer?"
            ) from None
        if tls == _USUAL:
            self._usual = context
        return stamp, context

    def _made(self, context: ssl.SSLContext | None, stamp: _Stamp, *, warm: bool) -> _Pool:
        connector = _Connector(
            self._names,
            patience=self._timeouts.connect,
            keep=_KEEP_WARM if warm else _KEEP_ALIVE,
            context=context,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            headers={"Accept-Encoding": _ENCODINGS},
            timeout=aiohttp.ClientTimeout(total=None, sock_read=self._timeouts.read),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=_HEADER_LINE,
            max_field_size=_HEADER_LINE,
        )
        return _Pool(session, connector, stamp, asyncio.get_running_loop().time())


@functools.lru_cache(maxsize=2048)
def _address(url: str) -> URL:
    """Parse a URL that is sent as it stands. Raises ValueError."""
    return URL(url, encoded=True)


def _readable(value: str) -> str:
    """Return a header's value without the lone surrogates of bytes that are no UTF-8."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _tls_of(wire: HttpRequest, http: Http) -> Tls | None:
    """Return the setting of a request, None if it has none and needs none."""
    if http.tls != _USUAL:
        return http.tls
    secure = any(url[:6].lower() == "https:" for url in (wire.url, http.proxy_url))
    return http.tls if secure else None


def _spokesman(wire: HttpRequest, http: Http) -> str:
    """Return the proxy that can answer in the vendor's place; in a TLS tunnel none can."""
    return host_of(http.proxy_url) if http.proxy_url and wire.url[:5].lower() == "http:" else ""


def _stamped(tls: Tls) -> tuple[_Stamp, ssl.SSLContext]:
    """Return a context, and the stamp that its files had before they were read."""
    return _stamp(tls), _context(tls)


def _stamp(tls: Tls | None) -> _Stamp:
    """Return what tells whether a file of the setting was changed or exchanged for another."""
    if tls is None:
        return ()
    return tuple(
        _changed(Path(name)) if name else (0, 0)
        for name in (tls.ca_file, tls.cert_file, tls.key_file)
    )


def _changed(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def _context(tls: Tls) -> ssl.SSLContext:
    """Read certificates and keys. It takes milliseconds, so it runs in a thread.

    As with Prometheus, `ca_file` replaces the system's authorities. Raises TlsFileError.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
    except OSError as error:
        raise TlsFileError(_unusable("ca_file", tls.ca_file, error)) from error
    # As Go does, and Python before 3.13: many private authorities make certificates that lack an
    # extension which RFC 5280 wants; and any certificate of `ca_file` may end a chain.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(["http/1.1"])
    if tls.cert_file:
        try:  # the empty password keeps OpenSSL from asking for one at the terminal
            context.load_cert_chain(tls.cert_file, tls.key_file or None, password="")
        except OSError as error:
            files = " or key_file ".join(filter(None, (tls.cert_file, tls.key_file)))
            raise TlsFileError(_unusable("cert_file", files, error)) from error
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _unusable(word: str, files: str, error: OSError) -> str:
    is_missing = isinstance(error, FileNotFoundError)
    why = "no such file" if is_missing else "it holds no usable certificate or key"
    why = "it may not be read" if isinstance(error, PermissionError) else why
    return f"tls_config: {word} {files}: {why}"


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


async def _body(response: aiohttp.ClientResponse, most: int, beside: Offload) -> bytes:
    """Read the body, inflated. That of an error is dropped if it cannot be read.

    The status and the headers of an error say more than its body: a wait must not be lost because
    the text beside it is too long or cut off.
    """
    if response.method == "HEAD":
        return b""
    is_error = response.status >= HTTPStatus.MULTIPLE_CHOICES
    try:
        most = min(most, _LARGEST_ERROR) if is_error else most
        body = await _read(response, most, beside)
        encoding = response.headers.get("Content-Encoding")
        return await _inflated(body, encoding, most, beside) if body and encoding else body
    except (TooLargeError, InflateError, aiohttp.ClientError, TimeoutError):
        if not is_error:
            raise
        response.close()
        return b""


async def _read(response: aiohttp.ClientResponse, most: int, beside: Offload) -> bytes:
    """Read the body as it travels, never more than `most` bytes of it."""
    length = response.content_length
    if length is not None:
        if length > most:
            response.close()
            raise TooLargeError(f"the answer has {length} bytes, {most} are allowed")
        if length <= LARGE:
            return await response.read()
        await beside.admit()
    # One growing buffer: as a list, an answer that comes byte by byte would take forty times that.
    body = bytearray()
    while chunk := await response.content.readany():
        body += chunk
        if len(body) > most:
            response.close()
            raise TooLargeError(f"the answer has more than {most} bytes")
        if len(body) > LARGE:
            await beside.admit()
    return bytes(body)


async def _inflated(body: bytes, encoding: str, most: int, beside: Offload) -> bytes:
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
            await beside.admit()
    return b"".join(pieces)
