"""One connection, with the time limits that aiohttp's own has not.

aiohttp closes what is idle after an answer, but waits for ever for a request whose headers
come one byte a minute.
"""

import asyncio
from http import HTTPStatus
from typing import Final, cast

from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from aiohttp.web_server import Server

from exporter.kernel.override import override
from exporter.web import answers
from exporter.web.answers import Handler

READ_HEADERS: Final = 5.0
"""Seconds from the first byte (or the connection) to the last header, as kube-state-metrics."""
IDLE: Final = 300.0
"""Seconds that a connection is kept between requests: Prometheus comes once a minute."""

_LINGER: Final = 1.0  # no address reads a body; this long is one waited for and thrown away
_LONGEST_LINE: Final = 8190
_MOST_HEADERS: Final = 64


class Connection(RequestHandler):
    """Reads requests from one client, with a deadline for their headers."""

    __slots__ = ("_answering", "_deadline", "_read_headers")

    def __init__(
        self, manager: Server, *, loop: asyncio.AbstractEventLoop, read_headers: float
    ) -> None:
        super().__init__(
            manager,
            loop=loop,
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to switch it off
            keepalive_timeout=IDLE,
            lingering_time=_LINGER,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            max_headers=_MOST_HEADERS,
            auto_decompress=False,
        )
        self._read_headers = read_headers
        self._deadline: asyncio.TimerHandle | None = None
        self._answering = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._arm()

    @override
    def data_received(self, data: bytes) -> None:
        if self._deadline is None and not self._answering:
            self._arm()
        super().data_received(data)

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def request_begun(self) -> None:
        """Note that a request is complete and about to be answered."""
        self._answering = True
        self._disarm()

    def request_ended(self) -> None:
        """Note that the answer is written."""
        self._answering = False

    @override
    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        # What is no HTTP (a port scan, TLS on the plain port) is answered and not logged; what
        # a handler raised has been logged by the dispatch.
        if request.writer.output_size > 0:
            raise ConnectionResetError("The answer has begun; there is no way to say more.")
        known = status != HTTPStatus.INTERNAL_SERVER_ERROR
        response = answers.text(
            "Not a valid HTTP request." if known else "Internal error.", status=status
        )
        response.force_close()
        return response

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._read_headers, self._expire)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        if self.transport is not None:
            self.transport.abort()


class Connections(Server):
    """Makes a `Connection` for each client that comes."""

    def __init__(self, handler: Handler, *, read_headers: float = READ_HEADERS) -> None:
        super().__init__(_timed(handler))
        self._headers_within = read_headers

    @override
    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, read_headers=self._headers_within)


def _timed(handler: Handler) -> Handler:
    async def answer(request: BaseRequest) -> StreamResponse:
        connection = cast(Connection, request.protocol)
        connection.request_begun()
        try:
            return await handler(request)
        finally:
            connection.request_ended()

    return answer
