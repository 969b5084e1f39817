"""What a scrape gets: the blocks of all targets by family, and the bodies made of them.

Nothing here renders. A poll puts the blocks of its target; the first scrape after it joins them (or
joins and compresses them) once, and every scrape gets that body until a block changes. A body above
a megabyte is made in a thread of the cache's own: the event loop's common pool may be full of name
look-ups that hang, and a scrape must never wait for a vendor.

All methods belong to the thread of one event loop.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from exporter.kernel.exposition_text import Dialect
from exporter.model.families import FAMILIES, Family
from exporter.store.exposition import Deflated, deflate, header

INLINE = 1_000_000
"""Bodies up to this many bytes are made at once: a join takes microseconds, isal 0.5 ms."""
_JOINED_AT_ONCE = 2_048
_T = TypeVar("_T")


class ExpositionCache:
    """The blocks of all targets, and the bodies of both dialects, plain and compressed."""

    def __init__(self, families: Sequence[Family] = FAMILIES) -> None:
        self._headers = {form: {f.name: header(f, form) for f in families} for form in Dialect}
        self._blocks: dict[str, dict[str, bytes]] = {family.name: {} for family in families}
        self._texts = {form: _Body(_join) for form in Dialect}
        self._gzips = {form: _Body(deflate) for form in Dialect}
        self._threads: ThreadPoolExecutor | None = None
        self._version = 0
        self._size = 0
        self._series = 0

    def put(self, target: str, blocks: Mapping[str, bytes]) -> None:
        """Replace all blocks of `target`: a scrape sees the old ones or the new ones.

        Raises ValueError for a family that is not in the table; nothing has changed then.
        """
        if unknown := sorted(blocks.keys() - self._blocks.keys()):
            raise ValueError(f"There is no family {', '.join(unknown)}.")
        changed = False
        for family, of_targets in self._blocks.items():
            old, new = of_targets.get(target, b""), blocks.get(family, b"")
            if old == new:
                continue
            changed = True
            self._size += len(new) - len(old)
            self._series += new.count(b"\n") - old.count(b"\n")
            if new:
                of_targets[target] = new
            else:
                del of_targets[target]
        if changed:
            self._version += 1
            for form in Dialect:
                self._texts[form].value = self._gzips[form].value = None

    def remove(self, target: str) -> None:
        """Remove all blocks of `target`; the next scrape is without it."""
        self.put(target, {})

    def series(self) -> int:
        """Return the number of series."""
        return self._series

    def version(self) -> int:
        """Return a number that grows with each change, and only then."""
        return self._version

    def probe(self, target: str, dialect: Dialect = Dialect.TEXT) -> bytes:
        """Return the families of one target, with headers; empty for a target without blocks."""
        headers = self._headers[dialect]
        return b"".join(
            headers[family] + of_targets[target]
            for family, of_targets in self._blocks.items()
            if target in of_targets
        )

    def body(self, dialect: Dialect = Dialect.TEXT) -> bytes:
        """Return everything, joined now if something changed: 0.5 ms at 100,000 series.

        Without the dialect's last line: that follows what the caller appends.
        """
        body = self._texts[dialect]
        if body.value is None:
            body.value = body.make(self._parts(dialect))
        return body.value

    async def text(self, dialect: Dialect = Dialect.TEXT) -> bytes:
        """Return the same as `body`; a large one is joined in a thread."""
        return await self._get(self._texts[dialect], dialect)

    async def gzip(self, dialect: Dialect = Dialect.TEXT) -> Deflated:
        """Return the body compressed, for `assemble_gzip`; a large one is made in a thread.

        Concurrent calls share one result, unless a block changed between the start of its making
        and the call: no caller gets a body that is older than its call.
        """
        return await self._get(self._gzips[dialect], dialect)

    async def run_in_thread(self, work: Callable[[], _T]) -> _T:
        """Do other large work for a scrape in the threads in which large bodies are made."""
        return await asyncio.get_running_loop().run_in_executor(self._pool(), work)

    def close(self) -> None:
        """Let the threads end after what they are doing."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None

    def _parts(self, dialect: Dialect) -> list[bytes]:
        parts: list[bytes] = []
        headers = self._headers[dialect]
        for family, of_targets in self._blocks.items():
            if of_targets:
                parts.append(headers[family])
                parts.extend(of_targets.values())
        return parts

    async def _get(self, body: "_Body[_T]", dialect: Dialect) -> _T:
        if body.value is None and self._size <= INLINE:
            body.value = body.make(self._parts(dialect))
        if body.value is not None:
            return body.value
        wanted = self._version
        while True:
            making = body.making or self._make_in_thread(body, dialect)
            # Shielded: a scraper that hangs up must not cancel the others' body.
            version, value = await asyncio.shield(making)
            if version >= wanted:
                return value

    def _make_in_thread(
        self, body: "_Body[_T]", dialect: Dialect
    ) -> "asyncio.Future[tuple[int, _T]]":
        parts, version = self._parts(dialect), self._version

        def keep(making: "asyncio.Future[tuple[int, _T]]") -> None:
            body.making = None
            if making.cancelled() or making.exception() is not None:
                return
            version, value = making.result()
            if version == self._version:
                body.value = value

        loop = asyncio.get_running_loop()
        body.making = loop.run_in_executor(self._pool(), lambda: (version, body.make(parts)))
        body.making.add_done_callback(keep)
        return body.making

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(2, thread_name_prefix="exposition")
        return self._threads


class _Body(Generic[_T]):
    """How a body is made of all parts; its value until a block changes; its making in a thread."""

    __slots__ = ("make", "making", "value")

    def __init__(self, make: Callable[[list[bytes]], _T]) -> None:
        self.make = make
        self.value: _T | None = None
        self.making: asyncio.Future[tuple[int, _T]] | None = None


def _join(parts: list[bytes]) -> bytes:
    # One call that gathers 100,000 scattered parts holds the interpreter lock for 10 ms and more.
    if len(parts) <= _JOINED_AT_ONCE:
        return b"".join(parts)
    starts = range(0, len(parts), _JOINED_AT_ONCE)
    return b"".join([b"".join(parts[start : start + _JOINED_AT_ONCE]) for start in starts])
