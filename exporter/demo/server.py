"""The fake vendors on a real socket: HTTP/1.1 by hand, so that it can also be done wrong.

A web framework would mend what a fault is meant to break (a short body, a reset, bytes that drip).
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from exporter.demo.wire import Answer, Asked, Close, Pause, Reset, Script, Send, plainly

Vendor = Callable[[Asked, float], Answer]
Spoil = Callable[[str, Asked, Answer], Script | None]
"""What a fault makes of a vendor's answer; None leaves it as it is."""

_LONGEST_HEAD = 64 * 1024
_LONGEST_BODY = 1024 * 1024


def _honest(vendor: str, asked: Asked, answer: Answer) -> Script | None:
    return None


class FakeVendors:
    """Serves each vendor under its name: ``http://127.0.0.1:PORT/<name>/…``.

    ``requests`` counts what was asked, by vendor. ``wall`` gives the time that the numbers follow.
    """

    def __init__(
        self,
        vendors: Mapping[str, Vendor],
        *,
        wall: Callable[[], float],
        spoil: Spoil = _honest,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: dict[str, int] = dict.fromkeys(vendors, 0)
        self._vendors = vendors
        self._wall = wall
        self._spoil = spoil
        self._port = port
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.StreamWriter, asyncio.Task[object]] = {}

    @property
    def origin(self) -> str:
        """The address of the server, without a vendor's name."""
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, limit=_LONGEST_HEAD, ssl=self._tls
        )
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is None:
            return
        self._server.close()
        answering = list(self._open.values())
        for writer, task in list(self._open.items()):
            writer.transport.abort()
            task.cancel()  # a script may be in the middle of a long pause
        if answering:
            await asyncio.wait(answering)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            self._open[writer] = task
        try:
            while await self._exchange(reader, writer):
                pass
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # the client went away, or speaks no HTTP: nobody is left to be told
        except asyncio.CancelledError:
            pass  # the server stops; asyncio would log a cancelled handler as an error
        finally:
            self._open.pop(writer, None)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        asked = _parse(await reader.readuntil(b"\r\n\r\n"), self.origin)
        length = min(int(asked.headers.get("content-length", "0")), _LONGEST_BODY)
        body = await reader.readexactly(length) if length else b""
        name, _, rest = asked.path.removeprefix("/").partition("/")
        vendor = self._vendors.get(name)
        if vendor is None:
            script = plainly(Answer(status=404, body=b"no such vendor"))
        else:
            self.requests[name] += 1
            asked = _for_vendor(asked, name, f"/{rest}", body)
            answer = vendor(asked, self._wall())
            script = self._spoil(name, asked, answer) or plainly(_bodiless(asked, answer))
        return await _play(script, writer)


def _parse(data: bytes, origin: str) -> Asked:
    lines = data.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    pairs = (line.split(":", 1) for line in lines[1:] if ":" in line)
    parts = urlsplit(target)
    return Asked(
        method=method,
        path=parts.path,
        query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
        headers={name.strip().lower(): value.strip() for name, value in pairs},
        origin=origin,
    )


def _for_vendor(asked: Asked, name: str, path: str, body: bytes) -> Asked:
    return Asked(
        method=asked.method,
        path=path,
        query=asked.query,
        headers=asked.headers,
        body=body,
        origin=f"{asked.origin}/{name}",
    )


def _bodiless(asked: Asked, answer: Answer) -> Answer:
    if asked.method != "HEAD":
        return answer
    return Answer(status=answer.status, headers=answer.headers)


async def _play(script: Script, writer: asyncio.StreamWriter) -> bool:
    """Do what the script says; False ends the connection."""
    for action in script:
        match action:
            case Send(data):
                writer.write(data)
                await writer.drain()
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Close():
                return False
            case Reset():
                writer.transport.abort()
                return False
    return True
