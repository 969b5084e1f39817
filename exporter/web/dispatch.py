"""One request, from the guard over its address's handler to the last written byte."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, TypeAlias, cast

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from exporter.web import answers
from exporter.web.answers import Route
from exporter.web.connection import STALLED, Connection, Pieces

Failed: TypeAlias = Callable[[str, BaseException], None]
"""Told the path and the exception of a handler that broke, to log and to count it."""

_INTERNAL: Final = "Internal error. The exporter's log says more."
_CROWDED: Final = "Too many answers wait for clients that do not read. Come again in a moment."
_LATER: Final = {**answers.SECURITY, "Retry-After": "10"}
_SLOWEST: Final = 60.0
"""Seconds for a handler and for a client to read the answer: a reload of 10,000 targets fits."""


class Guard(Protocol):
    """Who may pass, and the headers that the web configuration adds to every answer."""

    def admit(self, request: BaseRequest) -> Awaitable[Response | None]:
        """Return the refusal, or None when the request may pass."""
        ...

    def headers(self) -> Mapping[str, str]:
        """Return the headers that each answer gets."""
        ...


class Dispatch:
    """Answers requests by a table of addresses.

    The table is fixed; whatever a handler does, the client gets an answer without a traceback,
    and the next request is served.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        *,
        failed: Failed,
        guard: Guard | None = None,
        slowest: float = _SLOWEST,
    ) -> None:
        self._routes = dict(routes)
        self._failed = failed
        self._guard = guard
        self._slowest = slowest

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        """Answer `request`, the body included."""
        try:
            async with asyncio.timeout(self._slowest):
                response = await self._respond(request)
                return await _write(response, request)
        except TimeoutError:
            unread = request.writer.output_size > 0
            late = "its client does not read" if unread else f"no answer within {self._slowest:g} s"
            words = "The exporter took too long to answer."
            return self._give_up(request, TimeoutError(late), words, 503)
        except Exception as error:  # noqa: BLE001 - an answer that breaks while it is written
            return self._give_up(request, error, _INTERNAL, 500)

    async def _respond(self, request: BaseRequest) -> StreamResponse:
        try:
            response = await self._admitted(request)
        except Exception as error:  # noqa: BLE001 - a broken handler must not take others with it
            self._failed(request.path, error)
            response = answers.text(_INTERNAL, status=500)
        if self._guard is not None:
            response.headers.update(self._guard.headers())
        return response

    async def _admitted(self, request: BaseRequest) -> StreamResponse:
        if self._guard is not None:
            refusal = await self._guard.admit(request)
            if refusal is not None:
                return refusal
        route = self._routes.get(request.path)
        if route is None:
            return answers.text("404 page not found. The page / lists the addresses.", status=404)
        if request.method not in route.methods:
            return answers.method_not_allowed(route.methods)
        return await route.handler(request)

    def _give_up(
        self, request: BaseRequest, error: Exception, words: str, status: int
    ) -> StreamResponse:
        self._failed(request.path, error)
        if request.protocol.transport is not None and request.writer.output_size > 0:
            request.protocol.transport.abort()  # close() would wait for the client to read
        return answers.text(words, status=status)


async def _write(response: StreamResponse, request: BaseRequest) -> StreamResponse:
    # Here and not by aiohttp later, so that a client which does not read meets the deadline.
    flight = cast(Connection, request.protocol).in_flight
    size = 0 if isinstance(response, Pieces) else response.content_length or 0
    if not flight.fits(size):
        response, size = answers.text(_CROWDED, status=503, headers=_LATER), 0
    with contextlib.suppress(ConnectionError), flight.private(size):
        if isinstance(response, Pieces):  # it has a deadline for each piece
            await response.prepare(request)
            await response.write_eof()
        else:
            async with asyncio.timeout(STALLED):
                await response.prepare(request)
                await response.write_eof()
    return response
