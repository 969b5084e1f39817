"""A value made of files, made again when one of them changes.

Basic auth against bcrypt hashes, as exporter-toolkit does it.

A bcrypt of cost 10 takes 60 ms: it runs in a thread of its own, one at a time, so that neither
the event loop nor both processors wait for a guesser. What was checked is remembered, so that the
same password is not checked again: a scraper that was let in once never waits, and a client with
a wrong password costs one check, however often it comes.

Who has to wait, waits in a line with those of the same address and user name; users who do not
exist share one line per address. The lines take turns, those that brought a good password before
come first. So a guesser holds up a scraper of another address or name by one check at most, and
one of the same by one check for each of its connections. A user who does not exist costs as much
as a wrong password.

Who may pass: rate limit, client certificates and passwords of the web configuration.

It covers every address, the health checks included, as in all exporters with this file.
"""

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import os
import secrets
import ssl
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Generic, TypeAlias, TypeVar, cast

import msgspec
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response

from exporter.kernel.calendar import parse_duration
from exporter.web import connection, webconfig
from exporter.web.webconfig import RateLimit, WebConfig

_T = TypeVar("_T")
_CHECKED_EVERY: Final = 1.0  # seconds; a look at three files takes 10 µs
Signature: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class Fresh(Generic[_T]):
    """Holds what `make` made of files, until they change.

    `make` gives the value and the files that it came from, and raises OSError or ValueError when
    they are no good. The first time that is the caller's; later the old value stays, `complain`
    is told once, and the next change is tried again: certificates are renewed file by file, and
    Kubernetes swaps a whole folder. `clock` gives seconds that never go back.
    """

    def __init__(
        self,
        make: Callable[[], tuple[_T, Iterable[str]]],
        *,
        clock: Callable[[], float],
        complain: Callable[[str], None],
    ) -> None:
        self._make = make
        self._clock = clock
        self._complain = complain
        self._looked = clock()
        self._value, files = make()
        self._files = tuple(files)
        self._signature = _sign(self._files)

    def get(self) -> _T:
        """Return the value. Looks at the files at most once a second."""
        now = self._clock()
        if now - self._looked >= _CHECKED_EVERY:
            self._looked = now
            signature = _sign(self._files)
            if signature != self._signature:
                self._signature = signature
                self._remake()
        return self._value

    def _remake(self) -> None:
        try:
            self._value, files = self._make()
        except (OSError, ValueError) as error:
            self._complain(str(error))
            return
        if self._files != tuple(files):  # else the look before the reading is the one to keep
            self._files = tuple(files)
            self._signature = _sign(self._files)


def _sign(files: Iterable[str]) -> Signature:
    return tuple(map(_look, files))


def _look(path: str) -> tuple[int, int, int] | None:
    try:
        seen = os.stat(path)  # noqa: PTH116 - this is asked on each request: half of Path's cost
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


_REMEMBERED: Final = 100
_REMEMBERED_WRONG: Final = 1000
_WAITING: Final = 512  # as many as there are connections, in all lines together
_LONGEST_HEADER: Final = 1024  # a user name may be long, a password not
_LONGEST_PASSWORD: Final = 72  # bytes: more, bcrypt cannot tell apart


class TooManyChecksError(Exception):
    """Too many passwords wait to be checked."""


_Line: TypeAlias = tuple[str, str]
"""The address, and the user name where there is such a user."""


class _Check(msgspec.Struct, eq=False):
    """A password that waits to be compared, for all requests that bring it."""

    entry: bytes
    line: _Line
    password: bytes
    hashed: str
    known: bool
    result: asyncio.Future[bool]


class PasswordChecker:
    """Checks ``Authorization`` headers. Its caches hold keyed hashes, no password."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._proven: OrderedDict[_Line, None] = OrderedDict()
        self._lines: OrderedDict[_Line, deque[_Check]] = OrderedDict()
        self._checks: dict[bytes, _Check] = {}
        self._comparing: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def check(self, header: str, users: Mapping[str, str], address: str = "") -> bool:
        """Say whether `header` names a user of `users` (name to bcrypt hash) with the password.

        `address` is where the request comes from. Raises Busy when too many checks are waiting.
        """
        user, password = _credentials(header)
        if not users or len(password) > _LONGEST_PASSWORD or b"\0" in password:
            return False
        # The first user's hash stands in for that of a user who does not exist.
        hashed = users.get(user, next(iter(users.values())))
        entry = self._entry(user, hashed, password)
        for remembered in (self._good, self._wrong):
            if entry in remembered:
                remembered.move_to_end(entry)
                return remembered is self._good
        waiting = self._checks.get(entry)
        if waiting is None:
            line = (address, user if user in users else "")
            waiting = self._enqueue(line, entry, password, hashed, known=user in users)
        # Shielded: a scraper that gives up and comes again keeps its place in the line.
        return await asyncio.shield(waiting.result)

    def close(self) -> None:
        """Let the thread go; checks that wait for it are dropped."""
        if self._comparing is not None:
            self._comparing.cancel()
            self._comparing = None
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None
        for check in self._checks.values():
            check.result.cancel()
        self._checks.clear()
        self._lines.clear()

    def _enqueue(
        self, line: _Line, entry: bytes, password: bytes, hashed: str, *, known: bool
    ) -> _Check:
        if len(self._checks) >= _WAITING:
            self._drop_of_the_longest(line)
        check = _Check(
            entry=entry,
            line=line,
            password=password,
            hashed=hashed,
            known=known,
            result=asyncio.get_running_loop().create_future(),
        )
        self._checks[entry] = check
        self._lines.setdefault(line, deque()).append(check)
        if self._comparing is None:
            self._comparing = asyncio.get_running_loop().create_task(self._compare())
        return check

    def _drop_of_the_longest(self, newcomer: _Line) -> None:
        """Make room at the cost of whoever has most checks waiting. Raises Busy."""
        longest = max(self._lines, key=lambda line: len(self._lines[line]))
        if longest == newcomer or longest in self._proven:
            raise TooManyChecksError
        dropped = self._lines[longest].pop()
        del self._checks[dropped.entry]
        dropped.result.set_exception(TooManyChecksError())
        dropped.result.exception()  # seen, also where the client is gone

    async def _compare(self) -> None:
        loop = asyncio.get_running_loop()
        while self._lines:
            check = self._next()
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
            try:
                same = await loop.run_in_executor(
                    self._thread, _bcrypt, check.password, check.hashed
                )
            except Exception as error:  # noqa: BLE001 - a hash that bcrypt cannot read after all
                same = False
                if not check.result.done():
                    check.result.set_exception(error)
                    check.result.exception()  # seen, also where the client is gone
            self._learn(check, good=same and check.known)
        self._comparing = None

    def _next(self) -> _Check:
        """Take the next check: of the proven lines first, of each line one in turn."""
        line = next((one for one in self._lines if one in self._proven), None)
        if line is None:
            line = next(iter(self._lines))
        queue = self._lines[line]
        check = queue.popleft()
        if queue:
            self._lines.move_to_end(line)
        else:
            del self._lines[line]
        return check

    def _learn(self, check: _Check, *, good: bool) -> None:
        self._checks.pop(check.entry, None)
        _remember(
            self._good if good else self._wrong,
            check.entry,
            _REMEMBERED if good else _REMEMBERED_WRONG,
        )
        if good:
            self._proven[check.line] = None
            self._proven.move_to_end(check.line)
            if len(self._proven) > _REMEMBERED:
                self._proven.popitem(last=False)
        else:
            self._proven.pop(check.line, None)  # somebody guesses there: it waits like the others
        if not check.result.done():
            check.result.set_result(good)

    def _entry(self, user: str, hashed: str, password: bytes) -> bytes:
        # The hash is part of it, so that a changed password ends what was remembered.
        parts = (user.encode("utf-8", "surrogateescape"), hashed.encode(), password)
        text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hashlib.blake2b(text, key=self._key).digest()


def _remember(entries: OrderedDict[bytes, None], entry: bytes, most: int) -> None:
    entries[entry] = None
    if len(entries) > most:
        entries.popitem(last=False)


def _bcrypt(password: bytes, hashed: str) -> bool:
    import bcrypt  # noqa: PLC0415 - 5 ms that nobody without basic auth needs to pay

    return bcrypt.checkpw(password, hashed.encode())


def _credentials(header: str) -> tuple[str, bytes]:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(encoded) > _LONGEST_HEADER:
        return "", b""
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return "", b""
    user, _, password = decoded.partition(b":")
    return user.decode("utf-8", "surrogateescape"), password


class _Loaded(msgspec.Struct, frozen=True):
    config: WebConfig
    context: ssl.SSLContext | None


class AccessControl:
    """The web configuration at work: admits requests, and gives the TLS context.

    Reads `path` at once: raises BadWebConfig or OSError. When the file or a certificate changes,
    it is read again; if the new one is no good, the old one stays and `complain` is told.
    `clock` gives seconds that never go back.
    """

    def __init__(
        self, path: str, *, clock: Callable[[], float], complain: Callable[[str], None]
    ) -> None:
        self._path = path
        self._clock = clock
        self._passwords = PasswordChecker()
        self._bucket = TokenBucket(clock)
        self._listening_with_tls: bool | None = None
        self._fresh = Fresh(self._load, clock=clock, complain=complain)
        self._listening_with_tls = self._fresh.get().context is not None

    @property
    def context(self) -> ssl.SSLContext | None:
        """The context to listen with: each connection gets the certificates of its time."""
        return webconfig.RotatingContext(self._current) if self._listening_with_tls else None

    def headers(self) -> Mapping[str, str]:
        """Return the headers that each answer gets."""
        return self._fresh.get().config.http_server_config.headers

    async def admit(self, request: BaseRequest) -> Response | None:
        """Return the refusal of `request`, or None when it may pass."""
        config = self._fresh.get().config
        if config.rate_limit is not None and not self._bucket.take(config.rate_limit):
            return connection.text_response("Too Many Requests", status=429)
        if config.tls_server_config is not None:
            allowed = config.tls_server_config.client_allowed_sans
            if allowed and not _named(request, allowed):
                what = "The client's certificate has none of the allowed names."
                return connection.text_response(what, status=403)
        if config.basic_auth_users:
            return await self._authenticate(request, config.basic_auth_users)
        return None

    def close(self) -> None:
        """Let the thread go that checks passwords."""
        self._passwords.close()

    async def _authenticate(
        self, request: BaseRequest, users: Mapping[str, str]
    ) -> Response | None:
        try:
            header = request.headers.get("Authorization", "")
            if await self._passwords.check(header, users, _address(request)):
                return None
        except TooManyChecksError:
            return connection.text_response("Too many passwords wait to be checked.", status=503)
        challenge = {**connection.SECURITY_HEADERS, "WWW-Authenticate": "Basic"}
        return connection.text_response("Unauthorized", status=401, headers=challenge)

    def _load(self) -> tuple[_Loaded, Iterable[str]]:
        config = webconfig.read_web_config(self._path)
        section = config.tls_server_config
        if self._listening_with_tls not in {None, section is not None}:
            raise ValueError(
                f"{self._path}: tls_server_config: TLS cannot be switched on or off while the"
                " exporter runs. Restart it."
            )
        if section is None:
            return _Loaded(config, None), (self._path,)
        return _Loaded(config, webconfig.make_context(section)), (
            self._path,
            *webconfig.files_of(section),
        )

    def _current(self) -> ssl.SSLContext:
        # It is asked for only where TLS is listened with, and that does not change (`_load`).
        return cast(ssl.SSLContext, self._fresh.get().context)


class TokenBucket:
    """Exporter-toolkit's rate limit: a token each interval, `burst` of them at most."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._limit: RateLimit | None = None
        self._tokens = 0.0
        self._counted = 0.0

    def take(self, limit: RateLimit) -> bool:
        """Take a token; False when there is none. Another `limit` begins with a full bucket."""
        every = parse_duration(limit.interval)
        if not every:
            return True
        now = self._clock()
        if limit != self._limit:
            self._limit, self._tokens = limit, float(limit.burst)
        else:
            grown = self._tokens + (now - self._counted) / every
            self._tokens = min(grown, float(limit.burst))
        self._counted = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _address(request: BaseRequest) -> str:
    transport = request.protocol.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    return str(peer[0]) if isinstance(peer, tuple) else ""


def _named(request: BaseRequest, allowed: Iterable[str]) -> bool:
    transport = request.protocol.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    names = (certificate or {}).get("subjectAltName", ())
    return not {_plain(name) for _, name in names}.isdisjoint(map(_plain, allowed))


def _plain(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))  # "0:0:0:0:0:0:0:1" is "::1"
    except ValueError:
        return name
