"""Compressed bodies, inflated piece by piece so that a small bomb is never a large one."""

import zlib
from collections.abc import Generator, Iterator

_PIECE = 1024 * 1024  # bytes: what may be inflated without a breath
_GZIP = 31  # window bits: with gzip's header and checksum
_ZLIB = 15
_RAW = -15  # what some servers call "deflate"
_MAGIC = b"\x1f\x8b"


class InflateError(ValueError):
    """A compressed body is broken, cut, or packed in a way that was not asked for."""


def inflate(body: bytes, encoding: str) -> Iterator[bytes]:
    """Yield the pieces of a body with the Content-Encoding `encoding`, each at most 1 MiB.

    A gzip body may have several members; what follows the last one is ignored, as browsers do.
    Raises InflateError.
    """
    match encoding.strip().lower():
        case "" | "identity":
            yield body
        case "gzip" | "x-gzip":
            yield from _members(body)
        case "deflate":
            yield from _unpacked(body, _ZLIB if _is_zlib(body) else _RAW)
        case _:
            raise InflateError(f'the body is packed as "{encoding[:32]}", which was not asked for')


def _members(body: bytes) -> Iterator[bytes]:
    while body[:2] == _MAGIC:
        body = yield from _unpacked(body, _GZIP)
        if not body:
            return
    raise InflateError("the body is called gzip and is not")


def _is_zlib(body: bytes) -> bool:
    """Tell zlib's header (RFC 1950 2.2) from a raw deflate stream."""
    return len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0  # noqa: PLR2004 - the RFC's numbers


def _unpacked(body: bytes, window: int) -> Generator[bytes, None, bytes]:
    unpacker = zlib.decompressobj(window)
    rest = body
    try:
        while not unpacker.eof:
            piece = unpacker.decompress(rest, _PIECE)
            rest = unpacker.unconsumed_tail
            if piece:
                yield piece
            elif not rest and not unpacker.eof:
                raise InflateError("the packed body is cut off")
    except zlib.error as error:
        raise InflateError("the packed body is broken") from error
    return unpacker.unused_data
