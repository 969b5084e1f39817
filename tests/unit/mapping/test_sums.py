"""Sums of rows, by definitions as they are written: parts unknown, shared, or of one thing."""

import msgspec
import pytest

from exporter.mapping.read import read_payload
from exporter.model.outcome import Failure, Reason
from exporter.model.reading import Known, Note, Reading, Usage
from tests.unit.config.acme import compiled, refused
from tests.unit.mapping.factories import NOW, payload, target

DAYS = {"cap": 1000, "days": [{"gb": 100}, {"gb": 200}, {"gb": 50}]}
ACCOUNTS = {
    "accounts": [
        {"name": "x", "cap": 10, "days": [{"n": 1}, {"n": 2}]},
        {"name": "y", "cap": 5, "days": [{"n": 1}]},
    ]
}


def read(rule: str, *documents: object) -> Reading | Failure:
    """Return what a resource of Acme reads from the pages of one answer."""
    acme = msgspec.structs.replace(target(), definition=compiled(resources=f"[{rule}]"))
    return read_payload(acme, "usage", (payload(*documents),), NOW)


def one(rule: str, *documents: object) -> tuple[Usage, list[Note]]:
    found = read(rule, *documents)
    assert isinstance(found, Reading), found
    (usage,) = found.usages
    return usage, list(found.notes)


@pytest.mark.parametrize(
    ("rows", "used", "limit", "remaining"),
    [
        ([(4, 10, 6), (35, 50, 15)], 39.0, Known(60.0), 21.0),
        ([(4, 10, 6), (35, None, 15)], 39.0, None, 21.0),
        ([(4, 10, 6), (35, 50, None)], 39.0, Known(60.0), None),
        ([(4, 10, 6), (None, 50, 15)], None, Known(60.0), 21.0),
        ([(4, None, 6), (35, None, 15)], 39.0, None, 21.0),
    ],
)
def test_a_sum_with_an_unknown_part_is_unknown_and_noted(
    rows: list[tuple[object, ...]], used: object, limit: object, remaining: object
) -> None:
    rule = "{name: a, each: rows, used: u, limit: l, remaining: r, reduce: sum}"
    document = {"rows": [dict(zip("ulr", row, strict=True)) for row in rows]}
    found, notes = one(rule, document)
    assert (found.used, found.limit, found.remaining) == (used, limit, remaining)
    partly = any(None in column and any(column) for column in zip(*rows, strict=True))
    assert [note.reason for note in notes] == ["unknown_part"] * partly
    assert all("1 of 2 rows have no number" in note.detail for note in notes)


def test_what_is_missing_may_be_declared_as_zero() -> None:
    rule = "{name: a, each: rows, used: {path: u, missing: zero}, reduce: sum}"
    assert one(rule, {"rows": [{"u": 3}, {}]})[0].used == 3.0


@pytest.mark.parametrize("how", ["max", "min", "last"])
def test_roles_of_one_reduction_are_reduced_over_the_same_rows(how: str) -> None:
    rule = "{name: a, each: rows, used: u, limit: l, reduce: HOW}".replace("HOW", how)
    found, notes = one(rule, {"rows": [{"u": 4, "l": 10}, {"u": 35}, {}]})
    assert found.used is not None
    assert found.limit is None
    assert [note.reason for note in notes] == ["unknown_part"]


def test_an_added_number_with_an_absent_part_is_noted() -> None:
    rule = "{name: a, used: n, overage: {add: [b, c]}}"
    found, notes = one(rule, {"n": 1, "b": 2})
    assert found.overage is None
    assert [note.reason for note in notes] == ["unknown_part"]
    assert "a.overage: a part of `add` is not there" in notes[0].detail
    assert one(rule, {"n": 1})[1] == []
    rows = "{name: a, each: rows, used: {add: [b, c]}, overage: n, reduce: sum}"
    found, notes = one(rows, {"rows": [{"n": 1, "b": 2}, {"n": 1, "b": 2, "c": 3}]})
    assert (found.used, found.overage) == (None, 2.0)
    assert [note.reason for note in notes] == ["unknown_part"]


@pytest.mark.parametrize("limit", ["root.cap", "{path: root.cap, unit: GB}", "`1000`"])
def test_what_all_rows_share_is_not_multiplied(limit: str) -> None:
    rule = "{name: a, unit: GB, each: {path: days, as: d}, used: d.gb, limit: LIMIT, reduce: sum}"
    found, notes = one(rule.replace("LIMIT", f'"{limit}"' if limit[0] == "`" else limit), DAYS)
    assert (found.used, found.limit, notes) == (350e9, Known(1000e9), [])


def test_what_the_rows_of_an_entry_share_counts_once_for_each_entry() -> None:
    rule = (
        "{name: a, each: [{path: accounts, as: a}, {path: a.days, as: d}],"
        " used: d.n, limit: a.cap, reduce: sum}"
    )
    assert one(rule, ACCOUNTS)[0].limit == Known(15.0)
    by_name = rule.replace("name: a,", 'name: "{a.name}",', 1)
    found = read(by_name, ACCOUNTS)
    assert isinstance(found, Reading)
    assert [(usage.used, usage.limit) for usage in found.usages] == [
        (3.0, Known(10.0)),
        (1.0, Known(5.0)),
    ]


def test_what_a_join_finds_belongs_to_its_row() -> None:
    rule = (
        "{name: a, each: {path: servers, as: s}, join: [{as: kind, table: kinds, key: s.kind}],"
        " used: s.n, limit: kind.cap, reduce: sum}"
    )
    servers = [{"n": 1, "kind": "small"}, {"n": 2, "kind": "small"}]
    found, _ = one(rule, {"servers": servers, "kinds": {"small": {"cap": 20}}})
    assert found.limit == Known(40.0)


def test_pages_share_what_they_agree_about() -> None:
    rule = "{name: a, each: {path: days, as: d}, used: d.gb, limit: root.cap, reduce: sum}"
    assert one(rule, DAYS, DAYS)[0].limit == Known(1000.0)
    found, notes = one(rule, DAYS, DAYS | {"cap": 900})
    assert (found.used, found.limit) == (700.0, None)
    assert "the rows disagree about what they share" in notes[0].detail


@pytest.mark.parametrize(
    "limit", ["[d.cap, root.cap]", "{add: [d.cap, root.cap]}", "d.cap || root.cap"]
)
def test_a_sum_of_rows_and_of_what_they_share_is_refused(limit: str) -> None:
    rule = "{name: a, each: {path: days, as: d}, used: d.gb, limit: LIMIT, reduce: HOW}"
    rule = rule.replace("LIMIT", limit)
    assert "would be added once a row" in refused(resources=f"[{rule.replace('HOW', 'sum')}]")
    compiled(resources=f"[{rule.replace('HOW', 'last')}]")


@pytest.mark.parametrize("rule", ["{name: a, each: days, used: '`1`', reduce: sum}"])
def test_a_sum_of_a_literal_is_refused(rule: str) -> None:
    assert "reduce: count" in refused(resources=f"[{rule}]")


def test_the_newest_of_each_can_be_summed_and_ties_without_it_are_refused() -> None:
    rule = "{name: a, level: true, each: rows, used: n, reduce: {how: last, by: t, per: id}}"
    rows = [{"id": i, "t": t, "n": n} for i, t, n in [("x", 1, 10), ("y", 1, 5), ("x", 2, 12)]]
    assert one(rule, {"rows": rows})[0].used == 17.0
    found = read(rule.replace(", per: id", ""), {"rows": [*rows, {"id": "y", "t": 2, "n": 6}]})
    assert isinstance(found, Failure)
    assert "2 rows have the last time" in found.detail
    assert "of all rows anyhow" in refused(
        resources="[{name: a, each: rows, used: n, reduce: {how: sum, per: id}}]"
    )


@pytest.mark.parametrize(
    "sections",
    [
        {"costs": "[{currency: USD, cost: a}, {currency: USD, cost: b}]"},
        {
            "costs": "[{collector: usage, each: r, currency: USD, cost: c, reduce: sum},"
            " {collector: quota, each: r, currency: USD, cost: c, reduce: sum}]"
        },
        {"costs": "[{currency: '{params.org}', base: a}, {currency: '{params.org}', base: b}]"},
        {"resources": "[{name: x, used: a}, {name: x, collector: quota, used: b}]"},
        {
            "resources": "[{name: x, used: a, limit: {path: l, from: quota}},"
            " {name: x, collector: quota, limit: b}]"
        },
    ],
    ids=str,
)
def test_two_rules_of_one_series_are_refused_where_it_can_be_seen(sections: dict[str, str]) -> None:
    assert "already, and two numbers are not added" in refused(**sections)


@pytest.mark.parametrize(
    "sections",
    [
        {"costs": "[{currency: USD, cost: a}, {currency: USD, projected: b}]"},
        {"costs": "[{currency: USD, cost: a}, {currency: EUR, cost: b}]"},
        {"resources": "[{name: x, used: a}, {name: x, collector: quota, limit: b}]"},
        {"resources": "[{name: x, used: a, where: k}, {name: x, used: b, where: '!k'}]"},
    ],
    ids=str,
)
def test_rules_that_share_no_number_may_share_a_series(sections: dict[str, str]) -> None:
    compiled(**sections)


@pytest.mark.parametrize(
    ("sections", "document"),
    [
        (
            {"costs": "[{currency: {path: c}, cost: a}, {currency: USD, cost: b}]"},
            {"c": "usd", "a": 5, "b": 5},
        ),
        (
            {
                "resources": "[{name: '{m.key}', each: {path: items(m), as: m}, used: m.value},"
                " {name: mail, used: n}]"
            },
            {"m": {"Mail": 1}, "n": 2},
        ),
        (
            {"resources": "[{name: x, used: a, where: a}, {name: x, used: b, where: b}]"},
            {"a": 1, "b": 2},
        ),
        (
            {
                "items": "[{resource: x, group: g, each: r, item: n, used: u},"
                " {resource: x, group: g, each: s, item: n, used: u}]"
            },
            {"total": 1, "r": [{"n": "a", "u": 1}], "s": [{"n": "a", "u": 1}]},
        ),
    ],
    ids=str,
)
def test_two_rules_that_give_one_number_fail_the_poll(
    sections: dict[str, str], document: object
) -> None:
    acme = msgspec.structs.replace(target(), definition=compiled(**sections))
    found = read_payload(acme, "usage", (payload(document),), NOW)
    assert isinstance(found, Failure)
    assert found.reason is Reason.SCHEMA
    assert "two numbers are not added" in found.detail
