import math

import pytest

from exporter.kernel.cycles import Span
from exporter.kernel.units import Kind
from exporter.mapping.join import expires_at, samples, tracked
from exporter.mapping.publish import period_name
from exporter.model.reading import Item, Known, Money, Note, Reading, Unlimited, Usage
from exporter.model.sample import FAMILY, Sample
from exporter.model.target import Target
from tests.unit.mapping.factories import NOVEMBER, NOW, collector, config_limit, target

MONTH = Span(*NOVEMBER)
DAY = 86400.0


def made(**more: object) -> Target:
    names = ("usage", "limits", "costs")
    return target(definition={"collectors": {name: collector(name) for name in names}}, **more)


def usage(resource: str = "bandwidth", **more: object) -> Usage:
    more = {"kind": Kind.BYTES, "unit": "GB", **more}
    return Usage(resource=resource, **more)  # type: ignore[arg-type]


def item(name: str, value: float, **more: object) -> Item:
    more = {"resource": "bandwidth", "kind": Kind.BYTES, "group": "test", **more}
    return Item(item=name, value=value, **more)  # type: ignore[arg-type]


def reading(
    *facts: Usage | Money | Item, collector: str = "usage", at: float = NOW, **more: object
) -> Reading:
    return Reading(
        collector=collector,
        at=at,
        usages=tuple(one for one in facts if isinstance(one, Usage)),
        money=tuple(one for one in facts if isinstance(one, Money)),
        items=tuple(one for one in facts if isinstance(one, Item)),
        **more,  # type: ignore[arg-type]
    )


def published(
    *facts: Usage | Money | Item, of: Target | None = None, now: float = NOW
) -> tuple[list[Sample], tuple[Note, ...]]:
    found, notes = samples(of or made(), {"usage": reading(*facts)}, now)
    return list(found), notes


def lines(found: list[Sample]) -> dict[str, float]:
    """Write samples as ``family{account,rest}``; the provider is always the same."""
    assert all(one.labels[0] == "acme" for one in found)
    return {f"{one.family}{{{','.join(one.labels[1:])}}}": one.value for one in found}


def test_a_resource_has_all_its_families() -> None:
    fact = usage(
        used=400e9,
        limit=Known(1000e9),
        projected=800e9,
        next_period=900e9,
        overage=0.0,
        as_of=NOW - 60,
        period=MONTH,
    )
    found, notes = published(fact)
    meets = NOW + (MONTH.end - NOW) * 1.5
    assert meets > MONTH.end
    assert lines(found) == {
        "usage_account_info{main,}": 1.0,
        "usage_bytes{main,bandwidth}": 400e9,
        "usage_limit_bytes{main,bandwidth}": 1000e9,
        "usage_projected_bytes{main,bandwidth}": 800e9,
        "usage_next_period_bytes{main,bandwidth}": 900e9,
        "usage_overage_bytes{main,bandwidth}": 0.0,
        "usage_ratio{main,bandwidth}": 0.4,
        "usage_percent{main,bandwidth}": 40.0,
        "usage_projected_ratio{main,bandwidth}": 0.8,
        "usage_data_timestamp_seconds{main,bandwidth}": NOW - 60,
        "usage_period_start_timestamp_seconds{main,bandwidth}": MONTH.start,
        "usage_period_end_timestamp_seconds{main,bandwidth}": MONTH.end,
        "usage_info{main,bandwidth,GB,provider,month,provider}": 1.0,
    }
    assert notes == ()


def test_every_sample_belongs_to_a_family_of_the_table_and_has_its_labels() -> None:
    facts = (
        usage(used=1.0, limit=Known(2.0), period=MONTH),
        usage("calls", kind=Kind.REQUESTS, used=1.0),
        Money(currency="USD", cost=1.0, base=0.5, limit=Known(5.0), period=MONTH),
        item("a", 1.0),
        item("b", 2.0, kind=Kind.MONEY, currency="USD"),
    )
    found, _ = published(*facts)
    assert len(found) > 20
    for sample in found:
        assert len(sample.labels) == len(FAMILY[sample.family].labels)
    assert len({(one.family, one.labels) for one in found}) == len(found)


@pytest.mark.parametrize(
    "kind", [Kind.BYTES, Kind.REQUESTS, Kind.SECONDS, Kind.BYTE_SECONDS, Kind.QUANTITY]
)
def test_the_kind_chooses_the_families(kind: Kind) -> None:
    found, _ = published(usage(kind=kind, unit="", used=1.0, limit=Known(4.0)))
    values = lines(found)
    assert values[f"usage_{kind}{{main,bandwidth}}"] == 1.0
    assert values[f"usage_limit_{kind}{{main,bandwidth}}"] == 4.0
    assert f"usage_info{{main,bandwidth,{kind},provider,none,none}}" in values


@pytest.mark.parametrize(
    ("limit", "kind"), [(Unlimited(), "unlimited"), (None, "unknown"), (Known(0.0), "provider")]
)
def test_there_is_no_ratio_without_a_limit_above_zero(limit: object, kind: str) -> None:
    found, _ = published(usage(used=5.0, limit=limit))
    values = lines(found)
    assert f"usage_info{{main,bandwidth,GB,{kind},none,none}}" in values
    assert "usage_ratio{main,bandwidth}" not in values
    assert ("usage_limit_bytes{main,bandwidth}" in values) is (kind == "provider")


def test_ratio_and_percent_never_disagree() -> None:
    for used in range(1, 200):
        values = lines(published(usage(used=used / 7, limit=Known(3.0)))[0])
        ratio = values["usage_ratio{main,bandwidth}"]
        assert values["usage_percent{main,bandwidth}"] == ratio * 100


def test_what_leaves_the_floats_is_not_published() -> None:
    found, _ = published(usage(used=1e308, limit=Known(1e-300)))
    assert all(math.isfinite(sample.value) for sample in found)
    assert "usage_ratio{main,bandwidth}" not in lines(found)


def test_collectors_of_one_resource_are_joined() -> None:
    one = reading(usage(used=25.0))
    other = reading(usage(limit=Known(100.0), period=MONTH, used=99.0), collector="limits")
    found, notes = samples(made(), {"limits": other, "usage": one}, NOW)
    values = lines(list(found))
    assert values["usage_bytes{main,bandwidth}"] == 25.0
    assert values["usage_ratio{main,bandwidth}"] == 0.25
    assert values["usage_period_end_timestamp_seconds{main,bandwidth}"] == MONTH.end
    assert notes == ()


def test_used_may_come_from_one_collector_and_remaining_from_another() -> None:
    one = reading(usage(limit=Known(100.0)))
    other = reading(usage(remaining=40.0), collector="limits")
    found, _ = samples(made(), {"usage": one, "limits": other}, NOW)
    assert lines(list(found))["usage_bytes{main,bandwidth}"] == 60.0


def test_the_forecast_takes_the_time_of_the_poll_that_gave_the_value() -> None:
    limits = reading(usage(limit=Known(100.0), period=MONTH), at=NOW - 9 * DAY)
    values = reading(usage(used=30.0), collector="limits", at=NOW)
    found, _ = samples(made(), {"usage": limits, "limits": values}, NOW)
    fraction = (NOW - MONTH.start) / (MONTH.end - MONTH.start)
    expected = pytest.approx(30 / fraction)
    assert lines(list(found))["usage_projected_bytes{main,bandwidth}"] == expected


def test_two_kinds_of_one_resource_do_not_mix() -> None:
    one = reading(usage(used=25.0))
    other = reading(usage(kind=Kind.QUANTITY, limit=Known(100.0)), collector="limits")
    found, notes = samples(made(), {"usage": one, "limits": other}, NOW)
    assert "usage_limit_bytes{main,bandwidth}" not in lines(list(found))
    assert notes == (
        Note(
            reason="unit_conflict",
            detail="bandwidth: bytes here, quantity there; the first stays.",
        ),
    )


def test_readings_of_collectors_that_are_gone_are_not_published() -> None:
    found, _ = samples(made(), {"removed": reading(usage(used=1.0), collector="removed")}, NOW)
    assert "usage_bytes{main,bandwidth}" not in lines(list(found))


def test_no_readings_are_no_samples() -> None:
    assert samples(made(), {}, NOW) == ((), ())


def test_the_configs_limit_fills_in() -> None:
    of = made(limits={"bandwidth": config_limit(50.0, Kind.BYTES)})
    values = lines(published(usage(used=25.0), of=of)[0])
    assert values["usage_limit_bytes{main,bandwidth}"] == 50.0
    assert "usage_info{main,bandwidth,GB,config,none,none}" in values
    unlimited = lines(published(usage(used=25.0, limit=Unlimited()), of=of)[0])
    assert unlimited["usage_ratio{main,bandwidth}"] == 0.5
    own = lines(published(usage(used=25.0, limit=Known(100.0)), of=of)[0])
    assert own["usage_ratio{main,bandwidth}"] == 0.25


def test_a_bare_number_is_a_limit_in_the_resources_own_unit() -> None:
    of = made(limits={"bandwidth": config_limit(50.0)})
    assert lines(published(usage(used=25.0), of=of)[0])["usage_ratio{main,bandwidth}"] == 0.5


def test_a_limit_of_another_kind_is_ignored_and_noted() -> None:
    of = made(limits={"bandwidth": config_limit(50.0, Kind.SECONDS)})
    found, notes = published(usage(used=25.0), of=of)
    assert "usage_limit_bytes{main,bandwidth}" not in lines(found)
    assert notes == (
        Note(
            reason="limit_ignored",
            detail="bandwidth: the limit is in seconds, the resource in bytes.",
        ),
    )


def test_accounts_of_a_fan_out_are_told_apart() -> None:
    found, _ = published(usage(used=1.0, account="eu"), usage(used=2.0, account="us"))
    values = lines(found)
    assert values["usage_bytes{main/eu,bandwidth}"] == 1.0
    assert values["usage_bytes{main/us,bandwidth}"] == 2.0
    assert {
        "usage_account_info{main,}",
        "usage_account_info{main/eu,}",
        "usage_account_info{main/us,}",
    } < set(values)


def test_the_account_info_has_the_plan_and_the_targets_labels() -> None:
    of = made(labels={"team": "video", "env": "prod"})
    readings = {"usage": reading(usage(used=1.0)), "costs": reading(plan="gold", collector="costs")}
    found, _ = samples(of, readings, NOW)
    (info,) = [one for one in found if one.family == "usage_account_info"]
    assert info == Sample(
        family="usage_account_info",
        labels=("acme", "main", "gold"),
        value=1.0,
        extra=(("team", "video"), ("env", "prod")),
    )


# ------------------------------------------------------------------------------------- money


def bill(**more: object) -> Money:
    more = {"currency": "USD", "cost": 50.0, **more}
    return Money(**more)  # type: ignore[arg-type]


def test_money_has_its_families_and_no_spend_without_a_budget() -> None:
    found, _ = published(bill(base=20.0, overage=5.0, projected=80.0))
    assert lines(found) == {
        "usage_account_info{main,}": 1.0,
        "usage_cost{main,USD}": 50.0,
        "usage_cost_base{main,USD}": 20.0,
        "usage_cost_overage{main,USD}": 5.0,
        "usage_cost_projected{main,USD}": 80.0,
    }


def test_a_budget_makes_the_cost_a_resource_called_spend() -> None:
    found, _ = published(bill(limit=Known(200.0), projected=250.0, period=MONTH))
    values = lines(found)
    assert values["usage_cost_limit{main,USD}"] == 200.0
    assert values["usage_ratio{main,spend}"] == 0.25
    assert values["usage_percent{main,spend}"] == 25.0
    assert values["usage_projected_ratio{main,spend}"] == 1.25
    assert values["usage_exhaustion_timestamp_seconds{main,spend}"] == pytest.approx(
        NOW + (MONTH.end - NOW) * 0.75
    )
    assert values["usage_period_start_timestamp_seconds{main,spend}"] == MONTH.start
    assert values["usage_info{main,spend,USD,provider,month,provider}"] == 1.0


def test_the_configs_budget_counts_in_its_currency_alone() -> None:
    dollars = made(limits={"spend": config_limit(100.0, Kind.MONEY, "USD")})
    values = lines(published(bill(currency="EUR"), bill(), of=dollars)[0])
    assert values["usage_cost_limit{main,USD}"] == 100.0
    assert "usage_cost_limit{main,EUR}" not in values
    assert values["usage_info{main,spend,USD,config,none,none}"] == 1.0
    found, notes = published(bill(currency="EUR"), of=dollars)
    assert "usage_ratio{main,spend}" not in lines(found)
    assert notes == (
        Note(reason="limit_ignored", detail="spend: the limit is in USD, the cost in EUR."),
    )


def test_a_budget_in_bytes_is_no_budget() -> None:
    of = made(limits={"spend": config_limit(100.0, Kind.BYTES)})
    found, notes = published(bill(), of=of)
    assert "usage_cost_limit{main,USD}" not in lines(found)
    assert [note.detail for note in notes] == ["spend: the limit is in bytes, the cost in USD."]


def test_a_bare_budget_is_in_the_currency_of_the_cost() -> None:
    of = made(limits={"spend": config_limit(100.0)})
    assert lines(published(bill(), of=of)[0])["usage_ratio{main,spend}"] == 0.5


def test_of_two_currencies_spend_is_the_one_with_the_budget() -> None:
    values = lines(
        published(
            bill(currency="EUR"), bill(limit=Known(100.0)), bill(currency="GBP", limit=Known(5.0))
        )[0]
    )
    assert [key for key in values if key.startswith("usage_ratio")] == ["usage_ratio{main,spend}"]
    assert values["usage_ratio{main,spend}"] == 0.5


def test_a_vendors_own_resource_called_spend_is_not_doubled() -> None:
    own = usage("spend", kind=Kind.QUANTITY, used=1.0, limit=Known(10.0))
    found, _ = published(own, bill(limit=Known(100.0)))
    assert lines(found)["usage_ratio{main,spend}"] == 0.1
    assert len({(one.family, one.labels) for one in found}) == len(found)


def test_costs_of_two_collectors_are_joined_not_added() -> None:
    readings = {
        "usage": reading(bill()),
        "costs": reading(bill(cost=70.0, limit=Known(100.0)), collector="costs"),
    }
    found, _ = samples(made(), readings, NOW)
    values = lines(list(found))
    assert values["usage_cost{main,USD}"] == 50.0
    assert values["usage_ratio{main,spend}"] == 0.5


# ------------------------------------------------------------------------------------ expiry


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


def test_a_vendor_that_still_names_the_old_period_is_noted() -> None:
    late = reading(usage(used=1.0, period=MONTH), at=MONTH.end + 3 * DAY)
    found, notes = samples(made(), {"usage": late}, MONTH.end + 3 * DAY)
    assert "usage_bytes{main,bandwidth}" not in lines(list(found))
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


def test_the_next_expiry_is_told() -> None:
    year = Span(MONTH.start, MONTH.end + 300 * DAY)
    readings = {
        "usage": reading(usage(period=MONTH), usage("b"), bill(period=year)),
        "limits": reading(usage(period=Span(0.0, DAY)), usage(period=MONTH, closed=True)),
    }
    assert expires_at(readings) == MONTH.end
    assert expires_at(readings, after=MONTH.end) == year.end
    assert expires_at(readings, after=year.end) is None
    assert expires_at({}) is None


# ----------------------------------------------------------------------------------- history


def test_history_weighs_in_by_account_and_resource() -> None:
    period = Span(NOW - 10 * DAY, NOW + 20 * DAY)
    points = tuple((NOW - (10 - day) * DAY, 5.0 * day) for day in range(10))
    fast = usage(used=100.0, limit=Known(1000.0), period=period)
    readings = {"usage": reading(fast)}
    plain, _ = samples(made(), readings, NOW)
    bent, _ = samples(made(), readings, NOW, {("main", "bandwidth"): points})
    other, _ = samples(made(), readings, NOW, {("main", "storage"): points})
    key = "usage_projected_bytes{main,bandwidth}"
    assert lines(list(plain))[key] == pytest.approx(300.0)
    assert lines(list(bent))[key] > 310
    assert other == plain


def test_spend_has_a_history_too() -> None:
    points = ((NOW - DAY, 10.0), (NOW - 3600, 90.0))
    fact = bill(cost=100.0, limit=Known(50.0), period=MONTH)
    found, _ = samples(made(), {"usage": reading(fact)}, NOW, {("main", "spend"): points})
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
    assert tracked(made(), {"usage": reading(*facts)}, NOW) == {
        ("main", "spend"): 50.0,
        ("main/eu", "spend"): 8.0,
        ("main", "bandwidth"): 5.0,
        ("main", "credits"): 6.0,
        ("main/eu", "bandwidth"): 7.0,
    }


# --------------------------------------------------------------------------------------- cap


def test_parts_are_published_with_their_labels() -> None:
    found, _ = published(item("a", 3.0), item("b", 2.0, kind=Kind.MONEY, currency="USD"))
    assert lines(found) == {
        "usage_account_info{main,}": 1.0,
        "usage_item_bytes{main,bandwidth,test,a}": 3.0,
        "usage_item_cost{main,bandwidth,test,b,USD}": 2.0,
    }


def test_one_part_of_two_collectors_is_published_once() -> None:
    readings = {"usage": reading(item("a", 1.0)), "limits": reading(item("a", 2.0))}
    found, _ = samples(made(), readings, NOW)
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


@pytest.mark.parametrize(
    ("hours", "name"),
    [
        (23, "day"),
        (24, "day"),
        (25, "day"),
        (26, "custom"),
        (7 * 24, "week"),
        (7 * 24 - 1, "week"),
        (28 * 24, "month"),
        (31 * 24, "month"),
        (31 * 24 + 1, "month"),
        (27 * 24, "custom"),
        (32 * 24, "custom"),
        (365 * 24, "year"),
        (366 * 24, "year"),
        (90 * 24, "custom"),
        (6, "custom"),
    ],
)
def test_a_period_has_the_name_of_its_length(hours: int, name: str) -> None:
    assert period_name(Span(NOW, NOW + hours * 3600.0)) == name


def test_no_period_has_the_name_none() -> None:
    assert period_name(None) == "none"
