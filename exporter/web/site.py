"""All addresses: the table that the dispatch answers by."""

from collections.abc import Awaitable, Callable, Collection
from urllib.parse import urlsplit

import msgspec

from exporter.web import api, config, health, lifecycle, metrics, probe, status
from exporter.web.answers import CHANGE, Route
from exporter.web.lifecycle import Reload
from exporter.web.metrics import Scrape
from exporter.web.probe import Probe
from exporter.web.view import StatusView


class Site(msgspec.Struct, frozen=True, kw_only=True):
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
    site: Site, *, telemetry_path: str = "/metrics", prefix: str = "", external_url: str = ""
) -> dict[str, Route]:
    """Return the table. `telemetry_path` wins over an address of ours with the same path.

    `prefix` ("" or as ``/usage``) stands before every address, as Prometheus' route prefix. What
    asks for ``/`` or the prefix alone is sent to the status page; `external_url` is where a
    reverse proxy shows that.
    """
    table = {
        "/": Route(handler=status.handler(site.view, telemetry_path=telemetry_path)),
        "/favicon.ico": Route(handler=status.icon),
        "/-/healthy": Route(handler=health.healthy),
        "/-/ready": Route(handler=health.ready(site.not_ready)),
        "/-/reload": Route(
            handler=lifecycle.handler(site.reload, external_url=external_url), methods=CHANGE
        ),
        "/probe": Route(handler=probe.handler(site.probe, site.names)),
        "/config": Route(handler=config.handler(site.config_text)),
        "/api/v1/targets": Route(handler=api.handler(site.view)),
        telemetry_path: Route(handler=metrics.handler(site.scrape)),
    }
    if not prefix:
        return table
    home = urlsplit(external_url).path or prefix
    return {
        "/": Route(handler=status.elsewhere(f"{prefix}/")),
        prefix: Route(handler=status.elsewhere(f"{home.rstrip('/')}/")),
        **{prefix + path: route for path, route in table.items()},
    }
