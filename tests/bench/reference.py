"""prometheus_client's handler for aiohttp over as many gauges: ``... reference PORT SERIES``."""

import sys

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.aiohttp import make_aiohttp_handler

from tests.bench import shape


def main() -> None:
    """Read the arguments and serve."""
    port, series = (int(text) for text in sys.argv[1:])
    registry = CollectorRegistry()
    gauges = {
        family: Gauge(family, "As the exporter publishes it.", shape.LABELS, registry=registry)
        for family in shape.FAMILIES
    }
    for samples in shape.targets(series):
        for sample in samples:
            gauges[sample.family].labels(*sample.labels).set(sample.value)
    app = web.Application()
    app.router.add_get("/metrics", make_aiohttp_handler(registry))
    web.run_app(app, host="127.0.0.1", port=port, print=None)


if __name__ == "__main__":
    main()
