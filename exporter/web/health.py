"""``/-/healthy`` and ``/-/ready``: neither depends on a vendor, so that no outage ends a pod."""

from collections.abc import Callable

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from exporter.web import answers


async def healthy(request: BaseRequest) -> StreamResponse:
    """Answer 200: that anything is answered means that the event loop turns."""
    return answers.text("usage-exporter is Healthy.")


def ready(not_ready: Callable[[], str]) -> answers.Handler:
    """Return the handler of ``/-/ready``; `not_ready` gives the reason, "" when there is none."""

    async def answer(request: BaseRequest) -> StreamResponse:
        reason = not_ready()
        if reason:
            return answers.text(f"usage-exporter is not Ready: {reason}", status=503)
        return answers.text("usage-exporter is Ready.")

    return answer
