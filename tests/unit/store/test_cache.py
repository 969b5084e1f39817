"""What a scrape gets, and what it costs to change it."""

import asyncio
import functools
import gzip
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from exporter.kernel.exposition_text import Dialect
from exporter.model.families import FAMILIES, FAMILY, Sample
from exporter.store import cache as cache_module
from exporter.store.cache import ExpositionCache
from exporter.store.exposition import Deflated, assemble_gzip, header, render


def blocks_of(account: str, *values: float, family: str = "usage_bytes") -> dict[str, bytes]:
    return render(
        Sample(family=family, labels=("tpstreams", account, f"r{n}"), value=value)
        for n, value in enumerate(values)
    )


@functools.cache
def large(account: str) -> dict[str, bytes]:
    return blocks_of(account, *([1.0] * 20_000))


@pytest.fixture(scope="module", autouse=True)
def large_ones() -> None:
    """Render what is large before any loop runs that this would hold."""
    for account in "ab":
        large(account)


def plain(piece: Deflated, tail: bytes = b"") -> bytes:
    return gzip.decompress(b"".join(assemble_gzip(piece, tail)))


def test_an_empty_cache_has_an_empty_body() -> None:
    cache = ExpositionCache()
    assert cache.body() == b""
    assert cache.series() == 0


def test_families_come_in_the_order_of_the_table_each_with_one_header() -> None:
    cache = ExpositionCache()
    cache.put("b", blocks_of("b", 1, family="usage_ratio") | blocks_of("b", 2))
    cache.put("a", blocks_of("a", 3) | blocks_of("a", 4, family="usage_up"))
    assert cache.body() == (
        header(FAMILY["usage_bytes"], Dialect.TEXT)
        + blocks_of("b", 2)["usage_bytes"]
        + blocks_of("a", 3)["usage_bytes"]
        + header(FAMILY["usage_ratio"], Dialect.TEXT)
        + blocks_of("b", 1, family="usage_ratio")["usage_ratio"]
        + header(FAMILY["usage_up"], Dialect.TEXT)
        + blocks_of("a", 4, family="usage_up")["usage_up"]
    )


def test_every_family_of_the_table_has_its_place() -> None:
    cache = ExpositionCache()
    cache.put("a", {family.name: b"x 1\n" for family in reversed(FAMILIES)})
    names = [line.split()[2] for line in cache.body().decode().splitlines() if "# TYPE" in line]
    assert names == [family.name for family in FAMILIES]


def test_a_new_put_replaces_all_of_its_target_and_nothing_else() -> None:
    cache = ExpositionCache()
    cache.put("a", blocks_of("a", 1) | blocks_of("a", 1, family="usage_ratio"))
    cache.put("b", blocks_of("b", 5))
    cache.put("a", blocks_of("a", 2))
    assert cache.body() == (
        header(FAMILY["usage_bytes"], Dialect.TEXT)
        + blocks_of("a", 2)["usage_bytes"]
        + blocks_of("b", 5)["usage_bytes"]
    )


def test_a_removed_target_is_gone_by_the_next_scrape() -> None:
    cache = ExpositionCache()
    cache.put("a", blocks_of("a", 1))
    cache.put("b", blocks_of("b", 1))
    assert b'account="a"' in cache.body()
    cache.remove("a")
    cache.remove("never there")
    assert b'account="a"' not in cache.body()
    assert b'account="b"' in cache.body()


def test_the_body_is_the_same_object_until_something_changes() -> None:
    cache = ExpositionCache()
    cache.put("a", blocks_of("a", 1))
    first, version = cache.body(), cache.version()
    cache.put("a", blocks_of("a", 1))
    assert cache.body() is first
    assert cache.version() == version
    cache.put("a", blocks_of("a", 2))
    assert cache.body() is not first
    assert cache.version() == version + 1


def test_series_are_counted_through_every_change() -> None:
    cache = ExpositionCache()
    cache.put("a", blocks_of("a", 1, 2, 3) | blocks_of("a", 1, family="usage_ratio"))
    cache.put("b", blocks_of("b", 1))
    assert cache.series() == 5
    cache.put("a", blocks_of("a", 1))
    assert cache.series() == 2
    cache.remove("a")
    assert cache.series() == 1


def test_a_probe_shows_one_target_in_either_format() -> None:
    cache = ExpositionCache()
    cache.put("a", blocks_of("a", 1))
    cache.put("b", blocks_of("b", 1) | blocks_of("b", 1, family="usage_up"))
    alone = ExpositionCache()
    alone.put("b", blocks_of("b", 1) | blocks_of("b", 1, family="usage_up"))
    for form in Dialect:
        assert cache.probe("b", form) == alone.body(form)
    assert cache.probe("unknown") == b""


def test_an_unknown_family_is_refused_and_changes_nothing() -> None:
    cache = ExpositionCache()
    cache.put("a", blocks_of("a", 1))
    before = cache.body()
    with pytest.raises(ValueError, match="no family usage_wrong"):
        cache.put("a", {"usage_bytes": b"x 1\n", "usage_wrong": b"y 1\n"})
    assert cache.body() is before


@pytest.mark.parametrize("form", Dialect)
@pytest.mark.parametrize("make", [blocks_of, large], ids=["inline", "thread"])
async def test_text_and_gzip_are_the_body(form: Dialect, make: object) -> None:
    cache = ExpositionCache()
    cache.put("a", large("a") if make is large else blocks_of("a", 1))
    assert plain(await cache.gzip(form)) == await cache.text(form) == cache.body(form)
    assert plain(await cache.gzip(form), b"tail 1\n") == cache.body(form) + b"tail 1\n"
    cache.close()


@pytest.fixture
def crowded() -> ExpositionCache:
    cache = ExpositionCache()
    for number in range(15_000):
        cache.put(f"account-{number}", blocks_of(f"account-{number}", number))
    return cache


async def test_a_body_of_many_small_blocks_is_the_same(crowded: ExpositionCache) -> None:
    cache = crowded
    assert cache._size > cache_module.INLINE
    expected = b"".join(cache._parts(Dialect.TEXT))
    assert await cache.text() == expected
    assert plain(await cache.gzip()) == expected
    cache.close()


async def test_the_gzip_is_kept_until_something_changes() -> None:
    cache = ExpositionCache()
    cache.put("a", large("a"))
    first = await cache.gzip()
    assert await cache.gzip() is first
    cache.put("b", blocks_of("b", 1))
    second = await cache.gzip()
    assert second is not first
    assert plain(second) == cache.body()
    cache.close()
    cache.close()


class Gate:
    """Compression that counts its runs and waits for a word."""

    def __init__(self, cache: ExpositionCache, form: Dialect = Dialect.TEXT) -> None:
        self.runs = 0
        self.open = threading.Event()
        self._make = cache._gzips[form].make
        cache._gzips[form].make = self

    def __call__(self, parts: Sequence[bytes]) -> Deflated:
        self.runs += 1
        self.open.wait(10)
        return self._make(list(parts))


async def test_concurrent_scrapes_share_one_compression() -> None:
    cache = ExpositionCache()
    cache.put("a", large("a"))
    gate = Gate(cache)
    async with asyncio.TaskGroup() as scrapes:
        tasks = [scrapes.create_task(cache.gzip()) for _ in range(20)]
        await asyncio.sleep(0.01)
        gate.open.set()
    assert gate.runs == 1
    assert all(task.result() is tasks[0].result() for task in tasks)
    cache.close()


async def test_nobody_gets_a_body_older_than_the_question() -> None:
    cache = ExpositionCache()
    cache.put("a", large("a"))
    gate = Gate(cache)
    async with asyncio.TaskGroup() as scrapes:
        early = scrapes.create_task(cache.gzip())
        await asyncio.sleep(0.01)
        cache.remove("a")
        cache.put("b", large("b"))
        late = [scrapes.create_task(cache.gzip()) for _ in range(5)]
        await asyncio.sleep(0.01)
        gate.open.set()
    assert gate.runs == 2
    assert b'account="a"' in plain(early.result())
    assert all(plain(task.result()) == cache.body() for task in late)
    cache.close()


async def test_a_scrape_ends_even_if_the_cache_changes_all_the_time() -> None:
    cache = ExpositionCache()
    cache.put("a", large("a"))
    gate = Gate(cache)
    gate.open.set()
    async with asyncio.TaskGroup() as scrapes:
        scrape = scrapes.create_task(cache.gzip())
        value = 0.0
        while not scrape.done():
            value += 1
            cache.put("b", blocks_of("b", value))
            await asyncio.sleep(0)
    assert gate.runs == 1
    assert plain(scrape.result()) != cache.body()  # it is as of the question, not later
    cache.close()


async def test_a_scraper_that_hangs_up_leaves_the_result_to_the_others() -> None:
    cache = ExpositionCache()
    cache.put("a", large("a"))
    gate = Gate(cache)
    async with asyncio.TaskGroup() as scrapes:
        gone = scrapes.create_task(cache.gzip())
        stays = scrapes.create_task(cache.gzip())
        await asyncio.sleep(0.01)
        gone.cancel()
        await asyncio.sleep(0.01)
        gate.open.set()
    assert gone.cancelled()
    assert plain(stays.result()) == cache.body()
    assert gate.runs == 1
    cache.close()


async def test_a_compression_that_fails_is_tried_again_by_the_next_scrape() -> None:
    cache = ExpositionCache()
    cache.put("a", large("a"))
    working = cache._gzips[Dialect.TEXT].make

    def broken(parts: Sequence[bytes]) -> Deflated:
        raise MemoryError

    cache._gzips[Dialect.TEXT].make = broken
    with pytest.raises(MemoryError):
        await cache.gzip()
    cache._gzips[Dialect.TEXT].make = working
    assert plain(await cache.gzip()) == cache.body()
    cache.close()


async def test_a_small_body_needs_no_thread() -> None:
    cache = ExpositionCache()
    cache.put("a", blocks_of("a", 1))
    before = threading.active_count()
    await cache.gzip()
    await cache.text()
    assert threading.active_count() <= before  # one of an earlier test may just end
    assert cache._size < cache_module.INLINE


@pytest.mark.parametrize("form", Dialect)
async def test_a_large_body_that_changed_while_it_was_made_is_not_kept(form: Dialect) -> None:
    cache = ExpositionCache()
    cache.put("a", large("a"))
    async with asyncio.TaskGroup() as scrapes:
        early = scrapes.create_task(cache.text(form))
        scrapes.create_task(cache.gzip(form))
        await asyncio.sleep(0)  # both are under way
        cache.put("b", large("b"))
    assert b'account="b"' not in early.result()
    fresh = ExpositionCache()
    fresh.put("a", large("a"))
    fresh.put("b", large("b"))
    assert await cache.text(form) == fresh.body(form)
    assert plain(await cache.gzip(form)) == fresh.body(form)
    cache.close()


async def test_a_scrape_does_not_wait_for_the_threads_of_others() -> None:
    loop = asyncio.get_running_loop()
    over = threading.Event()
    with ThreadPoolExecutor(1) as busy:
        loop.set_default_executor(busy)
        looking_up = loop.run_in_executor(None, over.wait, 30)  # a name server that is silent
        cache = ExpositionCache()
        cache.put("a", large("a"))
        try:
            async with asyncio.timeout(10):
                assert await cache.text() == cache.body()
                assert plain(await cache.gzip()) == cache.body()
                assert await cache.run_in_thread(lambda: 5) == 5
            assert not looking_up.done()
        finally:
            over.set()
            await looking_up
    cache.close()
