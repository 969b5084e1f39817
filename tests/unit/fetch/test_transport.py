"""Compressed bodies."""

import gzip
import time
import zlib

import pytest

from exporter.fetch.errors import InflateError
from exporter.fetch.transport import inflate

TEXT = b'{"a": 1}' * 100


def raw(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (TEXT, ""),
        (TEXT, "identity"),
        (gzip.compress(TEXT, mtime=0), "gzip"),
        (gzip.compress(TEXT, mtime=0), " X-GZIP "),
        (gzip.compress(TEXT[:8], mtime=0) + gzip.compress(TEXT[8:], mtime=0), "gzip"),
        (b"".join(gzip.compress(TEXT[place:][:100]) for place in range(0, 800, 100)), "gzip"),
        (zlib.compress(TEXT), "deflate"),
        (raw(TEXT), "deflate"),
    ],
)
def test_each_encoding_is_inflated(body: bytes, encoding: str) -> None:
    assert b"".join(inflate(body, encoding)) == TEXT


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (gzip.compress(TEXT, mtime=0)[:-12], "gzip", "cut off"),
        (gzip.compress(TEXT, mtime=0)[:5], "gzip", "cut off"),
        (gzip.compress(TEXT, mtime=0)[:-4] + b"\0\0\0\0", "gzip", "broken"),
        (TEXT, "gzip", "called gzip and is not"),
        (gzip.compress(TEXT, mtime=0) + b"junk", "gzip", "called gzip and is not"),
        (zlib.compress(TEXT)[:-6], "deflate", "cut off"),
        (TEXT, "deflate", "broken"),
        (TEXT, "br", 'packed as "br"'),
        (TEXT, "gzip, gzip", "was not asked for"),
    ],
)
def test_what_cannot_be_inflated_is_told(body: bytes, encoding: str, why: str) -> None:
    with pytest.raises(InflateError, match=why):
        list(inflate(body, encoding))


def test_large_members_one_after_the_other_are_all_there() -> None:
    member = gzip.compress(bytes(1024 * 1024))
    assert sum(map(len, inflate(member * 3, "gzip"))) == 3 * 1024 * 1024


def test_a_bomb_comes_in_small_pieces() -> None:
    bomb = gzip.compress(bytes(20 * 1024 * 1024))
    pieces = inflate(bomb, "gzip")
    assert len(bomb) < 30_000
    assert len(next(pieces)) <= 256 * 1024
    assert all(len(piece) <= 256 * 1024 for piece in pieces)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(b"", mtime=0) * 100_000, "gzip"),
        (b"\x78\x9c" + b"\0\0\0\xff\xff" * 400_000 + b"\1\0\0\xff\xff\0\0\0\1", "deflate"),
    ],
)
def test_a_body_of_which_nothing_comes_out_pauses_all_the_same(body: bytes, encoding: str) -> None:
    pieces = list(inflate(body, encoding))
    assert set(pieces) == {b""}
    assert len(pieces) > len(body) // (256 * 1024)


def test_many_members_cost_what_their_bytes_cost() -> None:
    few, many = (gzip.compress(b"", mtime=0) * count for count in (10_000, 80_000))
    costs = [min(_cpu(body) for _ in range(3)) for body in (few, many)]
    assert costs[1] < 30 * costs[0]  # 8 times the bytes; with a copy of the rest it was 64 times


def _cpu(body: bytes) -> float:
    began = time.thread_time()
    for _ in inflate(body, "gzip"):
        pass
    return time.thread_time() - began
