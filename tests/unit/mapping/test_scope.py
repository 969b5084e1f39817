from typing import Any

import pytest

from exporter.kernel.jmes import SelectError
from exporter.model.definition.rows import Rows, RowsError, row_scope
from tests.unit.mapping.factories import join, optional, rows


def views(each: Rows, *documents: object) -> list[Any]:
    return [view for view, _ in row_scope(each, documents).rows]


def test_without_steps_each_page_is_a_row() -> None:
    assert views(rows(), {"a": 1}, {"a": 2}) == [{"a": 1}, {"a": 2}]


def test_unnamed_steps_nest_and_each_path_sees_the_row_above() -> None:
    document = {"data": [{"results": [1, 2]}, {"results": []}, {"results": [3]}]}
    assert views(rows("data", "results"), document) == [1, 2, 3]


def test_rows_of_all_pages_come_in_page_order_with_their_own_document() -> None:
    first, second = {"results": [1, 2]}, {"results": [3]}
    found = row_scope(rows("results"), [first, second]).rows
    assert [(view, document is first) for view, document in found] == [
        (1, True),
        (2, True),
        (3, False),
    ]


def test_a_named_step_keeps_its_row_in_scope() -> None:
    document = {"quotas": [{"org": "1101", "groups": [{"aid": "7"}, {"aid": "8"}]}]}
    each = rows(("quotas", "o"), ("o.groups", "g"))
    found = views(each, document)
    assert [(row["o"]["org"], row["g"]["aid"]) for row in found] == [
        ("1101", "7"),
        ("1101", "8"),
    ]
    assert found[0] == {
        "root": document,
        "row": {"aid": "7"},
        "o": document["quotas"][0],
        "g": {"aid": "7"},
    }


def test_the_first_step_may_say_root_or_start_at_the_document() -> None:
    document = {"data": [1]}
    assert views(rows(("data", "d")), document) == views(rows(("root.data", "d")), document)
    assert views(rows(("[]", "d")), [5]) == [{"root": [5], "row": 5, "d": 5}]
    assert views(rows(("root", "d")), [5]) == [{"root": [5], "row": 5, "d": 5}]


def test_a_step_after_a_named_one_sees_the_scope_even_when_it_has_no_name() -> None:
    document = {"data": [{"parts": [1, 2]}]}
    found = views(rows(("data", "d"), "row.parts"), document)
    assert [row["row"] for row in found] == [1, 2]


def test_names_stay_reachable_over_four_levels_of_name_value_pairs() -> None:
    document = {
        "products": [
            {
                "name": "compute",
                "regions": [
                    {
                        "name": "eu",
                        "tiers": [
                            {
                                "name": "gold",
                                "values": [
                                    {"name": "cpu", "value": 4},
                                    {"name": "ram", "value": 8},
                                ],
                            }
                        ],
                    },
                    {"name": "us", "tiers": []},
                ],
            }
        ]
    }
    each = rows(("products", "p"), ("p.regions", "r"), ("r.tiers", "t"), ("t.values", "v"))
    found = [
        (row["p"]["name"], row["r"]["name"], row["t"]["name"], row["v"]["name"], row["v"]["value"])
        for row in views(each, document)
    ]
    assert found == [("compute", "eu", "gold", "cpu", 4), ("compute", "eu", "gold", "ram", 8)]


def test_scalars_are_rows_like_any_other() -> None:
    assert views(rows("days"), {"days": [1, 2.5, "3", None]}) == [1, 2.5, "3", None]


def test_a_map_keyed_by_time_is_iterated_by_items() -> None:
    document = {"usage": {"2026-11-01": 3, "2026-11-02": 4}}
    assert views(rows("items(usage)"), document) == [
        {"key": "2026-11-01", "value": 3},
        {"key": "2026-11-02", "value": 4},
    ]


def test_parallel_arrays_are_zipped_beside_their_ancestor() -> None:
    document = {"time": [1, 2], "usage": {"Adam": [5, 6]}}
    found = views(rows(("items(usage)", "u"), ("zip(root.time, u.value)", "p")), document)
    assert [(row["u"]["key"], row["p"]) for row in found] == [
        ("Adam", [1, 5]),
        ("Adam", [2, 6]),
    ]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "there is no list"),
        ({"a": 1}, r"a map of 1 key\(s\) in the place of a list. Write items\(results\)"),
        (7, "the number 7 in the place of a list"),
        ("x", 'the text "x" in the place of a list'),
    ],
)
def test_what_is_no_list_is_refused(found: object, words: str) -> None:
    with pytest.raises(RowsError, match=words) as raised:
        row_scope(rows("results"), [{"results": found}])
    assert raised.value.path == "results"


def test_an_absent_list_below_a_row_is_refused_too() -> None:
    with pytest.raises(RowsError, match="no list"):
        row_scope(rows(("data", "d"), ("d.parts", "p")), [{"data": [{"parts": []}, {}]}])


def test_an_optional_list_may_be_absent_but_not_something_else() -> None:
    assert row_scope(rows(optional("results")), [{}]) == ([], False)
    with pytest.raises(RowsError):
        row_scope(rows(optional("results")), [{"results": 5}])


@pytest.mark.parametrize(
    ("document", "present"),
    [
        ({"data": []}, True),
        ({"data": [{"parts": []}]}, True),
        ({"data": [{}]}, False),
        ({"data": [{}, {"parts": []}]}, True),
        ({}, False),
    ],
)
def test_an_empty_list_is_there_and_an_absent_one_is_not(
    document: object, *, present: bool
) -> None:
    bare = rows(optional("data"), optional("parts"))
    named = rows(optional("data", "d"), optional("d.parts", "p"))
    assert row_scope(bare, [document]) == ([], present)
    assert row_scope(named, [document]) == ([], present)


def test_where_keeps_the_rows_that_it_is_true_of() -> None:
    document = {"rows": [{"kind": "total", "n": 1}, {"kind": "part", "n": 2}, {"n": 0}]}
    assert views(rows("rows", where="kind == 'total'"), document) == [document["rows"][0]]
    assert views(rows("rows", where="n"), document) == document["rows"][:2]
    named = rows(("rows", "r"), where="r.kind == 'part'")
    assert [row["r"]["n"] for row in views(named, document)] == [2]


def test_where_without_steps_judges_the_document() -> None:
    assert views(rows(where="ok"), {"ok": True}, {"ok": False}) == [{"ok": True}]


def test_a_condition_that_cannot_be_searched_is_told() -> None:
    with pytest.raises(SelectError, match="sum"):
        row_scope(rows("rows", where="sum(n) > `1`"), [{"rows": [{"n": ["1"]}]}])


def test_a_join_finds_the_entry_of_a_map() -> None:
    document = {"metrics": {"a": 1, "b": 2}, "projected": {"a": 10}}
    each = rows(("items(metrics)", "m"), joins=[join("p", "projected", "m.key")])
    assert [row["p"] for row in views(each, document)] == [10, None]


def test_a_join_finds_the_row_of_a_list_by_value() -> None:
    document = {
        "used": [{"aid": 7}, {"aid": "8"}, {"aid": 9.0}, {"aid": True}, {"aid": None}, {"aid": {}}],
        "limits": [
            {"id": "7", "n": 70},
            {"id": 8, "n": 80},
            {"id": 9, "n": 90},
            {"id": "true", "n": 5},
            {"n": 1},
        ],
    }
    each = rows(("used", "u"), joins=[join("l", "limits", "u.aid", on="id")])
    assert [row["l"] and row["l"]["n"] for row in views(each, document)] == [
        70,
        80,
        90,
        5,
        None,
        None,
    ]


def test_of_two_rows_with_one_key_the_first_is_joined() -> None:
    document = {"used": [{"id": 1}], "limits": [{"id": 1, "n": 5}, {"id": 1, "n": 6}]}
    each = rows("used", joins=[join("l", "root.limits", "row.id", on="id")])
    assert views(each, document)[0]["l"]["n"] == 5


def test_a_later_join_may_use_an_earlier_one() -> None:
    document = {"used": [{"id": "a"}], "plans": {"a": {"tier": "x"}}, "tiers": {"x": 9}}
    joins = [join("plan", "plans", "row.id"), join("tier", "tiers", "plan.tier")]
    assert views(rows("used", joins=joins), document)[0]["tier"] == 9


def test_a_table_that_is_absent_joins_nothing_and_a_wrong_one_is_refused() -> None:
    each = rows("used", joins=[join("l", "limits", "row.id")])
    assert views(each, {"used": [{"id": "a"}]})[0]["l"] is None
    with pytest.raises(RowsError, match="in the place of a map") as raised:
        row_scope(each, [{"used": [{"id": "a"}], "limits": [1]}])
    assert raised.value.path == "limits"
    listed = rows("used", joins=[join("l", "limits", "row.id", on="id")])
    with pytest.raises(RowsError, match="in the place of a list"):
        row_scope(listed, [{"used": [{"id": "a"}], "limits": {"a": 1}}])


def test_a_join_without_steps_stands_beside_the_document() -> None:
    document = {"plan": "gold", "limits": {"gold": 7}}
    (view,) = views(rows(joins=[join("l", "limits", "root.plan")]), document)
    assert view["l"] == 7
    assert view["row"] is document
