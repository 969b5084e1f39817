"""The only caller of the network: sends one request, reads one answer, names what went wrong.

No retry, no redirect, no cookie, no proxy or netrc of the environment, no decision. Whatever goes
wrong becomes a failure in words of our own: the texts of exceptions may hold URLs with keys.
"""

import asyncio
import functools
import itertools
import ssl
from collections.abc import Callable, Collection
from contextvars import ContextVar
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from exporter.fetch.beside import LARGE, Beside
from exporter.fetch.blocking import CONNECTING, Address, Calls, Names
from exporter.fetch.digest import Digest
from exporter.fetch.inflate import InflateError, inflate
from exporter.fetch.trouble import Timeouts, TlsFileError, TooLargeError, failure_of
from exporter.fetch.wire import Answer, Lines, Wire, host_of, joined, origin_of
from exporter.kernel.durations import format_duration
from exporter.kernel.override import override
from exporter.model.outcome import Failure, Reason
from exporter.model.target import Http, Tls

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

    def __init__(self, timeouts: Timeouts, beside: Beside, *, ask: Ask | None = None) -> None:
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
        self, wire: Wire, http: Http, *, most: int, warm: bool = False
    ) -> Answer | Failure:
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

    def _doubt(self, wire: Wire, http: Http, pool: _Pool | None) -> None:
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
        self, session: aiohttp.ClientSession, wire: Wire, http: Http, most: int
    ) -> Answer:
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
            return Answer(
                status=response.status,
                lines=lines,
                headers=headers,
                body=body,
                url=wire.url,
                proxy=_spokesman(wire, http),
            )

    def _digest(self, wire: Wire) -> tuple[Digest, ...]:
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


def _tls_of(wire: Wire, http: Http) -> Tls | None:
    """Return the setting of a request, None if it has none and needs none."""
    if http.tls != _USUAL:
        return http.tls
    secure = any(url[:6].lower() == "https:" for url in (wire.url, http.proxy_url))
    return http.tls if secure else None


def _spokesman(wire: Wire, http: Http) -> str:
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


async def _body(response: aiohttp.ClientResponse, most: int, beside: Beside) -> bytes:
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


async def _read(response: aiohttp.ClientResponse, most: int, beside: Beside) -> bytes:
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


async def _inflated(body: bytes, encoding: str, most: int, beside: Beside) -> bytes:
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
