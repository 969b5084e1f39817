import asyncio
import contextlib
import errno
import socket

import pytest
from aiohttp import web

from exporter.kernel.override import override
from exporter.web.address import Address, CannotListen, parse_address
from exporter.web.response import text_response
from exporter.web.routes import CHANGE_METHODS, Dispatcher, Route
from exporter.web.server import WebServer
from tests.support.serving import LOOPBACK, Broken, ask, parse, serving

CANARY = "canary-5f1e"


async def hello(request: web.BaseRequest) -> web.StreamResponse:
    return text_response("hello")


async def hang(request: web.BaseRequest) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("an event that nobody sets")


async def crash(request: web.BaseRequest) -> web.StreamResponse:
    raise ValueError(f"the token is {CANARY}")


ROUTES = {
    "/": Route(handler=hello),
    "/hang": Route(handler=hang),
    "/crash": Route(handler=crash),
    "/change": Route(handler=hello, methods=CHANGE_METHODS),
}


async def test_an_address_of_the_table_is_answered() -> None:
    async with serving(ROUTES) as port:
        answer = await ask(port, "/")
    assert (answer.status, answer.text) == (200, "hello\n")


async def test_every_answer_has_security_headers_and_hides_the_software() -> None:
    async with serving(ROUTES) as port:
        for path in ("/", "/nowhere", "/crash", "/change"):
            answer = await ask(port, path)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["server"] == "usage-exporter"


async def test_an_unknown_address_is_404_in_plain_text() -> None:
    async with serving(ROUTES) as port:
        answer = await ask(port, "/nowhere")
    assert answer.status == 404
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("path", ["//", "/%2e%2e/", "/?", "/%ff%fe", "/%00", "*", "http://other/x"])
async def test_odd_addresses_are_answered_and_never_an_error(path: str) -> None:
    broken = Broken()
    async with serving(ROUTES, broken=broken) as port:
        answer = await ask(port, path)
    assert answer.status in {200, 400, 404}
    assert broken == []


async def test_a_method_that_the_address_does_not_take_is_405_with_those_it_takes() -> None:
    async with serving(ROUTES) as port:
        post = await ask(port, "/", method="POST")
        get = await ask(port, "/change")
    assert (post.status, post.headers["allow"]) == (405, "GET, HEAD")
    assert (get.status, get.text) == (405, "Only POST or PUT requests allowed.\n")


async def test_head_has_the_headers_of_get_and_no_body() -> None:
    async with serving(ROUTES) as port:
        answer = await ask(port, "/", method="HEAD")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "6", b"")


async def test_a_broken_handler_is_500_without_its_words_and_is_reported() -> None:
    broken = Broken()
    async with serving(ROUTES, broken=broken) as port:
        answer = await ask(port, "/crash")
        after = await ask(port, "/")
    assert answer.status == 500
    assert CANARY not in answer.text
    assert "Traceback" not in answer.text
    assert [(path, type(error)) for path, error in broken] == [("/crash", ValueError)]
    assert after.status == 200


class Snapping(web.Response):
    """An answer that breaks after its first bytes."""

    @override
    async def write_eof(self, data: bytes = b"") -> None:
        await self._payload_writer.write(data + b"x")  # type: ignore[union-attr]
        raise ValueError(CANARY)


async def test_an_answer_that_breaks_while_it_is_written_is_cut_off_and_reported() -> None:
    async def snap(request: web.BaseRequest) -> web.StreamResponse:
        return Snapping(body=b"x" * 10)

    broken = Broken()
    routes = {"/snap": Route(handler=snap), "/": Route(handler=hello)}
    async with serving(routes, broken=broken) as port:
        with contextlib.suppress(ConnectionResetError):
            assert CANARY.encode() not in await received(port, "/snap")
        assert (await ask(port, "/")).status == 200
    assert [(path, type(error)) for path, error in broken] == [("/snap", ValueError)]


async def test_a_report_that_breaks_is_500_too() -> None:
    def report(path: str, error: BaseException) -> None:
        raise RuntimeError(CANARY)

    server = WebServer(Dispatcher(ROUTES, failed=report), grace=0.2)
    (address,) = await server.start([LOOPBACK])
    try:
        answer = await ask(address.port, "/crash")
        assert (answer.status, answer.text) == (500, "Internal error.\n")
        assert (await ask(address.port, "/")).status == 200
    finally:
        await server.stop()


async def test_a_hung_handler_holds_up_nobody_and_is_ended() -> None:
    broken = Broken()
    async with serving(ROUTES, broken=broken, slowest=0.05) as port, asyncio.TaskGroup() as group:
        hung = group.create_task(ask(port, "/hang"))
        assert (await ask(port, "/")).status == 200
        assert (await hung).status == 503
    assert [path for path, _ in broken] == ["/hang"]


async def test_a_hung_handler_does_not_hold_up_the_stop() -> None:
    begun = asyncio.Event()

    async def announce(request: web.BaseRequest) -> web.StreamResponse:
        begun.set()
        return await hang(request)

    async with asyncio.timeout(2), asyncio.TaskGroup() as group:
        async with serving({"/hang": Route(handler=announce)}, grace=0.1) as port:
            hung = group.create_task(received(port, "/hang"))
            await begun.wait()
        assert await hung == b""


async def received(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


def read_to_end(client: socket.socket) -> int:
    size = 0
    with contextlib.suppress(ConnectionResetError):
        while chunk := client.recv(1 << 20):
            size += len(chunk)
    return size


HUGE = b"x" * 16_000_000  # more than both ends of a socket hold


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    broken = Broken()

    async def huge(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=HUGE)

    routes = {"/huge": Route(handler=huge)}
    async with asyncio.timeout(10), serving(routes, broken=broken, slowest=0.1) as port:
        with socket.create_connection(("127.0.0.1", port)) as lazy:
            lazy.sendall(b"GET /huge HTTP/1.1\r\nHost: a\r\n\r\n")
            await broken.noticed.wait()
            lazy.settimeout(5)
            assert await asyncio.to_thread(read_to_end, lazy) < len(HUGE)
    assert [path for path, _ in broken] == ["/huge"]


@pytest.mark.parametrize(
    "start", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", b"\x16\x03\x01"]
)
async def test_headers_that_do_not_come_end_the_connection(start: bytes) -> None:
    async with asyncio.timeout(5), serving(ROUTES, read_headers=0.05) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(start)
        with contextlib.suppress(ConnectionResetError):
            assert b"200" not in await reader.read()
        writer.close()


async def test_a_second_request_on_the_connection_has_the_same_deadline() -> None:
    async with asyncio.timeout(5), serving(ROUTES, read_headers=0.05) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"hello\n")
        await asyncio.sleep(0.1)  # idle is allowed: only a begun request must end
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"hello\n")
        writer.write(b"GET / HT")
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


async def test_what_is_no_http_is_400_and_not_reported() -> None:
    broken = Broken()
    async with serving(ROUTES, broken=broken) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01 nonsense\r\n\r\n")
        answer = parse(await reader.read())
        writer.close()
    assert answer.status == 400
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert broken == []


async def test_a_header_that_is_too_long_is_refused() -> None:
    async with serving(ROUTES) as port:
        assert (await ask(port, "/", headers={"X-Long": "x" * 20_000})).status == 400
        assert (await ask(port, "/?" + "x" * 20_000)).status == 400


async def test_a_body_that_nobody_reads_does_no_harm() -> None:
    async with serving(ROUTES) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PUT /change HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        writer.write(b"x" * 1_000_000)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        received = await reader.read()
        writer.close()
    assert received.count(b"hello\n") == 2


async def test_a_client_that_leaves_is_nobodys_error() -> None:
    broken = Broken()
    begun = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        begun.set()
        await asyncio.sleep(0.05)
        return web.Response(body=b"x" * 5_000_000)

    routes = {"/slow": Route(handler=slow), "/": Route(handler=hello)}
    async with serving(routes, broken=broken) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        await begun.wait()
        writer.transport.abort()
        await asyncio.sleep(0.1)
        assert (await ask(port, "/")).status == 200
    assert broken == []


async def test_a_hundred_clients_at_once_are_all_answered() -> None:
    async with serving(ROUTES) as port, asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(port, "/")) for _ in range(100)]
        answers_ = [await task for task in asked]
    assert {answer.status for answer in answers_} == {200}


async def test_several_addresses_and_every_interface() -> None:
    server = WebServer(hello)
    first, second = await server.start([parse_address(":0"), LOOPBACK])
    try:
        assert (await ask(first.port, "/")).text == "hello\n"
        assert (await ask(second.port, "/")).text == "hello\n"
        if socket.has_dualstack_ipv6():
            _, writer = await asyncio.open_connection("::1", first.port)
            writer.close()
    finally:
        await server.stop()


async def test_a_name_of_this_machine_is_listened_on() -> None:
    server = WebServer(hello)
    (address,) = await server.start([Address("localhost", 0)])
    try:
        assert (await ask(address.port, "/")).status == 200
    finally:
        await server.stop()


async def test_a_port_in_use_says_so_and_what_to_do_and_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = WebServer(hello)
        with pytest.raises(CannotListen) as raised:
            await server.start([LOOPBACK, Address("127.0.0.1", port)])
    assert str(raised.value) == (
        f'--web.listen-address: cannot listen on "127.0.0.1:{port}": address already in use.'
        f" Stop what listens there, or choose another port, for example :{port + 1}."
    )


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
async def test_an_address_that_is_not_ours_says_what_to_write(host: str) -> None:
    with pytest.raises(CannotListen, match="Write an address of this machine"):
        await WebServer(hello).start([Address(host, 0)])


@pytest.mark.parametrize(
    ("number", "instead"),
    [
        (errno.EACCES, "Ports below 1024 are the system's; choose one above"),
        (errno.EMFILE, "Choose another address"),
    ],
)
async def test_other_refusals_of_the_system_are_told(
    number: int, instead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise OSError(number, "No.")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(CannotListen, match=instead):
        await WebServer(hello).start([LOOPBACK])


async def test_a_server_that_never_started_stops_quietly() -> None:
    await WebServer(hello).stop()
