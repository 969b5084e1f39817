"""What a scrape gets: the shelf's body and the exporter's own metrics behind it."""

import asyncio
from functools import partial
from typing import NamedTuple

from exporter.observe.metrics import SelfMetrics
from exporter.observe.sheet import EOF
from exporter.store.deflate import Deflated, assemble_gzip, deflate, followed_by
from exporter.store.exposition import Format as Stored
from exporter.store.shelf import INLINE, Shelf
from exporter.web.metrics import Body
from exporter.web.negotiate import Format

TURN = 8
"""Chunks of the self-metrics that are written before somebody else may have the event loop."""


class _Own(NamedTuple):
    """The steady part of the self-metrics and the same compressed: most scrapes find it as is."""

    parts: list[bytes]
    packed: Deflated


class Scrape:
    """Serves ``/metrics`` and ``/probe`` from memory."""

    def __init__(self, shelf: Shelf, own: SelfMetrics) -> None:
        self._shelf = shelf
        self._own = own
        self._known: dict[Stored, _Own] = {}

    async def everything(self, form: Format, gzip: bool) -> Body:  # noqa: FBT001 - web's callable
        """Return the whole exposition; compressed it is one gzip member."""
        for number, _ in enumerate(self._own.warm()):
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)
        stored = _stored(form)
        steady, moving = self._own.steady(form.dialect), self._own.moving(form.dialect)
        if not gzip:
            return (await self._shelf.text(stored), *steady, *moving)
        work = partial(
            self._packed, stored, steady, b"".join(moving), await self._shelf.gzip(stored)
        )
        large = sum(map(len, steady)) > INLINE
        return await self._shelf.aside(work) if large else work()

    async def one(self, target: str, form: Format) -> bytes:
        """Return the families of one target."""
        end = EOF if form.dialect == "openmetrics" else b""
        return self._shelf.probe(target, _stored(form)) + end

    def _packed(self, form: Stored, steady: list[bytes], moving: bytes, first: Deflated) -> Body:
        known = self._known.get(form)
        if known is None or known.parts != steady:
            known = self._known[form] = _Own(steady, deflate(steady))
        return assemble_gzip(followed_by(first, known.packed, steady), moving)


def _stored(form: Format) -> Stored:
    return Stored(form.dialect)
