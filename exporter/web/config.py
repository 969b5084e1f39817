"""``/config``: the configuration in force, each secret as ``<secret>``."""

from collections.abc import Callable

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from exporter.web import answers


def handler(text: Callable[[], str]) -> answers.Handler:
    """Return the handler of ``/config``; `text` is YAML without secrets."""

    async def answer(request: BaseRequest) -> StreamResponse:
        return answers.yaml(text())

    return answer
