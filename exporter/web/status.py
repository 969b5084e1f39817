"""``/``: the status page. It works without JavaScript and loads nothing from elsewhere."""

from collections.abc import Awaitable, Callable

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from exporter.web import answers
from exporter.web.connection import send
from exporter.web.view import StatusView


def handler(view: Callable[[], Awaitable[StatusView]], *, telemetry_path: str) -> answers.Handler:
    """Return the handler of ``/``."""

    async def make() -> bytes:
        # Not before somebody looks: most daemons are only ever scraped.
        from exporter.web.page import page  # noqa: PLC0415

        turns = answers.Turns()
        parts = []
        for part in page(await view(), telemetry_path=telemetry_path):
            parts.append(part)
            await turns.rest()  # 200 cards take 30 ms: scrapes go in between
        return "".join(parts).encode("utf-8", "replace")

    body = answers.Shared(make)

    async def answer(request: BaseRequest) -> StreamResponse:
        from exporter.web.style import POLICY  # noqa: PLC0415 - as above

        headers = {
            **answers.SECURITY,
            "Content-Security-Policy": POLICY,
            "Content-Type": "text/html; charset=utf-8",
        }
        return send((await body.get(),), headers, request)

    return answer


async def icon(request: BaseRequest) -> StreamResponse:
    """Answer ``/favicon.ico`` with nothing: the page brings its own icon."""
    return Response(status=204, headers=answers.SECURITY)


def elsewhere(location: str) -> answers.Handler:
    """Return a handler that sends browsers to the status page below a prefix."""

    async def answer(request: BaseRequest) -> StreamResponse:
        headers = {**answers.SECURITY, "Location": location}
        return answers.text(f"The status page is at {location}", status=302, headers=headers)

    return answer
