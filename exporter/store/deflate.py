"""Gzip of a body whose end is not known yet.

The body is compressed once, as raw deflate that stops at a byte border; what is rendered per
scrape (the exporter's own metrics) follows as more deflate in the same gzip member. So a scrape
compresses a few kilobytes, whatever the size of the body. Source: RFC 1951, RFC 1952.

isal (the extra ``fast``) is an order of magnitude faster than zlib at the same size; which of the
two is there shows on first use.
"""

import functools
import importlib
import struct
from collections.abc import Sequence
from types import ModuleType

import msgspec

_TOGETHER = 256  # parts that are joined for one call: a thread may be interrupted between them
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
    for start in range(0, len(parts), _TOGETHER):
        chunk = b"".join(parts[start : start + _TOGETHER])
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

    Whoever writes megabytes to a socket need not copy them into one before.
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
