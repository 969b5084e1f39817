"""What goes wrong on the network, in words of our own."""

import errno
import ssl
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from yarl import URL

from exporter.fetch.errors import InflateError, Timeouts, TlsFileError, TooLargeError, failure_of
from exporter.model.outcome import Reason
from tests.support.fetching import CANARY

URL_WITH_KEY = f"https://api.example.com:8443/u?api_key={CANARY}"
KEY: Any = SimpleNamespace(host="h", port=1, ssl=True)


def os_error(number: int) -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(KEY, OSError(number, f"at {URL_WITH_KEY}"))


def info() -> aiohttp.RequestInfo:
    return aiohttp.RequestInfo(URL(URL_WITH_KEY), "GET", KEY, URL(URL_WITH_KEY))


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (TooLargeError("9 bytes"), Reason.TOO_LARGE, "9 bytes"),
        (InflateError("cut off"), Reason.NOT_JSON, "cut off"),
        (TlsFileError("ca_file x"), Reason.TLS, "ca_file x"),
        (aiohttp.ConnectionTimeoutError(URL_WITH_KEY), Reason.TIMEOUT, "no connection within 10s"),
        (aiohttp.SocketTimeoutError(URL_WITH_KEY), Reason.TIMEOUT, "nothing came for 30s"),
        (TimeoutError(), Reason.TIMEOUT, "nothing came for 30s"),
        (aiohttp.InvalidURL(URL_WITH_KEY), Reason.CONNECT, "this is no web address"),
        (aiohttp.NonHttpUrlClientError(URL_WITH_KEY), Reason.CONNECT, "this is no web address"),
        (os_error(errno.ECONNREFUSED), Reason.CONNECT, "the connection was refused"),
        (os_error(errno.EHOSTUNREACH), Reason.CONNECT, "the host cannot be reached"),
        (os_error(errno.EMFILE), Reason.CONNECT, "this process has too many open files"),
        (
            aiohttp.ClientConnectorError(
                KEY, OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 99] x")
            ),
            Reason.CONNECT,
            "the connection was refused",
        ),
        (os_error(9999), Reason.CONNECT, "the connection failed"),
        (
            aiohttp.ClientConnectorDNSError(KEY, OSError(-2, URL_WITH_KEY)),
            Reason.CONNECT,
            "the name cannot be resolved",
        ),
        (
            aiohttp.ClientProxyConnectionError(KEY, OSError(errno.ECONNREFUSED, "x")),
            Reason.CONNECT,
            "the proxy proxy:3128: the connection was refused",
        ),
        (
            aiohttp.ClientHttpProxyError(info(), (), status=407, message=URL_WITH_KEY),
            Reason.CONNECT,
            "the proxy proxy:3128 answered 407",
        ),
        (aiohttp.ServerDisconnectedError(), Reason.CONNECT, "closed without an answer"),
        (aiohttp.ClientPayloadError(URL_WITH_KEY), Reason.CONNECT, "the answer broke off"),
        (
            aiohttp.ClientResponseError(info(), (), status=400, message=URL_WITH_KEY),
            Reason.CONNECT,
            "what came is not HTTP",
        ),
        (ConnectionResetError(errno.ECONNRESET, "x"), Reason.CONNECT, "the connection was reset"),
        (ssl.SSLError(1, URL_WITH_KEY), Reason.TLS, "TLS failed: no reason given"),
        (RuntimeError(URL_WITH_KEY), Reason.INTERNAL, "could not be sent (RuntimeError)"),
        (UnicodeError(URL_WITH_KEY), Reason.INTERNAL, "could not be sent (UnicodeError)"),
    ],
)
def test_each_trouble_has_its_reason_and_no_secret(
    error: Exception, reason: Reason, words: str
) -> None:
    found = failure_of(error, URL_WITH_KEY, "http://me:pw@proxy:3128", Timeouts())
    assert found.reason is reason
    assert found.detail.startswith("api.example.com:8443: ")
    assert words in found.detail
    assert CANARY not in found.detail
    assert "pw" not in found.detail


def test_the_reason_of_a_tls_error_is_found_however_deep_it_lies() -> None:
    deep = ssl.SSLError(1, "x")
    deep.reason = "WRONG_VERSION_NUMBER"
    outer = aiohttp.ClientOSError(1, "y")
    outer.__cause__ = deep
    found = failure_of(outer, URL_WITH_KEY, "", Timeouts())
    assert found.reason is Reason.TLS
    assert found.detail.endswith("wrong version number; is this a port without TLS?")


def test_a_chain_of_errors_that_bites_its_tail_ends() -> None:
    error = aiohttp.ClientOSError(9999, "x")
    other = OSError(9999, "y")
    error.__cause__, other.__cause__ = other, error
    assert failure_of(error, URL_WITH_KEY, "", Timeouts()).reason is Reason.CONNECT
