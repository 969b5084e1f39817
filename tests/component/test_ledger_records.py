"""What is written comes back; what is another account's does not; what is old gets thin."""

import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.kernel.calendar import Span
from exporter.kernel.units import Kind
from exporter.model.reading import Item, Known, Money, Note, Reading, Unlimited, Usage
from exporter.store import sqlite
from exporter.store.ledger import PointRecord, Restored, StoredHistory
from exporter.store.sqlite import Batch, Write
from exporter.store.state_file import open_database

NOW = 1_763_208_000.0
HOUR = 3600.0
DAY = 86_400.0

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
MAYBE = st.none() | NUMBER
SPAN = st.none() | st.builds(Span, NUMBER, NUMBER)
LIMIT = st.none() | st.builds(Known, NUMBER) | st.builds(Unlimited)
USAGE = st.builds(
    Usage,
    resource=TEXT,
    kind=st.sampled_from(Kind),
    unit=TEXT,
    account=TEXT,
    level=st.booleans(),
    used=MAYBE,
    limit=LIMIT,
    remaining=MAYBE,
    ratio=MAYBE,
    projected=MAYBE,
    next_period=MAYBE,
    overage=MAYBE,
    as_of=MAYBE,
    period=SPAN,
)
MONEY = st.builds(Money, currency=TEXT, account=TEXT, cost=MAYBE, limit=LIMIT, period=SPAN)
ITEM = st.builds(
    Item, resource=TEXT, kind=st.sampled_from(Kind), group=TEXT, item=TEXT, value=NUMBER
)
NOTE = st.builds(Note, reason=TEXT, detail=TEXT, count=st.integers(0, 10**9))
READING = st.builds(
    Reading,
    collector=TEXT,
    at=NUMBER,
    usages=st.lists(USAGE, max_size=3).map(tuple),
    money=st.lists(MONEY, max_size=2).map(tuple),
    items=st.lists(ITEM, max_size=2).map(tuple),
    plans=st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple),
    notes=st.lists(NOTE, max_size=2).map(tuple),
    matched=st.frozensets(TEXT, max_size=3),
)


def a_reading(used: float = 1.0, collector: str = "usage", at: float = NOW) -> Reading:
    usage = Usage(resource="bandwidth", kind=Kind.BYTES, used=used)
    return Reading(collector=collector, at=at, usages=(usage,))


def a_point(
    at: float, used: float = 1.0, *, fingerprint: str = "f", resource: str = "b"
) -> PointRecord:
    return PointRecord("a", fingerprint, "", resource, at, used)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection, _ = open_database(str(tmp_path / "state.db"), NOW)
    yield connection
    connection.close()


def a_success(target: str, fingerprint: str, reading: Reading, at: float) -> Write:
    return partial(
        sqlite.save_reading, target=target, fingerprint=fingerprint, reading=reading, at=at
    )


def a_renewal(target: str, collector: str, at: float) -> Write:
    return partial(sqlite.renew, target=target, collector=collector, at=at)


def a_row(key: str, value: bytes | None) -> Write:
    return partial(sqlite.save_schedule_row, key=key, value=value)


def a_removal(target: str) -> Write:
    return partial(sqlite.forget, target=target)


def write(
    ledger: sqlite3.Connection,
    *writes: Write,
    points: Sequence[PointRecord] = (),
    now: float = NOW,
) -> int:
    numbered: dict[tuple[str, ...], Write] = {
        (str(number),): one for number, one in enumerate(writes)
    }
    return sqlite.write(ledger, Batch(numbered, tuple(points), 0), now)


def load(ledger: sqlite3.Connection, **fingerprints: str) -> Restored:
    return sqlite.load_state(ledger, fingerprints)


def history_of(
    ledger: sqlite3.Connection, since: float = 0.0, step: float = 0.0, **fingerprints: str
) -> StoredHistory:
    prints = fingerprints or {"a": "f"}
    return sqlite.load_state(ledger, prints, since, step).histories.get("a", {})


def points_of(ledger: sqlite3.Connection, step: float = 0.0) -> tuple[tuple[float, float], ...]:
    return history_of(ledger, step=step).get(("", "b"), ())


# ------------------------------------------------------------------------------------ readings


@given(reading=READING, at=st.floats(0.0, NOW))
def test_every_reading_comes_back_as_it_was(reading: Reading, at: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        connection, _ = open_database(f"{folder}/state.db", NOW)
        assert write(connection, a_success("a", "f", reading, at)) == 0
        assert load(connection, a="f").readings == {"a": ((reading, at),)}
        connection.close()


def test_an_empty_ledger_restores_nothing(ledger: sqlite3.Connection) -> None:
    assert load(ledger, a="f") == Restored()


def test_the_last_reading_of_each_collector_is_kept(ledger: sqlite3.Connection) -> None:
    quotas = a_reading(collector="quotas")
    write(ledger, a_success("a", "f", a_reading(1), NOW), a_success("a", "f", quotas, NOW))
    write(ledger, a_success("a", "f", a_reading(2), NOW + 60), now=NOW + 61)
    restored = load(ledger, a="f")
    assert set(restored.readings["a"]) == {(quotas, NOW), (a_reading(2), NOW + 60)}
    assert restored.written_at == NOW + 61


def test_a_renewal_moves_the_age_alone(ledger: sqlite3.Connection) -> None:
    write(ledger, a_success("a", "f", a_reading(), NOW))
    write(ledger, a_renewal("a", "usage", NOW + 60), a_renewal("b", "usage", NOW))
    assert load(ledger, a="f", b="f").readings == {"a": ((a_reading(), NOW + 60),)}


def test_values_of_another_account_do_not_come_back(ledger: sqlite3.Connection) -> None:
    write(ledger, a_success("a", "f", a_reading(), NOW), points=[a_point(NOW)])
    assert load(ledger, a="other").readings == {}
    assert history_of(ledger, a="other") == {}
    assert load(ledger, a="f").readings


def test_a_target_that_became_another_forgets_all_it_had(ledger: sqlite3.Connection) -> None:
    quotas = a_success("a", "f", a_reading(collector="quotas"), NOW)
    write(ledger, quotas, a_success("a", "f", a_reading(1), NOW), points=[a_point(NOW)])
    write(ledger, a_success("a", "other", a_reading(2), NOW))
    assert load(ledger, a="other").readings == {"a": ((a_reading(2), NOW),)}
    assert ledger.execute("SELECT count(*) FROM history").fetchone() == (0,)


def test_unknown_targets_are_not_read_but_stay(ledger: sqlite3.Connection) -> None:
    write(ledger, a_success("a", "f", a_reading(), NOW), a_success("b", "f", a_reading(), NOW))
    assert list(load(ledger, b="f").readings) == ["b"]
    assert list(load(ledger, a="f").readings) == ["a"]


def test_a_forgotten_target_is_gone(ledger: sqlite3.Connection) -> None:
    write(ledger, a_success("a", "f", a_reading(), NOW), points=[a_point(NOW)])
    write(ledger, a_removal("a"), a_removal("never there"), points=[a_point(NOW + 1)])
    assert load(ledger, a="f").readings == {}
    assert points_of(ledger) == ()


def test_a_field_of_a_newer_version_is_ignored_and_one_of_an_older_has_its_default(
    ledger: sqlite3.Connection,
) -> None:
    write(ledger, a_success("a", "f", a_reading(), NOW))
    usage = {
        "resource": "seats",
        "kind": "quantity",
        "mood": "good",
        "limit": {"type": "unlimited"},
    }
    newer = {"collector": "usage", "at": NOW, "usages": [usage], "colour": [1, 2]}
    ledger.execute("UPDATE readings SET reading = ?, crc = NULL", (msgspec.msgpack.encode(newer),))
    ((reading, _),) = load(ledger, a="f").readings["a"]
    assert reading == Reading(
        collector="usage",
        at=NOW,
        usages=(Usage(resource="seats", kind=Kind.QUANTITY, limit=Unlimited()),),
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xc1",
        b"no msgpack",
        msgspec.msgpack.encode({"collector": "usage"}),
        msgspec.msgpack.encode({"collector": "usage", "at": NOW, "usages": [{"kind": "moons"}]}),
        "text",
        None,
        7,
    ],
    ids=repr,
)
def test_a_row_that_cannot_be_understood_is_skipped_and_counted(
    ledger: sqlite3.Connection, content: object
) -> None:
    write(ledger, a_success("a", "f", a_reading(), NOW), a_success("b", "f", a_reading(), NOW))
    ledger.execute("DROP TABLE readings")
    ledger.execute("CREATE TABLE readings (target, collector, at, reading, crc)")
    rows = [(1, "usage", NOW, content), (2, "usage", NOW, msgspec.msgpack.encode(a_reading()))]
    ledger.executemany("INSERT INTO readings VALUES (?, ?, ?, ?, NULL)", rows)
    restored = load(ledger, a="f", b="f")
    assert restored.readings == {"b": ((a_reading(), NOW),)}
    assert restored.skipped == 1


def test_a_record_that_no_disk_can_take_does_not_stop_the_others(
    ledger: sqlite3.Connection,
) -> None:
    refused = write(
        ledger,
        a_success("lone \ud800", "f", a_reading(), NOW),
        a_success("a", "f", a_reading(), NOW),
        points=[a_point(NOW, resource="\ud800"), a_point(NOW)],
    )
    assert refused == 2
    assert load(ledger, a="f").readings
    assert points_of(ledger) == ((NOW, 1.0),)


# ------------------------------------------------------------------------------------ schedule


def test_rows_of_the_schedule_come_back_byte_by_byte(ledger: sqlite3.Connection) -> None:
    write(ledger, a_row("job a", b"\x00\xff"), a_row("job b", b""))
    write(ledger, a_row("job a", b"new"), a_row("budget", b"1"))
    write(ledger, a_row("budget", None), a_row("never there", None))
    assert load(ledger).schedule == {"job a": b"new", "job b": b""}


# ------------------------------------------------------------------------------------- history


def test_points_come_back_by_account_and_resource_in_order(ledger: sqlite3.Connection) -> None:
    other = PointRecord("a", "f", "team", "seats", NOW, 5.0)
    write(
        ledger,
        a_success("a", "f", a_reading(), NOW),
        points=[a_point(NOW, 1), a_point(NOW + 60, 2), other, a_point(NOW + 120, 4)],
    )
    assert history_of(ledger) == {
        ("", "b"): ((NOW, 1.0), (NOW + 60, 2.0), (NOW + 120, 4.0)),
        ("team", "seats"): ((NOW, 5.0),),
    }
    assert history_of(ledger, NOW + 60) == {("", "b"): ((NOW + 60, 2.0), (NOW + 120, 4.0))}


def test_the_last_point_of_each_step_stands_for_it(ledger: sqlite3.Connection) -> None:
    start = NOW // HOUR * HOUR
    points = [a_point(start + minute * 60.0, minute) for minute in range(150)]
    write(ledger, a_success("a", "f", a_reading(), NOW), points=points)
    assert points_of(ledger, HOUR) == (
        (start + 59 * 60, 59.0),
        (start + 119 * 60, 119.0),
        (start + 149 * 60, 149.0),
    )


def test_the_histories_of_all_targets_are_loaded_on_demand(ledger: sqlite3.Connection) -> None:
    points = [a_point(NOW - HOUR, 1), a_point(NOW, 2), PointRecord("b", "f", "", "b", NOW, 3.0)]
    write(
        ledger,
        a_success("a", "f", a_reading(), NOW),
        a_success("b", "f", a_reading(), NOW),
        a_success("c", "f", a_reading(), NOW),
        points=points,
    )
    prints = {"a": "f", "b": "other", "c": "f"}
    assert sqlite.load_state(ledger, prints).histories == {}
    assert sqlite.load_state(ledger, prints, NOW).histories == {"a": {("", "b"): ((NOW, 2.0),)}}
    prints["b"] = "f"
    assert sqlite.load_state(ledger, prints, 0.0, 60.0).histories == {
        "a": {("", "b"): ((NOW - HOUR, 1.0), (NOW, 2.0))},
        "b": {("", "b"): ((NOW, 3.0),)},
    }


def test_a_point_without_a_reading_of_its_target_is_dropped(ledger: sqlite3.Connection) -> None:
    write(ledger, points=[a_point(NOW)])
    write(ledger, a_success("a", "f", a_reading(), NOW), points=[a_point(NOW, fingerprint="old")])
    assert points_of(ledger) == ()
    assert load(ledger, a="f").readings


def test_a_value_that_does_not_change_costs_two_points(ledger: sqlite3.Connection) -> None:
    write(ledger, a_success("a", "f", a_reading(), NOW))
    for minute, used in enumerate([1, 5, 5, 5, 5, 5, 6]):
        write(ledger, points=[a_point(NOW + minute, used)])
    assert points_of(ledger) == ((NOW, 1.0), (NOW + 1, 5.0), (NOW + 5, 5.0), (NOW + 6, 6.0))


def test_points_from_a_clock_that_was_wrong_go_when_it_is_put_right(
    ledger: sqlite3.Connection,
) -> None:
    write(ledger, a_success("a", "f", a_reading(), NOW))
    write(ledger, points=[a_point(NOW, 1), a_point(NOW + HOUR, 2), a_point(NOW + HOUR, 3)])
    assert points_of(ledger) == ((NOW, 1.0), (NOW + HOUR, 3.0))
    write(ledger, points=[a_point(NOW + 60, 4)])
    assert points_of(ledger) == ((NOW, 1.0), (NOW + 60, 4.0))


def test_history_is_thinned_to_the_last_of_each_hour_and_ends_after_35_days(
    ledger: sqlite3.Connection,
) -> None:
    start = NOW - 40 * DAY
    steps = int(40 * DAY / 600)
    points = [a_point(start + step * 600.0, float(step)) for step in range(steps)]
    write(ledger, a_success("a", "f", a_reading(), NOW), points=points)
    assert sqlite.tidy(ledger, NOW, 0, 10) is None
    kept = points_of(ledger)
    old = [at for at, _ in kept if at < (NOW - 2 * DAY) // HOUR * HOUR]
    fine = [at for at, _ in kept if at >= (NOW - 2 * DAY) // HOUR * HOUR]
    assert min(old) >= NOW - 35 * DAY
    assert {at % HOUR for at in old} == {3000.0}  # ten to the hour is the last of six
    assert len(old) == len({at // HOUR for at in old}) == 33 * 24
    assert len(fine) == 2 * 24 * 6
    assert set(kept) <= {(point.at, point.used) for point in points}
    assert sqlite.tidy(ledger, NOW, 0, 10) is None
    assert points_of(ledger) == kept


def test_tidying_goes_on_where_it_stopped(ledger: sqlite3.Connection) -> None:
    points = [a_point(NOW - 40 * DAY, resource=f"r{n}") for n in range(5)]
    write(ledger, a_success("a", "f", a_reading(), NOW), points=points)
    after: int | None = 0
    left = []
    while after is not None:
        after = sqlite.tidy(ledger, NOW, after, 2)
        left.append(ledger.execute("SELECT count(*) FROM history").fetchone()[0])
    assert left == [3, 1, 0]


def test_a_target_that_nobody_polled_for_35_days_is_deleted(ledger: sqlite3.Connection) -> None:
    write(
        ledger,
        a_success("old", "f", a_reading(), NOW - 36 * DAY),
        a_success("a", "f", a_reading(), NOW - 34 * DAY),
    )
    sqlite.tidy(ledger, NOW, 0, 10)
    assert list(load(ledger, old="f", a="f").readings) == ["a"]


def test_collectors_and_resources_that_are_no_more_are_deleted_after_35_days(
    ledger: sqlite3.Connection,
) -> None:
    off = msgspec.structs.replace(a_reading(), collector="off")
    write(
        ledger,
        a_success("a", "f", off, NOW - 36 * DAY),
        a_success("a", "f", a_reading(), NOW),
        points=[a_point(NOW - 36 * DAY, resource="gone"), a_point(NOW)],
    )
    sqlite.tidy(ledger, NOW, 0, 10)
    collectors = ledger.execute("SELECT collector FROM readings").fetchall()
    resources = ledger.execute("SELECT resource FROM series").fetchall()
    assert collectors == [(a_reading().collector,)]
    assert [resource for (resource,) in resources] == [a_point(NOW).resource]
