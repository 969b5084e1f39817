"""``/config``: the configuration in force, each secret as ``<secret>``."""

from collections.abc import Callable
from typing import Final

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from exporter.web import answers
from exporter.web.connection import send

# YAML under a type that browsers show instead of saving.
_HEADERS: Final = {**answers.SECURITY, "Content-Type": "text/plain; charset=utf-8"}


def handler(text: Callable[[], str]) -> answers.Handler:
    """Return the handler of ``/config``; `text` is YAML without secrets."""
    encoded: tuple[str, bytes] = ("", b"")

    async def answer(request: BaseRequest) -> StreamResponse:
        nonlocal encoded
        present = text()
        if present is not encoded[0]:  # one copy for all clients, until the next reload
            encoded = (present, present.encode("utf-8", "replace"))
        return send((encoded[1],), _HEADERS, request)

    return answer
