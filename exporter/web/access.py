"""Who may pass: the rate limit, client certificates and passwords of the web configuration.

It covers every address, the health checks included, as in all exporters with this file.

Passwords are bcrypt hashes, as in exporter-toolkit. A bcrypt of cost 10 takes 60 ms, so:

- it runs in a thread of its own, one at a time: neither the event loop nor all processors are kept
  from other work by a client that guesses passwords;
- results are cached under keyed hashes: a scraper that was admitted once never waits, and a client
  with a wrong password costs one check, however often it comes;
- checks wait in one queue for each address and existing user name; users who do not exist share
  one queue for each address. The queues take turns, those whose last check succeeded first. So
  a guesser delays a scraper of another address or name by one check at most, and one of the
  same by one check for each of its connections;
- a user who does not exist costs as much as a wrong password.
"""

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import secrets
import ssl
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias, TypeVar, cast

import msgspec
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response

from exporter.kernel.calendar import parse_duration
from exporter.kernel.filestamp import FileBacked
from exporter.web import webconfig
from exporter.web.response import SECURITY_HEADERS, text_response
from exporter.web.webconfig import RateLimit, WebConfig


class _Loaded(msgspec.Struct, frozen=True):
    config: WebConfig
    context: ssl.SSLContext | None


class AccessControl:
    """The web configuration at work: admits requests, and gives the TLS context.

    Reads `path` at once: raises BadWebConfig or OSError. When the file or a certificate changes,
    it is read again; if the new one cannot be used, the old one stays and `complain` is called.
    `clock` gives seconds that never go back.
    """

    def __init__(
        self, path: str, *, clock: Callable[[], float], complain: Callable[[str], None]
    ) -> None:
        self._path = path
        self._passwords = PasswordChecker()
        self._bucket = TokenBucket(clock)
        self._listens_with_tls: bool | None = None
        self._loaded = FileBacked(self._load, clock=clock, complain=complain)
        self._listens_with_tls = self._loaded.get().context is not None

    @property
    def context(self) -> ssl.SSLContext | None:
        """The context to listen with: each new connection gets the certificates of its time."""
        if not self._listens_with_tls:
            return None
        return webconfig.RotatingContext(lambda: cast(ssl.SSLContext, self._loaded.get().context))

    def headers(self) -> Mapping[str, str]:
        """Return the headers that each response gets."""
        return self._loaded.get().config.http_server_config.headers

    async def admit(self, request: BaseRequest) -> Response | None:
        """Return the response that refuses `request`, or None when it may pass."""
        config = self._loaded.get().config
        if config.rate_limit is not None and not self._bucket.take(config.rate_limit):
            return text_response("Too Many Requests", status=429)
        if config.tls_server_config is not None:
            allowed = config.tls_server_config.client_allowed_sans
            if allowed and not _has_name(request, allowed):
                what = "The client's certificate has none of the allowed names."
                return text_response(what, status=403)
        if not config.basic_auth_users:
            return None
        header = request.headers.get("Authorization", "")
        try:
            if await self._passwords.check(header, config.basic_auth_users, _address(request)):
                return None
        except TooManyChecksError:
            return text_response("Too many passwords wait to be checked.", status=503)
        challenge = {**SECURITY_HEADERS, "WWW-Authenticate": "Basic"}
        return text_response("Unauthorized", status=401, headers=challenge)

    def close(self) -> None:
        """End the thread that checks passwords."""
        self._passwords.close()

    def _load(self) -> tuple[_Loaded, Iterable[str]]:
        config = webconfig.read_web_config(self._path)
        tls = config.tls_server_config
        # Sockets listen with TLS or without for as long as the exporter runs.
        if self._listens_with_tls not in {None, tls is not None}:
            raise ValueError(
                f"{self._path}: tls_server_config: TLS cannot be switched on or off while the"
                " exporter runs. Restart it."
            )
        if tls is None:
            return _Loaded(config, None), (self._path,)
        return _Loaded(config, webconfig.make_context(tls)), (self._path, *webconfig.files_of(tls))


def _address(request: BaseRequest) -> str:
    transport = request.protocol.transport
    peer = transport.get_extra_info("peername") if transport is not None else None
    return str(peer[0]) if isinstance(peer, tuple) else ""


def _has_name(request: BaseRequest, allowed: Iterable[str]) -> bool:
    """Tell whether the client's certificate has one of the names."""
    transport = request.protocol.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    names = (certificate or {}).get("subjectAltName", ())
    return not {_normal(name) for _, name in names}.isdisjoint(map(_normal, allowed))


def _normal(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))  # "0:0:0:0:0:0:0:1" is "::1"
    except ValueError:
        return name


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
            added = (now - self._counted) / every
            self._tokens = min(self._tokens + added, float(limit.burst))
        self._counted = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


_MOST_GOOD: Final = 100  # results that are remembered; as many queues that succeeded
_MOST_WRONG: Final = 1000
_MOST_WAITING: Final = 512  # as many as there are connections, in all queues together
_LONGEST_HEADER: Final = 1024  # a user name may be long, a password not
_LONGEST_PASSWORD: Final = 72  # bytes: bcrypt ignores what follows


class TooManyChecksError(Exception):
    """Too many passwords wait to be checked."""


_Queue: TypeAlias = tuple[str, str]
"""What a queue is for: the address, and the user name where there is such a user."""
_K = TypeVar("_K")


class _Check(msgspec.Struct, eq=False):
    """A password that waits to be compared, for all requests that bring it."""

    key: bytes
    queue: _Queue
    password: bytes
    hashed: str
    user_exists: bool
    result: asyncio.Future[bool]


class PasswordChecker:
    """Checks ``Authorization`` headers. Its caches hold keyed hashes, no password."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[bytes, None] = OrderedDict()
        self._proven: OrderedDict[_Queue, None] = OrderedDict()  # whose last check succeeded
        self._queues: OrderedDict[_Queue, deque[_Check]] = OrderedDict()  # next in turn first
        self._checks: dict[bytes, _Check] = {}
        self._worker: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def check(self, header: str, users: Mapping[str, str], address: str = "") -> bool:
        """Say whether `header` names a user of `users` (name to bcrypt hash) with the password.

        `address` is where the request comes from. Raises TooManyChecksError.
        """
        user, password = _credentials(header)
        if not users or len(password) > _LONGEST_PASSWORD or b"\0" in password:
            return False
        # The first user's hash stands in for that of a user who does not exist.
        hashed = users.get(user, next(iter(users.values())))
        # The hash is part of the key, so that a changed password ends what was remembered.
        parts = (user.encode("utf-8", "surrogateescape"), hashed.encode(), password)
        text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        key = hashlib.blake2b(text, key=self._secret).digest()
        for remembered in (self._good, self._wrong):
            if key in remembered:
                remembered.move_to_end(key)
                return remembered is self._good
        check = self._checks.get(key)
        if check is None:
            queue = (address, user if user in users else "")
            if len(self._checks) >= _MOST_WAITING:
                self._make_room(queue)
            loop = asyncio.get_running_loop()
            check = self._checks[key] = _Check(
                key=key,
                queue=queue,
                password=password,
                hashed=hashed,
                user_exists=user in users,
                result=loop.create_future(),
            )
            self._queues.setdefault(queue, deque()).append(check)
            if self._worker is None:
                self._worker = loop.create_task(self._work())
        # Shielded: a scraper that gives up and comes again keeps its place in the queue.
        return await asyncio.shield(check.result)

    def close(self) -> None:
        """End the thread; checks that wait for it are cancelled."""
        if self._worker is not None:
            self._worker.cancel()
            self._worker = None
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None
        for check in self._checks.values():
            check.result.cancel()
        self._checks.clear()
        self._queues.clear()

    def _make_room(self, newcomer: _Queue) -> None:
        """Drop the last check of the longest queue. Raises TooManyChecksError."""
        longest = max(self._queues, key=lambda queue: len(self._queues[queue]))
        if longest == newcomer or longest in self._proven:
            raise TooManyChecksError
        dropped = self._queues[longest].pop()
        del self._checks[dropped.key]
        _fail(dropped.result, TooManyChecksError())

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queues:
            # Proven queues first; each queue gives one check in turn.
            queue = next((one for one in self._queues if one in self._proven), None)
            if queue is None:
                queue = next(iter(self._queues))
            waiting = self._queues[queue]
            check = waiting.popleft()
            if waiting:
                self._queues.move_to_end(queue)
            else:
                del self._queues[queue]
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
            try:
                same = await loop.run_in_executor(
                    self._thread, _bcrypt, check.password, check.hashed
                )
            except Exception as error:  # noqa: BLE001 - a hash that bcrypt cannot read after all
                same = False
                if not check.result.done():
                    _fail(check.result, error)
            good = same and check.user_exists
            self._checks.pop(check.key, None)
            if good:
                _remember(self._good, check.key, _MOST_GOOD)
                _remember(self._proven, check.queue, _MOST_GOOD)
            else:
                _remember(self._wrong, check.key, _MOST_WRONG)
                self._proven.pop(check.queue, None)  # someone guesses here: wait like the others
            if not check.result.done():
                check.result.set_result(good)
        self._worker = None


def _fail(result: asyncio.Future[bool], error: Exception) -> None:
    result.set_exception(error)
    result.exception()  # marks it as retrieved, also when the client has left


def _remember(cache: OrderedDict[_K, None], key: _K, most: int) -> None:
    cache[key] = None
    cache.move_to_end(key)
    if len(cache) > most:
        cache.popitem(last=False)


def _bcrypt(password: bytes, hashed: str) -> bool:
    import bcrypt  # noqa: PLC0415 - 5 ms that nobody without basic auth needs to pay

    return bcrypt.checkpw(password, hashed.encode())


def _credentials(header: str) -> tuple[str, bytes]:
    """Return the user and password of a Basic ``Authorization`` header, empty if it is none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic" or len(encoded) > _LONGEST_HEADER:
        return "", b""
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return "", b""
    user, _, password = decoded.partition(b":")
    return user.decode("utf-8", "surrogateescape"), password
