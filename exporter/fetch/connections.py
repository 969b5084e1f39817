"""Connections to vendors, pooled by TLS setting.

A pool is made when a request first needs its setting, replaced when a file of the setting changes,
and closed when no target has the setting any more and no request uses it. Certificates and keys are
read in threads: a disk may hang. After a failure of a host its connections are not used again.
"""

import asyncio
import functools
import ssl
from collections.abc import Collection
from contextvars import ContextVar
from typing import TypeAlias
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from exporter.fetch.errors import Timeouts, TlsFileError
from exporter.fetch.offload import BlockingCalls
from exporter.fetch.resolve import CONNECTING, Resolver
from exporter.kernel.calendar import format_duration
from exporter.kernel.filestamp import FileStamp, file_stamp
from exporter.kernel.override import override
from exporter.model.target import Tls

NO_ALPN: ContextVar[bool] = ContextVar("NO_ALPN", default=False)
"""Whether the server at the other end of the running task's TLS connection chose no protocol."""
USUAL_TLS = Tls()
_HEADER_LINE = 32 * 1024  # bytes; some send long policies and links
_KEEP_ALIVE = 15.0  # seconds that an idle connection is kept
_KEEP_WARM = 150.0  # the same for those that are soon used again
_ENCODINGS = "gzip, deflate"  # what `transport` inflates, and no more
_DOUBTS = 1024  # hosts that are remembered to have failed
_CHECK_EVERY = 5.0  # seconds between two looks at the files of a setting
_READ_TIMEOUT = 10.0  # seconds for reading them
_READ_TIMEOUT_IN_USE = 1.0  # the same while there is a context of them to go on with
_Stamp: TypeAlias = tuple[FileStamp | None, ...]
"""Inode and time of the last change of each file of a setting."""


class Connector(aiohttp.TCPConnector):
    """Connections, each made within `timeout` seconds: TCP, the proxy's consent and TLS together.

    The look-up of the name is not counted (the resolver suspends the time-out).
    """

    def __init__(
        self, resolver: Resolver, *, timeout: float, keep: float, context: ssl.SSLContext | None
    ):
        # The scheduler bounds how many polls run at once; a limit here would be a second queue,
        # and its waits would count as time-outs to connect. The resolver keeps addresses itself.
        super().__init__(
            ssl=context or True,
            limit=0,
            resolver=resolver,
            use_dns_cache=False,
            keepalive_timeout=keep,
        )
        self._timeout = timeout
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
        async with asyncio.timeout(self._timeout) as connecting:
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
        NO_ALPN.set(secure is not None and secure.selected_alpn_protocol() is None)
        return connection

    def doubt(self, url: URL) -> None:
        """Use no connection again that was made to this host so far."""
        key = (url.raw_host, url.port)
        self._doubts.pop(key, None)
        self._era += 1
        self._doubts[key] = self._era
        if len(self._doubts) > _DOUBTS:
            del self._doubts[next(iter(self._doubts))]


class Pool:
    """A session with its connections; closed when it is retired and nobody uses it any more."""

    def __init__(
        self, session: aiohttp.ClientSession, connector: Connector, stamp: _Stamp, checked: float
    ) -> None:
        self.session = session
        self.connector = connector
        self.stamp = stamp
        self.checked = checked  # loop time of the last look at the files
        self.users = 0
        self.retired = False

    async def close_if_unused(self) -> None:
        """Close the session if it is retired and this was the last use of it."""
        if self.retired and not self.users:
            await self.session.close()

    def check_soon(self) -> None:
        """Look at the files of the setting again with the next request: they may be renewed."""
        self.checked = -_CHECK_EVERY


class Pools:
    """The pools by TLS setting. Requests without TLS (None) have one that reads no file."""

    def __init__(self, timeouts: Timeouts, resolver: Resolver, calls: BlockingCalls) -> None:
        self._timeouts = timeouts
        self._resolver = resolver
        self._calls = calls
        self._pools: dict[tuple[Tls | None, bool], Pool] = {}
        self._usual: ssl.SSLContext | None = None  # 1 MB; serves all targets without a tls_config

    def __len__(self) -> int:
        """Return how many settings have a pool."""
        return len(self._pools)

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.session.close()
        self._pools.clear()

    async def keep(self, settings: Collection[Tls]) -> None:
        """Close the connections of all other TLS settings; a context takes a megabyte."""
        kept = {None, USUAL_TLS, *settings}
        for key in [key for key in self._pools if key[0] not in kept]:
            pool = self._pools.pop(key)
            pool.retired = True
            await pool.close_if_unused()

    async def get(self, tls: Tls | None, *, warm: bool) -> Pool:
        """Return the pool of a setting; `warm` ones keep idle connections longer.

        Raises TlsFileError.
        """
        key = (tls, warm)
        pool = self._pools.get(key)
        if pool is not None and (tls in (None, USUAL_TLS) or await self._is_fresh(tls, pool)):
            return pool
        stamp, context = await self._context(tls)
        pool = self._pools.get(key)
        if pool is not None and pool.stamp == stamp:  # another request was quicker
            return pool
        if pool is not None:  # the certificates were renewed
            pool.retired = True
            await pool.close_if_unused()
        connector = Connector(
            self._resolver,
            timeout=self._timeouts.connect,
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
        now = asyncio.get_running_loop().time()
        made = self._pools[key] = Pool(session, connector, stamp, now)
        return made

    async def _is_fresh(self, tls: Tls | None, pool: Pool) -> bool:
        """Tell whether the files of a setting are the ones that are in use.

        They count as such while a disk does not answer: a poll needs no disk.
        """
        now = asyncio.get_running_loop().time()
        if now - pool.checked < _CHECK_EVERY:
            return True
        try:
            stamp = await self._calls.call(
                ("stamp", tls), functools.partial(_stamp, tls), timeout=_READ_TIMEOUT_IN_USE
            )
        except TimeoutError:
            return True
        if stamp == pool.stamp:
            pool.checked = now
        return stamp == pool.stamp

    async def _context(self, tls: Tls | None) -> tuple[_Stamp, ssl.SSLContext | None]:
        """Return the context of a setting, and its files' stamp from before they were read."""
        if tls is None:
            return (), None
        if tls == USUAL_TLS and self._usual is not None:
            return _stamp(tls), self._usual
        try:
            stamp, context = await self._calls.call(
                ("tls", tls), lambda: (_stamp(tls), _read_context(tls)), timeout=_READ_TIMEOUT
            )
        except TimeoutError:
            names = ", ".join(filter(None, (tls.ca_file, tls.cert_file, tls.key_file)))
            raise TlsFileError(
                f"tls_config: {names or 'the certificates of the system'} could not be read within "
                f"{format_duration(_READ_TIMEOUT)}; does the disk answer?"
            ) from None
        if tls == USUAL_TLS:
            self._usual = context
        return stamp, context


def _stamp(tls: Tls | None) -> _Stamp:
    """Return the stamps of a setting's files."""
    names = () if tls is None else (tls.ca_file, tls.cert_file, tls.key_file)
    return tuple(file_stamp(name) for name in names if name)


def _read_context(tls: Tls) -> ssl.SSLContext:
    """Read certificates and keys; it takes milliseconds.

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


def _unusable(key: str, files: str, error: OSError) -> str:
    is_missing = isinstance(error, FileNotFoundError)
    why = "no such file" if is_missing else "it holds no usable certificate or key"
    why = "it may not be read" if isinstance(error, PermissionError) else why
    return f"tls_config: {key} {files}: {why}"
