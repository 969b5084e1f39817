"""The agenda: one heap of due times."""

from dataclasses import dataclass

from exporter.schedule.agenda import Agenda


@dataclass(eq=False)
class Item:
    name: str
    serial: int = 0


def test_items_come_in_the_order_of_their_times_and_not_before() -> None:
    agenda: Agenda[Item] = Agenda()
    for name, when in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        agenda.put(Item(name), when)
    assert agenda.next_time() == 1.0
    assert agenda.pop_due(0.5) is None
    popped = [agenda.pop_due(2.0), agenda.pop_due(2.0), agenda.pop_due(2.0)]
    assert [item.name if item else None for item in popped] == ["a", "b", None]
    assert len(agenda) == 1


def test_equal_times_come_in_the_order_in_which_they_were_put() -> None:
    agenda: Agenda[Item] = Agenda()
    for name in "abc":
        agenda.put(Item(name), 1.0)
    assert [agenda.pop_due(1.0).name for _ in range(3)] == ["a", "b", "c"]  # type: ignore[union-attr]


def test_an_item_that_moves_comes_once_at_its_new_time() -> None:
    agenda: Agenda[Item] = Agenda()
    item = Item("a")
    agenda.put(item, 1.0)
    agenda.put(item, 5.0)
    assert agenda.pop_due(4.0) is None
    assert agenda.pop_due(5.0) is item
    assert agenda.pop_due(9.0) is None
    assert len(agenda) == 0


def test_a_dropped_item_never_comes_and_may_be_put_again() -> None:
    agenda: Agenda[Item] = Agenda()
    item = Item("a")
    agenda.put(item, 1.0)
    agenda.drop(item)
    agenda.drop(item)
    assert (agenda.next_time(), len(agenda)) == (None, 0)
    agenda.put(item, 2.0)
    assert agenda.next_time() == 2.0


def test_places_that_were_left_do_not_pile_up() -> None:
    agenda: Agenda[Item] = Agenda()
    items = [Item(str(number)) for number in range(100)]
    for turn in range(1000):
        for item in items:
            agenda.put(item, 1e6 - turn)
    assert agenda.size <= 64 + 2 * len(items)
    assert len(agenda) == len(items)
