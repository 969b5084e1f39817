"""What waits for the disk: the latest of each, in order, within bounds."""

from functools import cache, partial

from exporter.store import sqlite
from exporter.store.file_ledger import PendingWrites
from exporter.store.ledger import PointRecord
from exporter.store.sqlite import Write


@cache  # partials are equal only to themselves
def a_row(key: str, value: bytes = b"1") -> Write:
    return partial(sqlite.save_schedule_row, key=key, value=value)


REMOVAL: Write = partial(sqlite.forget, target="t")


def a_point(at: float) -> PointRecord:
    return PointRecord("a", "f", "", "bandwidth", at, 1.0)


def test_the_newer_record_takes_the_place_and_goes_to_the_end() -> None:
    waiting = PendingWrites()
    waiting.put(("schedule", "a"), a_row("a"))
    waiting.put(("schedule", "b"), a_row("b"))
    waiting.put(("schedule", "a"), a_row("a", b"2"))
    batch = waiting.take()
    assert list(batch.writes.values()) == [a_row("b"), a_row("a", b"2")]
    assert batch.count == 3


def test_taking_begins_anew() -> None:
    waiting = PendingWrites()
    assert not waiting
    waiting.put(("schedule", "a"), a_row("a"))
    waiting.extend([a_point(1)])
    assert waiting
    assert waiting.take().points == (a_point(1),)
    assert not waiting
    assert waiting.take().writes == {}


def test_a_batch_that_comes_back_stands_before_what_is_newer() -> None:
    waiting = PendingWrites()
    waiting.put(("schedule", "a"), a_row("a", b"old"))
    waiting.put(("schedule", "b"), a_row("b", b"old"))
    waiting.extend([a_point(1)])
    batch = waiting.take()
    waiting.put(("forget", "t"), REMOVAL)
    waiting.put(("schedule", "a"), a_row("a", b"new"))
    waiting.extend([a_point(2)])
    waiting.put_back(batch)
    again = waiting.take()
    assert list(again.writes.values()) == [
        a_row("b", b"old"),
        REMOVAL,
        a_row("a", b"new"),
    ]
    assert again.points == (a_point(1), a_point(2))
    assert again.count == waiting.count


def test_only_so_many_points_wait_and_the_oldest_go() -> None:
    waiting = PendingWrites(points=3)
    waiting.extend([a_point(1), a_point(2)])
    batch = waiting.take()
    waiting.extend([a_point(3), a_point(4)])
    waiting.put_back(batch)
    assert waiting.take().points == (a_point(2), a_point(3), a_point(4))
