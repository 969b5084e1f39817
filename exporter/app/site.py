"""What the addresses ask of the daemon."""

from exporter.app.daemon import Daemon
from exporter.app.options import Options
from exporter.app.scrape import Scrape
from exporter.app.telling import Telling
from exporter.app.view import Viewer
from exporter.web.negotiate import Format
from exporter.web.site import Site


def site(daemon: Daemon, options: Options, telling: Telling, viewer: Viewer) -> Site:
    """Return what the table of addresses is made of."""
    engine = daemon.engine
    scrape = Scrape(engine.shelf, telling.metrics)

    async def one(name: str, form: Format) -> bytes | None:
        return await scrape.one(name, form) if name in engine.plan.targets else None

    return Site(
        scrape=scrape.everything,
        probe=one,
        names=lambda: engine.plan.targets,
        not_ready=daemon.not_ready,
        reload=daemon.reload if options.lifecycle else None,
        config_text=lambda: engine.plan.text,
        view=viewer.status,
    )
