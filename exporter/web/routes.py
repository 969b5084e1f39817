"""``/metrics``: the exposition, from memory, in the format and coding that was asked for.

``/api/v1/targets``: the status page as JSON, the structs of ``view`` as they are.

``/config``: the configuration in force, each secret as ``<secret>``.

``/-/healthy`` and ``/-/ready``: neither depends on a vendor, so that no outage ends a pod.

``/-/reload``: POST or PUT, only with ``--web.enable-lifecycle``, in Prometheus' words.

Any page that somebody's browser shows can send it a POST, so that what a browser sends from
another origin is refused. Browsers say so in ``Sec-Fetch-Site`` and ``Origin``; curl and
config reloaders send neither.

``/probe?target=NAME``: one target's families alone, from the shelf.

A name, never a URL: an address that fetches what it is told leaks credentials and reaches
where it should not (prometheus/docs ``operating/security.md``).

``/``: the status page. It works without JavaScript and loads nothing from elsewhere.

All addresses: the table that the dispatch answers by.

One request, from the guard over its address's handler to the last written byte.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, Protocol, TypeAlias, cast
from urllib.parse import urlsplit

import msgspec
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from exporter.kernel.problems import did_you_mean
from exporter.kernel.secrets import clip
from exporter.web import connection
from exporter.web.connection import CHANGE_METHODS, STALLED, Connection, Route, StreamedBody, send
from exporter.web.negotiate import Format, choose_format, choose_gzip, join_header_lines
from exporter.web.view import StatusView

Body: TypeAlias = bytes | tuple[bytes, ...]
"""A body, whole or in the pieces that it is made of, in their order."""
Scrape: TypeAlias = Callable[[Format, bool], Awaitable[Body]]
"""Gives the exposition in a format, as gzip or not. Meets no vendor."""
_VARY: Final = "Accept, Accept-Encoding"


def exposition(body: Body, request: BaseRequest, *, kind: Format, gzip: bool) -> StreamResponse:
    """Return the answer that carries `body`, with a Content-Length and without chunks."""
    headers = {**connection.SECURITY_HEADERS, "Content-Type": kind.value, "Vary": _VARY}
    if gzip:
        headers["Content-Encoding"] = "gzip"
    return send((body,) if isinstance(body, bytes) else body, headers, request)


def metrics_handler(scrape: Scrape) -> connection.Handler:
    """Return the handler of the telemetry path."""

    async def metrics(request: BaseRequest) -> StreamResponse:
        kind = choose_format(join_header_lines(request.headers.getall("Accept", ())))
        gzip = choose_gzip(join_header_lines(request.headers.getall("Accept-Encoding", ())))
        return exposition(await scrape(kind, gzip), request, kind=kind, gzip=gzip)

    return metrics


_HEADERS: Final = {**connection.SECURITY_HEADERS, "Content-Type": "application/json"}


def api_handler(view: Callable[[], Awaitable[StatusView]]) -> connection.Handler:
    """Return the handler of ``/api/v1/targets``."""

    async def make() -> bytes:
        return await _encode(await view())

    body = connection.SharedBody(make)

    async def answer(request: BaseRequest) -> StreamResponse:
        return send((await body.get(),), _HEADERS, request)

    return answer


async def _encode(view: StatusView) -> bytes:
    """Return the same as ``answers.json(view)``, made target by target."""
    turns = connection.TimeSlice()
    parts = []
    for target in view.targets:
        parts.append(connection.json_response(target))
        await turns.rest()
    # The targets are the last field: they go between the brackets of an empty list.
    frame = connection.json_response(msgspec.structs.replace(view, targets=()))
    return b"".join((frame[:-2], b",".join(parts), frame[-2:]))


# YAML under a type that browsers show instead of saving.
_CONFIG_HEADERS: Final = {
    **connection.SECURITY_HEADERS,
    "Content-Type": "text/plain; charset=utf-8",
}


def config_handler(text: Callable[[], str]) -> connection.Handler:
    """Return the handler of ``/config``; `text` is YAML without secrets."""
    encoded: tuple[str, bytes] = ("", b"")

    async def answer(request: BaseRequest) -> StreamResponse:
        nonlocal encoded
        present = text()
        if present is not encoded[0]:  # one copy for all clients, until the next reload
            encoded = (present, present.encode("utf-8", "replace"))
        return send((encoded[1],), _CONFIG_HEADERS, request)

    return answer


async def healthy_handler(request: BaseRequest) -> StreamResponse:
    """Answer 200: that anything is answered means that the event loop turns."""
    return connection.text_response("usage-exporter is Healthy.")


def ready_handler(not_ready: Callable[[], str]) -> connection.Handler:
    """Return the handler of ``/-/ready``; `not_ready` gives the reason, "" when there is none."""

    async def answer(request: BaseRequest) -> StreamResponse:
        reason = not_ready()
        if reason:
            return connection.text_response(f"usage-exporter is not Ready: {reason}", status=503)
        return connection.text_response("usage-exporter is Ready.")

    return answer


Reload: TypeAlias = Callable[[], Awaitable[Sequence[str]]]
"""Reads the configuration again; gives every problem, nothing when the new one is in force."""
_OWN_SITES: Final = {"same-origin", "none"}
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def reload_handler(reload: Reload | None, *, external_url: str = "") -> connection.Handler:
    """Return the handler of ``/-/reload``; None: the lifecycle API is switched off.

    `external_url` is where a reverse proxy shows the exporter: pages from there may reload, too.
    """
    own = _host(external_url) if external_url else None

    async def answer(request: BaseRequest) -> StreamResponse:
        if reload is None:
            return connection.text_response(
                "Lifecycle API is not enabled. Start with --web.enable-lifecycle,"
                " or send SIGHUP to the process.",
                status=403,
            )
        if _foreign(request, own):
            return connection.text_response(
                "A page of another origin may not reload the configuration. Behind a reverse"
                " proxy that changes the Host header, start with --web.external-url.",
                status=403,
            )
        problems = await reload()
        if problems:
            return connection.text_response(_refusal(problems), status=500)
        return connection.text_response("Configuration reloaded.")

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


Probe: TypeAlias = Callable[[str, Format], Awaitable[Body | None]]
"""Gives one target's exposition, None for a name that is no target."""
_MOST_COMPARED: Final = 50
"""Targets up to which an unknown name is compared with all: 4,000 held the event loop 0.5 s."""


def probe_handler(probe: Probe, names: Callable[[], Collection[str]]) -> connection.Handler:
    """Return the handler of ``/probe``; `names` are the targets of the running configuration."""

    async def answer(request: BaseRequest) -> StreamResponse:
        wanted = request.query.getall("target", [])
        if len(wanted) != 1 or not wanted[0]:
            return _refuse("Name one target: /probe?target=NAME.", "", names())
        kind = choose_format(join_header_lines(request.headers.getall("Accept", ())))
        body = await probe(wanted[0], kind)
        if body is None:
            name = clip(wanted[0], 64)
            return _refuse(f'"{name}" is no target of this exporter.', name, names())
        return exposition(body, request, kind=kind, gzip=False)

    return answer


def _refuse(what: str, name: str, names: Collection[str]) -> Response:
    if len(names) <= _MOST_COMPARED:
        return connection.text_response(what + did_you_mean(name, names), status=400)
    more = f" There are {len(names):,} targets; api/v1/targets lists them."
    return connection.text_response(what + more, status=400)


def status_page_handler(
    view: Callable[[], Awaitable[StatusView]], *, telemetry_path: str
) -> connection.Handler:
    """Return the handler of ``/``."""

    async def make() -> bytes:
        # Not before somebody looks: most daemons are only ever scraped.
        from exporter.web.page import status_page  # noqa: PLC0415

        turns = connection.TimeSlice()
        parts = []
        for part in status_page(await view(), telemetry_path=telemetry_path):
            parts.append(part)
            await turns.rest()  # 200 cards take 30 ms: scrapes go in between
        return "".join(parts).encode("utf-8", "replace")

    body = connection.SharedBody(make)

    async def answer(request: BaseRequest) -> StreamResponse:
        from exporter.web.style import POLICY  # noqa: PLC0415 - as above

        headers = {
            **connection.SECURITY_HEADERS,
            "Content-Security-Policy": POLICY,
            "Content-Type": "text/html; charset=utf-8",
        }
        return send((await body.get(),), headers, request)

    return answer


async def icon_handler(request: BaseRequest) -> StreamResponse:
    """Answer ``/favicon.ico`` with nothing: the page brings its own icon."""
    return Response(status=204, headers=connection.SECURITY_HEADERS)


def redirect_handler(location: str) -> connection.Handler:
    """Return a handler that sends browsers to the status page below a prefix."""

    async def answer(request: BaseRequest) -> StreamResponse:
        headers = {**connection.SECURITY_HEADERS, "Location": location}
        return connection.text_response(
            f"The status page is at {location}", status=302, headers=headers
        )

    return answer


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """What the addresses ask: callables that ``app`` hands in. None of them meets a vendor.

    `not_ready` gives the reason, "" when ready; `reload` is None while the lifecycle API is
    off; `names` are the targets; `config_text` is YAML without secrets.
    """

    scrape: Scrape
    probe: Probe
    names: Callable[[], Collection[str]]
    not_ready: Callable[[], str]
    reload: Reload | None
    config_text: Callable[[], str]
    view: Callable[[], Awaitable[StatusView]]


def routes(
    site: Backend, *, telemetry_path: str = "/metrics", prefix: str = "", external_url: str = ""
) -> dict[str, Route]:
    """Return the table. `telemetry_path` wins over an address of ours with the same path.

    `prefix` ("" or as ``/usage``) stands before every address, as Prometheus' route prefix. What
    asks for ``/`` or the prefix alone is sent to the status page; `external_url` is where a
    reverse proxy shows that.
    """
    table = {
        "/": Route(handler=status_page_handler(site.view, telemetry_path=telemetry_path)),
        "/favicon.ico": Route(handler=icon_handler),
        "/-/healthy": Route(handler=healthy_handler),
        "/-/ready": Route(handler=ready_handler(site.not_ready)),
        "/-/reload": Route(
            handler=reload_handler(site.reload, external_url=external_url), methods=CHANGE_METHODS
        ),
        "/probe": Route(handler=probe_handler(site.probe, site.names)),
        "/config": Route(handler=config_handler(site.config_text)),
        "/api/v1/targets": Route(handler=api_handler(site.view)),
        telemetry_path: Route(handler=metrics_handler(site.scrape)),
    }
    if not prefix:
        return table
    home = urlsplit(external_url).path or prefix
    return {
        "/": Route(handler=redirect_handler(f"{prefix}/")),
        prefix: Route(handler=redirect_handler(f"{home.rstrip('/')}/")),
        **{prefix + path: route for path, route in table.items()},
    }


Failed: TypeAlias = Callable[[str, BaseException], None]
"""Told the path and the exception of a handler that broke, to log and to count it."""
_INTERNAL: Final = "Internal error. The exporter's log says more."
_CROWDED: Final = "Too many answers wait for clients that do not read. Come again in a moment."
_LATER: Final = {**connection.SECURITY_HEADERS, "Retry-After": "10"}
_SLOWEST: Final = 60.0
"""Seconds for a handler and for a client to read the answer: a reload of 10,000 targets fits."""


class Access(Protocol):
    """Who may pass, and the headers that the web configuration adds to every answer."""

    def admit(self, request: BaseRequest) -> Awaitable[Response | None]:
        """Return the refusal, or None when the request may pass."""
        ...

    def headers(self) -> Mapping[str, str]:
        """Return the headers that each answer gets."""
        ...


class Dispatcher:
    """Answers requests by a table of addresses.

    The table is fixed; whatever a handler does, the client gets an answer without a traceback,
    and the next request is served.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        *,
        failed: Failed,
        guard: Access | None = None,
        slowest: float = _SLOWEST,
    ) -> None:
        self._routes = dict(routes)
        self._failed = failed
        self._guard = guard
        self._slowest = slowest

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        """Answer `request`, the body included."""
        try:
            async with asyncio.timeout(self._slowest):
                response = await self._respond(request)
                return await _write(response, request)
        except TimeoutError:
            unread = request.writer.output_size > 0
            late = "its client does not read" if unread else f"no answer within {self._slowest:g} s"
            words = "The exporter took too long to answer."
            return self._give_up(request, TimeoutError(late), words, 503)
        except Exception as error:  # noqa: BLE001 - an answer that breaks while it is written
            return self._give_up(request, error, _INTERNAL, 500)

    async def _respond(self, request: BaseRequest) -> StreamResponse:
        try:
            response = await self._admitted(request)
        except Exception as error:  # noqa: BLE001 - a broken handler must not take others with it
            self._failed(request.path, error)
            response = connection.text_response(_INTERNAL, status=500)
        if self._guard is not None:
            response.headers.update(self._guard.headers())
        return response

    async def _admitted(self, request: BaseRequest) -> StreamResponse:
        if self._guard is not None:
            refusal = await self._guard.admit(request)
            if refusal is not None:
                return refusal
        route = self._routes.get(request.path)
        if route is None:
            return connection.text_response(
                "404 page not found. The page / lists the addresses.", status=404
            )
        if request.method not in route.methods:
            return connection.method_not_allowed(route.methods)
        return await route.handler(request)

    def _give_up(
        self, request: BaseRequest, error: Exception, words: str, status: int
    ) -> StreamResponse:
        self._failed(request.path, error)
        if request.protocol.transport is not None and request.writer.output_size > 0:
            request.protocol.transport.abort()  # close() would wait for the client to read
        return connection.text_response(words, status=status)


async def _write(response: StreamResponse, request: BaseRequest) -> StreamResponse:
    # Here and not by aiohttp later, so that a client which does not read meets the deadline.
    flight = cast(Connection, request.protocol).in_flight
    size = 0 if isinstance(response, StreamedBody) else response.content_length or 0
    if not flight.fits(size):
        response, size = connection.text_response(_CROWDED, status=503, headers=_LATER), 0
    with contextlib.suppress(ConnectionError), flight.private(size):
        if isinstance(response, StreamedBody):  # it has a deadline for each piece
            await response.prepare(request)
            await response.write_eof()
        else:
            async with asyncio.timeout(STALLED):
                await response.prepare(request)
                await response.write_eof()
    return response
