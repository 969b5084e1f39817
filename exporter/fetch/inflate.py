"""Compressed bodies, inflated piece by piece: no step is long, and a bomb ends at its limit."""

import zlib
from collections.abc import Generator, Iterator

_PIECE = 256 * 1024  # bytes that come out of one step, at most: less than a millisecond
_FIRST_BITE = 1024  # bytes that the first step of a member takes in
_LARGEST_BITE = 64 * 1024
_STEP = 64 * 1024  # bytes taken in between two pieces, if nothing comes out of them
_GZIP = 31  # window bits: with gzip's header and checksum
_ZLIB = 15
_RAW = -15  # what some servers call "deflate"
_MAGIC = b"\x1f\x8b"


class InflateError(ValueError):
    """A compressed body is broken, cut, or packed in a way that was not asked for."""


def inflate(body: bytes, encoding: str) -> Iterator[bytes]:
    """Yield the pieces of a body with the Content-Encoding `encoding`, each at most 256 KiB.

    The work between two pieces is bounded; a piece is empty where much came in and nothing out.
    A gzip body may have several members, and nothing else behind them.
    Raises InflateError.
    """
    match encoding.strip().lower():
        case "" | "identity":
            yield body
        case "gzip" | "x-gzip":
            yield from _members(body)
        case "deflate":
            yield from _unpacked(body, 0, _ZLIB if _is_zlib(body) else _RAW)
        case _:
            raise InflateError(f'the body is packed as "{encoding[:32]}", which was not asked for')


def _members(body: bytes) -> Iterator[bytes]:
    place = paused = 0
    while body[place : place + 2] == _MAGIC:
        place = yield from _unpacked(body, place, _GZIP)
        if place == len(body):
            return
        if place - paused > _STEP:  # many small members: each costs some microseconds
            paused = place
            yield b""
    raise InflateError("the body is called gzip and is not")


def _is_zlib(body: bytes) -> bool:
    """Tell zlib's header (RFC 1950 2.2) from a raw deflate stream."""
    return len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0  # noqa: PLR2004 - the RFC's numbers


def _unpacked(body: bytes, place: int, window: int) -> Generator[bytes, None, int]:
    """Yield what the stream at `place` holds; return the place of the first byte after it.

    zlib copies what it does not need of what it is given. So it is given little at first, more as
    the stream goes on: a body of many small streams is not copied once for each of them.
    """
    unpacker = zlib.decompressobj(window)
    bite, silent = _FIRST_BITE, 0
    try:
        while True:
            taken = body[place : place + bite]
            piece = unpacker.decompress(taken, _PIECE)
            over = unpacker.eof
            rest = unpacker.unused_data if over else unpacker.unconsumed_tail
            used = len(taken) - len(rest)
            place += used
            silent = 0 if piece else silent + used
            if piece or silent > _STEP:
                silent = 0
                yield piece
            elif not taken and not over:
                raise InflateError("the packed body is cut off")
            if over:
                return place
            bite = min(2 * bite, _LARGEST_BITE)
    except zlib.error as error:
        raise InflateError("the packed body is broken") from error
