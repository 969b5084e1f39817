"""``/api/v1/targets``: the status page as JSON, the structs of ``view`` as they are."""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from exporter.web import answers
from exporter.web.connection import send
from exporter.web.view import StatusView

_HEADERS: Final = {**answers.SECURITY, "Content-Type": "application/json"}


def handler(view: Callable[[], Awaitable[StatusView]]) -> answers.Handler:
    """Return the handler of ``/api/v1/targets``."""

    async def make() -> bytes:
        return await _encode(await view())

    body = answers.Shared(make)

    async def answer(request: BaseRequest) -> StreamResponse:
        return send((await body.get(),), _HEADERS, request)

    return answer


async def _encode(view: StatusView) -> bytes:
    """Return the same as ``answers.json(view)``, made target by target."""
    turns = answers.Turns()
    parts = []
    for target in view.targets:
        parts.append(answers.json(target))
        await turns.rest()
    # The targets are the last field: they go between the brackets of an empty list.
    frame = answers.json(msgspec.structs.replace(view, targets=()))
    return b"".join((frame[:-2], b",".join(parts), frame[-2:]))
