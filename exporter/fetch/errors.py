"""What went wrong on the network, as a `Failure` in words of our own.

The texts of exceptions are never passed on: they hold URLs, and URLs hold keys. What aiohttp's
classes stand for is described in its ``client_exceptions``.
"""

import errno
import re
import ssl
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import aiohttp
import msgspec

from exporter.fetch.classify import proxy_advice
from exporter.fetch.http import host_of, origin_of
from exporter.fetch.resolve import LookUpError
from exporter.kernel.calendar import format_duration
from exporter.model.outcome import Failure, Reason


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds to look a name up, to connect (TCP and TLS together), and between two reads."""

    look_up: float = 10.0
    connect: float = 10.0
    read: float = 30.0


class TooLargeError(Exception):
    """An answer is larger than its collector allows."""


class InflateError(ValueError):
    """A compressed body is broken, cut, or packed in a way that was not asked for."""


class TlsFileError(Exception):
    """A certificate or key of ``tls_config`` cannot be used; the text names the file."""


class _Route(msgspec.Struct, frozen=True):
    """How a request was to go: what the descriptions of its failure need."""

    proxy: str
    timeouts: Timeouts
    secure: bool
    no_alpn: bool

    @property
    def to_proxy(self) -> str:
        """Return ``the proxy host:port``, "" when there is none."""
        return f"the proxy {host_of(self.proxy)}" if self.proxy else ""

    def failed_at_proxy(self, error: Exception) -> bool:
        """Tell whether the connection to the proxy failed, and not the one beyond."""
        try:
            _, host, port = origin_of(self.proxy)
        except ValueError:
            return False
        failed = (str(getattr(error, "host", "")).lower(), getattr(error, "port", 0))
        return failed == (host, port)


def failure_of(
    error: Exception, url: str, proxy: str, timeouts: Timeouts, *, no_alpn: bool = False
) -> Failure:
    """Return what an exception of a request to `url` means.

    `no_alpn`: over TLS, the other end agreed on no protocol.
    """
    route = _Route(proxy, timeouts, url[:6].lower() == "https:", no_alpn)
    secure = [found for found in _chain(error) if isinstance(found, ssl.SSLError)]
    if secure and not isinstance(error, TlsFileError):
        reason, what = Reason.TLS, _tls_error(secure)
        what = f"{route.to_proxy}: {what}" if route.failed_at_proxy(error) else what
    else:
        reason, describe = next(
            (row[1:] for row in _KINDS if isinstance(error, row[0])),
            (Reason.INTERNAL, _unknown_error),
        )
        what = describe(error, route)
    return Failure(reason=reason, detail=f"{host_of(url)}: {what}")


_DEEPEST: Final = 16


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it was raised from; the chain may be a ring."""
    following: BaseException | None = error
    for _ in range(_DEEPEST):
        if following is None:
            return
        yield following
        inner = getattr(following, "certificate_error", None) or getattr(
            following, "os_error", None
        )
        following = inner or following.__cause__ or following.__context__


_HTTP2_ALONE: Final = "perhaps it speaks HTTP/2 alone, and this exporter speaks HTTP/1.1"
_HTTP2_FRAME: Final = re.compile(r"b['\"]\\x00\\x00(?:\\x..|\\?.)\\x0[47]")
"""The beginning of SETTINGS or GOAWAY, as it stands in the text of a parser's exception."""
_OS_ERRORS: Final = {
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


def _tls_error(errors: list[ssl.SSLError]) -> str:
    """Say why TLS failed; aiohttp wraps the error that knows into errors that do not."""
    untrusted = next((text for e in errors if (text := getattr(e, "verify_message", None))), None)
    if untrusted:
        return f"the certificate is not trusted: {untrusted}"
    reason = next((text for e in errors if (text := getattr(e, "reason", None))), "NO_REASON_GIVEN")
    hint = "; is this a port without TLS?" if reason == "WRONG_VERSION_NUMBER" else ""
    hint = f"; {_HTTP2_ALONE}" if reason.endswith("NO_APPLICATION_PROTOCOL") else hint
    return f"TLS failed: {reason.replace('_', ' ').lower()}{hint}"


def _os_error(error: Exception) -> str:
    for inner in _chain(error):
        text = _OS_ERRORS.get(getattr(inner, "errno", None) or 0)
        if text is not None:
            return text
    # With several addresses asyncio joins the errors into one text without a number.
    texts = " ".join(str(inner) for inner in _chain(error) if isinstance(inner, OSError))
    return next(
        (text for number, text in _OS_ERRORS.items() if f"[Errno {number}]" in texts),
        "the connection failed",
    )


def _own_text(error: Exception, route: _Route) -> str:
    return str(error)


def _unknown_error(error: Exception, route: _Route) -> str:
    return f"the request could not be sent ({type(error).__name__})"


def _bad_url(error: Exception, route: _Route) -> str:
    return "this is no web address"


def _no_connection(error: Exception, route: _Route) -> str:
    waited = f"no connection within {format_duration(route.timeouts.connect)}"
    if not route.proxy:
        return waited
    hint = ""
    if route.proxy[:6].lower() == "https:":
        hint = "; if the proxy's port is without TLS, write http:// in its address"
    return f"{waited} through {route.to_proxy}{hint}"


def _refused_tunnel(error: Exception, route: _Route) -> str:
    status = getattr(error, "status", 0)
    return f"{route.to_proxy} answered {status} to CONNECT{proxy_advice(status)}"


def _no_address(error: Exception, route: _Route) -> str:
    found = next((inner for inner in _chain(error) if isinstance(inner, LookUpError)), None)
    text = found.text if found else "the name cannot be resolved"
    return f"{route.to_proxy}: {text}" if route.failed_at_proxy(error) else text


def _lost(error: Exception, route: _Route) -> str:
    """Describe a connection that ended before any answer came."""
    is_closed = isinstance(error, aiohttp.ServerDisconnectedError)
    text = "the connection was closed without an answer" if is_closed else _os_error(error)
    if route.no_alpn:
        text += f"; the server agreed on no protocol in TLS: {_HTTP2_ALONE}"
    return f"{route.to_proxy}: {text}" if route.proxy and not route.secure else text


def _not_http(error: Exception, route: _Route) -> str:
    is_http2 = _HTTP2_FRAME.search(str(getattr(error, "message", "")))
    return f"what came is not HTTP/1.1{f': {_HTTP2_ALONE}' if is_http2 else ''}"


_Describe: TypeAlias = Callable[[Exception, _Route], str]
# The first class that fits counts: the narrow ones stand before those that they are derived from.
_KINDS: tuple[tuple[type[Exception], Reason, _Describe], ...] = (
    (TooLargeError, Reason.TOO_LARGE, _own_text),
    (InflateError, Reason.NOT_JSON, _own_text),
    (TlsFileError, Reason.TLS, _own_text),
    (aiohttp.ConnectionTimeoutError, Reason.TIMEOUT, _no_connection),
    (
        TimeoutError,
        Reason.TIMEOUT,
        lambda error, route: f"nothing came for {format_duration(route.timeouts.read)}",
    ),
    (aiohttp.InvalidURL, Reason.CONNECT, _bad_url),
    (aiohttp.NonHttpUrlClientError, Reason.CONNECT, _bad_url),
    (
        aiohttp.ClientProxyConnectionError,
        Reason.CONNECT,
        lambda error, route: f"{route.to_proxy}: {_os_error(error)}",
    ),
    (aiohttp.ClientHttpProxyError, Reason.CONNECT, _refused_tunnel),
    (aiohttp.ClientConnectorDNSError, Reason.CONNECT, _no_address),
    (aiohttp.ServerDisconnectedError, Reason.CONNECT, _lost),
    (aiohttp.ClientPayloadError, Reason.CONNECT, lambda error, route: "the answer broke off"),
    (aiohttp.ClientResponseError, Reason.CONNECT, _not_http),
    (aiohttp.ClientConnectorError, Reason.CONNECT, lambda error, route: _os_error(error)),
    (aiohttp.ClientConnectionError, Reason.CONNECT, _lost),
    (OSError, Reason.CONNECT, _lost),
)
