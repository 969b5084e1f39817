"""``/config``: the configuration in force, each secret as ``<secret>``."""

from collections.abc import Callable

from aiohttp import web

from exporter.web import answers


def handler(text: Callable[[], str]) -> answers.Handler:
    """Return the handler of ``/config``; `text` is YAML without secrets."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return answers.yaml(text())

    return answer
