"""``/-/reload``: POST or PUT, only with ``--web.enable-lifecycle``, in Prometheus' words."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from exporter.web import answers

Reload: TypeAlias = Callable[[], Awaitable[Sequence[str]]]
"""Reads the configuration again; gives every problem, nothing when the new one is in force."""


def handler(reload: Reload | None) -> answers.Handler:
    """Return the handler of ``/-/reload``; None: the lifecycle API is switched off."""

    async def answer(request: BaseRequest) -> StreamResponse:
        if reload is None:
            return answers.text(
                "Lifecycle API is not enabled. Start with --web.enable-lifecycle,"
                " or send SIGHUP to the process.",
                status=403,
            )
        problems = await reload()
        if problems:
            return answers.text(_refusal(problems), status=500)
        return answers.text("Configuration reloaded.")

    return answer


def _refusal(problems: Sequence[str]) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    head = f"Failed to reload the configuration: {count}. The old one stays in force."
    return "\n".join([head, *problems])
