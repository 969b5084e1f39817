"""All addresses, and the way of a request from access control to the last written byte.

Rules:

- No address meets a vendor: all serve what `Backend` has in memory. Neither ``/-/healthy`` nor
  ``/-/ready`` depends on a vendor, so that no outage of one restarts a pod.
- ``/probe`` takes the name of a target, never a URL: an address that fetches what it is told leaks
  credentials and reaches where it should not (prometheus/docs ``operating/security.md``).
- ``/-/reload`` takes POST or PUT alone, and only with ``--web.enable-lifecycle``. Any page in
  somebody's browser can send a POST, so what a browser sends for another origin is refused.
  Browsers say so in ``Sec-Fetch-Site`` and ``Origin``; curl and config reloaders send neither.
- Whatever a handler does, the client gets a response without a traceback, within a deadline.
- Large bodies are encoded in slices of a few milliseconds and shared by the clients that ask.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

import msgspec
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from exporter.kernel.problems import did_you_mean
from exporter.kernel.secrets import clip
from exporter.web.negotiate import Format, choose_format, choose_gzip, join_header_lines
from exporter.web.response import (
    SECURITY_HEADERS,
    STALLED,
    Handler,
    SharedBody,
    StreamedBody,
    TimeSlice,
    client_of,
    send,
    text_response,
    to_json,
)
from exporter.web.view import StatusView

if TYPE_CHECKING:  # most daemons have no web configuration, and do not load it
    from exporter.web.access import AccessControl

READ_METHODS: Final = ("GET", "HEAD")
CHANGE_METHODS: Final = ("POST", "PUT")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """The handler of an address, and the methods that it takes."""

    handler: Handler
    methods: tuple[str, ...] = READ_METHODS


Body: TypeAlias = bytes | tuple[bytes, ...]
"""A body, whole or in the pieces that it is made of, in their order."""
Scrape: TypeAlias = Callable[[Format, bool], Awaitable[Body]]
"""Gives the exposition in a format, as gzip or not."""
Probe: TypeAlias = Callable[[str, Format], Awaitable[Body | None]]
"""Gives one target's exposition, None for a name that is no target."""
Reload: TypeAlias = Callable[[], Awaitable[Sequence[str]]]
"""Reads the configuration again; gives every problem, none when the new one is in force."""


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """What the addresses serve: callables that ``app`` hands in.

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
    backend: Backend,
    *,
    telemetry_path: str = "/metrics",
    prefix: str = "",
    external_url: str = "",
) -> dict[str, Route]:
    """Return the table. `telemetry_path` wins over an address of ours with the same path.

    `prefix` ("" or as ``/usage``) stands before every address, as Prometheus' route prefix; ``/``
    and the prefix alone redirect to the status page. `external_url` is where a reverse proxy shows
    that.
    """
    table = {
        "/": Route(handler=status_page_handler(backend.view, telemetry_path=telemetry_path)),
        "/favicon.ico": Route(handler=icon_handler),
        "/-/healthy": Route(handler=healthy_handler),
        "/-/ready": Route(handler=ready_handler(backend.not_ready)),
        "/-/reload": Route(
            handler=reload_handler(backend.reload, external_url=external_url),
            methods=CHANGE_METHODS,
        ),
        "/probe": Route(handler=probe_handler(backend.probe, backend.names)),
        "/config": Route(handler=config_handler(backend.config_text)),
        "/api/v1/targets": Route(handler=api_handler(backend.view)),
        telemetry_path: Route(handler=metrics_handler(backend.scrape)),
    }
    if not prefix:
        return table
    home = urlsplit(external_url).path or prefix
    return {
        "/": Route(handler=redirect_handler(f"{prefix}/")),
        prefix: Route(handler=redirect_handler(f"{home.rstrip('/')}/")),
        **{prefix + path: route for path, route in table.items()},
    }


_VARY: Final = "Accept, Accept-Encoding"


def metrics_handler(scrape: Scrape) -> Handler:
    """Return the handler of the telemetry path."""

    async def metrics(request: BaseRequest) -> StreamResponse:
        form = _format_of(request)
        gzip = choose_gzip(join_header_lines(request.headers.getall("Accept-Encoding", ())))
        body = await scrape(form, gzip)
        headers = {**SECURITY_HEADERS, "Content-Type": form.value, "Vary": _VARY}
        if gzip:
            headers["Content-Encoding"] = "gzip"
        return send((body,) if isinstance(body, bytes) else body, headers, request)

    return metrics


def _format_of(request: BaseRequest) -> Format:
    return choose_format(join_header_lines(request.headers.getall("Accept", ())))


_MOST_COMPARED: Final = 50
"""Targets up to which an unknown name is compared with all: 4,000 held the event loop 0.5 s."""


def probe_handler(probe: Probe, names: Callable[[], Collection[str]]) -> Handler:
    """Return the handler of ``/probe``; `names` are the targets of the running configuration."""

    def refuse(what: str, name: str) -> Response:
        known = names()
        if len(known) <= _MOST_COMPARED:
            return text_response(what + did_you_mean(name, known), status=400)
        more = f" There are {len(known):,} targets; api/v1/targets lists them."
        return text_response(what + more, status=400)

    async def answer(request: BaseRequest) -> StreamResponse:
        wanted = request.query.getall("target", [])
        if len(wanted) != 1 or not wanted[0]:
            return refuse("Name one target: /probe?target=NAME.", "")
        form = _format_of(request)
        body = await probe(wanted[0], form)
        if body is None:
            name = clip(wanted[0], 64)
            return refuse(f'"{name}" is no target of this exporter.', name)
        headers = {**SECURITY_HEADERS, "Content-Type": form.value, "Vary": _VARY}
        return send((body,) if isinstance(body, bytes) else body, headers, request)

    return answer


_JSON_HEADERS: Final = {**SECURITY_HEADERS, "Content-Type": "application/json"}


def api_handler(view: Callable[[], Awaitable[StatusView]]) -> Handler:
    """Return the handler of ``/api/v1/targets``: `StatusView` as JSON, encoded target by target."""

    async def encode() -> bytes:
        status = await view()
        time_slice = TimeSlice()
        parts = []
        for target in status.targets:
            parts.append(to_json(target))
            await time_slice.pause()
        # The targets are the last field: they go between the brackets of an empty list.
        frame = to_json(msgspec.structs.replace(status, targets=()))
        return b"".join((frame[:-2], b",".join(parts), frame[-2:]))

    body = SharedBody(encode)

    async def answer(request: BaseRequest) -> StreamResponse:
        return send((await body.get(),), _JSON_HEADERS, request)

    return answer


def status_page_handler(
    view: Callable[[], Awaitable[StatusView]], *, telemetry_path: str
) -> Handler:
    """Return the handler of ``/``: a page without JavaScript that loads nothing from elsewhere."""

    async def render() -> bytes:
        # Imported at the first request: most daemons are only ever scraped.
        from exporter.web.page import status_page  # noqa: PLC0415

        time_slice = TimeSlice()
        parts = []
        for part in status_page(await view(), telemetry_path=telemetry_path):
            parts.append(part)
            await time_slice.pause()  # 200 cards take 30 ms: scrapes go in between
        return "".join(parts).encode("utf-8", "replace")

    body = SharedBody(render)

    async def answer(request: BaseRequest) -> StreamResponse:
        from exporter.web.style import POLICY  # noqa: PLC0415 - as above

        headers = {
            **SECURITY_HEADERS,
            "Content-Security-Policy": POLICY,
            "Content-Type": "text/html; charset=utf-8",
        }
        return send((await body.get(),), headers, request)

    return answer


# YAML under a type that browsers show instead of saving.
_CONFIG_HEADERS: Final = {**SECURITY_HEADERS, "Content-Type": "text/plain; charset=utf-8"}


def config_handler(text: Callable[[], str]) -> Handler:
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
    """Answer 200: any response at all means that the event loop runs."""
    return text_response("usage-exporter is Healthy.")


def ready_handler(not_ready: Callable[[], str]) -> Handler:
    """Return the handler of ``/-/ready``; `not_ready` gives the reason, "" when there is none."""

    async def answer(request: BaseRequest) -> StreamResponse:
        reason = not_ready()
        if reason:
            return text_response(f"usage-exporter is not Ready: {reason}", status=503)
        return text_response("usage-exporter is Ready.")

    return answer


_OWN_SITES: Final = {"same-origin", "none"}
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def reload_handler(reload: Reload | None, *, external_url: str = "") -> Handler:
    """Return the handler of ``/-/reload``; None: the lifecycle API is switched off.

    `external_url` is where a reverse proxy shows the exporter: pages from there may reload, too.
    """
    own = _host_of(external_url) if external_url else None

    def is_cross_origin(request: BaseRequest) -> bool:
        # Every line of a header that comes twice has to be good.
        for origin in request.headers.getall("Origin", ()):
            scheme = origin.partition(":")[0]  # the Host header has none, and no default port
            requested = _host_of(f"{scheme}://{request.headers.get('Host', '')}")
            host = _host_of(origin)
            if host is None or host not in {own, requested}:
                return True
        sites = request.headers.getall("Sec-Fetch-Site", ())
        return not _OWN_SITES.issuperset(site.strip().lower() for site in sites)

    async def answer(request: BaseRequest) -> StreamResponse:
        if reload is None:
            return text_response(
                "Lifecycle API is not enabled. Start with --web.enable-lifecycle,"
                " or send SIGHUP to the process.",
                status=403,
            )
        if is_cross_origin(request):
            return text_response(
                "A page of another origin may not reload the configuration. Behind a reverse"
                " proxy that changes the Host header, start with --web.external-url.",
                status=403,
            )
        problems = await reload()
        if not problems:
            return text_response("Configuration reloaded.")
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        what = f"Failed to reload the configuration: {count}. The old one stays in force."
        return text_response("\n".join([what, *problems]), status=500)

    return answer


def _host_of(origin: str) -> tuple[str, int] | None:
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


async def icon_handler(request: BaseRequest) -> StreamResponse:
    """Answer ``/favicon.ico`` with nothing: the page brings its own icon."""
    return Response(status=204, headers=SECURITY_HEADERS)


def redirect_handler(location: str) -> Handler:
    """Return a handler that sends browsers to the status page below a prefix."""

    async def answer(request: BaseRequest) -> StreamResponse:
        headers = {**SECURITY_HEADERS, "Location": location}
        what = f"The status page is at {location}"
        return text_response(what, status=302, headers=headers)

    return answer


Failed: TypeAlias = Callable[[str, BaseException], None]
"""Called with the path and the exception of a handler that failed, to log and count it."""
_INTERNAL: Final = "Internal error. The exporter's log says more."
_CROWDED: Final = "Too many answers wait for clients that do not read. Come again in a moment."
_SLOWEST: Final = 60.0
"""Seconds for a handler and for a client to read the response: a reload of 10,000 targets fits."""


class Dispatcher:
    """Answers requests by the table of routes, which is fixed.

    `access` admits each request first, where there is a web configuration. One deadline covers the
    handler and the writing of the response. `failed` gets every exception; the client gets a 500
    or 503 without its text, or a closed connection where the response has begun.
    """

    def __init__(
        self,
        routes: Mapping[str, Route],
        *,
        failed: Failed,
        access: "AccessControl | None" = None,
        slowest: float = _SLOWEST,
    ) -> None:
        self._routes = dict(routes)
        self._failed = failed
        self._access = access
        self._slowest = slowest

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        """Answer `request`, the body included."""
        try:
            async with asyncio.timeout(self._slowest):
                try:
                    response = await self._handle(request)
                except Exception as error:  # noqa: BLE001 - any failure of a handler is a 500
                    self._failed(request.path, error)
                    response = text_response(_INTERNAL, status=500)
                if self._access is not None:
                    response.headers.update(self._access.headers())
                return await _write(response, request)
        except TimeoutError:
            unread = request.writer.output_size > 0
            late = "its client does not read" if unread else f"no answer within {self._slowest:g} s"
            words = "The exporter took too long to answer."
            return self._give_up(request, TimeoutError(late), words, 503)
        except Exception as error:  # noqa: BLE001 - a response that fails while it is written
            return self._give_up(request, error, _INTERNAL, 500)

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        if self._access is not None:
            refusal = await self._access.admit(request)
            if refusal is not None:
                return refusal
        route = self._routes.get(request.path)
        if route is None:
            return text_response("404 page not found. The page / lists the addresses.", status=404)
        if request.method not in route.methods:
            return text_response(  # in the words of Prometheus
                f"Only {' or '.join(route.methods)} requests allowed.",
                status=405,
                headers={**SECURITY_HEADERS, "Allow": ", ".join(route.methods)},
            )
        return await route.handler(request)

    def _give_up(
        self, request: BaseRequest, error: Exception, words: str, status: int
    ) -> StreamResponse:
        self._failed(request.path, error)
        if request.writer.output_size > 0:
            client_of(request).abort()  # close() would wait for the client to read
        return text_response(words, status=status)


async def _write(response: StreamResponse, request: BaseRequest) -> StreamResponse:
    """Write the response here and not in aiohttp later: writing has a deadline, too."""
    unread = client_of(request).unread
    size = 0 if isinstance(response, StreamedBody) else response.content_length or 0
    if not unread.fits(size):
        headers = {**SECURITY_HEADERS, "Retry-After": "10"}
        response, size = text_response(_CROWDED, status=503, headers=headers), 0
    with contextlib.suppress(ConnectionError), unread.private(size):
        # A streamed body has a deadline for each of its pieces instead.
        async with asyncio.timeout(None if isinstance(response, StreamedBody) else STALLED):
            await response.prepare(request)
            await response.write_eof()
    return response
