import pytest

from exporter.kernel.units import Kind
from exporter.mapping.samples import samples
from exporter.mapping.status import target_status
from exporter.model.reading import Known, Money, Note, Usage
from tests.unit.mapping.factories import NOW, config_limit
from tests.unit.mapping.facts import MONTH, bill, lines, made, published, reading, usage


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


def test_of_two_currencies_with_a_limit_spend_is_the_one_that_the_config_names() -> None:
    of = made(limits={"spend": config_limit(100.0, Kind.MONEY, "USD")})
    euros, dollars = bill(currency="EUR", limit=Known(5.0)), bill(limit=Known(200.0))
    values = lines(published(euros, dollars, of=of)[0])
    assert values["usage_info{main,spend,USD,provider,none,none}"] == 1.0
    assert values["usage_ratio{main,spend}"] == 0.25


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
    found, _ = samples(target_status(made(), readings, NOW))
    values = lines(list(found))
    assert values["usage_cost{main,USD}"] == 50.0
    assert values["usage_ratio{main,spend}"] == 0.5


def test_a_limit_with_a_period_and_no_cost_is_published_alone() -> None:
    found, notes = published(bill(cost=None, limit=Known(100.0), period=MONTH))
    assert lines(found) == {
        "usage_account_info{main,}": 1.0,
        "usage_cost_limit{main,USD}": 100.0,
        "usage_info{main,spend,USD,provider,month,none}": 1.0,
        "usage_period_start_timestamp_seconds{main,spend}": MONTH.start,
        "usage_period_end_timestamp_seconds{main,spend}": MONTH.end,
    }
    assert notes == ()


def test_a_balance_is_money_of_no_period_and_of_no_budget() -> None:
    limits = {"spend": config_limit(100.0, Kind.MONEY, "USD")}
    facts = [Money(currency="CNY", balance=38.25), Money(currency="USD", balance=-4.5)]
    found, notes = published(*facts, of=made(limits=limits))
    assert lines(found) == {
        "usage_account_info{main,}": 1.0,
        "usage_balance{main,CNY}": 38.25,
        "usage_balance{main,USD}": -4.5,
    }
    assert notes == ()


def test_spend_is_about_the_currency_that_is_spent_and_not_about_a_balance() -> None:
    facts = [Money(currency="CNY", balance=38.25), bill(limit=Known(100.0))]
    found, _ = published(*facts)
    assert lines(found)["usage_ratio{main,spend}"] == 0.5
    found, notes = published(*facts, of=made(limits={"spend": config_limit(9.0, None, "CNY")}))
    assert "usage_cost_limit{main,CNY}" not in lines(found)
    assert [note.reason for note in notes] == ["limit_ignored"]


def test_a_balance_beside_a_cost_stays_when_the_period_of_the_cost_ends() -> None:
    fact = bill(cost=50.0, balance=12.5, period=MONTH)
    found, _ = published(fact, now=MONTH.end + 1.0)
    assert lines(found) == {"usage_account_info{main,}": 1.0, "usage_balance{main,USD}": 12.5}


def test_the_balance_may_come_from_another_collector() -> None:
    readings = {
        "usage": reading(bill(period=MONTH)),
        "costs": reading(Money(currency="USD", balance=0.0), collector="costs"),
    }
    found, _ = samples(target_status(made(), readings, NOW))
    assert lines(list(found))["usage_balance{main,USD}"] == 0.0
    assert lines(list(found))["usage_cost{main,USD}"] == 50.0


@pytest.mark.parametrize(
    "fact",
    [
        usage(limit=Known(4000.0), remaining=4200.0),
        Money(currency="USD", limit=Known(4000.0), remaining=4200.0),
    ],
)
def test_more_left_than_the_limit_is_published_and_noted(fact: Usage | Money) -> None:
    found, notes = published(fact)
    assert 4200.0 in lines(found).values()
    assert not [
        name
        for name in lines(found)
        if "ratio" in name or name.startswith(("usage_bytes", "usage_cost{"))
    ]
    (note,) = notes
    assert note.reason == "more_left_than_limit"
    assert "more remains than the limit" in note.detail
