import pytest

from exporter.kernel.calendar import Cycle, Span
from exporter.model.definition.values import Missing
from exporter.model.reading import Known, Money, Unlimited
from tests.unit.mapping.factories import (
    NOVEMBER,
    cost,
    failure,
    money,
    param,
    paths,
    period,
    reading,
    reduce,
    resource,
    rows,
    target,
    unit,
    unit_at,
    value,
)


def test_every_role_of_a_bill_is_read() -> None:
    rule = cost(
        code=None,
        currency=paths("bill.currency"),
        cost=value("bill.total"),
        base=value("bill.base"),
        overage=value("bill.overage"),
        limit=value("bill.budget"),
        remaining=value("bill.left"),
        projected=value("bill.projected"),
    )
    bill = {
        "total": "121.75",
        "base": 79.0,
        "overage": 42.75,
        "budget": 200,
        "left": 78.25,
        "projected": 240,
        "currency": "usd",
    }
    assert money(rule, of={"bill": bill}) == Money(
        currency="USD",
        cost=121.75,
        base=79.0,
        overage=42.75,
        limit=Known(200.0),
        remaining=78.25,
        projected=240.0,
    )


def test_the_100_fold_trap_cents_are_cents() -> None:
    cents = cost(cost=value("amount", unit=unit("cents")))
    assert money(cents, of={"amount": "12345"}).cost == pytest.approx(123.45)


@pytest.mark.parametrize(
    ("currency", "major"), [("USD", 123.45), ("jpy", 12345.0), ("KWD", 12.345), ("CLF", 1.2345)]
)
def test_minor_units_are_as_small_as_the_currency_says(currency: str, major: float) -> None:
    rule = cost(code=None, currency=paths("c"), cost=value("n", unit=unit("minor")))
    assert money(rule, of={"n": 12345, "c": currency}).cost == pytest.approx(major)


def test_minor_and_major_amounts_may_stand_in_one_list() -> None:
    words = unit_at("unit", {"minor": "minor", "major": "major"})
    rule = cost(rows("rows"), cost=value("n", unit=words), reduce=reduce("sum"))
    answer = {"rows": [{"n": 150, "unit": "minor"}, {"n": 2, "unit": "major"}]}
    assert money(rule, of=answer).cost == 3.5


def test_currencies_are_kept_apart() -> None:
    rule = cost(rows("rows"), code=None, currency=paths("c"), cost=value("n"), reduce=reduce("sum"))
    answer = {"rows": [{"n": 1, "c": "usd"}, {"n": 2, "c": "EUR"}, {"n": 4, "c": " Usd "}]}
    found = reading(target(rule), answer).money
    assert [(one.currency, one.cost) for one in found] == [("USD", 5.0), ("EUR", 2.0)]


def test_the_currency_may_be_a_parameter() -> None:
    rule = cost(code="{params.currency}", cost=value("n"))
    known = {"params": {"currency": param("currency", "USD")}}
    euro = target(rule, params={"currency": ("eur",)}, definition=known)
    assert reading(euro, {"n": 1}).money[0].currency == "EUR"
    assert reading(target(rule, definition=known), {"n": 1}).money[0].currency == "USD"


def test_the_rules_currency_stands_in_where_the_row_names_none() -> None:
    rule = cost(rows("rows"), currency=paths("c"), cost=value("n"), reduce=reduce("sum"))
    answer = {"rows": [{"n": 1, "c": None}, {"n": 2, "c": ""}, {"n": 4}]}
    assert money(rule, of=answer).cost == 7.0


@pytest.mark.parametrize("code", ["credits", "US$", "$", 5, {}], ids=repr)
def test_an_unknown_currency_costs_that_money_alone(code: object) -> None:
    rule = cost(rows("rows"), code=None, currency=paths("c"), cost=value("n"))
    answer = {"rows": [{"n": 1, "c": code}, {"n": 2, "c": "EUR"}], "m": 3}
    read = reading(target(rule, resource("a", used=value("m"))), answer)
    assert read.money == (Money(currency="EUR", cost=2.0),)
    assert [one.used for one in read.usages] == [3.0]
    (note,) = read.notes
    assert note.reason == "no_currency"
    assert "no currency of ISO 4217" in note.detail


@pytest.mark.parametrize("code", [None, "", "US dollars", "$"], ids=repr)
def test_the_users_currency_stands_in_for_none_and_for_an_unknown_one(code: object) -> None:
    rule = cost(code="CHF", currency=paths("c"), cost=value("n"))
    read = reading(target(rule), {"n": 1, "c": code})
    assert read.money == (Money(currency="CHF", cost=1.0),)
    assert read.notes == ()


def test_a_currency_of_the_config_that_is_none_is_refused() -> None:
    rule = cost(code="{params.currency}", currency=paths("c"), cost=value("n"))
    of = target(rule, params={"currency": "money"})
    assert "no currency of ISO 4217" in failure(of, {"n": 1}).detail


def test_money_without_a_currency_is_left_out_and_noted_but_a_row_without_money_is_not() -> None:
    rule = cost(code=None, currency=paths("c"), cost=value("n"))
    read = reading(target(rule, resource("a", used=value("m"))), {"n": 1, "m": 3})
    assert read.money == ()
    assert [one.used for one in read.usages] == [3.0]
    assert [note.reason for note in read.notes] == ["no_currency"]
    assert reading(target(rule, cost(cost=value("m"))), {"m": 1}).money[0].cost == 1.0


def test_credits_are_negative_money() -> None:
    rule = cost(rows("rows"), cost=value("n"), reduce=reduce("sum"))
    assert money(rule, of={"rows": [{"n": 5}, {"n": "-7.5"}]}).cost == -2.5


def test_a_budget_may_be_unlimited_or_odd() -> None:
    rule = cost(cost=value("n"), limit=value("l", unlimited=(None,)))
    assert money(rule, of={"n": 1}).limit == Unlimited()
    left = cost(cost=value("n"), remaining=value("r", unlimited=("none",)))
    assert money(left, of={"n": 1, "r": "none"}).limit == Unlimited()
    odd = reading(target(cost(cost=value("n"), limit=value("l"))), {"n": 1, "l": -5})
    assert odd.money[0].limit is None
    assert [note.reason for note in odd.notes] == ["negative_limit"]


def test_no_charges_yet_are_zero_where_the_currency_is_known() -> None:
    total = reduce("sum")
    rule = cost(
        rows("rows"),
        cost=value("n"),
        limit=value("l"),
        reduce=total,
        period=period(cycle=Cycle.MONTH),
    )
    found = money(rule, of={"rows": []})
    assert (found.cost, found.limit, found.period) == (0.0, None, Span(*NOVEMBER))
    unknown = cost(rows("rows"), code=None, currency=paths("c"), cost=value("n"), reduce=total)
    last = cost(rows("rows"), cost=value("n"), reduce=reduce("last"))
    assert reading(target(unknown, last), {"rows": []}).money == ()


def test_two_charges_without_a_reduction_are_refused() -> None:
    rule = cost(rows("rows"), cost=value("n"))
    assert failure(target(rule), {"rows": [{"n": 1}, {"n": 2}]}).detail.startswith(
        "costs.USD.cost: 2 rows give this series a value."
    )


def test_a_missing_cost_fails_where_the_definition_says_so() -> None:
    rule = cost(cost=value("n", missing=Missing.FAIL))
    assert failure(target(rule), {"m": 1}).detail.startswith('costs.USD.cost: path "n"')


def test_a_balance_is_read_by_currency_and_has_no_period_but_its_own() -> None:
    rule = cost(
        rows("balance_infos"), code=None, currency=paths("currency"), balance=value("total_balance")
    )
    infos = [
        {"currency": "USD", "total_balance": "0.00"},
        {"currency": "cny", "total_balance": "38.25"},
        {"currency": "EUR", "total_balance": -3},
    ]
    month = period(cycle=Cycle.MONTH)
    read = reading(target(rule, definition={"period": month}), {"balance_infos": infos})
    assert read.money == (
        Money(currency="USD", balance=0.0),
        Money(currency="CNY", balance=38.25),
        Money(currency="EUR", balance=-3.0),
    )
