"""``/api/v1/targets``: the status page as JSON, the structs of ``view`` as they are."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from exporter.web import answers
from exporter.web.view import StatusView


def handler(view: Callable[[], Awaitable[StatusView]]) -> answers.Handler:
    """Return the handler of ``/api/v1/targets``."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return answers.json(await view())

    return answer
