"""What goes wrong on the network, told in words of our own.

The texts of exceptions are never passed on: they hold URLs, and URLs hold keys. (aiohttp's
classes and what they stand for: its ``client_exceptions``.)
"""

import errno
import re
import ssl
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import aiohttp
import msgspec

from exporter.fetch.blocking import LookUpError
from exporter.fetch.inflate import InflateError
from exporter.fetch.verdict import proxy_advice
from exporter.fetch.wire import host_of, origin_of
from exporter.kernel.durations import format_duration
from exporter.model.outcome import Failure, Reason

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
