"""The forecast against months that were made up, and against the simplest other methods.

The table of docs/design/forecast.md is what comes out of it; a test keeps the two together.
"""

from functools import cache
from pathlib import Path

import pytest

from exporter.kernel.calendar import Span
from exporter.mapping.forecast import flow
from tests.support.forecast_months import (
    BASELINES,
    DAY,
    DAYS,
    END,
    FIGURES_FROM,
    KINDS,
    LEVEL_METHODS,
    READS,
    START,
    Errors,
    errors,
    level_table,
    mean_error,
    months,
    ours,
    overall,
    table,
)

MONTHS = 30  # of each kind
BEFORE = 0.146  # overall, of the method before this one: 0.7 of the 7-day pace within the period
DOC = Path(__file__).parents[2] / "docs" / "design" / "forecast.md"


@cache
def found(name: str) -> Errors:
    return errors(BASELINES.get(name, ours), FIGURES_FROM, MONTHS)


def test_it_is_a_fifth_better_than_the_mean_of_the_period_with_the_pace_of_a_week() -> None:
    assert overall(found("now")) < 0.83 * BEFORE


@pytest.mark.parametrize("name", BASELINES)
def test_no_simple_method_is_better_over_all_kinds(name: str) -> None:
    assert overall(found("now")) < overall(found(name))


@pytest.mark.parametrize("kind", KINDS)
def test_a_prior_month_makes_it_better_or_the_kind_is_one_that_the_prior_month_misleads(
    kind: str,
) -> None:
    known = mean_error(found("now"), kind, "a prior month")
    unknown = mean_error(found("now"), kind, "no prior month")
    changed = {"decline", "drift", "growth", "step", "new account", "idle, then a spike"}
    assert known < unknown * (1.5 if kind in changed else 1.05)


def test_late_data_that_says_how_late_it_is_is_forecast_better() -> None:
    dated: list[float] = []
    undated: list[float] = []
    period = Span(START * DAY, END * DAY)
    for month in months("late data", FIGURES_FROM, MONTHS):
        for share in (0.25, 0.5, 0.75):
            here = int((DAYS + DAYS * share) * READS) // READS * READS  # at midnight
            day, used = month.shown[here]
            history = [(when * DAY, value) for when, value in month.shown[:here]]
            for errors_of, as_of in ((dated, day - 1), (undated, day)):
                expected = flow(used, as_of * DAY, period, polled=day * DAY, history=history)
                assert expected.projected is not None
                errors_of.append(abs(expected.projected - month.final) / month.final)
    assert sum(dated) < 0.9 * sum(undated)


def test_the_document_tells_the_errors_that_come_out() -> None:
    told = told_rows()
    rows = table({name: found(name) for name in (*BASELINES, "now")})
    for name, *cells in rows:
        *baselines, _before, now = told[name]
        shown = [float(cell.removesuffix("%")) for cell in (*baselines, now)]
        assert shown == pytest.approx([float(cell.removesuffix("%")) for cell in cells], abs=0.11)


@cache
def told_rows(methods: int = len(BASELINES) + 2) -> dict[str, list[str]]:
    """Return the rows of the table of the document with so many methods."""
    rows = {
        (len(cells), cells[0]): cells[1:]
        for line in DOC.read_text().splitlines()
        if line.startswith("|")
        for cells in [[cell.strip() for cell in line.strip("| \n").split("|")]]
    }
    return {name: cells for (_, name), cells in rows.items() if len(cells) == methods}


def test_levels_give_half_the_false_alarms_of_a_least_squares_line() -> None:
    rows = {name: cells for name, *cells in level_table(FIGURES_FROM, 25)}
    _, before, now = (float(cell) for cell in rows["false alarms"])
    assert now < 0.5 * before
    _, before, now = (float(cell) for cell in rows["missed alarms"])
    assert now <= before
    told = told_rows(len(LEVEL_METHODS))
    for name, cells in rows.items():
        shown = [float(cell.removesuffix("%")) for cell in told[name]]
        assert shown == pytest.approx([float(cell.removesuffix("%")) for cell in cells], abs=0.11)
