"""What a scrape gets: the shelf's body and the exporter's own metrics behind it."""

from exporter.observe.metrics import SelfMetrics
from exporter.observe.sheet import EOF
from exporter.store.deflate import assemble_gzip
from exporter.store.exposition import Format as Stored
from exporter.store.shelf import Shelf
from exporter.web.metrics import Body
from exporter.web.negotiate import Format


class Scrape:
    """Serves ``/metrics`` and ``/probe`` from memory."""

    def __init__(self, shelf: Shelf, own: SelfMetrics) -> None:
        self._shelf = shelf
        self._own = own

    async def everything(self, form: Format, gzip: bool) -> Body:  # noqa: FBT001 - web's callable
        """Return the whole exposition; compressed it is one gzip member."""
        stored, tail = _stored(form), self._own.pieces(form.dialect)
        if not gzip:
            return (await self._shelf.text(stored), *tail)
        packed = await self._shelf.gzip(stored)
        return assemble_gzip(packed.segment, packed.crc, packed.size, b"".join(tail))

    async def one(self, target: str, form: Format) -> bytes:
        """Return the families of one target."""
        end = EOF if form.dialect == "openmetrics" else b""
        return self._shelf.probe(target, _stored(form)) + end


def _stored(form: Format) -> Stored:
    return Stored(form.dialect)
