"""What explain says of paths and values."""

import re
from typing import Any

import pytest

from exporter.config.library import compile_text
from exporter.mapping.explain import SHOWN, RowMatch, trace
from exporter.model.definition.provider import Definition
from exporter.model.outcome import Page, Payload

HEAD = """\
title: T
base_url: https://t.example
collectors: {usage: {request: {path: /u}}, other: {request: {path: /o}}}
"""


def definition(rules: str) -> Definition:
    made = compile_text(HEAD + rules, name="t")
    assert isinstance(made, Definition), made
    return made


def traced(rules: str, *documents: Any, items: bool = True) -> list[RowMatch]:
    pages = tuple(Page(document=document, headers={}) for document in documents)
    return list(trace(definition(rules), "usage", (Payload(pages=pages),), items=items))


def meanings(rules: str, *documents: Any) -> list[str]:
    (match,) = traced(rules, *documents)
    return [one.meaning for one in match.values]


@pytest.mark.parametrize(
    ("currency", "meaning"),
    [("JPY", "1234"), ("USD", "1234 minor = 12.34"), ("KWD", "1234 minor = 1.234")],
)
@pytest.mark.parametrize("where", ["{path: c}", "fixed"])
def test_minor_units_are_told_as_they_are_published(
    where: str, currency: str, meaning: str
) -> None:
    code = currency if where == "fixed" else where
    rules = f"costs: [{{currency: {code}, cost: {{path: n, unit: minor}}}}]"
    found = traced(rules, {"n": 1234, "c": currency})
    assert [one.values[0].meaning for one in found if one.role == "cost"] == [meaning]


@pytest.mark.parametrize(
    ("rule", "document", "raw", "meaning"),
    [
        ("unit: GB, used: a", {"a": 2.5}, "the number 2.5", "2.5 GB = 2500000000 bytes"),
        ("unit: requests, used: a", {"a": "7"}, 'the text "7"', "7 requests"),
        ("used: a", {"a": 7}, "the number 7", "7 (quantity)"),
        ("unit: minutes, used: a", {"a": 2}, "the number 2", "2 minutes = 120 seconds"),
        ("unit: GB-hours, used: a", {"a": 1}, "the number 1", "1 GB-hours = 3600000000000"),
        ("percent: a", {"a": 45}, "the number 45", "45 percent = 0.45 (ratio)"),
        ("ratio: a", {"a": 0.5}, "the number 0.5", "0.5 (ratio)"),
        ("limit: {path: a, unlimited: [-1]}", {"a": -1}, "the number -1", "no limit"),
        ("limit: {path: a, zero: unlimited}", {"a": 0}, "the number 0", "no limit"),
        ("limit: {path: a, zero: unknown}", {"a": 0}, "the number 0", "an unknown limit"),
        ("limit: a", {"a": 0}, "the number 0", "0 (quantity)"),
        ("used: {path: a, words: {on: 3}}", {"a": "ON"}, 'the text "ON"', "3 (quantity)"),
        (
            "unit: GB, used: {path: a, regex: '([0-9]+) of'}",
            {"a": "4 of 9"},
            'the text "4 of 9"',
            "4 GB = 4000000000 bytes",
        ),
        (
            "unit: {from: u, words: {MBs: MB}}, used: a",
            {"a": 3, "u": "MBs"},
            "the number 3",
            "3 MBs = 3000000 bytes",
        ),
    ],
)
def test_a_conversion_is_told(rule: str, document: Any, raw: str, meaning: str) -> None:
    (match,) = traced(f"resources: [{{name: x, {rule}}}]", document)
    (found,) = match.values
    assert (found.raw, found.fits) == (raw, True)
    assert found.meaning.startswith(meaning)


def test_money_is_told_in_major_units() -> None:
    rules = "costs: [{currency: {path: c}, cost: {path: a, unit: cents}, base: b}]"
    matches = traced(rules, {"a": 1234, "b": 5, "c": "usd"})
    assert [(one.role, one.values[0].meaning) for one in matches] == [
        ("currency", "USD"),
        ("cost", "1234 cents = 12.34"),
        ("base", "5"),
    ]


def test_times_are_told_as_instants() -> None:
    rules = "resources: [{name: x, used: a, as_of: t, period: {start: s, end: e}}]"
    document = {"a": 1, "t": 1794744000, "s": "2026-11-01", "e": -1}
    matches = traced(rules, document)
    assert {one.role: one.values[0].meaning for one in matches[1:]} == {
        "as_of": "2026-11-15T12:00:00Z",
        "period start": "2026-11-01T00:00:00Z",
        "period end": "no time",
    }


def test_the_definitions_own_period_and_the_plan_come_last() -> None:
    rules = "resources: [{name: x, used: a}]\nplan: p\nperiod: {end: e, cycle: month}\n"
    matches = traced(rules, {"a": 1, "p": "Team", "e": "2026-12-01"})
    assert [(one.rule, one.role, one.values[0].meaning) for one in matches[1:]] == [
        ("plan", "", "Team"),
        ("period", "end", "2026-12-01T00:00:00Z"),
    ]


def test_a_value_says_which_series_it_is_of() -> None:
    rules = 'resources: [{name: "{m.key}", each: {path: items(m), as: m}, used: m.value}]'
    (match,) = traced(rules, {"m": {"apiCalls": 1, "seats": 2}})
    assert [one.whose for one in match.values] == ["api_calls", "seats"]


def test_a_series_is_told_by_the_name_that_it_gets() -> None:
    rules = (
        'resources: [{name: "{m.key}", each: {path: items(m), as: m}, used: m.value,'
        " rename: {api_calls: api_requests}}]"
    )
    (match,) = traced(rules, {"m": {"apiCalls": 1}})
    assert match.values[0].whose == "api_requests"


def test_items_are_told_by_their_labels_and_only_where_they_are_wanted() -> None:
    rules = "items: [{resource: x, group: g, each: rows, item: n, used: u, top: 3}]"
    document = {"rows": [{"n": "a", "u": 1}, {"n": None, "u": 2}]}
    label, used = traced(rules, document)
    assert (label.role, label.found, label.rows) == ("item", 1, 2)
    assert [one.whose for one in used.values] == ["a", ""]
    assert traced(rules, document, items=False) == []


def test_values_that_do_not_fit_are_shown_first_and_counted() -> None:
    rules = "resources: [{name: x, each: rows, reduce: sum, used: a}]"
    rows = [{"a": 1}, {"a": "many"}, {"a": 2}, {"a": [3]}, {"a": 4}, {}]
    (match,) = traced(rules, {"rows": rows})
    assert (match.rows, match.found, match.misfits) == (6, 5, 2)
    assert len(match.values) == SHOWN
    assert [one.fits for one in match.values] == [False, False, True]
    assert match.values[0].raw == 'the text "many"'
    assert "is not a finite number" in match.values[0].meaning
    assert match.conversion == "sum"


def test_every_alternative_is_told() -> None:
    matches = traced("resources: [{name: x, used: [a, b]}]", {"b": 2})
    assert [(one.path, one.found) for one in matches] == [("a", 0), ("b", 1)]


def test_parts_of_a_sum_are_told_as_such() -> None:
    matches = traced("resources: [{name: x, used: {add: [a, b]}}]", {"a": 1, "b": 2})
    assert [one.conversion for one in matches] == ["added to the other paths of this role"] * 2
    assert [one.values[0].meaning for one in matches] == ["1 (quantity)", "2 (quantity)"]


@pytest.mark.parametrize(
    ("each", "document", "problem"),
    [
        ("rows", {}, 'path "rows": there is no list here'),
        ("rows", {"rows": {"a": 1}}, 'path "rows": found a map of 1 key(s) in the place of a list'),
        ("sum(rows)", {"rows": ["a"]}, "cannot be searched for here"),
    ],
)
def test_rows_that_cannot_be_found_are_a_problem(each: str, document: Any, problem: str) -> None:
    rules = f"resources: [{{name: x, each: {each}, used: a}}, {{name: y, used: b}}]"
    first, second = traced(rules, {**document, "b": 1})
    assert problem in first.problem
    assert second.found == 1


def test_a_path_that_cannot_be_searched_is_a_problem_of_its_own() -> None:
    rules = "resources: [{name: x, used: sum(a), limit: b}]"
    first, second = traced(rules, {"a": ["x"], "b": 1})
    assert "cannot be searched" in first.problem
    assert second.found == 1


def test_what_the_definition_says_of_absence_is_marked() -> None:
    rules = (
        "resources: [{name: x, used: {path: a, missing: zero}, limit: {path: b, unlimited: [null]},"
        " overage: c}]"
    )
    assert [one.explained for one in traced(rules, {})] == [True, True, False]


def test_the_rules_of_other_collectors_are_left_out() -> None:
    rules = "resources: [{name: x, used: a}, {name: y, collector: other, used: b}]"
    assert [one.rule for one in traced(rules, {"a": 1, "b": 2})] == ["x"]


def test_a_large_answer_is_told_in_few_words() -> None:
    rules = "resources: [{name: x, each: rows, reduce: sum, used: a}]"
    long = "x" * 5000
    (match,) = traced(rules, {"rows": [{"a": long}] * 500})
    told = "".join(f"{one.raw}{one.meaning}" for one in match.values)
    assert len(told) < 1000
    assert re.search("x{30}…", told)


def test_all_pages_are_searched() -> None:
    rules = "resources: [{name: x, each: rows, reduce: sum, used: a}]"
    (match,) = traced(rules, {"rows": [{"a": 1}]}, {"rows": [{"a": 2}]})
    assert [one.meaning for one in match.values] == ["1 (quantity)", "2 (quantity)"]
