"""``/metrics``: the exposition, from memory, in the format and coding that was asked for."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from exporter.web import answers
from exporter.web.connection import send
from exporter.web.negotiate import Format, choose_format, choose_gzip, joined

Body: TypeAlias = bytes | tuple[bytes, ...]
"""A body, whole or in the pieces that it is made of, in their order."""

Scrape: TypeAlias = Callable[[Format, bool], Awaitable[Body]]
"""Gives the exposition in a format, as gzip or not. Meets no vendor."""

_VARY: Final = "Accept, Accept-Encoding"


def exposition(body: Body, request: BaseRequest, *, kind: Format, gzip: bool) -> StreamResponse:
    """Return the answer that carries `body`, with a Content-Length and without chunks."""
    headers = {**answers.SECURITY, "Content-Type": kind.value, "Vary": _VARY}
    if gzip:
        headers["Content-Encoding"] = "gzip"
    return send((body,) if isinstance(body, bytes) else body, headers, request)


def handler(scrape: Scrape) -> answers.Handler:
    """Return the handler of the telemetry path."""

    async def metrics(request: BaseRequest) -> StreamResponse:
        kind = choose_format(joined(request.headers.getall("Accept", ())))
        gzip = choose_gzip(joined(request.headers.getall("Accept-Encoding", ())))
        return exposition(await scrape(kind, gzip), request, kind=kind, gzip=gzip)

    return metrics
