"""Which address is answered by what."""

from collections.abc import Mapping

from exporter.app.daemon import Daemon
from exporter.app.options import Options
from exporter.app.scrape import Scrape
from exporter.app.telling import Telling
from exporter.web import config, health, lifecycle, metrics, probe
from exporter.web.answers import CHANGE, Route
from exporter.web.negotiate import Format


def routes(daemon: Daemon, options: Options, telling: Telling) -> Mapping[str, Route]:
    """Return the table of addresses of a daemon."""
    scrape = Scrape(daemon.engine.shelf, telling.metrics if options.exporter_metrics else None)

    async def one(name: str, form: Format) -> bytes | None:
        known = name in daemon.engine.plan.targets
        return await scrape.one(name, form) if known else None

    return {
        options.telemetry_path: Route(handler=metrics.handler(scrape.everything)),
        "/-/healthy": Route(handler=health.healthy),
        "/-/ready": Route(handler=health.ready(daemon.not_ready)),
        "/-/reload": Route(
            handler=lifecycle.handler(daemon.reload if options.lifecycle else None),
            methods=CHANGE,
        ),
        "/probe": Route(handler=probe.handler(one, lambda: daemon.engine.plan.targets)),
        "/config": Route(handler=config.handler(lambda: daemon.engine.plan.text)),
    }
