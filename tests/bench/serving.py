"""Our web side over a cache of many series: the program of the scrape benchmarks.

    python -m tests.bench.serving PORT SERIES [asyncio]

``/metrics`` is the daemon's own: cache, self-metrics of as many targets, dispatch and server.
``/changed`` is the same after one target was rendered anew, as a poll does. ``/longest`` gives the
longest callback since it was last asked, in milliseconds of CPU.
"""

import asyncio
import itertools
import sys
import time

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from exporter.app.daemon import Scrape
from exporter.observe.metrics import Build, LiveValues, SelfMetrics, Tracked
from exporter.store.cache import ExpositionCache
from exporter.store.exposition import PrefixCache
from exporter.web import routes
from exporter.web.address import parse_address
from exporter.web.routes import Dispatcher, Route
from exporter.web.server import WebServer
from tests.bench import shape
from tests.support.callback_timer import CallbackTimer


class Shop:
    """A cache, and the caches that a publisher keeps."""

    def __init__(self, series: int) -> None:
        self.cache = ExpositionCache()
        self.each = shape.per_target(series)
        self.caches: list[PrefixCache] = []
        for number, samples in enumerate(shape.targets(series)):
            self.caches.append(PrefixCache())
            self.cache.put(str(number), self.caches[number].render(samples))
        self._turns = itertools.count(1)

    def change(self) -> None:
        """Give all values of one target anew: each time of another."""
        turn = next(self._turns)
        target = turn % len(self.caches)
        samples = shape.target_samples(target, self.each, turn)
        self.cache.put(str(target), self.caches[target].render(samples))

    def self_metrics(self) -> SelfMetrics:
        """Return the self-metrics of a daemon with these targets."""
        now = LiveValues(backoffs=dict, lateness=float, series=self.cache.series)
        own = SelfMetrics(Build(version="0"), now, clock=time.monotonic)
        own.track(
            Tracked(
                provider="tpstreams", account=f"account-{number:05}", intervals={"usage": 300.0}
            )
            for number in range(len(self.caches))
        )
        return own


async def serve(port: int, series: int) -> None:
    """Serve until the process is ended."""
    shop = Shop(series)
    scrape = Scrape(shop.cache, shop.self_metrics())
    watch = CallbackTimer()
    watch.install()

    scraped = routes.metrics_handler(scrape.everything)

    async def changed(request: BaseRequest) -> StreamResponse:
        shop.change()
        return await scraped(request)

    async def longest(request: BaseRequest) -> StreamResponse:
        seen = watch.longest
        watch.reset()
        return Response(text=f"{1000 * seen:.3f}")

    table = {
        "/metrics": Route(handler=scraped),
        "/changed": Route(handler=changed),
        "/longest": Route(handler=longest),
    }
    server = WebServer(Dispatcher(table, failed=lambda path, error: None))
    await server.start([parse_address(f"127.0.0.1:{port}")])
    await asyncio.Event().wait()


def main() -> None:
    """Read the arguments and serve."""
    port, series, *loop = sys.argv[1:]
    runner = asyncio.run
    if not loop:
        import uvloop  # noqa: PLC0415 - only one of the two loops is measured

        runner = uvloop.run
    runner(serve(int(port), int(series)))


if __name__ == "__main__":
    main()
