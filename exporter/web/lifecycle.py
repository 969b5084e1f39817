"""``/-/reload``: POST or PUT, only with ``--web.enable-lifecycle``, in Prometheus' words.

Any page that somebody's browser shows can send it a POST, so that what a browser sends from
another origin is refused. Browsers say so in ``Sec-Fetch-Site`` and ``Origin``; curl and
config reloaders send neither.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse

from exporter.web import answers

Reload: TypeAlias = Callable[[], Awaitable[Sequence[str]]]
"""Reads the configuration again; gives every problem, nothing when the new one is in force."""


_OWN_SITES: Final = {"same-origin", "none"}
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def handler(reload: Reload | None, *, external_url: str = "") -> answers.Handler:
    """Return the handler of ``/-/reload``; None: the lifecycle API is switched off.

    `external_url` is where a reverse proxy shows the exporter: pages from there may reload, too.
    """
    own = _host(external_url) if external_url else None

    async def answer(request: BaseRequest) -> StreamResponse:
        if reload is None:
            return answers.text(
                "Lifecycle API is not enabled. Start with --web.enable-lifecycle,"
                " or send SIGHUP to the process.",
                status=403,
            )
        if _foreign(request, own):
            return answers.text(
                "A page of another origin may not reload the configuration. Behind a reverse"
                " proxy that changes the Host header, start with --web.external-url.",
                status=403,
            )
        problems = await reload()
        if problems:
            return answers.text(_refusal(problems), status=500)
        return answers.text("Configuration reloaded.")

    return answer


def _foreign(request: BaseRequest, own: tuple[str, int] | None) -> bool:
    """Tell whether a browser sent `request` for a page that is not the exporter's own."""
    # Every line of a header that comes twice has to be good.
    for origin in request.headers.getall("Origin", ()):
        scheme = origin.partition(":")[0]  # the Host header has none, and a default port of it
        asked = _host(f"{scheme}://{request.headers.get('Host', '')}")
        host = _host(origin)
        if host is None or host not in {own, asked}:
            return True
    sites = request.headers.getall("Sec-Fetch-Site", ())
    return not _OWN_SITES.issuperset(site.strip().lower() for site in sites)


def _host(origin: str) -> tuple[str, int] | None:
    """Return the host and port of an ``http`` or ``https`` URL, None if it is no such URL."""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not parts.hostname:
        return None
    return parts.hostname.lower(), port or _DEFAULT_PORTS[scheme]


def _refusal(problems: Sequence[str]) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    head = f"Failed to reload the configuration: {count}. The old one stays in force."
    return "\n".join([head, *problems])
