"""The gzip bomb is a real one: unpacking it all gives the promised size."""

import zlib

import pytest

from exporter.demo.faults import gzip_bomb


@pytest.mark.slow
def test_the_bomb_is_valid_to_its_last_byte() -> None:
    bomb = gzip_bomb()
    unpacker, size, left = zlib.decompressobj(31), 0, bomb
    while left:
        piece = unpacker.decompress(left, 1 << 20)
        assert not piece.strip(b" ")
        size, left = size + len(piece), unpacker.unconsumed_tail
    size += len(unpacker.flush())
    assert unpacker.eof  # it checks CRC and length
    assert not unpacker.unused_data
    assert size == 200 << 20
    assert len(bomb) < size // 500
