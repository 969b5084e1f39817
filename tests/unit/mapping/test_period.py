from datetime import UTC, datetime
from typing import Any

import pytest

from exporter.kernel.calendar import Cycle, Span
from exporter.mapping.period import Billing, RequestVariables, billing_period, instant_of
from exporter.mapping.values import MappingError
from exporter.model.reading import Note
from tests.unit.mapping import factories
from tests.unit.mapping.factories import NOVEMBER, NOW, param, period, target


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def found(
    view: object = None, *, at: float = NOW, params: object = None, **rule: Any
) -> tuple[Billing, list[Note]]:
    notes: list[Note] = []
    where = target(
        params=params or {},
        definition={"params": {"billing_day": param("billing_day", "17"), "none": param("none")}},
    )
    asked = RequestVariables(where, "", at)
    result = billing_period(period(**rule), view or {}, asked, seen=set(), notes=notes)
    return result, notes


def span_of(view: object = None, **rule: Any) -> Span | None:
    result, notes = found(view, **rule)
    assert not notes
    return result.period


def from_answer(**more: Any) -> dict[str, Any]:
    return {"start": factories.instant("s"), "end": factories.instant("e"), **more}


def test_both_sides_stand_in_the_answer() -> None:
    view = {"s": "2026-11-05T08:00:00Z", "e": "2026-12-05T08:00:00Z"}
    assert span_of(view, **from_answer()) == Span(
        epoch("2026-11-05T08:00"), epoch("2026-12-05T08:00")
    )


@pytest.mark.parametrize(
    ("end", "exclusive"),
    [
        ("2026-11-30", "2026-12-01"),
        ("2026-11-30T23:59:59Z", "2026-12-01"),
        ("2026-11-30T23:59:59.999Z", "2026-12-01"),
        (1796083199, "2026-12-01"),
        (1796083199999, "2026-12-01"),
        ("2026-11", "2026-12-01"),
    ],
)
def test_an_inclusive_end_is_made_exclusive(end: object, exclusive: str) -> None:
    view = {"s": "2026-11-01", "e": end}
    assert span_of(view, **from_answer(inclusive_end=True)) == Span(NOVEMBER[0], epoch(exclusive))


def test_an_inclusive_day_is_a_civil_day_when_the_clocks_change() -> None:
    rule: dict[str, Any] = {
        "start": factories.instant("s", zone="Europe/Berlin"),
        "end": factories.instant("e", zone="Europe/Berlin"),
        "inclusive_end": True,
    }
    view = {"s": "2026-10-25", "e": "2026-10-25"}
    result = span_of(view, **rule)
    assert result is not None
    assert result.end - result.start == 25 * 3600


def test_jitter_of_milliseconds_is_no_new_period() -> None:
    early = {"s": "2026-11-05T07:59:59.998Z", "e": "2026-12-05T08:00:00.003Z"}
    late = {"s": "2026-11-05T08:00:00.400Z", "e": "2026-12-05T07:59:59.600Z"}
    assert span_of(early, **from_answer()) == span_of(late, **from_answer())


def test_the_request_says_what_the_answer_does_not() -> None:
    rule: dict[str, Any] = {"asked_start": "{month.start:date}", "asked_end": "{month.last:date}"}
    assert span_of(**rule, inclusive_end=True) == Span(*NOVEMBER)
    view = {"s": "2026-11-03"}
    mixed = span_of(view, **from_answer(), **rule, inclusive_end=True)
    assert mixed == Span(epoch("2026-11-03"), NOVEMBER[1])


def test_a_parameter_that_is_not_set_leaves_the_calendar() -> None:
    assert span_of(asked_start="{params.none}", cycle=Cycle.MONTH) == Span(*NOVEMBER)
    assert span_of(asked_start="{params.none}") is None


def test_a_parameter_of_the_target_is_the_period() -> None:
    params = {"none": ("2026-11-07",)}
    result = span_of(asked_start="{params.none}", cycle=Cycle.DAY, params=params)
    assert result == Span(epoch("2026-11-07"), epoch("2026-11-08"))


def test_a_relative_form_of_the_vendor_is_noted_and_left() -> None:
    result, notes = found(
        asked_start="{params.none}", cycle=Cycle.MONTH, params={"none": ("-30days",)}
    )
    assert result.period == Span(*NOVEMBER)
    assert notes == [
        Note(reason="bad_period", detail='the asked start of the period, "-30days", is no date.')
    ]


@pytest.mark.parametrize(
    ("cycle", "start", "end"),
    [
        (Cycle.DAY, "2026-11-15", "2026-11-16"),
        (Cycle.WEEK, "2026-11-09", "2026-11-16"),
        (Cycle.MONTH, "2026-11-01", "2026-12-01"),
        (Cycle.YEAR, "2026-01-01", "2027-01-01"),
    ],
)
def test_the_calendar_knows_its_cycles(cycle: Cycle, start: str, end: str) -> None:
    assert span_of(cycle=cycle) == Span(epoch(start), epoch(end))


@pytest.mark.parametrize(
    ("cycle", "start", "end"),
    [
        (Cycle.DAY, "2026-11-24T09:30", "2026-11-25T09:30"),
        (Cycle.WEEK, "2026-11-18T09:30", "2026-11-25T09:30"),
        (Cycle.MONTH, "2026-10-25T09:30", "2026-11-25T09:30"),
        (Cycle.YEAR, "2025-11-25T09:30", "2026-11-25T09:30"),
    ],
)
def test_one_side_and_the_cycle_find_the_other(cycle: Cycle, start: str, end: str) -> None:
    expected = Span(epoch(start), epoch(end))
    assert span_of({"e": end + "Z"}, **from_answer(cycle=cycle)) == expected
    assert span_of({"s": start + "Z"}, **from_answer(cycle=cycle)) == expected


def test_one_side_alone_is_no_period() -> None:
    assert span_of({"e": "2026-11-25"}, **from_answer()) is None


def test_the_anchor_day_comes_from_a_parameter_or_its_default() -> None:
    rule: dict[str, Any] = {"cycle": Cycle.MONTH, "anchor_day": "{params.billing_day}"}
    assert span_of(**rule) == Span(epoch("2026-10-17"), epoch("2026-11-17"))
    assert span_of(**rule, params={"billing_day": ("5",)}) == Span(
        epoch("2026-11-05"), epoch("2026-12-05")
    )


@pytest.mark.parametrize("day", ["0", "32", "first", "1.5"])
def test_a_day_that_no_month_has_is_refused(day: str) -> None:
    with pytest.raises(MappingError, match="not a day of the month"):
        found(cycle=Cycle.MONTH, anchor_day=day)


def test_a_reset_on_the_last_day_keeps_its_anchor() -> None:
    rule = from_answer(cycle=Cycle.MONTH, anchor_day="31")
    assert span_of({"s": "2027-02-28"}, **rule) == Span(epoch("2027-02-28"), epoch("2027-03-31"))
    assert span_of({"e": "2027-02-28"}, **rule) == Span(epoch("2027-01-31"), epoch("2027-02-28"))


def test_the_zone_is_that_of_calendar_and_request() -> None:
    result = span_of(cycle=Cycle.MONTH, zone="America/Los_Angeles")
    assert result == Span(epoch("2026-11-01T07:00"), epoch("2026-12-01T08:00"))
    asked = span_of(
        asked_start="{month.start:date}", asked_end="{month.end:date}", zone="America/Los_Angeles"
    )
    assert asked == result


@pytest.mark.parametrize(
    "view",
    [
        {"s": "2026-12-01", "e": "2026-11-01"},
        {"s": "2026-11-01", "e": "2026-11-01"},
    ],
    ids=["backwards", "empty"],
)
def test_a_period_that_does_not_start_before_it_ends_is_noted(view: object) -> None:
    result, notes = found(view, **from_answer())
    assert result.period is None
    assert [note.reason for note in notes] == ["bad_period"]


@pytest.mark.parametrize("left", [3600, 86399.5, "7200", " 0.5 "])
def test_seconds_that_are_left_are_no_instant(left: object) -> None:
    with pytest.raises(MappingError, match="would be in 1970: these are seconds from now"):
        span_of({"s": 1793491200, "e": left}, **from_answer())


def test_a_date_may_be_as_early_as_the_vendor_says() -> None:
    view = {"s": "1971-01-01", "e": "1972-01-01"}
    assert span_of(view, **from_answer()) == Span(epoch("1971-01-01"), epoch("1972-01-01"))


def test_a_period_at_the_end_of_time_is_noted() -> None:
    result, notes = found({"s": "9999-12-15"}, **from_answer(cycle=Cycle.MONTH))
    assert result.period is None
    assert [note.reason for note in notes] == ["bad_period"]


@pytest.mark.parametrize("nothing", [None, "", 0, -1, "0001-01-01T00:00:00Z"], ids=repr)
def test_no_time_in_the_answer_is_no_side_and_the_calendar_does_not_invent_both(
    nothing: object,
) -> None:
    view = {"s": nothing, "e": nothing}
    assert span_of(view, **from_answer(cycle=Cycle.MONTH)) is None


@pytest.mark.parametrize("wrong", ["soon", True, {}, 5e20], ids=repr)
def test_a_time_that_cannot_be_read_is_refused(wrong: object) -> None:
    with pytest.raises(MappingError) as raised:
        found({"s": wrong}, **from_answer())
    assert raised.value.path == "s"


def test_a_period_that_the_target_chose_from_the_past_is_closed() -> None:
    rule: dict[str, Any] = {
        "asked_end": "{params.none}",
        "inclusive_end": True,
        "cycle": Cycle.MONTH,
    }
    past, _ = found(**rule, params={"none": ("2026-10-31",)})
    assert past == Billing(Span(epoch("2026-10-01"), epoch("2026-11-01")), closed=True)
    present, _ = found(**rule, params={"none": ("2026-11-30",)})
    assert present == Billing(Span(*NOVEMBER), closed=False)
    answered, _ = found(
        {"s": "2026-10-01", "e": "2026-10-31"},
        **from_answer(),
        **rule,
        params={"none": ("2026-10-31",)},
    )
    assert answered.closed


def test_an_old_period_that_the_target_did_not_choose_is_not_closed() -> None:
    late, _ = found({"s": "2026-10-01", "e": "2026-11-01"}, **from_answer())
    assert late == Billing(Span(epoch("2026-10-01"), epoch("2026-11-01")), closed=False)
    dated, _ = found(
        asked_start="{previous_month.start:date}", asked_end="{previous_month.end:date}"
    )
    assert not dated.closed


def test_an_instant_takes_the_first_path_that_is_a_time() -> None:
    rule = factories.instant("a", "b")
    seen: set[str] = set()
    assert instant_of(rule, {"a": -1, "b": 1795600000}, seen) == 1795600000.0
    assert seen == {"b"}
    assert instant_of(rule, {}, seen) is None


def test_an_instant_without_zone_is_in_the_declared_one() -> None:
    rule = factories.instant("a", zone="America/Los_Angeles")
    assert instant_of(rule, {"a": "2026-11-15 04:00:00"}, set()) == NOW
