"""Through a proxy; what the proxy itself does wrong is no fault of the vendor's."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from exporter.demo.server import VendorResponse, json_response
from exporter.model.outcome import Failure, Reason
from exporter.model.target import Http
from tests.support.fetching import (
    BEARER,
    CANARY,
    a_target,
    documents,
    failure,
    fetch,
)
from tests.support.vendor import Vendor

WANTED = (
    "write the proxy's user name and password into its address (proxy_url or HTTP_PROXY),"
    " or correct those that stand there"
)
RULES = "the proxy's rules must allow the vendor's host and port"


def through(vendor: Vendor, userinfo: str = "") -> Http:
    return Http(proxy_url=f"http://{userinfo}{vendor.host}")


@asynccontextmanager
async def a_tunnel(status: str, asked: list[bytes]) -> AsyncIterator[str]:
    """Answer CONNECT with a status; yield host and port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_request_goes_through_the_proxy() -> None:
    async with Vendor(json_response({"used": 1})) as proxy:
        http = through(proxy, f"me:{CANARY}@")
        fetched = await fetch(a_target("http://vendor.invalid/v", http=http))
    assert documents(fetched) == [{"used": 1}]
    asked = proxy.asked[0]
    assert asked.headers["host"] == "vendor.invalid"
    packed = asked.headers["proxy-authorization"].removeprefix("Basic ")
    assert base64.b64decode(packed) == f"me:{CANARY}".encode()
    assert CANARY not in repr(fetched)


async def test_a_proxy_that_wants_a_password_is_no_fault_of_the_vendors() -> None:
    async with Vendor(VendorResponse(status=407)) as proxy:
        target = a_target("http://vendor.invalid/v", http=through(proxy))
        found = failure(await fetch(target))
    assert (found.reason, found.status) == (Reason.CONNECT, 407)
    assert found.detail == (
        "vendor.invalid answered 407 Proxy Authentication Required"
        f" (through the proxy {proxy.host}); {WANTED}"
    )


async def test_a_tunnel_that_is_refused_is_no_fault_of_the_vendors() -> None:
    asked: list[bytes] = []
    async with a_tunnel("407 Proxy Authentication Required", asked) as host:
        http = Http(proxy_url=f"http://{host}")
        target = a_target(
            "https://vendor.invalid/v", auth=BEARER, secrets={"token": CANARY}, http=http
        )
        found = failure(await fetch(target))
    assert found.reason is Reason.CONNECT
    assert found.detail == (f"vendor.invalid: the proxy {host} answered 407 to CONNECT; {WANTED}")
    assert asked[0].startswith(b"CONNECT vendor.invalid:443 ")
    assert CANARY.encode() not in asked[0]


@pytest.mark.parametrize(
    ("status", "advice"),
    [("403 Forbidden", RULES), ("503 Unavailable", "the proxy does not reach the vendor")],
)
async def test_why_a_tunnel_is_refused_is_told(status: str, advice: str) -> None:
    async with a_tunnel(status, []) as host:
        http = Http(proxy_url=f"http://me:{CANARY}@{host}")
        found = failure(await fetch(a_target("https://vendor.invalid/v", http=http)))
    code = status.partition(" ")[0]
    assert found.reason is Reason.CONNECT
    assert found.detail == (
        f"vendor.invalid: the proxy {host} answered {code} to CONNECT; {advice}"
    )


PAGE = b"<html><title>Access denied by policy</title></html>"
DENIED = (("X-Squid-Error", "ERR_ACCESS_DENIED 0"), ("Via", "1.1 squid"))
RFC_9209 = (("Proxy-Status", "corp; error=http_request_denied"), ("Via", "1.1 corp"))


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        (DENIED, PAGE, Reason.CONNECT),
        (RFC_9209, b'{"error":"denied"}', Reason.CONNECT),
        ((), PAGE, Reason.CONNECT),
        ((("Via", "1.1 corp"),), PAGE, Reason.FORBIDDEN),
        ((), b'{"error":"scope missing"}', Reason.FORBIDDEN),
    ],
    ids=["squid", "rfc9209", "page", "forwarded", "json"],
)
async def test_a_403_of_the_proxy_is_no_word_on_the_credential(
    headers: tuple[tuple[str, str], ...], body: bytes, reason: Reason
) -> None:
    async with Vendor(VendorResponse(status=403, headers=headers, body=body)) as proxy:
        found = failure(await fetch(a_target("http://vendor.invalid/v", http=through(proxy))))
    assert found.reason is reason
    assert f"answered 403 Forbidden (through the proxy {proxy.host})" in found.detail
    assert found.detail.endswith(RULES) is (reason is Reason.CONNECT)


async def test_a_proxy_that_is_down_is_told() -> None:
    async with Vendor() as proxy:
        http = through(proxy, f"me:{CANARY}@")
    fetched = await fetch(a_target("https://vendor.invalid", http=http))
    assert failure(fetched) == Failure(
        reason=Reason.CONNECT,
        detail=f"vendor.invalid: the proxy {proxy.host}: the connection was refused",
    )


async def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with Vendor(json_response({"used": 1})) as vendor:
        assert documents(await fetch(a_target(vendor.base_url)))
