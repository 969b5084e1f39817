"""Samples become blocks of exposition text, and blocks become gzip. Pure.

A block is the lines of one target in one family, without HELP and TYPE: those stand once per
family, above the blocks of all targets (`exporter.store.cache`). A block is the same in every
dialect; only the headers differ.

Gzip: the body of all blocks is compressed once, as raw deflate that ends at a byte border
(`deflate`); what is rendered per scrape, the exporter's own metrics, follows as more deflate in the
same gzip member (`assemble_gzip`). So a scrape compresses a few kilobytes, whatever the size of the
body. isal (the extra ``fast``) is an order of magnitude faster than zlib at the same size; it is
used if it is installed. Source: RFC 1951, RFC 1952.
"""

import functools
import importlib
import struct
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Literal

import msgspec

from exporter.kernel.exposition_text import LABEL_NAME, Dialect, label_pairs, metadata, value_texts
from exporter.model.families import FAMILY, Family, Sample

_Extra = tuple[tuple[str, str], ...]


class DuplicateError(ValueError):
    """Samples that would be one series. `series` names each of them once."""

    def __init__(self, series: tuple[str, ...]) -> None:
        super().__init__(f"More than one sample of {', '.join(series)}.")
        self.series = series


class MalformedError(ValueError):
    """A sample that does not fit its family; rendered, it would make the scrape fail."""


def header(family: Family, dialect: Dialect) -> bytes:
    """Return the lines that stand above the samples of `family`."""
    kind: Literal["info", "gauge"] = "info" if family.name.endswith("_info") else "gauge"
    return metadata(family.name, kind, family.help, family.unit, dialect)


def render(samples: Iterable[Sample]) -> dict[str, bytes]:
    """Return the block of each family that has samples.

    Raises DuplicateError where two samples are one series, MalformedError where one does not fit
    its family.
    """
    samples = list(samples)
    return _render(samples, _layout(tuple([s.family for s in samples])))


def text_of(blocks: Mapping[str, bytes]) -> bytes:
    """Return a whole exposition, in the text format, of the blocks that `render` returns."""
    return b"".join(
        header(family, Dialect.TEXT) + blocks[name]
        for name, family in FAMILY.items()
        if name in blocks
    )


class PrefixCache:
    """Renders one target's samples again and again; the caller keeps one for each target.

    While the series stay the same (same samples in the same order), ``name{labels}`` is taken from
    the lines of the last time and only the values are new. Otherwise everything is rendered and the
    former series are forgotten. It holds no text of its own: the blocks are those it returned.
    """

    __slots__ = ("_blocks", "_extras", "_labels", "_layout")

    def __init__(self) -> None:
        self._layout = _layout(())
        self._labels: tuple[tuple[str, ...], ...] = ()
        self._extras: tuple[_Extra, ...] = ()
        self._blocks: tuple[bytes, ...] = ()

    def render(self, samples: Iterable[Sample]) -> Mapping[str, bytes]:
        """Return what `render` of the module returns, and raise what it raises."""
        samples = list(samples)
        layout = _layout(tuple([s.family for s in samples]))
        labels = tuple([s.labels for s in samples])
        extras = tuple([s.extra for s in samples])
        extras = extras if any(extras) else ()
        if (
            layout.families == self._layout.families
            and labels == self._labels
            and extras == self._extras
        ):
            texts = value_texts([s.value for s in samples])
            blocks = {}
            for (name, positions), block in zip(layout.groups, self._blocks, strict=True):
                prefixes = [line.rpartition(b" ")[0] for line in block[:-1].split(b"\n")]
                blocks[name] = _block(prefixes, [texts[position] for position in positions])
        else:
            blocks = _render(samples, layout)
            shared: dict[tuple[str, ...], tuple[str, ...]] = {}  # a resource's families: one tuple
            self._layout = layout
            self._labels = tuple([shared.setdefault(one, one) for one in labels])
            self._extras = extras
        self._blocks = tuple(blocks.values())
        return blocks


class _Layout(msgspec.Struct, frozen=True, gc=False):
    """The families of a target's samples, and the positions of the samples of each."""

    families: tuple[str, ...]
    groups: tuple[tuple[str, "array[int]"], ...]  # not a class at run time before 3.12


@functools.lru_cache(maxsize=128)
def _layout(families: tuple[str, ...]) -> _Layout:
    # Targets of one definition publish alike: they share this, at 10,000 targets half of the cost.
    positions: dict[str, list[int]] = {}
    for position, family in enumerate(families):
        positions.setdefault(family, []).append(position)
    groups = tuple((name, array("I", places)) for name, places in positions.items())
    return _Layout(families=families, groups=groups)


def _render(samples: Sequence[Sample], layout: _Layout) -> dict[str, bytes]:
    texts = value_texts([s.value for s in samples])
    # A resource has the same labels in many families: they are written once.
    written: dict[tuple[str, ...], dict[tuple[tuple[str, ...], _Extra], bytes]] = {}
    blocks: dict[str, bytes] = {}
    repeated: list[str] = []
    for name, positions in layout.groups:
        family = FAMILY.get(name)
        if family is None:
            raise MalformedError(f'There is no family "{name}".')
        known = written.setdefault(family.labels, {})
        encoded = name.encode()
        prefixes = []
        for position in positions:
            sample = samples[position]
            key = (sample.labels, sample.extra)
            labels = known.get(key)
            if labels is None or (sample.extra and not family.open_labels):
                labels = known[key] = _labels(family, sample)
            prefixes.append(encoded + labels)
        if len(set(prefixes)) < len(prefixes):
            counts = Counter(prefixes)
            repeated += [prefix.decode() for prefix, count in counts.items() if count > 1]
        blocks[name] = _block(prefixes, [texts[position] for position in positions])
    if repeated:
        raise DuplicateError(tuple(repeated))
    return blocks


def _block(prefixes: Sequence[bytes], texts: Sequence[bytes]) -> bytes:
    if len(prefixes) == 1:
        return b"%b %b\n" % (prefixes[0], texts[0])
    # A prefix holds no newline (escaped), so one formatting call fills in all the values.
    template = b"\n".join(prefixes).replace(b"%", b"%%").replace(b"\n", b" %b\n")
    return (template + b" %b\n") % tuple(texts)


def _labels(family: Family, sample: Sample) -> bytes:
    if sample.extra and not family.open_labels:
        raise MalformedError(f"{family.name} has no labels besides {family.labels}.")
    if len(sample.labels) != len(family.labels):
        raise MalformedError(f"{family.name} has the labels {family.labels}, not {sample.labels}.")
    pairs = [*zip(family.labels, sample.labels, strict=True), *sorted(sample.extra)]
    names = [name for name, _ in pairs]
    wrong = [name for name in names if not LABEL_NAME.fullmatch(name) or names.count(name) > 1]
    if wrong:
        raise MalformedError(f"{family.name} cannot have the label {wrong[0]!r}, or not twice.")
    return f"{{{label_pairs(pairs)}}}".encode()


_JOINED_AT_ONCE = 256  # parts: between two joins another thread may get the interpreter
_HEADER = b"\x1f\x8b\x08\x00\0\0\0\0\x04\xff"  # deflate, no name, no time, fastest, any system
_RAW = -15  # no header or checksum of its own, 32 kB window


class Deflated(msgspec.Struct, frozen=True, kw_only=True):
    """Compressed bytes, ready to be continued, with the checksum and length of the plain ones."""

    segments: tuple[bytes, ...]
    crc: int
    size: int


def deflate(parts: Sequence[bytes]) -> Deflated:
    """Compress the concatenation of `parts`; it is never held in one piece."""
    engine = _engine()
    packer = engine.compressobj(1, engine.DEFLATED, _RAW)
    packed: list[bytes] = []
    crc = size = 0
    for start in range(0, len(parts), _JOINED_AT_ONCE):
        chunk = b"".join(parts[start : start + _JOINED_AT_ONCE])
        crc = engine.crc32(chunk, crc)
        size += len(chunk)
        packed.append(packer.compress(chunk))
    packed.append(packer.flush(engine.Z_FULL_FLUSH))
    return Deflated(segments=(b"".join(packed),), crc=crc, size=size)


def followed_by(first: Deflated, second: Deflated, parts: Sequence[bytes]) -> Deflated:
    """Return both as one; `parts` are the plain bytes of `second`, for the checksum."""
    crc, crc32 = first.crc, _engine().crc32
    for part in parts:
        crc = crc32(part, crc)
    return Deflated(
        segments=(*first.segments, *second.segments), crc=crc, size=first.size + second.size
    )


def assemble_gzip(piece: Deflated, tail: bytes) -> tuple[bytes, ...]:
    """Return the bytes of one gzip member that holds what `piece` holds and `tail`, in pieces.

    In pieces, so that megabytes need not be copied into one object before they are sent.
    """
    engine = _engine()
    packer = engine.compressobj(1, engine.DEFLATED, _RAW)
    end = packer.compress(tail) + packer.flush(engine.Z_FINISH)
    total = (piece.size + len(tail)) & 0xFFFFFFFF
    trailer = struct.pack("<II", engine.crc32(tail, piece.crc), total)
    return (_HEADER, *piece.segments, end + trailer)


@functools.cache
def _engine() -> ModuleType:
    try:
        return importlib.import_module("isal.isal_zlib")
    except ImportError:
        return importlib.import_module("zlib")
