import pytest

from exporter.kernel.calendar import Span
from exporter.mapping.forecast import NOTHING, Outlook, Points, flow, level, vendors

DAY = 86400.0
MONTH = Span(0.0, 30 * DAY)


def straight(until: float, pace: float, *, start: float = 0.0) -> Points:
    """Hourly points of a line, from `start` to just before `until` (days)."""
    return tuple(
        (hour * 3600.0, pace * hour / 24) for hour in range(int(start * 24), int(until * 24))
    )


def test_without_history_it_is_used_divided_by_the_elapsed_fraction() -> None:
    assert flow(50.0, 10 * DAY, MONTH).projected == pytest.approx(150.0)


def test_exhaustion_is_where_the_line_meets_the_limit() -> None:
    found = flow(50.0, 10 * DAY, MONTH, limit=100.0)
    assert found.exhausted_at == pytest.approx(20 * DAY)


@pytest.mark.parametrize("limit", [150.0, 151.0, 1e9])
def test_a_limit_that_is_not_met_before_the_end_has_no_exhaustion(limit: float) -> None:
    assert flow(50.0, 10 * DAY, MONTH, limit=limit).exhausted_at is None


@pytest.mark.parametrize(
    ("at", "period"),
    [
        (2.9 * DAY, MONTH),
        (5.9 * 3600, Span(0.0, DAY)),
        (0.0, MONTH),
        (-DAY, MONTH),
        (30 * DAY, MONTH),
        (31 * DAY, MONTH),
    ],
)
def test_it_is_withheld_while_data_is_thin_and_outside_of_the_period(
    at: float, period: Span
) -> None:
    assert flow(5.0, at, period, limit=100.0) == NOTHING


@pytest.mark.parametrize(("at", "period"), [(3 * DAY, MONTH), (6 * 3600.0, Span(0.0, DAY))])
def test_it_begins_with_a_tenth_and_six_hours(at: float, period: Span) -> None:
    assert flow(5.0, at, period).projected is not None


def test_nothing_used_stays_nothing() -> None:
    assert flow(0.0, 10 * DAY, MONTH, limit=100.0) == Outlook(0.0, None)


def test_a_credit_is_not_projected() -> None:
    assert flow(-5.0, 10 * DAY, MONTH, limit=100.0) == NOTHING


def test_the_base_fee_does_not_grow() -> None:
    assert flow(79.0, 3 * DAY, MONTH, floor=79.0).projected == pytest.approx(79.0)
    assert flow(89.0, 10 * DAY, MONTH, floor=79.0).projected == pytest.approx(79.0 + 30.0)
    assert flow(50.0, 10 * DAY, MONTH, floor=79.0) == NOTHING


def test_steady_history_changes_nothing() -> None:
    found = flow(100.0, 10 * DAY, MONTH, history=straight(10, 10.0))
    assert found.projected == pytest.approx(300.0)


def test_the_pace_of_the_last_week_counts_while_it_foretells_better() -> None:
    slow = [(hour * 3600.0, hour / 24) for hour in range(24 * 7)]
    fast = [(hour * 3600.0, 7 + (hour / 24 - 7) * 4) for hour in range(24 * 7, 24 * 14)]
    found = flow(35.0, 14 * DAY, MONTH, history=(*slow, *fast), limit=60.0)
    mean, recent = 35 + 16 * 2.5, 35 + 16 * 4.0
    assert found.projected is not None
    assert (mean + recent) / 2 < found.projected <= recent
    assert found.exhausted_at is not None
    assert (14 + 25 / 4.0) * DAY <= found.exhausted_at < (14 + 25 / 2.5) * DAY


def weeks(day: float) -> float:
    """What was used by that day of the epoch, where only five days a week use anything."""
    whole, rest = divmod(day, 7)
    return 50 * whole + 10 * min(rest, 5)


def test_weekdays_are_told_apart_from_two_weeks_on() -> None:
    history = [(hour * 3600.0, weeks(hour / 24)) for hour in range(24 * 21)]
    period = Span(0.0, 28 * DAY)
    found = flow(weeks(21), 21 * DAY, period, history=history, limit=180.0)
    assert found.projected == pytest.approx(weeks(28))
    # With the weekend to come the last 10 are met later than on an even line.
    friday = flow(weeks(19), 19 * DAY, period, history=history[: 24 * 19], limit=160.0)
    even = 19 + 10 / (50 / 7)
    assert friday.exhausted_at is not None
    assert friday.exhausted_at > (even + 0.5) * DAY


def test_a_known_prior_period_gives_a_projection_from_the_first_moment_on() -> None:
    prior = [(-day * DAY, 10.0 * (30 - day)) for day in range(30, 0, -1)]
    assert flow(0.0, 0.0, MONTH, history=prior).projected == pytest.approx(300.0, rel=0.01)
    found = flow(10.0, DAY, MONTH, history=prior, limit=150.0)
    assert found.projected == pytest.approx(300.0, rel=0.01)
    assert found.exhausted_at == pytest.approx(15 * DAY, rel=0.02)
    short = [point for point in prior if point[0] >= -12 * DAY]
    assert flow(10.0, DAY, MONTH, history=short).projected is None


def test_a_prior_period_is_not_looked_at_in_periods_of_days() -> None:
    day = Span(0.0, DAY)
    prior = [(-hour * 3600.0, (24 - hour) % 24 * 1.0) for hour in range(24 * 20, 0, -1)]
    assert flow(2.0, 3600.0, day, history=prior).projected is None
    assert flow(6.0, 6 * 3600.0, day, history=prior).projected == pytest.approx(24.0)


def test_what_was_used_after_the_last_poll_of_the_prior_period_is_not_lost() -> None:
    prior = [(-day * DAY, 10.0 * (30 - day)) for day in range(30, 4, -1)]
    assert flow(50.0, 5 * DAY, MONTH, history=prior).projected == pytest.approx(300.0, rel=0.02)


def test_use_that_the_vendor_stopped_at_the_limit_stays_there() -> None:
    history = [(hour * 3600.0, min(10 * hour / 24, 100.0)) for hour in range(24 * 13)]
    found = flow(100.0, 13 * DAY, MONTH, history=history, limit=100.0)
    assert found.projected == 100.0
    assert found.exhausted_at == pytest.approx(10 * DAY)
    # Not yet two days, above the limit, and without a limit it goes on.
    early = flow(100.0, 11 * DAY, MONTH, history=history[: 24 * 11], limit=100.0)
    assert early.projected is not None
    assert early.projected > 150
    for limit in (80.0, None):
        other = flow(100.0, 13 * DAY, MONTH, history=history, limit=limit).projected
        assert other is not None
        assert other > 150


@pytest.mark.parametrize(
    "history",
    [
        [(13.5 * DAY, 30 / 14 * 13.5)],
        [],
        [(15 * DAY, 99.0)],
    ],
    ids=["half a day, on the line", "none", "the future"],
)
def test_history_that_tells_nothing_new_counts_for_nothing(history: Points) -> None:
    expected = flow(30.0, 14 * DAY, MONTH).projected
    assert flow(30.0, 14 * DAY, MONTH, history=history).projected == pytest.approx(expected)


def test_what_is_late_now_was_late_then() -> None:
    two_days_late = tuple((when + 2 * DAY, value) for when, value in straight(12, 10.0))
    found = flow(120.0, 12 * DAY, MONTH, polled=14 * DAY, history=two_days_late, limit=200.0)
    assert found.projected == pytest.approx(300.0)
    assert found.exhausted_at == pytest.approx(20 * DAY)
    given = vendors(
        120.0, 12 * DAY, MONTH, 300.0, polled=14 * DAY, history=two_days_late, limit=200.0
    )
    assert given.exhausted_at == pytest.approx(20 * DAY)


def test_a_gap_in_the_history_is_a_straight_line() -> None:
    with_gap = [(0.0, 0.0), (DAY, 10.0), (14 * DAY, 140.0)]
    found = flow(150.0, 15 * DAY, MONTH, history=with_gap)
    assert found.projected == pytest.approx(300.0)


def test_a_correction_counts_for_the_days_that_it_corrects() -> None:
    found = flow(120.0, 14 * DAY, MONTH, history=straight(14, 10.0), limit=200.0)
    # It stood at 120 on day 12: two days without growth.
    assert found.projected is not None
    assert 120 + 16 * 120 / 14 * 0.8 < found.projected <= 120 + 16 * 120 / 14 * 1.01
    assert found.exhausted_at is not None


def test_an_overcount_that_was_corrected_is_not_growth() -> None:
    def seen(hour: int) -> float:
        return 10 * hour / 24 + (30 if 6 * 24 <= hour < 8 * 24 else 0)

    history = [(hour * 3600.0, seen(hour)) for hour in range(24 * 14)]
    found = flow(140.0, 14 * DAY, MONTH, history=history)
    assert found.projected == pytest.approx(300.0, rel=0.05)


def test_a_reset_that_comes_late_is_not_a_correction() -> None:
    late = [(hour * 3600.0, 900.0) for hour in range(30)]
    then = [(hour * 3600.0, 10 * hour / 24) for hour in range(30, 24 * 10)]
    assert flow(100.0, 10 * DAY, MONTH, history=(*late, *then)).projected == pytest.approx(300.0)


def test_a_reset_in_mid_period_silences_nothing() -> None:
    high = [(hour * 3600.0, 10 * hour / 24) for hour in range(24 * 12)]
    then = [(hour * 3600.0, 10 * (hour / 24 - 12)) for hour in range(24 * 12, 24 * 15)]
    found = flow(30.0, 15 * DAY, MONTH, history=(*high, *then), limit=100.0)
    assert found.projected == pytest.approx(30 + 15 * 10, rel=0.01)
    assert found.exhausted_at == pytest.approx(22 * DAY, rel=0.01)


def test_a_limit_that_was_reached_names_the_hour() -> None:
    history = straight(14, 10.0)
    found = flow(140.0, 14 * DAY, MONTH, history=history, limit=105.0)
    assert found.exhausted_at == pytest.approx(10.5 * DAY)


def test_without_history_the_limit_was_reached_on_the_line() -> None:
    assert flow(140.0, 14 * DAY, MONTH, limit=70.0).exhausted_at == pytest.approx(7 * DAY)
    assert flow(140.0, 14 * DAY, MONTH, limit=140.0).exhausted_at == pytest.approx(14 * DAY)


def test_what_is_reached_is_told_even_while_data_is_thin() -> None:
    found = flow(100.0, DAY, MONTH, limit=50.0)
    assert found.projected is None
    assert found.exhausted_at == pytest.approx(0.5 * DAY)


def test_of_two_crossings_the_last_counts() -> None:
    history = [(4 * DAY, 40.0), (5 * DAY, 60.0), (6 * DAY, 45.0), (8 * DAY, 55.0)]
    found = flow(60.0, 9 * DAY, MONTH, history=history, limit=50.0)
    assert found.exhausted_at == pytest.approx(7 * DAY)


def test_a_base_fee_above_the_budget_was_too_much_from_the_start() -> None:
    found = flow(79.0, 10 * DAY, MONTH, floor=79.0, limit=50.0)
    assert found.exhausted_at == 0.0


@pytest.mark.parametrize("limit", [0.0, None])
def test_a_limit_of_zero_or_none_is_never_reached(limit: float | None) -> None:
    assert flow(10.0, 10 * DAY, MONTH, limit=limit).exhausted_at is None


def test_the_vendors_projection_wins_and_draws_the_line() -> None:
    found = vendors(50.0, 10 * DAY, MONTH, 250.0, limit=150.0)
    assert found.projected == 250.0
    assert found.exhausted_at == pytest.approx(20 * DAY)
    assert vendors(50.0, DAY, MONTH, 250.0).projected == 250.0


def test_a_vendors_projection_below_the_limit_or_the_value_never_meets_it() -> None:
    assert vendors(50.0, 10 * DAY, MONTH, 140.0, limit=150.0).exhausted_at is None
    assert vendors(50.0, 10 * DAY, MONTH, 40.0, limit=60.0) == Outlook(40.0, None)


def test_a_vendors_projection_stands_without_value_or_period() -> None:
    assert vendors(None, 10 * DAY, MONTH, 250.0, limit=100.0) == Outlook(250.0, None)
    assert vendors(50.0, 10 * DAY, None, 250.0, limit=100.0) == Outlook(250.0, None)
    assert vendors(50.0, 31 * DAY, MONTH, 250.0, limit=40.0) == Outlook(250.0, None)


def test_a_vendors_value_over_the_limit_was_there_when_its_history_says() -> None:
    found = vendors(140.0, 14 * DAY, MONTH, 300.0, limit=105.0, history=straight(14, 10.0))
    assert found.exhausted_at == pytest.approx(10.5 * DAY)


def test_a_level_follows_its_slope() -> None:
    history = [(hour * 3600.0, 500 + 2 * hour / 24) for hour in range(24 * 7, 24 * 14)]
    found = level(528.0, 14 * DAY, 30 * DAY, limit=540.0, history=history)
    assert found.projected == pytest.approx(560.0)
    assert found.exhausted_at == pytest.approx(20 * DAY)


def test_a_migration_or_a_clean_up_is_not_the_pace_of_a_level() -> None:
    for jump in (40.0, -40.0):
        history = [
            (hour * 3600.0, 100 + hour / 24 + jump * (hour > 24 * 20))
            for hour in range(0, 24 * 22, 6)
        ]
        used = 122 + jump
        found = level(used, 22 * DAY, 50 * DAY, limit=used + 15, history=history)
        assert found.projected == pytest.approx(used + 28, rel=0.01)
        assert found.exhausted_at == pytest.approx(37 * DAY, rel=0.01)


def test_a_level_that_falls_is_projected_but_never_below_zero() -> None:
    history = [(day * DAY, 100.0 - 10 * day) for day in range(9)]
    found = level(10.0, 9 * DAY, 30 * DAY, limit=200.0, history=history)
    assert found == Outlook(0.0, None)


@pytest.mark.parametrize(
    "history",
    [
        [],
        [(13 * DAY, 1.0), (13.5 * DAY, 2.0)],
        [(9 * DAY, 1.0)],
        [((day - 20) * DAY, float(day)) for day in range(6)],
    ],
    ids=["none", "under three days", "two points", "too old"],
)
def test_a_level_without_recent_history_is_not_projected(history: Points) -> None:
    assert level(10.0, 14 * DAY, 30 * DAY, limit=12.0, history=history) == NOTHING


def test_a_level_without_a_billing_period_has_a_limit_within_thirty_days_only() -> None:
    history = [(day * DAY, 100.0 + day) for day in range(8, 14)]
    found = level(114.0, 14 * DAY, None, limit=143.0, history=history)
    assert found.projected is None
    assert found.exhausted_at == pytest.approx(43 * DAY)
    assert level(114.0, 14 * DAY, None, limit=145.0, history=history) == NOTHING


def test_a_full_level_names_the_hour_only_if_it_was_seen() -> None:
    seen = [(12 * DAY, 80.0), (13 * DAY, 100.0)]
    assert level(110.0, 14 * DAY, None, limit=90.0, history=seen).exhausted_at == 12.5 * DAY
    assert level(110.0, 14 * DAY, None, limit=70.0, history=seen).exhausted_at is None


def test_a_level_in_a_period_that_is_over_is_not_projected() -> None:
    history = [(day * DAY, 100.0 + day) for day in range(8, 14)]
    assert level(114.0, 14 * DAY, 14 * DAY, limit=120.0, history=history) == NOTHING


def test_a_crossing_of_late_data_is_told_in_the_time_of_the_data() -> None:
    two_days_late = tuple((when + 2 * DAY, value) for when, value in straight(12, 10.0))
    found = flow(120.0, 12 * DAY, MONTH, polled=14 * DAY, history=two_days_late, limit=105.0)
    assert found.exhausted_at == pytest.approx(10.5 * DAY)
    given = vendors(
        120.0, 12 * DAY, MONTH, 300.0, polled=14 * DAY, history=two_days_late, limit=105.0
    )
    assert given.exhausted_at == pytest.approx(10.5 * DAY)


def test_data_that_stand_still_do_not_move_the_history_with_them() -> None:
    day_late = [((day + 1) * DAY, 10.0 * day) for day in range(11)]
    stuck = [(day * DAY, 100.0) for day in range(12, 25)]
    found = flow(100.0, 10 * DAY, MONTH, polled=25 * DAY, history=(*day_late, *stuck))
    assert found.projected == pytest.approx(300.0)


def test_a_base_that_is_a_credit_is_used_up() -> None:
    assert flow(10.0, 10 * DAY, MONTH, floor=-50.0).projected == pytest.approx(130.0)
