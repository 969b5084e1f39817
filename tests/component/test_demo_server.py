"""The fake vendors on their socket: HTTP by hand, and wrong on purpose."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator

import trustme

from exporter.demo.server import (
    Close,
    FakeVendors,
    Pause,
    Reset,
    Script,
    Send,
    VendorRequest,
    VendorResponse,
)
from tests.support.vendor import NOW


def echo(asked: VendorRequest, now: float) -> VendorResponse:
    text = f"{asked.method} {asked.path} {asked.query} {asked.origin} {now:.0f} "
    return VendorResponse(body=text.encode() + asked.body)


@contextlib.asynccontextmanager
async def connected(
    vendors: FakeVendors, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    port = int(vendors.origin.rpartition(":")[2])
    name = "127.0.0.1" if tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: str) -> str:
    """Send a request and read one answer by its length."""
    writer.write(text.encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.decode().partition("Content-Length: ")[2].partition("\r\n")[0])
    return (head + await reader.readexactly(0 if text.startswith("HEAD") else length)).decode()


async def test_several_requests_go_over_one_connection() -> None:
    async with (
        FakeVendors({"v": echo}, wall=lambda: NOW) as vendors,
        connected(vendors) as (reader, writer),
    ):
        first = await send(reader, writer, "GET /v/a/b?x=1&y=&x=2 HTTP/1.1\r\n\r\n")
        second = await send(reader, writer, "POST /v/c HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi")
        third = await send(reader, writer, "GET /unknown HTTP/1.1\r\n\r\n")
        fourth = await send(reader, writer, "HEAD /v/ HTTP/1.1\r\n\r\n")
    query = "(('x', '1'), ('y', ''), ('x', '2'))"
    assert f"GET /a/b {query} {vendors.origin}/v {NOW:.0f} " in first
    assert second.endswith(" hi")
    assert third.startswith("HTTP/1.1 404 ")
    assert fourth.startswith("HTTP/1.1 200 OK")
    assert vendors.requests == {"v": 3}


async def test_who_speaks_no_http_is_left_alone() -> None:
    async with FakeVendors({"v": echo}, wall=lambda: NOW) as vendors:
        async with connected(vendors) as (reader, writer):
            writer.write(b"x" * 100_000)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        async with connected(vendors) as (reader, writer):
            assert "200 OK" in await send(reader, writer, "GET /v/ HTTP/1.1\r\n\r\n")


async def play(script: Script) -> bytes:
    def inject(vendor: str, asked: VendorRequest, answer: VendorResponse) -> Script | None:
        return script

    async with (
        FakeVendors({"v": echo}, wall=lambda: NOW, inject=inject) as vendors,
        connected(vendors) as (reader, writer),
    ):
        writer.write(b"GET /v/ HTTP/1.1\r\n\r\n")
        return await reader.read()


async def test_a_script_is_played_as_it_is() -> None:
    began = time.perf_counter()
    assert await play((Send(b"a"), Pause(0.05), Send(b"b"), Close())) == b"ab"
    assert time.perf_counter() - began >= 0.05


async def test_a_reset_is_no_orderly_end() -> None:
    try:
        got = await play((Send(b"a"), Pause(0.02), Reset()))
    except ConnectionResetError:
        got = b""
    assert got in (b"", b"a")


async def test_it_ends_while_a_script_pauses() -> None:
    begun = asyncio.Event()

    def inject(vendor: str, asked: VendorRequest, answer: VendorResponse) -> Script | None:
        begun.set()
        return (Pause(60.0), Close())

    async with (
        asyncio.timeout(5),
        FakeVendors({"v": echo}, wall=lambda: NOW, inject=inject) as vendors,
        connected(vendors) as (_, writer),
    ):
        writer.write(b"GET /v/ HTTP/1.1\r\n\r\n")
        await begun.wait()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_it_speaks_tls_where_it_is_told_to() -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    async with FakeVendors({"v": echo}, wall=lambda: NOW, tls=server) as vendors:
        assert vendors.origin.startswith("https://127.0.0.1:")
        async with connected(vendors, client) as (reader, writer):
            assert "200 OK" in await send(reader, writer, "GET /v/ HTTP/1.1\r\n\r\n")
