"""Who may pass: rate limit, client certificates and passwords of the web configuration.

It covers every address, the health checks included, as in all exporters with this file.
"""

import ipaddress
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import cast

import msgspec
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response

from exporter.kernel.durations import parse_duration
from exporter.web import answers, tls, webfile
from exporter.web.fresh import Fresh
from exporter.web.passwords import Busy, Passwords
from exporter.web.webconfig import RateLimit, WebConfig


class _Loaded(msgspec.Struct, frozen=True):
    config: WebConfig
    context: ssl.SSLContext | None


class Gate:
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
        self._passwords = Passwords()
        self._bucket = Bucket(clock)
        self._listening_with_tls: bool | None = None
        self._fresh = Fresh(self._load, clock=clock, complain=complain)
        self._listening_with_tls = self._fresh.get().context is not None

    @property
    def context(self) -> ssl.SSLContext | None:
        """The context to listen with: each connection gets the certificates of its time."""
        return tls.Rotating(self._current) if self._listening_with_tls else None

    def headers(self) -> Mapping[str, str]:
        """Return the headers that each answer gets."""
        return self._fresh.get().config.http_server_config.headers

    async def admit(self, request: BaseRequest) -> Response | None:
        """Return the refusal of `request`, or None when it may pass."""
        config = self._fresh.get().config
        if config.rate_limit is not None and not self._bucket.take(config.rate_limit):
            return answers.text("Too Many Requests", status=429)
        if config.tls_server_config is not None:
            allowed = config.tls_server_config.client_allowed_sans
            if allowed and not _named(request, allowed):
                what = "The client's certificate has none of the allowed names."
                return answers.text(what, status=403)
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
        except Busy:
            return answers.text("Too many passwords wait to be checked.", status=503)
        challenge = {**answers.SECURITY, "WWW-Authenticate": "Basic"}
        return answers.text("Unauthorized", status=401, headers=challenge)

    def _load(self) -> tuple[_Loaded, Iterable[str]]:
        config = webfile.read(self._path)
        section = config.tls_server_config
        if self._listening_with_tls not in {None, section is not None}:
            raise ValueError(
                f"{self._path}: tls_server_config: TLS cannot be switched on or off while the"
                " exporter runs. Restart it."
            )
        if section is None:
            return _Loaded(config, None), (self._path,)
        return _Loaded(config, tls.make_context(section)), (self._path, *tls.files_of(section))

    def _current(self) -> ssl.SSLContext:
        # It is asked for only where TLS is listened with, and that does not change (`_load`).
        return cast(ssl.SSLContext, self._fresh.get().context)


class Bucket:
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
