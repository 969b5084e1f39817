"""What goes wrong on the network, told in words of our own.

The texts of exceptions are never passed on: they hold URLs, and URLs hold keys. (aiohttp's
classes and what they stand for: its ``client_exceptions``.)
"""

import errno
import ssl
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import aiohttp
import msgspec

from exporter.fetch.inflate import InflateError
from exporter.fetch.wire import host_of
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


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds to connect (name, TCP and TLS together), and between two reads."""

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


def failure_of(error: Exception, url: str, proxy: str, timeouts: Timeouts) -> Failure:
    """Return what an exception of a request to `url` means."""
    way = _Way(proxy, timeouts)
    secure = [found for found in _chain(error) if isinstance(found, ssl.SSLError)]
    if secure and not isinstance(error, TlsFileError):
        reason, what = Reason.TLS, _tls_words(secure)
    else:
        reason, words = next(
            ((reason, words) for kind, reason, words in _KINDS if isinstance(error, kind)), _UNKNOWN
        )
        what = words(error, way)
    return Failure(reason=reason, detail=f"{host_of(url)}: {what}")


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


def _proxy(way: _Way) -> str:
    return f"the proxy {host_of(way.proxy)}"


_Words: TypeAlias = Callable[[Exception, _Way], str]

# The first class that fits counts: the narrow ones stand before those that they are derived from.
_KINDS: tuple[tuple[type[Exception], Reason, _Words], ...] = (
    (TooLargeError, Reason.TOO_LARGE, lambda error, way: str(error)),
    (InflateError, Reason.NOT_JSON, lambda error, way: str(error)),
    (TlsFileError, Reason.TLS, lambda error, way: str(error)),
    (
        aiohttp.ConnectionTimeoutError,
        Reason.TIMEOUT,
        lambda error, way: f"no connection within {format_duration(way.timeouts.connect)}",
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
        lambda error, way: f"{_proxy(way)}: {_os_words(error)}",
    ),
    (
        aiohttp.ClientHttpProxyError,
        Reason.CONNECT,
        lambda error, way: f"{_proxy(way)} answered {getattr(error, 'status', '?')}",
    ),
    (
        aiohttp.ClientConnectorDNSError,
        Reason.CONNECT,
        lambda error, way: "the name cannot be resolved",
    ),
    (
        aiohttp.ServerDisconnectedError,
        Reason.CONNECT,
        lambda error, way: "the connection was closed without an answer",
    ),
    (aiohttp.ClientPayloadError, Reason.CONNECT, lambda error, way: "the answer broke off"),
    (aiohttp.ClientResponseError, Reason.CONNECT, lambda error, way: "what came is not HTTP"),
    (aiohttp.ClientConnectionError, Reason.CONNECT, lambda error, way: _os_words(error)),
    (OSError, Reason.CONNECT, lambda error, way: _os_words(error)),
)
_UNKNOWN: tuple[Reason, _Words] = (
    Reason.INTERNAL,
    lambda error, way: f"the request could not be sent ({type(error).__name__})",
)
