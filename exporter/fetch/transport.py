"""The only caller of the network: sends one request, reads one answer, names what went wrong.

No retry, no redirect, no cookie, no proxy or netrc of the environment, no decision. Whatever goes
wrong becomes a failure in words of our own: the texts of exceptions may hold URLs with keys.
"""

import asyncio
import functools
import itertools
import ssl
from http import HTTPStatus
from pathlib import Path
from typing import TypeAlias

import aiohttp
from yarl import URL

from exporter.fetch.beside import LARGE, Beside
from exporter.fetch.digest import Digest
from exporter.fetch.inflate import InflateError, inflate
from exporter.fetch.trouble import Timeouts, TlsFileError, TooLargeError, failure_of
from exporter.fetch.wire import Answer, Lines, Wire, joined, origin_of
from exporter.model.outcome import Failure, Reason
from exporter.model.target import Http, Tls

_DNS_KEPT = 300  # seconds
_HEADER_LINE = 32 * 1024  # bytes; some send long policies and links
_KEEP_ALIVE = 15.0  # seconds that an idle connection is kept
_KEEP_WARM = 150.0  # the same for those that are soon used again
_ENCODINGS = "gzip, deflate"  # what is inflated below, and no more
_LARGEST_ERROR = 1024 * 1024  # bytes
_LARGEST_HEADERS = 128 * 1024  # bytes of an answer's headers, together
_DIGESTS = 1024  # nonces that are remembered

_Stamp: TypeAlias = tuple[tuple[int, int], ...]
_Key: TypeAlias = tuple[Tls | None, bool]
"""Without TLS (None) nothing is read from the disk, and nothing can go stale."""
_USUAL = Tls()


class _Pool:
    """A session with its connections; closed when it is retired and nobody uses it any more."""

    def __init__(self, session: aiohttp.ClientSession, stamp: _Stamp) -> None:
        self.session = session
        self.stamp = stamp
        self.users = 0
        self.retired = False

    async def leave(self) -> None:
        """Close the session if this was the last use of it."""
        if self.retired and not self.users:
            await self.session.close()


class Transport:
    """Sessions by TLS setting, made when they are first needed."""

    def __init__(self, timeouts: Timeouts, beside: Beside) -> None:
        self._timeouts = timeouts
        self._beside = beside
        self._pools: dict[_Key, _Pool] = {}
        self._making = asyncio.Lock()
        self._usual: ssl.SSLContext | None = None
        self._digests: dict[tuple[object, ...], Digest] = {}

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.session.close()
        self._pools.clear()

    async def send(
        self, wire: Wire, http: Http, *, most: int, warm: bool = False
    ) -> Answer | Failure:
        """Send one request and read its answer, at most `most` bytes, also when inflated.

        `warm` keeps the connection for the next minutes. Nothing is raised but cancellation.
        """
        try:
            pool = await self._pool(_tls_of(wire, http), warm=warm)
            pool.users += 1
            try:
                return await self._exchange(pool.session, wire, http, most)
            finally:
                pool.users -= 1
                await pool.leave()
        except Exception as error:  # noqa: BLE001 - whatever it is, this request failed by it
            failure = failure_of(error, wire.url, http.proxy_url, self._timeouts)
        if failure.reason in (Reason.CONNECT, Reason.TIMEOUT):
            self._forget_address(wire.url, _tls_of(wire, http), warm=warm)
        return failure

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

    def _forget_address(self, url: str, tls: Tls | None, *, warm: bool) -> None:
        """Look the name up again next time: the address may be the trouble."""
        pool = self._pools.get((tls, warm))
        connector = pool.session.connector if pool else None
        if isinstance(connector, aiohttp.TCPConnector):
            try:
                _, host, port = origin_of(url)
            except ValueError:
                return
            connector.clear_dns_cache(host, port)

    async def _pool(self, tls: Tls | None, *, warm: bool) -> _Pool:
        key = (tls, warm)
        pool = self._pools.get(key)
        if pool is not None and (tls in (None, _USUAL) or pool.stamp == _stamp(tls)):
            return pool
        async with self._making:
            stamp = _stamp(tls)
            pool = self._pools.get(key)
            if pool is not None and pool.stamp == stamp:
                return pool
            context = await self._context(tls)
            if pool is not None:  # the certificates were renewed
                pool.retired = True
                await pool.leave()
            made = self._pools[key] = _Pool(self._session(context, warm=warm), stamp)
            return made

    async def _context(self, tls: Tls | None) -> ssl.SSLContext | None:
        """Return the context of a setting; the usual one is 1 MB and serves all that have none."""
        if tls is None:
            return None
        if tls != _USUAL:
            return await asyncio.to_thread(_context, tls)
        if self._usual is None:
            self._usual = await asyncio.to_thread(_context, tls)
        return self._usual

    def _session(self, context: ssl.SSLContext | None, *, warm: bool) -> aiohttp.ClientSession:
        # The scheduler bounds how many polls run at once; a limit here would be a second queue,
        # and its waits would count as time-outs to connect.
        connector = aiohttp.TCPConnector(
            ssl=context or True,
            limit=0,
            ttl_dns_cache=_DNS_KEPT,
            keepalive_timeout=_KEEP_WARM if warm else _KEEP_ALIVE,
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers={"Accept-Encoding": _ENCODINGS},
            timeout=aiohttp.ClientTimeout(
                total=None, connect=self._timeouts.connect, sock_read=self._timeouts.read
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=_HEADER_LINE,
            max_field_size=_HEADER_LINE,
        )


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
