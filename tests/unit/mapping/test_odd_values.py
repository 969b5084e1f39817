"""One odd value costs itself alone, and is noted; what the definition says of it comes first."""

from typing import Any

import pytest

from exporter.model.definition.values import Missing
from exporter.model.reading import Unlimited
from tests.unit.mapping.factories import (
    failure,
    reading,
    reduce,
    resource,
    rows,
    target,
    unit,
    value,
)


def used(answer: object, *rules: Any) -> dict[str, float | None]:
    return {one.resource: one.used for one in reading(target(*rules), answer).usages}


def notes(answer: object, *rules: Any) -> list[tuple[str, int]]:
    return [(one.reason, one.count) for one in reading(target(*rules), answer).notes]


OPEN = resource(
    "{m.key}", rows(("items(metrics)", "m")), used=value("m.value.used", missing=Missing.FAIL)
)
SEATS = resource("seats", used=value("seats"))


@pytest.mark.parametrize(
    "text", ["-", " - ", "--", "\u2013", "\u2014", "N/A", "n/a", "na", "#N/A", "NULL"]
)
def test_a_word_for_nothing_is_no_value_and_noted(text: str) -> None:
    rules = [resource("a", used=value("a")), SEATS]
    assert used({"a": text, "seats": 3}, *rules) == {"seats": 3.0}
    assert notes({"a": text, "seats": 3}, *rules) == [("no_value", 1)]


@pytest.mark.parametrize("text", ["many", "0-", "-n", "none at all", "x" * 200])
def test_any_other_text_is_refused(text: str) -> None:
    assert "not a finite number" in failure(target(SEATS), {"seats": text}).detail


def test_what_the_definition_says_of_a_dash_holds() -> None:
    endless = resource("a", used=value("u"), limit=value("l", unlimited=("-",)))
    (found,) = reading(target(endless), {"u": 1, "l": "-"}).usages
    assert isinstance(found.limit, Unlimited)
    worded = resource("a", used=value("u", words={"-": 0.0}))
    assert used({"u": "-"}, worded) == {"a": 0.0}
    needed = resource("a", used=value("u", missing=Missing.FAIL))
    assert "missing: fail" in failure(target(needed), {"u": "-"}).detail
    other = resource("a", used=value("u", "v"))
    assert used({"u": "-", "v": 2}, other) == {"a": 2.0}


def test_a_sum_with_a_word_for_nothing_is_unknown_and_not_smaller() -> None:
    rule = resource("a", rows("days"), used=value("n"), reduce=reduce("sum"))
    answer = {"days": [{"n": 1}, {"n": "-"}], "seats": 3}
    assert used(answer, rule, SEATS) == {"seats": 3.0}
    assert notes(answer, rule, SEATS) == [("no_value", 1), ("unknown_part", 1)]


def test_an_empty_list_is_an_empty_map_and_the_other_way_round() -> None:
    assert used({"metrics": [], "seats": 3}, OPEN, SEATS) == {"seats": 3.0}
    assert "items() takes" in failure(target(OPEN, SEATS), {"metrics": [1], "seats": 3}).detail
    summed = resource("a", rows("days"), used=value("n"), reduce=reduce("sum"), unit=unit("GB"))
    assert used({"days": {}}, summed) == {"a": 0.0}


def test_a_null_entry_of_a_map_costs_itself_alone() -> None:
    answer = {"metrics": {"calls": None, "mails": {"used": 2}}}
    assert used(answer, OPEN) == {"mails": 2.0}
    assert notes(answer, OPEN) == [("no_value", 1)]
    other = {"metrics": {"calls": {}, "mails": {"used": 2}}}  # this one the definition wants
    assert "missing: fail" in failure(target(OPEN), other).detail


@pytest.mark.parametrize("key", ["", " "])
def test_an_entry_with_an_empty_key_costs_itself_alone(key: str) -> None:
    answer = {"metrics": {key: {"used": 1}, "mails": {"used": 2}}}
    assert used(answer, OPEN) == {"mails": 2.0}
    assert notes(answer, OPEN) == [("no_name", 1)]
    assert "place of a resource's name" in failure(target(OPEN), {"metrics": {key: {}}}).detail


def test_a_row_whose_name_is_no_text_is_refused() -> None:
    rule = resource("{r.name}", rows(("rows", "r")), used=value("r.n"))
    answer = {"rows": [{"name": "a", "n": 1}, {"name": ["b"], "n": 2}]}
    assert "place of a resource's name" in failure(target(rule), answer).detail
