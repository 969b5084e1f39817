"""Connecting: what hangs, what is closed, and what speaks another protocol."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from exporter.demo.server import json_response
from exporter.model.outcome import Failure, Reason
from exporter.model.target import Http, Tls
from tests.support.fetching import a_client, a_target, documents, failure, fetch
from tests.support.raw_servers import GOOD, Serve, Server, a_hole
from tests.support.vendor import Vendor

SETTINGS = b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00d\x00\x04\x00\x00\xff\xff"
GOAWAY = b"\x00\x00\x08\x07" + bytes(13)
HTTP2_ALONE = "perhaps it speaks HTTP/2 alone, and this exporter speaks HTTP/1.1"


@contextlib.asynccontextmanager
async def serving(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def mute() -> AsyncIterator[int]:
    """Take what comes, and say nothing."""
    loop = asyncio.get_running_loop()
    async with await loop.create_server(asyncio.Protocol, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def failing(url: str, http: Http = Http()) -> Failure:  # noqa: B008
    """Return the failure of a poll that has half a second to connect, and must not take long."""
    began = time.monotonic()
    async with a_client(connect_timeout=0.5, read_timeout=20) as client:
        found = failure(await fetch(a_target(url, http=http), client=client))
    assert time.monotonic() - began < 10
    return found


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_machine_that_drops_the_first_packet_ends_at_the_time_out(scheme: str) -> None:
    with a_hole() as port:
        found = await failing(f"{scheme}://127.0.0.1:{port}")
    assert found.reason is Reason.TIMEOUT
    assert found.detail == f"127.0.0.1:{port}: no connection within 500ms"


async def test_a_tls_handshake_that_hangs_ends_at_the_time_out() -> None:
    async with mute() as port:
        found = await failing(f"https://127.0.0.1:{port}")
    assert found.reason is Reason.TIMEOUT
    assert found.detail == f"127.0.0.1:{port}: no connection within 500ms"


async def test_a_proxy_that_does_not_answer_to_connect_is_named() -> None:
    async with mute() as port:
        http = Http(proxy_url=f"http://me:s3cr3t@127.0.0.1:{port}")
        found = await failing("https://vendor.invalid", http)
    assert found.reason is Reason.TIMEOUT
    assert found.detail == (
        f"vendor.invalid: no connection within 500ms through the proxy 127.0.0.1:{port}"
    )


async def test_a_plain_proxy_that_is_taken_for_one_with_tls_is_named() -> None:
    async with mute() as port:
        http = Http(proxy_url=f"https://127.0.0.1:{port}")
        found = await failing("http://vendor.invalid", http)
    assert found.detail == (
        f"vendor.invalid: no connection within 500ms through the proxy 127.0.0.1:{port};"
        " if the proxy's port is without TLS, write http:// in its address"
    )


async def test_a_plain_proxy_that_answers_to_tls_is_named() -> None:
    async with serving_frames(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        http = Http(proxy_url=f"https://127.0.0.1:{port}")
        found = await failing("https://vendor.invalid", http)
    assert found.reason is Reason.TLS
    assert found.detail.startswith(f"vendor.invalid: the proxy 127.0.0.1:{port}: TLS failed: ")


async def test_a_proxy_that_hangs_up_is_named() -> None:
    async with Server(b"").at() as proxy:
        host = f"127.0.0.1:{proxy.port}"
        found = await failing("http://vendor.invalid", Http(proxy_url=f"http://{host}"))
    assert found.detail == (
        f"vendor.invalid: the proxy {host}: the connection was closed without an answer"
    )


async def test_a_connection_that_the_vendor_closed_while_idle_costs_no_poll() -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(GOOD)
        await writer.drain()
        writer.close()

    async with serving(once) as port, a_client() as client:
        for _ in range(3):
            target = a_target(f"http://127.0.0.1:{port}")
            assert documents(await fetch(target, client=client)) == [{"used": 1}]


@pytest.mark.parametrize("frame", [SETTINGS, GOAWAY, b"\x00\x00\x24" + SETTINGS[3:]])
async def test_a_server_of_http2_alone_is_told_by_its_first_frame(frame: bytes) -> None:
    async with serving_frames(frame) as port:
        found = await failing(f"http://127.0.0.1:{port}")
    assert found.reason is Reason.CONNECT
    assert found.detail == f"127.0.0.1:{port}: what came is not HTTP/1.1: {HTTP2_ALONE}"


@contextlib.asynccontextmanager
async def serving_frames(frame: bytes) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(16)
        writer.write(frame)
        await writer.drain()
        writer.close()

    async with serving(answer) as port:
        yield port


async def test_what_is_not_http_at_all_is_not_taken_for_http2() -> None:
    async with serving_frames(b"220 mail.example ESMTP\r\n") as port:
        found = await failing(f"http://127.0.0.1:{port}")
    assert found.detail == f"127.0.0.1:{port}: what came is not HTTP/1.1"


@pytest.mark.parametrize(("offers", "hints"), [("h2", True), ("http/1.1", False)])
async def test_a_server_that_agrees_on_no_protocol_and_hangs_up_is_told(
    offers: str, *, hints: bool, tmp_path: Path
) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(16)
        writer.close()

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    tls.set_alpn_protocols([offers])
    http = Http(tls=Tls(ca_file=str(tmp_path / "ca.pem")))
    async with serving(hang_up, tls) as port:
        found = await failing(f"https://127.0.0.1:{port}", http)
    assert found.reason is Reason.CONNECT
    assert found.detail.endswith(HTTP2_ALONE) is hints


async def test_a_poll_after_a_failure_is_told_of_its_own_connection(tmp_path: Path) -> None:
    async with Vendor(json_response({"used": 1})) as vendor, a_client() as client:
        with a_hole() as port:
            failure(await fetch(a_target(f"https://127.0.0.1:{port}"), client=client))
        assert documents(await fetch(a_target(vendor.base_url), client=client))
