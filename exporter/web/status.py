"""``/``: the status page. It works without JavaScript and loads nothing from elsewhere."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from exporter.web import answers
from exporter.web.page import page
from exporter.web.style import POLICY
from exporter.web.view import StatusView


def handler(view: Callable[[], Awaitable[StatusView]], *, telemetry_path: str) -> answers.Handler:
    """Return the handler of ``/``."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        parts = []
        for part in page(await view(), telemetry_path=telemetry_path):
            parts.append(part)
            await asyncio.sleep(0)  # 200 cards take 30 ms: scrapes go in between
        return answers.html("".join(parts), policy=POLICY)

    return answer


async def icon(request: web.BaseRequest) -> web.StreamResponse:
    """Answer ``/favicon.ico`` with nothing: the page brings its own icon."""
    return web.Response(status=204, headers=answers.SECURITY)
