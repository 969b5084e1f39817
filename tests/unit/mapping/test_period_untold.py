"""Where the answer tells the period, the calendar finds a missing side and never both."""

from exporter.kernel.calendar import Cycle, Span
from exporter.mapping.period import NO_PERIOD, Billing, RequestVariables, billing_period
from exporter.model.definition.period import Period
from tests.unit.mapping.factories import NOW, instant, period, target

RESET = period(end=instant("reset"), cycle=Cycle.MONTH)
NOVEMBER_13 = 1794528000.0
DECEMBER_13 = 1797120000.0


def found(rule: Period, view: object) -> Billing:
    return billing_period(rule, view, RequestVariables(target(), "", NOW), seen=set(), notes=[])


def test_the_calendar_finds_the_side_that_is_missing() -> None:
    assert found(RESET, {"reset": DECEMBER_13}).period == Span(NOVEMBER_13, DECEMBER_13)


def test_a_reset_that_is_null_is_not_the_end_of_the_calendar_month() -> None:
    assert found(RESET, {"reset": None}) == NO_PERIOD
    assert found(RESET, {}) == NO_PERIOD
