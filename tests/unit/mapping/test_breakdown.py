import pytest

from exporter.kernel.units import Kind
from exporter.model.reading import Item, Note
from tests.unit.mapping.factories import (
    failure,
    items,
    optional,
    paths,
    reading,
    reduce,
    rows,
    target,
    unit,
    unit_at,
    value,
)

TESTS = {
    "tests": [
        {"name": "login", "used": 5, "org": "a"},
        {"name": "checkout", "used": 9, "org": "b"},
        {"name": "login", "used": 2, "org": "c"},
        {"name": None, "used": 1, "org": "d"},
        {"name": "new", "org": "e"},
    ]
}


def labels(found: tuple[Item, ...]) -> list[tuple[str, float]]:
    return [(one.item, one.value) for one in found]


def test_parts_are_summed_by_label_and_come_largest_first() -> None:
    rule = items("units", rows("tests"), "name", used=value("used"), group="test")
    found = reading(target(rule), TESTS).items
    assert labels(found) == [("checkout", 9.0), ("login", 7.0), ("", 1.0)]
    assert found[0] == Item(
        resource="units", kind=Kind.QUANTITY, group="test", item="checkout", value=9.0
    )


def test_parts_are_reduced_as_the_definition_says() -> None:
    rule = items("units", rows("tests"), "name", used=value("used"), reduce=reduce("last"))
    assert ("login", 2.0) in labels(reading(target(rule), TESTS).items)


def test_parts_are_read_only_for_a_target_that_wants_them_or_always() -> None:
    rule = items("units", rows("tests"), "name", used=value("used"))
    always = items("units", rows("tests"), "name", used=value("used"), always=True)
    assert reading(target(rule, items=False), TESTS).items == ()
    assert len(reading(target(always, items=False), TESTS).items) == 3


def test_the_largest_are_kept_and_the_rest_is_other() -> None:
    rule = items("units", rows("items(@)"), "key", used=value("value"), top=2)
    answer = {"a": 5, "b": 40, "other": 7, "c": 30, "d": 2}
    assert labels(reading(target(rule), answer).items) == [
        ("b", 40.0),
        ("c", 30.0),
        ("other", 14.0),
    ]
    assert len(reading(target(rule), {"a": 1, "b": 2}).items) == 2


def test_each_resource_and_currency_has_its_own_top() -> None:
    rule = items("{kind}_spend", rows("rows"), "name", cost=value("n"), currency=paths("c"), top=1)
    answer = {
        "rows": [
            {"kind": "x", "name": "a", "n": 5, "c": "USD"},
            {"kind": "x", "name": "b", "n": 4, "c": "USD"},
            {"kind": "x", "name": "c", "n": 3, "c": "EUR"},
            {"kind": "y", "name": "d", "n": 2, "c": "USD"},
            {"kind": "y", "name": "e", "n": 1, "c": "USD"},
        ]
    }
    found = reading(target(rule), answer).items
    assert {(one.resource, one.currency, one.item, one.value) for one in found} == {
        ("x_spend", "USD", "a", 5.0),
        ("x_spend", "USD", "other", 4.0),
        ("x_spend", "EUR", "c", 3.0),
        ("y_spend", "USD", "d", 2.0),
        ("y_spend", "USD", "other", 1.0),
    }
    assert {one.kind for one in found} == {Kind.MONEY}


def test_labels_may_be_lower_cased_and_then_are_one() -> None:
    rule = items("spend", rows("rows"), "sku", used=value("n"), lower=True)
    answer = {"rows": [{"sku": "Actions", "n": 1}, {"sku": "actions", "n": 2}]}
    assert labels(reading(target(rule), answer).items) == [("actions", 3.0)]


def test_a_label_that_grows_in_lower_case_is_still_no_longer_than_a_label() -> None:
    rule = items("a", rows("rows"), "name", used=value("n"), lower=True)
    (found,) = reading(target(rule), {"rows": [{"name": "İ" * 128, "n": 1}]}).items
    assert len(found.item) == 128


def test_cut_labels_are_noted_and_meet() -> None:
    rule = items("a", rows("rows"), "name", used=value("n"), group="file")
    answer = {"rows": [{"name": "x" * 200 + "1", "n": 1}, {"name": "x" * 200 + "2", "n": 2}]}
    found = reading(target(rule), answer)
    assert labels(found.items) == [("x" * 128, 3.0)]
    assert found.notes == (Note(reason="label_cut", detail="file", count=2),)


def test_a_part_has_the_unit_of_its_row() -> None:
    words = unit_at("unit", {"GB": "GB", "min": "minutes"})
    rule = items("traffic", rows("rows"), "name", used=value("n"), unit=words)
    answer = {"rows": [{"name": "a", "n": 2, "unit": "GB"}, {"name": "b", "n": 3, "unit": "min"}]}
    found = reading(target(rule), answer).items
    assert [(one.kind, one.value) for one in found] == [(Kind.BYTES, 2e9), (Kind.SECONDS, 180.0)]


def test_two_units_under_one_label_are_refused() -> None:
    words = unit_at("unit", {"GB": "GB", "min": "minutes"})
    rule = items("traffic", rows("rows"), "name", used=value("n"), unit=words)
    answer = {"rows": [{"name": "a", "n": 2, "unit": "GB"}, {"name": "a", "n": 3, "unit": "min"}]}
    assert failure(target(rule), answer).detail.startswith(
        'items[traffic].traffic["a"]: one series cannot be measured in'
    )


def test_costs_of_parts_know_cents_and_need_a_currency() -> None:
    rule = items(
        "spend",
        rows("rows"),
        "model",
        cost=value("n", unit=unit("cents")),
        currency=paths("c"),
    )
    answer = {"rows": [{"model": "m", "n": "123.45", "c": "usd"}]}
    (found,) = reading(target(rule), answer).items
    assert found.value == pytest.approx(1.2345)
    assert found.currency == "USD"
    without = {"rows": [{"model": "m", "n": "123.45"}, {"model": "o", "n": 1, "c": "usd"}]}
    read = reading(target(rule), without)
    assert [one.item for one in read.items] == ["o"]
    assert [note.reason for note in read.notes] == ["no_currency"]


def test_a_sentinel_among_parts_is_no_part() -> None:
    rule = items("a", rows("rows"), "name", used=value("n", unlimited=(-1,)))
    answer = {"rows": [{"name": "a", "n": -1}, {"name": "b", "n": 1}]}
    assert labels(reading(target(rule), answer).items) == [("b", 1.0)]


def test_a_label_that_is_a_map_is_refused() -> None:
    rule = items("a", rows("rows"), "name", used=value("n"))
    assert "in the place of a text" in failure(target(rule), {"rows": [{"name": {}}]}).detail


def test_absent_lists_of_parts_are_no_parts() -> None:
    rule = items("a", rows(optional("tests")), "name", used=value("n"))
    assert reading(target(rule), {"usage": {}}).items == ()
