"""``/probe?target=NAME``: one target's families alone, from the shelf.

A name, never a URL: an address that fetches what it is told leaks credentials and reaches
where it should not (prometheus/docs ``operating/security.md``).
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Final, TypeAlias

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from exporter.kernel.problems import did_you_mean
from exporter.kernel.secrets import clip
from exporter.web import answers
from exporter.web.metrics import Body, exposition
from exporter.web.negotiate import Format, choose_format, joined

Probe: TypeAlias = Callable[[str, Format], Awaitable[Body | None]]
"""Gives one target's exposition, None for a name that is no target."""

_MOST_COMPARED: Final = 50
"""Targets up to which an unknown name is compared with all: 4,000 held the event loop 0.5 s."""


def handler(probe: Probe, names: Callable[[], Collection[str]]) -> answers.Handler:
    """Return the handler of ``/probe``; `names` are the targets of the running configuration."""

    async def answer(request: BaseRequest) -> StreamResponse:
        wanted = request.query.getall("target", [])
        if len(wanted) != 1 or not wanted[0]:
            return _refuse("Name one target: /probe?target=NAME.", "", names())
        kind = choose_format(joined(request.headers.getall("Accept", ())))
        body = await probe(wanted[0], kind)
        if body is None:
            name = clip(wanted[0], 64)
            return _refuse(f'"{name}" is no target of this exporter.', name, names())
        return exposition(body, request, kind=kind, gzip=False)

    return answer


def _refuse(what: str, name: str, names: Collection[str]) -> Response:
    if len(names) <= _MOST_COMPARED:
        return answers.text(what + did_you_mean(name, names), status=400)
    more = f" There are {len(names):,} targets; api/v1/targets lists them."
    return answers.text(what + more, status=400)
