import pytest

from exporter.mapping.values import UNLIMITED, MappingError, empty_total, reduced
from tests.unit.mapping.factories import reduce

DAYS = [
    ({"date": "2026-11-02"}, None),
    ({"date": "2026-11-03"}, None),
    ({"date": "2026-11-01"}, None),
]


@pytest.mark.parametrize(
    ("how", "number"),
    [("sum", 6.0), ("max", 3.0), ("min", 1.0), ("count", 3.0), ("first", 2.0), ("last", 1.0)],
)
def test_rows_become_one_number(how: str, number: float) -> None:
    assert reduced(reduce(how), DAYS, [2.0, 3.0, 1.0]) == number


def test_first_and_last_go_by_time_where_it_is_given() -> None:
    assert reduced(reduce("last", "date"), DAYS, [2.0, 3.0, 1.0]) == 3.0
    assert reduced(reduce("first", "date"), DAYS, [2.0, 3.0, 1.0]) == 1.0


def test_a_sum_is_exact_where_floats_are_not() -> None:
    rows = [(None, None)] * 10
    assert reduced(reduce("sum"), rows, [0.1] * 10) == 1.0


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    assert reduced(reduce("sum"), DAYS, [2.0, None, 1.0]) is None
    assert reduced(reduce("sum"), DAYS, [2.0, None, UNLIMITED]) is UNLIMITED


def test_rows_of_which_nothing_is_told_are_passed_over_where_nothing_is_summed() -> None:
    assert reduced(reduce("count"), DAYS, [2.0, None, 1.0]) == 2.0
    assert reduced(reduce("last", "date"), DAYS, [2.0, None, 1.0]) == 2.0
    assert reduced(reduce("last"), DAYS, [2.0, 3.0, None]) == 3.0
    assert reduced(reduce("max"), DAYS, [2.0, None, 1.0]) == 2.0


@pytest.mark.parametrize("how", ["max", "min", "last"])
def test_a_row_that_gives_another_role_a_number_counts_for_this_one_too(how: str) -> None:
    told = [True, False, True]
    assert reduced(reduce(how), DAYS, [2.0, None, None], told) is None
    assert reduced(reduce(how), DAYS, [2.0, None, 2.0], told) == 2.0


@pytest.mark.parametrize("how", ["sum", "max", "min", "first", "last"])
def test_rows_none_of_which_has_a_number_are_no_number(how: str) -> None:
    assert reduced(reduce(how), DAYS, [None, None, None]) is None


@pytest.mark.parametrize("how", ["first", "last"])
@pytest.mark.parametrize("amounts", [[5.0, 4.0], [5.0, 5.0]], ids=str)
def test_of_two_rows_of_one_time_neither_is_the_last(how: str, amounts: list[float]) -> None:
    twice = [({"date": "2026-11-01"}, None), ({"date": "2026-11-01T00:00:00Z"}, None)]
    with pytest.raises(MappingError, match=f"2 rows have the {how} time.*`per:`"):
        reduced(reduce(how, "date"), twice, amounts)
    assert reduced(reduce(how, "date"), twice, [5.0, None]) == 5.0


SAMPLES = [
    ({"id": "a", "t": 1794733100}, None),
    ({"id": "b", "t": 1794733100}, None),
    ({"id": "a", "t": 1794733200}, None),
    ({"id": "b", "t": 1794733200}, None),
    ({"id": "c", "t": 1794733100}, None),
]


@pytest.mark.parametrize(
    ("how", "total"), [("last", 120 + 60 + 7), ("first", 100 + 50 + 7), ("max", 187), ("min", 157)]
)
def test_each_thing_has_its_number_and_these_are_summed(how: str, total: float) -> None:
    rule = reduce(how, "t", per=("id",))
    assert reduced(rule, SAMPLES, [100.0, 50.0, 120.0, 60.0, 7.0]) == total
    assert reduced(rule, SAMPLES, [100.0, 50.0, 120.0, 60.0, None]) is None
    assert reduced(rule, SAMPLES, [100.0, 50.0, 120.0, 60.0, UNLIMITED]) is UNLIMITED
    shuffled = [SAMPLES[index] for index in (3, 0, 4, 2, 1)]
    assert reduced(rule, shuffled, [60.0, 100.0, 7.0, 120.0, 50.0]) == total


@pytest.mark.parametrize("name", [None, "", {}, []], ids=repr)
def test_a_row_of_no_thing_is_refused(name: object) -> None:
    with pytest.raises(MappingError, match="tells the rows apart"):
        reduced(reduce("last", "t", per=("id",)), [({"id": name, "t": 1}, None)] * 2, [1.0, 2.0])


def test_several_rows_without_a_rule_are_refused() -> None:
    with pytest.raises(MappingError, match="3 rows give this series a value"):
        reduced(None, DAYS, [1.0, 2.0, 3.0])
    assert reduced(None, DAYS[:1], [1.0]) == 1.0


@pytest.mark.parametrize("date", [None, "", "soon", True, {}, [], -1], ids=repr)
def test_a_row_without_a_readable_time_is_refused(date: object) -> None:
    rows = [({"date": "2026-11-01"}, None), ({"date": date}, None)]
    with pytest.raises(MappingError) as raised:
        reduced(reduce("last", "date"), rows, [1.0, 2.0])
    assert raised.value.path == "date"


def test_times_of_all_forms_are_ordered_by_their_instant() -> None:
    rows = [
        ({"t": "2026-11-15T10:00:00+02:00"}, None),
        ({"t": 1794733200}, None),  # 09:00 UTC
        ({"t": "1794733199000"}, None),
    ]
    assert reduced(reduce("last", "t"), rows, [1.0, 2.0, 3.0]) == 2.0
    assert reduced(reduce("first", "t"), rows, [1.0, 2.0, 3.0]) == 1.0


@pytest.mark.parametrize(
    ("how", "found"), [("sum", UNLIMITED), ("max", UNLIMITED), ("last", UNLIMITED), ("min", 2.0)]
)
def test_an_unlimited_part_makes_the_whole_unlimited_but_for_the_minimum(
    how: str, found: object
) -> None:
    assert reduced(reduce(how), DAYS[:2], [2.0, UNLIMITED]) == found


def test_the_minimum_of_nothing_but_unlimited_is_unlimited() -> None:
    assert reduced(reduce("min"), DAYS[:1], [UNLIMITED]) is UNLIMITED


def test_a_sum_that_leaves_the_floats_is_refused() -> None:
    with pytest.raises(MappingError, match="not a finite number"):
        reduced(reduce("sum"), DAYS, [1.7e308, 1.7e308, 1.7e308])


def test_no_rows_at_all_sum_to_zero_and_have_no_last() -> None:
    assert empty_total(reduce("sum")) == 0.0
    assert empty_total(reduce("count")) == 0.0
    assert empty_total(reduce("last")) is None
    assert empty_total(reduce("last", per=("id",))) == 0.0
    assert empty_total(None) is None
