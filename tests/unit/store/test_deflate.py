"""One gzip member of two pieces, by either engine."""

import gzip
import importlib
import sys
import zlib
from collections.abc import Iterator

import msgspec
import pytest

from exporter.store import exposition
from exporter.store.exposition import Deflated, assemble_gzip, deflate, followed_by

LARGE = [b'usage_bytes{n="%d"} %d\n' % (n, n * 7919) for n in range(60_000)]


@pytest.fixture(params=["isal", "zlib"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "zlib":  # as if the extra "fast" were not installed
        monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    exposition._engine.cache_clear()
    yield request.param
    exposition._engine.cache_clear()


def assembled(piece: Deflated, tail: bytes) -> bytes:
    return b"".join(assemble_gzip(piece, tail))


def test_the_engine_is_isal_where_it_is_installed(engine: str) -> None:
    assert exposition._engine() is importlib.import_module(
        "isal.isal_zlib" if engine == "isal" else "zlib"
    )


@pytest.mark.parametrize(
    "tail", [b"", b"tail 1\n", b"tail\n" * 50_000], ids=["none", "short", "long"]
)
@pytest.mark.parametrize(
    "parts", [[], [b""], [b"one\n"], LARGE], ids=["none", "empty", "one", "large"]
)
def test_body_and_tail_come_back_in_one_piece(parts: list[bytes], tail: bytes) -> None:
    packed = assembled(deflate(parts), tail)
    plain = b"".join(parts) + tail
    assert gzip.decompress(packed) == plain
    assert zlib.decompress(packed, 31) == plain


def test_it_is_a_single_member_with_nothing_behind_it() -> None:
    strict = zlib.decompressobj(31)
    assert (
        strict.decompress(assembled(deflate(LARGE), b"tail 1\n")) == b"".join(LARGE) + b"tail 1\n"
    )
    assert strict.eof
    assert strict.unused_data == b""
    assert strict.unconsumed_tail == b""


def test_one_segment_serves_many_tails() -> None:
    piece = deflate([b"body 1\n"])
    for tail in (b"a 1\n", b"a 2\n"):
        assert gzip.decompress(assembled(piece, tail)) == b"body 1\n" + tail


def test_the_piece_tells_checksum_and_length_of_the_plain_bytes() -> None:
    piece = deflate(LARGE)
    plain = b"".join(LARGE)
    assert (piece.crc, piece.size) == (zlib.crc32(plain), len(plain))
    assert sum(map(len, piece.segments)) < len(plain) / 4


def test_a_damaged_byte_is_noticed_by_the_checksum() -> None:
    piece = deflate([b"body 1\n"])
    damaged = msgspec.structs.replace(piece, crc=piece.crc ^ 1)
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(assembled(damaged, b""))


def test_two_pieces_make_one_member() -> None:
    both = followed_by(
        deflate(LARGE), deflate([b"more 1\n", b"more 2\n"]), [b"more 1\n", b"more 2\n"]
    )
    plain = b"".join(LARGE) + b"more 1\nmore 2\n"
    assert (both.crc, both.size) == (zlib.crc32(plain), len(plain))
    assert gzip.decompress(assembled(both, b"tail 1\n")) == plain + b"tail 1\n"
