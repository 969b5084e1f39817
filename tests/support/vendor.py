"""A fake vendor on 127.0.0.1 that answers as the test says and records its requests."""

import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeAlias

from exporter.demo.server import FakeVendors, Script, VendorRequest, VendorResponse, json_response

Reply: TypeAlias = VendorResponse | Script
NOW = 1794744000.0  # 2026-11-15T12:00:00Z


class Vendor:
    """Gives its replies one after the other, then the last one for ever.

    A reply may be an answer, a script for the wire, or a function of the request.
    """

    def __init__(
        self, *replies: Reply | Callable[[VendorRequest], Reply], tls: ssl.SSLContext | None = None
    ) -> None:
        self.asked: list[VendorRequest] = []
        self._replies = list(replies) or [json_response({})]
        self._script: Script | None = None
        self._server = FakeVendors(
            {"v": lambda asked, now: self._answer(asked)},
            wall=lambda: NOW,
            inject=lambda name, asked, answer: self._script,
            tls=tls,
        )

    @property
    def base_url(self) -> str:
        return f"{self._server.origin}/v"

    @property
    def host(self) -> str:
        return self._server.origin.partition("//")[2]

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._server.__aexit__(kind, error, traceback)

    def _answer(self, asked: VendorRequest) -> VendorResponse:
        self.asked.append(asked)
        reply = self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
        if callable(reply):
            reply = reply(asked)
        self._script = None if isinstance(reply, VendorResponse) else reply
        return reply if isinstance(reply, VendorResponse) else VendorResponse()
