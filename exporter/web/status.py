"""``/``: the status page. It works without JavaScript and loads nothing from elsewhere."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from exporter.web import answers
from exporter.web.view import StatusView


def handler(view: Callable[[], Awaitable[StatusView]], *, telemetry_path: str) -> answers.Handler:
    """Return the handler of ``/``."""

    async def answer(request: BaseRequest) -> StreamResponse:
        # Not before somebody looks: most daemons are only ever scraped.
        from exporter.web.page import page  # noqa: PLC0415
        from exporter.web.style import POLICY  # noqa: PLC0415

        parts = []
        for part in page(await view(), telemetry_path=telemetry_path):
            parts.append(part)
            await asyncio.sleep(0)  # 200 cards take 30 ms: scrapes go in between
        return answers.html("".join(parts), policy=POLICY)

    return answer


async def icon(request: BaseRequest) -> StreamResponse:
    """Answer ``/favicon.ico`` with nothing: the page brings its own icon."""
    return Response(status=204, headers=answers.SECURITY)
