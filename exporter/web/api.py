"""``/api/v1/targets``: the status page as JSON, the structs of ``view`` as they are."""

from collections.abc import Awaitable, Callable

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from exporter.web import answers
from exporter.web.view import StatusView


def handler(view: Callable[[], Awaitable[StatusView]]) -> answers.Handler:
    """Return the handler of ``/api/v1/targets``."""

    async def answer(request: BaseRequest) -> StreamResponse:
        return answers.json(await view())

    return answer
