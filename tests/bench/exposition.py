"""What the store needs for so many series: ``... exposition SERIES``.

Prints seconds (the best of some runs) of rendering one target anew and of joining everything
after it, and bytes that are kept besides the text: what is known of it, and the joined body.
"""

import gc
import json
import sys
import time
import tracemalloc
from collections.abc import Callable

from exporter.store.cache import ExpositionCache
from exporter.store.exposition import PrefixCache, deflate
from tests.bench import shape

ROUNDS = 20


def best(work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some runs."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def filled(series: int) -> tuple[ExpositionCache, list[PrefixCache]]:
    """Return a cache of so many series, and the caches that a publisher keeps."""
    cache, caches = ExpositionCache(), []
    for number, samples in enumerate(shape.targets(series)):
        caches.append(PrefixCache())
        cache.put(str(number), caches[-1].render(samples))
    return cache, caches


def kept(series: int) -> float:
    """Return the bytes of a series besides its text, the body included, as they were asked for."""
    gc.collect()
    tracemalloc.start()
    cache, caches = filled(series)
    gc.collect()
    text = len(cache.body())
    with_body = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(caches) == series // shape.per_target(series)
    return (with_body - text) / series


def main() -> None:
    """Measure and print."""
    series = int(sys.argv[1])
    cache, caches = filled(series)
    each = shape.per_target(series)
    turns = [shape.target_samples(0, each, turn) for turn in range(2 * ROUNDS)]
    render = best(lambda: caches[0].render(turns.pop()))
    turns = [shape.target_samples(0, each, turn) for turn in range(2 * ROUNDS)]

    def change_and_join() -> None:
        cache.put("0", caches[0].render(turns.pop()))
        cache.body()

    body = cache.body()
    found = {
        "render": render / each,
        "join": best(change_and_join) / series,
        "gzip": best(lambda: deflate([body])) / series,
        "kept": kept(series),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
