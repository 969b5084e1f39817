import pytest

from exporter.kernel.calendar import Span
from exporter.mapping.forecast import Points
from exporter.mapping.status import UsageStatus, target_status
from exporter.model.reading import Known, LimitFact, Money, Unlimited, Usage
from tests.unit.mapping.factories import NOVEMBER, NOW, config_limit
from tests.unit.mapping.facts import made, past, reading, usage

MONTH = Span(*NOVEMBER)
FRACTION = (NOW - MONTH.start) / (MONTH.end - MONTH.start)
DAY = 86400.0


def stands(
    fact: Usage | Money, configured: float | None, points: Points = (), end: float | None = None
) -> UsageStatus:
    """Say how one fact stands. `end` is that of the account's billing period."""
    name = "a" if isinstance(fact, Usage) else "spend"
    limits = {} if configured is None else {name: config_limit(configured)}
    others = [] if end is None else [usage("b", period=Span(NOW - DAY, end))]
    status = target_status(
        made(limits=limits), {"usage": reading(fact, *others)}, NOW, past({("main", name): points})
    )
    return (status.usages if isinstance(fact, Usage) else status.money)[0]


def a_usage(**more: object) -> Usage:
    return usage("a", **more)


def summed(
    used: float | None,
    limit: LimitFact | None,
    remaining: float | None,
    ratio: float | None,
    configured: float | None,
) -> UsageStatus:
    return stands(a_usage(used=used, limit=limit, remaining=remaining, ratio=ratio), configured)


@pytest.mark.parametrize(
    ("used", "limit", "remaining", "expected"),
    [
        (30.0, Known(100.0), None, (30.0, 100.0)),
        (None, Known(100.0), 70.0, (30.0, 100.0)),
        (30.0, None, 70.0, (30.0, 100.0)),
        (30.0, Known(100.0), 50.0, (30.0, 100.0)),
        (110.0, None, -10.0, (110.0, 100.0)),
        (None, Known(100.0), -10.0, (110.0, 100.0)),
        (None, Known(100.0), 150.0, (None, 100.0)),
        (None, None, 70.0, (None, None)),
        (30.0, Unlimited(), 70.0, (30.0, None)),
        (None, Unlimited(), 70.0, (None, None)),
    ],
)
def test_what_is_missing_is_worked_out(
    used: float | None,
    limit: LimitFact | None,
    remaining: float | None,
    expected: tuple[float | None, float | None],
) -> None:
    found = summed(used, limit, remaining, None, None)
    assert (found.used, found.limit) == expected


@pytest.mark.parametrize(
    ("used", "limit", "remaining", "configured", "expected"),
    [
        (30.0, Known(100.0), None, None, 70.0),
        (30.0, Known(100.0), 50.0, None, 50.0),  # the vendor's own word
        (110.0, Known(100.0), None, None, -10.0),
        (30.0, Known(0.0), None, None, -30.0),
        (None, Known(4000.0), 4200.0, None, 4200.0),  # carried over
        (None, None, 4200.0, None, 4200.0),
        (None, None, 0.0, None, 0.0),
        (None, None, -3.0, None, -3.0),
        (30.0, None, None, 100.0, 70.0),
        (30.0, Unlimited(), None, 100.0, 70.0),
        (285.94, Known(300.0), None, None, 14.06),
        (0.1, Known(0.3), None, None, 0.2),
        (1e-30, Known(1e300), None, None, 1e300),
        (30.0, Unlimited(), None, None, None),
        (30.0, Unlimited(), 0.0, None, None),  # of no end nothing is left over
        (30.0, None, None, None, None),
        (None, Known(100.0), None, None, None),
    ],
)
def test_what_is_left_is_the_vendors_word_or_the_limit_less_what_is_used(
    used: float | None,
    limit: LimitFact | None,
    remaining: float | None,
    configured: float | None,
    expected: float | None,
) -> None:
    assert summed(used, limit, remaining, None, configured).remaining == expected


@pytest.mark.parametrize(
    ("limit", "remaining", "expected"),
    [
        (None, 70.0, (30.0, 100.0, "config")),
        (None, 150.0, (None, 100.0, "config")),
        (Unlimited(), 70.0, (None, 100.0, "config")),
        (Known(80.0), 70.0, (10.0, 80.0, "provider")),
    ],
)
def test_what_is_left_of_a_configured_limit_tells_what_was_used(
    limit: LimitFact | None, remaining: float, expected: tuple[float | None, float, str]
) -> None:
    found = summed(None, limit, remaining, None, 100.0)
    assert (found.used, found.limit, found.limit_kind) == expected


@pytest.mark.parametrize(
    ("limit", "configured", "expected"),
    [
        (Known(10.0), 20.0, (10.0, "provider")),
        (Known(0.0), 20.0, (0.0, "provider")),
        (None, 20.0, (20.0, "config")),
        (Unlimited(), 20.0, (20.0, "config")),
        (Unlimited(), None, (None, "unlimited")),
        (None, None, (None, "unknown")),
    ],
)
def test_the_vendors_limit_wins_and_the_configs_fills_in(
    limit: LimitFact | None, configured: float | None, expected: tuple[float | None, str]
) -> None:
    found = summed(5.0, limit, None, None, configured)
    assert (found.limit, found.limit_kind) == expected


def test_a_ratio_is_worked_out_where_it_can_be_and_else_the_vendors() -> None:
    assert summed(5.0, Known(10.0), None, 0.4, None).ratio == 0.5
    assert summed(5.0, None, None, 0.4, None).ratio == 0.4
    assert summed(5.0, Known(0.0), None, 0.4, None).ratio is None
    assert summed(5.0, Unlimited(), None, 0.4, None).ratio is None
    assert summed(5.0, Known(0.0), None, None, None).ratio is None
    assert summed(None, Known(10.0), None, 0.4, None).ratio == 0.4
    assert summed(15.0, Known(10.0), None, 1.0, None).ratio == 1.5


def test_a_percentage_is_not_turned_back_into_an_amount() -> None:
    assert summed(None, Known(10.0), None, 0.4, None).used is None


def test_our_line_is_used_where_the_vendor_says_nothing() -> None:
    found = stands(a_usage(used=100.0, period=MONTH), 400.0, (), None)
    assert found.projected == pytest.approx(100 / FRACTION)
    assert found.projected_ratio == pytest.approx(100 / FRACTION / 400)
    assert (found.projection, found.limit_kind) == ("linear", "config")


def test_the_vendors_projection_is_used_where_there_is_one() -> None:
    found = stands(a_usage(used=100.0, projected=350.0, period=MONTH), 400.0, (), None)
    assert (found.projected, found.projected_ratio, found.projection) == (350.0, 0.875, "provider")
    bare = stands(a_usage(projected=350.0), None, (), None)
    assert (bare.projected, bare.projected_ratio, bare.projection) == (350.0, None, "provider")


def test_the_elapsed_time_ends_where_the_data_does() -> None:
    as_of = NOW - 2 * DAY
    found = stands(a_usage(used=100.0, period=MONTH, as_of=as_of), None, (), None)
    days = (as_of - MONTH.start) / DAY
    assert found.projected == pytest.approx(100 * 30 / days)


def test_history_is_told_in_the_time_of_the_polls() -> None:
    as_of = NOW - 2 * DAY
    days = (as_of - MONTH.start) / DAY
    history = [(MONTH.start + (day + 2) * DAY, 10.0 * day) for day in range(int(days) + 1)]
    found = stands(a_usage(used=10 * days, period=MONTH, as_of=as_of), None, history, None)
    assert found.projected == pytest.approx(300.0)


@pytest.mark.parametrize("as_of", [NOW + DAY, MONTH.start - DAY], ids=["future", "old period"])
def test_a_data_time_that_cannot_be_is_not_used(as_of: float) -> None:
    found = stands(a_usage(used=100.0, period=MONTH, as_of=as_of), None, (), None)
    assert found.projected == pytest.approx(100 / FRACTION)


def test_a_flow_without_a_period_and_a_peak_are_not_projected() -> None:
    assert stands(a_usage(used=100.0), 400.0, (), None).projection == "none"
    peak = stands(a_usage(used=100.0, level=True, period=MONTH), 400.0, (), None)
    assert (peak.projected, peak.exhausted_at) == (None, None)


def test_a_level_is_projected_to_the_end_of_the_accounts_period() -> None:
    history = [(NOW - day * DAY, 100.0 - day) for day in range(6, 0, -1)]
    found = stands(a_usage(used=100.0, level=True), 110.0, history, MONTH.end)
    assert found.projected == pytest.approx(115.5)
    assert found.exhausted_at == pytest.approx(NOW + 10 * DAY)
    assert found.projection == "linear"


def test_a_bare_percentage_has_an_outlook_of_its_own() -> None:
    found = stands(a_usage(ratio=0.75, period=MONTH), None, (), None)
    assert found.projected is None
    assert found.projected_ratio == pytest.approx(0.75 / FRACTION)
    assert found.exhausted_at == pytest.approx(MONTH.start + (NOW - MONTH.start) / 0.75)
    assert found.projection == "linear"
    assert stands(a_usage(ratio=0.75), None, (), None).projected_ratio is None
    assert stands(a_usage(ratio=0.75, level=True), None, (), None).projected_ratio is None
    thin = stands(a_usage(ratio=0.5, period=Span(NOW - DAY, NOW + 29 * DAY)), None, (), None)
    assert (thin.projected_ratio, thin.projection) == (None, "none")


def test_a_projection_over_a_limit_of_zero_has_no_ratio() -> None:
    found = stands(a_usage(used=1.0, limit=Known(0.0), period=MONTH), None, (), None)
    assert found.projected is not None
    assert (found.ratio, found.projected_ratio, found.exhausted_at) == (None, None, None)


def test_money_stands_as_resources_do_but_its_base_does_not_grow() -> None:
    bill = Money(currency="USD", cost=89.0, base=79.0, period=MONTH)
    found = stands(bill, 200.0)
    assert found.projected == pytest.approx(79 + 10 / FRACTION)
    assert (found.ratio, found.projection, found.limit_kind) == (0.445, "linear", "config")
    given = Money(currency="USD", cost=89.0, projected=150.0, limit=Known(100.0), period=MONTH)
    vendor = stands(given, 200.0)
    assert (vendor.projected, vendor.projected_ratio, vendor.projection) == (150.0, 1.5, "provider")
    assert stands(Money(currency="USD", cost=89.0), None).projected is None


def test_a_prepaid_balance_is_what_is_left_of_the_limit() -> None:
    key = Money(currency="USD", limit=Known(100.0), remaining=65.0)
    found = stands(key, None)
    assert (found.used, found.ratio) == (35.0, 0.35)


def test_a_bare_percentage_has_a_history_of_its_own() -> None:
    days = (NOW - MONTH.start) / DAY
    slow = [(MONTH.start + day * DAY, 0.002 * day) for day in range(int(days) - 7)]
    fast = [(NOW - day * DAY, 0.6 - 0.06 * day) for day in range(7, 0, -1)]
    target, share = made(), reading(usage("a", ratio=0.6, period=MONTH))
    bent = target_status(target, {"usage": share}, NOW, past({("main", "a%"): (*slow, *fast)}))
    plain = target_status(target, {"usage": share}, NOW, past({("main", "a"): (*slow, *fast)}))
    assert plain.usages[0].projected_ratio == pytest.approx(0.6 / FRACTION)
    assert bent.usages[0].projected_ratio is not None
    assert bent.usages[0].projected_ratio > 1.1 * 0.6 / FRACTION


def test_data_that_ends_before_the_period_say_nothing_of_its_end() -> None:
    fact = a_usage(used=0.0, period=MONTH, as_of=MONTH.start - 3600)
    assert stands(fact, 100.0).projected is None
    prior = [(MONTH.start - day * DAY, 10.0 * (30 - day)) for day in range(30, 0, -1)]
    assert stands(fact, 100.0, prior).projected == pytest.approx(300.0, rel=0.05)


def test_an_answer_that_was_confirmed_is_as_new_as_its_confirmation() -> None:
    asked = MONTH.start + 5 * DAY
    facts = (
        a_usage(used=100.0, limit=Known(300.0), period=MONTH),
        Money(currency="EUR", cost=10.0, period=MONTH),
    )
    said = {"usage": reading(*facts, at=asked)}
    at_once = target_status(made(), said, asked)
    later = target_status(
        made(), said, MONTH.start + 29 * DAY, confirmed={"usage": MONTH.start + 29 * DAY}
    )
    assert at_once.usages[0].projected == pytest.approx(600.0)
    assert at_once.usages[0].exhausted_at == pytest.approx(MONTH.start + 15 * DAY)
    assert later.usages[0].projected == pytest.approx(100 * 30 / 29)
    assert later.usages[0].exhausted_at is None
    assert later.money[0].projected == pytest.approx(10 * 30 / 29)


def test_a_confirmation_does_not_renew_a_period_that_is_over() -> None:
    said = {"usage": reading(a_usage(used=100.0, period=MONTH), at=MONTH.end - DAY)}
    late = MONTH.end + DAY
    assert target_status(made(), said, late, confirmed={"usage": late}).usages == ()
