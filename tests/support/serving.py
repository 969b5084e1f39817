"""A running server on a free port of 127.0.0.1, and ways to talk to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import msgspec

from exporter.web.access import AccessControl
from exporter.web.address import Address
from exporter.web.routes import Dispatcher, Route
from exporter.web.server import WebServer

LOOPBACK = Address("127.0.0.1", 0)


class Broken(list[tuple[str, BaseException]]):
    """What handlers raised: the paths and exceptions that the server reported."""

    def __init__(self) -> None:
        super().__init__()
        self.noticed = asyncio.Event()

    def report(self, path: str, error: BaseException) -> None:
        self.append((path, error))
        self.noticed.set()


class Answer(msgspec.Struct, frozen=True):
    """What came back on the wire."""

    status: int
    headers: Mapping[str, str]  # lower-case names
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@contextlib.asynccontextmanager
async def serving(
    routes: Mapping[str, Route],
    *,
    broken: Broken | None = None,
    access: AccessControl | None = None,
    read_headers: float = 5.0,
    slowest: float = 10.0,
    grace: float = 0.2,
) -> AsyncIterator[int]:
    """Serve `routes` and give the port."""
    report = (broken if broken is not None else Broken()).report
    dispatch = Dispatcher(routes, failed=report, access=access, slowest=slowest)
    server = WebServer(dispatch, read_headers=read_headers, grace=grace)
    (address,) = await server.start([LOOPBACK])
    try:
        yield address.port
    finally:
        await server.stop()


async def ask(
    port: int,
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request on a connection of its own and read the answer to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        lines = {"Host": "exporter", "Connection": "close", **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())
        return parse(await reader.read())
    finally:
        writer.close()
        await writer.wait_closed()


def parse(received: bytes) -> Answer:
    """Read an answer without any of aiohttp's help."""
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return Answer(int(status.split()[1]), {name.lower(): value for name, _, value in pairs}, body)
