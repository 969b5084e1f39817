import pytest
from msgspec.structs import replace

from exporter.kernel.calendar import Span
from exporter.kernel.units import Kind
from exporter.mapping.samples import samples
from exporter.mapping.status import target_status
from exporter.model.reading import Known, Money, Note, Usage
from tests.unit.mapping.factories import NOW
from tests.unit.mapping.facts import (
    DAY,
    MONTH,
    bill,
    item,
    lines,
    made,
    past,
    published,
    reading,
    usage,
)


def test_values_go_with_their_period() -> None:
    facts = (
        usage(used=1.0, period=MONTH),
        usage("storage", level=True, used=2.0),
        bill(period=MONTH),
    )
    before = lines(published(*facts, now=MONTH.end - 1)[0])
    after, notes = published(*facts, now=MONTH.end)
    assert "usage_bytes{main,bandwidth}" in before
    assert lines(after) == {
        "usage_account_info{main,}": 1.0,
        "usage_bytes{main,storage}": 2.0,
        "usage_info{main,storage,GB,unknown,none,none}": 1.0,
    }
    assert notes == ()


def test_a_vendor_that_still_names_the_old_period_is_believed_and_noted() -> None:
    facts = (usage(used=1.0, limit=Known(2.0), period=MONTH), item("a", 1.0))
    late = reading(*facts, at=MONTH.end + 3 * DAY)
    found, notes = samples(target_status(made(), {"usage": late}, MONTH.end + 4 * DAY))
    assert lines(list(found)) == {
        "usage_account_info{main,}": 1.0,
        "usage_bytes{main,bandwidth}": 1.0,
        "usage_limit_bytes{main,bandwidth}": 2.0,
        "usage_remaining_bytes{main,bandwidth}": 1.0,
        "usage_ratio{main,bandwidth}": 0.5,
        "usage_percent{main,bandwidth}": 50.0,
        "usage_period_start_timestamp_seconds{main,bandwidth}": MONTH.start,
        "usage_period_end_timestamp_seconds{main,bandwidth}": MONTH.end,
        "usage_info{main,bandwidth,GB,provider,month,none}": 1.0,
        "usage_item_bytes{main,bandwidth,test,a}": 1.0,
    }
    assert notes == (
        Note(
            reason="period_over",
            detail="bandwidth: the vendor still names the period that ended at "
            "2026-12-01T00:00:00Z.",
        ),
    )


def test_a_period_that_was_chosen_from_the_past_does_not_expire() -> None:
    fact = usage(used=1.0, period=MONTH, closed=True)
    found, notes = published(fact, now=MONTH.end + DAY)
    assert "usage_bytes{main,bandwidth}" in lines(found)
    assert notes == ()


def test_parts_go_with_their_total() -> None:
    facts = (
        usage(used=1.0, period=MONTH),
        usage("storage", used=1.0, level=True),
        bill(period=MONTH),
        item("a", 1.0),
        item("b", 1.0, resource="storage"),
        item("c", 1.0, resource="spend", kind=Kind.MONEY, currency="USD"),
        item("d", 1.0, resource="elsewhere"),
    )
    found = lines(published(*facts, now=MONTH.end)[0])
    assert [key for key in found if "item" in key] == [
        "usage_item_bytes{main,storage,test,b}",
        "usage_item_bytes{main,elsewhere,test,d}",
    ]
    alone = lines(published(usage(used=1.0, period=MONTH), facts[-1], now=MONTH.end)[0])
    assert not [key for key in alone if "item" in key]


def test_history_weighs_in_by_account_and_resource() -> None:
    period = Span(NOW - 10 * DAY, NOW + 20 * DAY)
    points = tuple((NOW - (10 - day) * DAY, 5.0 * day) for day in range(10))
    fast = usage(used=100.0, limit=Known(1000.0), period=period)
    readings = {"usage": reading(fast)}
    plain, _ = samples(target_status(made(), readings, NOW))
    bent, _ = samples(target_status(made(), readings, NOW, past({("main", "bandwidth"): points})))
    other, _ = samples(target_status(made(), readings, NOW, past({("main", "storage"): points})))
    key = "usage_projected_bytes{main,bandwidth}"
    assert lines(list(plain))[key] == pytest.approx(300.0)
    assert lines(list(bent))[key] > 310
    assert other == plain


def test_spend_has_a_history_too() -> None:
    points = ((NOW - DAY, 10.0), (NOW - 3600, 90.0))
    fact = bill(cost=100.0, limit=Known(50.0), period=MONTH)
    found, _ = samples(
        target_status(made(), {"usage": reading(fact)}, NOW, past({("main", "spend"): points}))
    )
    expected = NOW - DAY + (DAY - 3600) / 2
    key = "usage_exhaustion_timestamp_seconds{main,spend}"
    assert lines(list(found))[key] == pytest.approx(expected)


def test_what_is_tracked_is_what_the_history_is_asked_for() -> None:
    facts = (
        usage(used=5.0),
        usage("credits", limit=Known(10.0), remaining=4.0),
        usage("share", ratio=0.5),
        usage(used=7.0, account="eu"),
        bill(),
        bill(account="eu", cost=None, limit=Known(9.0), remaining=1.0),
        bill(account="us", cost=None, base=1.0),
    )
    assert target_status(made(), {"usage": reading(*facts)}, NOW).tracked() == {
        ("main", "spend"): 50.0,
        ("main/eu", "spend"): 8.0,
        ("main", "bandwidth"): 5.0,
        ("main", "credits"): 6.0,
        ("main", "share%"): 0.5,
        ("main/eu", "bandwidth"): 7.0,
    }


@pytest.mark.parametrize("reverse", [False, True])
def test_a_cost_is_projected_from_the_poll_that_gave_it(reverse: bool) -> None:  # noqa: FBT001
    cost = reading(bill(period=MONTH), collector="costs")
    limit = reading(bill(cost=None, limit=Known(200.0), period=MONTH), at=NOW + DAY)
    if reverse:
        cost, limit = reading(bill(period=MONTH)), replace(limit, collector="costs")
    found, _ = samples(
        target_status(made(), {one.collector: one for one in (cost, limit)}, NOW + DAY)
    )
    values = lines(list(found))
    share = (NOW - MONTH.start) / (MONTH.end - MONTH.start)
    assert values["usage_cost_projected{main,USD}"] == pytest.approx(50.0 / share)
    assert values["usage_cost_limit{main,USD}"] == 200.0


@pytest.mark.parametrize("later", [usage(used=99.0), bill(cost=99.0)], ids=["used", "cost"])
def test_a_value_that_two_collectors_give_is_as_old_as_the_one_that_is_taken(
    later: Usage | Money,
) -> None:
    first = reading(usage(used=50.0, period=MONTH), bill(period=MONTH))
    other = reading(later, collector="costs", at=NOW + DAY)
    found, _ = samples(target_status(made(), {"usage": first, "costs": other}, NOW + DAY))
    values = lines(list(found))
    share = (NOW - MONTH.start) / (MONTH.end - MONTH.start)
    assert values["usage_projected_bytes{main,bandwidth}"] == pytest.approx(50.0 / share)
    assert values["usage_cost_projected{main,USD}"] == pytest.approx(50.0 / share)


@pytest.mark.parametrize(
    ("over", "living", "parts"),
    [
        ([usage(period=MONTH)], [], 0),
        ([bill(period=MONTH)], [], 0),
        ([usage(period=MONTH), bill(period=MONTH)], [], 0),
        ([bill(period=MONTH)], [usage(used=1.0)], 1),
        ([usage(period=MONTH)], [bill()], 1),
        ([usage(period=MONTH)], [usage("seats", used=1.0)], 1),
        ([bill(period=MONTH)], [bill(currency="EUR")], 1),
        ([], [usage(used=1.0)], 1),
        ([], [bill()], 1),
        ([], [], 1),
    ],
)
def test_a_part_without_a_total_lives_as_long_as_anything_of_its_answer(
    over: list[Usage | Money], living: list[Usage | Money], parts: int
) -> None:
    part = item("a", 1.0, resource="elsewhere")
    found = lines(published(*over, *living, part, now=MONTH.end)[0])
    assert len([key for key in found if key.startswith("usage_item")]) == parts
    before = lines(published(*over, *living, part, now=MONTH.end - 1)[0])
    assert "usage_item_bytes{main,elsewhere,test,a}" in before


def a_week(value: float, growth: float) -> tuple[tuple[float, float], ...]:
    """Return the history of what grew by so much a day, up to `value` now."""
    return tuple((NOW - ago * DAY, value - growth * ago) for ago in reversed(range(8)))


@pytest.mark.parametrize(
    "with_the_end",
    [usage(used=1.0, period=MONTH), bill(period=MONTH)],
    ids=["of a resource", "of the cost"],
)
def test_a_level_is_projected_to_the_end_of_its_accounts_period(
    with_the_end: Usage | Money,
) -> None:
    history = {("main", "storage"): a_week(100.0, 2.4)}
    stored = usage("storage", used=100.0, limit=Known(130.0), level=True)
    found, _ = samples(
        target_status(made(), {"usage": reading(stored, with_the_end)}, NOW, past(history))
    )
    values = lines(list(found))
    assert values["usage_projected_bytes{main,storage}"] == pytest.approx(137.2)
    when = values["usage_exhaustion_timestamp_seconds{main,storage}"]
    assert when == pytest.approx(NOW + 12.5 * DAY)


def test_a_level_has_no_end_but_that_of_its_own_accounts_present_period() -> None:
    history = {("main", "storage"): a_week(100.0, 2.4)}
    stored = usage("storage", used=100.0, level=True)
    for other in (
        usage(used=1.0, period=MONTH, account="eu"),
        usage(used=1.0, period=MONTH, closed=True),
        bill(period=MONTH, closed=True),
    ):
        found, _ = samples(
            target_status(made(), {"usage": reading(stored, other)}, NOW, past(history))
        )
        assert "usage_projected_bytes{main,storage}" not in lines(list(found))


@pytest.mark.parametrize("first", ["USD", "EUR"])
def test_each_currency_of_an_account_is_projected_by_its_own_numbers(first: str) -> None:
    history = {("main", "spend"): a_week(500.0, 30.0)}
    dollars = bill(cost=500.0, limit=Known(2000.0), period=MONTH)
    euros = bill(currency="EUR", period=MONTH)
    facts = (dollars, euros) if first == "USD" else (euros, dollars)
    found, _ = samples(target_status(made(), {"usage": reading(*facts)}, NOW, past(history)))
    values = lines(list(found))
    share = (NOW - MONTH.start) / (MONTH.end - MONTH.start)
    assert values["usage_cost_projected{main,EUR}"] == pytest.approx(50.0 / share)  # 103.4
    assert values["usage_cost_projected{main,USD}"] == pytest.approx(500 + 30 * 15.5, rel=0.1)
