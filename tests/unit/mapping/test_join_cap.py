import pytest

from exporter.kernel.units import Kind
from exporter.mapping.samples import samples
from exporter.mapping.status import target_status
from exporter.model.reading import Note
from tests.unit.mapping.factories import NOW
from tests.unit.mapping.facts import item, lines, made, published, reading, usage


def test_parts_are_published_with_their_labels() -> None:
    found, _ = published(item("a", 3.0), item("b", 2.0, kind=Kind.MONEY, currency="USD"))
    assert lines(found) == {
        "usage_account_info{main,}": 1.0,
        "usage_item_bytes{main,bandwidth,test,a}": 3.0,
        "usage_item_cost{main,bandwidth,test,b,USD}": 2.0,
    }


def test_one_part_of_two_collectors_is_published_once() -> None:
    readings = {"usage": reading(item("a", 1.0)), "limits": reading(item("a", 2.0))}
    found, _ = samples(target_status(made(), readings, NOW))
    assert lines(list(found))["usage_item_bytes{main,bandwidth,test,a}"] == 1.0


def test_over_the_cap_the_largest_parts_of_each_breakdown_stay() -> None:
    facts = [item(f"big{number}", 1e9 + number) for number in range(5)]
    facts += [item(f"small{number}", float(number), group="project") for number in range(5)]
    found, notes = published(*facts, of=made(max_series=5))
    assert list(lines(found)) == [
        "usage_account_info{main,}",
        "usage_item_bytes{main,bandwidth,test,big4}",
        "usage_item_bytes{main,bandwidth,project,small4}",
        "usage_item_bytes{main,bandwidth,test,big3}",
        "usage_item_bytes{main,bandwidth,project,small3}",
    ]
    assert notes == (Note(reason="series_limit", detail="main: more than 5 series", count=6),)


def test_over_the_cap_totals_stay_before_parts_and_each_resource_is_whole() -> None:
    facts = (usage(used=1.0), usage("b", used=1.0), usage("c", used=1.0), item("a", 1.0))
    found, notes = published(*facts, of=made(max_series=6))
    assert list(lines(found)) == [
        "usage_account_info{main,}",
        "usage_bytes{main,bandwidth}",
        "usage_info{main,bandwidth,GB,unknown,none,none}",
        "usage_bytes{main,b}",
        "usage_info{main,b,GB,unknown,none,none}",
    ]
    assert [note.count for note in notes] == [3]


@pytest.mark.parametrize(("most", "left"), [(3, 3), (4, 3), (5, 5), (6, 5), (7, 7)])
def test_a_resource_that_exactly_fits_is_published(most: int, left: int) -> None:
    facts = (usage(used=1.0), usage("b", used=1.0), usage("c", used=1.0))  # 1 + 3 * 2 series
    found, notes = published(*facts, of=made(max_series=most))
    assert len(found) == left
    assert sum(note.count for note in notes) == 7 - left
