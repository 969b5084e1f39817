import pytest

from exporter.kernel.calendar import Cycle, Span
from exporter.kernel.units import Kind
from exporter.model.reading import Known, Note
from tests.unit.mapping.factories import (
    NOVEMBER,
    NOW,
    failure,
    instant,
    join,
    optional,
    period,
    reading,
    reduce,
    resource,
    rows,
    target,
    unit,
    unit_at,
    usage,
    value,
)

DAILY = {
    "results": [
        {"date": "2026-11-02", "bytes": "20", "stored": 8},
        {"date": "2026-11-03", "bytes": "30.5", "stored": 9},
        {"date": "2026-11-01", "bytes": "1e1", "stored": 7},
    ]
}


def test_every_role_is_read_in_its_unit() -> None:
    rule = resource(
        "bandwidth",
        unit=unit("GB"),
        used=value("used"),
        limit=value("limit", unit=unit("TB")),
        remaining=value("left"),
        ratio=value("percentage", unit=unit("percent")),
        projected=value("projected"),
        next_period=value("next"),
        overage=value("over"),
    )
    answer = {
        "used": 402.5,
        "limit": 1.5,
        "left": "1097.5",
        "percentage": 25,
        "projected": 805,
        "next": 900,
        "over": 0,
    }
    found = usage(rule, of=answer)
    assert (found.resource, found.kind, found.unit) == ("bandwidth", Kind.BYTES, "GB")
    assert found.used == 402.5e9
    assert found.limit == Known(1.5e12)
    assert found.remaining == 1097.5e9
    assert found.ratio == 0.25
    assert found.projected == 805e9
    assert found.next_period == 900e9
    assert found.overage == 0.0


def test_a_ratio_is_a_ratio_unless_it_says_percent() -> None:
    assert usage(resource("a", unit=unit("GB"), ratio=value("r")), of={"r": 0.4}).ratio == 0.4


def test_an_open_map_gives_a_resource_a_key() -> None:
    rule = resource(
        "{metric.key}",
        rows(
            ("items(metrics)", "metric"),
            joins=[join("projected", "projections", "metric.key")],
        ),
        unit=unit_at(
            "metric.value.unit", {"GB": "GB", "requests": "requests", "users": "quantity"}
        ),
        used=value("metric.value.used"),
        projected=value("projected.projected"),
        levels=frozenset({"seats"}),
        rename={"api_calls": "api_requests"},
        known=frozenset({"api_requests", "seats"}),
    )
    answer = {
        "metrics": {
            "apiCalls": {"unit": "requests", "used": 5},
            "teamStorage": {"unit": "GB", "used": 2},
            "seats": {"unit": "users", "used": 3},
        },
        "projections": {"teamStorage": {"projected": 4}},
    }
    found = reading(target(rule), answer)
    assert [
        (one.resource, one.kind, one.unit, one.used, one.projected, one.level)
        for one in found.usages
    ] == [
        ("api_requests", Kind.REQUESTS, "requests", 5.0, None, False),
        ("team_storage", Kind.BYTES, "GB", 2e9, 4e9, False),
        ("seats", Kind.QUANTITY, "users", 3.0, None, True),
    ]
    assert found.notes == (Note(reason="new_key", detail="team_storage"),)


def test_many_new_keys_are_one_note() -> None:
    rule = resource("{key}", rows("items(@)"), used=value("value"), known=frozenset({"a"}))
    assert reading(target(rule), {"a": 1}).notes == ()
    found = reading(target(rule), {f"k{number}": number for number in range(9)})
    assert found.notes == (Note(reason="new_key", detail="k0, k1, k2, k3, k4, …", count=9),)


def test_scalars_among_the_objects_of_a_map_are_sorted_out_by_where() -> None:
    rule = resource(
        "{key}", rows("items(@)", where="type(value) == 'object'"), used=value("value.used")
    )
    answer = {"a": {"used": 1}, "total": 7, "note": "text", "b": {"used": 2}, "c": None}
    found = reading(target(rule), answer)
    assert [(one.resource, one.used) for one in found.usages] == [("a", 1.0), ("b", 2.0)]


def test_a_scalar_where_an_object_is_expected_gives_nothing() -> None:
    rule = resource("{key}", rows("items(@)"), used=value("value.used"))
    assert [one.resource for one in reading(target(rule), {"a": {"used": 1}, "b": 5}).usages] == [
        "a"
    ]


def test_only_the_listed_names_are_kept() -> None:
    rule = resource("{key}", rows("items(@)"), used=value("value"), only=frozenset({"b"}))
    assert [one.resource for one in reading(target(rule), {"a": 1, "b": 2}).usages] == ["b"]


def test_flows_are_summed_and_levels_are_the_last_by_date() -> None:
    flow = resource("bandwidth", rows("results"), used=value("bytes"), reduce=reduce("sum"))
    stored = resource(
        "storage", rows("results"), used=value("stored"), level=True, reduce=reduce("last", "date")
    )
    found = reading(target(flow, stored), DAILY)
    assert [(one.resource, one.used, one.level) for one in found.usages] == [
        ("bandwidth", 60.5, False),
        ("storage", 9.0, True),
    ]


def test_a_value_may_be_reduced_in_its_own_way() -> None:
    rule = resource(
        "bandwidth",
        rows("results"),
        used=value("bytes"),
        limit=value("stored", reduce=reduce("max")),
        reduce=reduce("sum"),
    )
    found = usage(rule, of=DAILY)
    assert (found.used, found.limit) == (60.5, Known(9.0))


def test_units_are_converted_before_rows_are_summed() -> None:
    rule = resource(
        "transfer",
        rows("rows"),
        unit=unit_at("unit", {"GB": "GB", "MB": "MB"}),
        used=value("n"),
        reduce=reduce("sum"),
    )
    answer = {"rows": [{"n": 1, "unit": "GB"}, {"n": 500, "unit": "MB"}]}
    assert usage(rule, of=answer).used == 1.5e9


def test_bytes_and_requests_are_never_one_series() -> None:
    rule = resource(
        "mixed",
        rows("rows"),
        unit=unit_at("unit", {"GB": "GB", "calls": "requests"}),
        used=value("n"),
        reduce=reduce("sum"),
    )
    answer = {"rows": [{"n": 1, "unit": "GB"}, {"n": 5, "unit": "calls"}]}
    assert failure(target(rule), answer).detail == (
        "resources[mixed].used: one series cannot be measured in bytes (GB) and requests (calls)."
    )
    roles = resource(
        "mixed", used=value("n", unit=unit("GB")), limit=value("n", unit=unit("hours"))
    )
    assert "resources[mixed].limit" in failure(target(roles), {"n": 1}).detail


def test_two_rows_of_one_name_are_refused_without_a_reduction() -> None:
    rule = resource("{key}", rows("rows"), used=value("n"))
    twice = {"rows": [{"key": "apiCalls", "n": 1}, {"key": "api_calls", "n": 2}]}
    assert failure(target(rule), twice).detail.startswith(
        "resources[{key}].api_calls.used: 2 rows give this series a value."
    )
    summed = resource("{key}", rows("rows"), used=value("n"), reduce=reduce("sum"))
    assert usage(summed, of=twice).used == 3.0


def test_two_pages_of_a_single_number_are_refused_without_a_reduction() -> None:
    rule = resource("total", used=value("n"))
    assert "2 rows" in failure(target(rule), {"n": 1}, {"n": 2}).detail


@pytest.mark.parametrize(
    ("how", "role", "found"),
    [
        ("sum", "used", 0.0),
        ("count", "used", 0.0),
        ("sum", "overage", 0.0),
        ("last", "used", None),
        ("max", "used", None),
        ("sum", "limit", None),
        ("sum", "remaining", None),
        ("sum", "projected", None),
    ],
)
def test_no_rows_are_a_sum_of_zero_and_nothing_else(
    how: str, role: str, found: float | None
) -> None:
    rule = resource("bandwidth", rows("results"), reduce=reduce(how), **{role: value("n")})
    usages = reading(target(rule), {"results": []}).usages
    assert [getattr(one, role) for one in usages] == ([] if found is None else [found])


def test_a_zero_of_no_rows_has_its_unit_its_period_and_its_new_name() -> None:
    rule = resource(
        "transfer",
        rows("results"),
        unit=unit("GB"),
        used=value("n"),
        reduce=reduce("sum"),
        rename={"transfer": "bandwidth"},
        period=period(cycle=Cycle.MONTH),
    )
    found = usage(rule, of={"results": []})
    assert (found.resource, found.kind, found.unit) == ("bandwidth", Kind.BYTES, "GB")
    assert found.period == Span(*NOVEMBER)


def test_no_rows_of_an_open_map_or_an_unknown_unit_are_nothing() -> None:
    total = reduce("sum")
    open_map = resource("{key}", rows("results"), used=value("n"), reduce=total)
    unknown = resource(
        "a", rows("results"), unit=unit_at("unit", {"GB": "GB"}), used=value("n"), reduce=total
    )
    left_out = resource("b", rows("results"), used=value("n"), reduce=total, only=frozenset({"c"}))
    assert reading(target(open_map, unknown, left_out), {"results": []}).usages == ()


def test_an_absent_optional_list_is_no_zero() -> None:
    rule = resource("a", rows(optional("results")), used=value("n"), reduce=reduce("sum"))
    assert reading(target(rule), {"other": 1}).usages == ()


def test_rows_that_a_condition_leaves_out_sum_to_zero() -> None:
    rule = resource("a", rows("results", where="paid"), used=value("n"), reduce=reduce("sum"))
    assert usage(rule, of={"results": [{"n": 5, "paid": False}]}).used == 0.0


def test_a_resource_of_which_nothing_is_known_is_left_out() -> None:
    rule = resource("a", used=value("u"), as_of=instant("t"))
    other = resource("b", used=value("t"))
    found = reading(target(rule, other), {"u": None, "t": 1794744000})
    assert [one.resource for one in found.usages] == ["b"]


def test_as_of_is_the_newest_time_of_the_rows() -> None:
    rule = resource(
        "a", rows("results"), used=value("stored"), reduce=reduce("sum"), as_of=instant("date")
    )
    assert usage(rule, of=DAILY).as_of == 1793664000.0
    broken = {"results": [{"stored": 1, "date": "soon"}]}
    assert failure(target(rule), broken).detail.startswith('resources[a].as_of: path "date"')


MONTHLY = {"period": {"start": "2026-11-05", "end": "2026-12-05"}}
OWN = Span(1793836800.0, 1796428800.0)


def monthly() -> object:
    return period(start=instant("period.start"), end=instant("period.end"))


def test_the_definitions_period_is_read_from_the_document_for_flows_alone() -> None:
    each = rows(("items(m)", "metric"))
    flow = resource("flow_{metric.key}", each, used=value("metric.value"))
    stored = resource("level_{metric.key}", each, used=value("metric.value"), level=True)
    of = target(flow, stored, definition={"period": monthly()})
    found = reading(of, {**MONTHLY, "m": {"a": 1, "b": 2}})
    assert [(one.resource, one.period) for one in found.usages] == [
        ("flow_a", OWN),
        ("flow_b", OWN),
        ("level_a", None),
        ("level_b", None),
    ]


def test_a_resources_own_period_is_read_from_its_row() -> None:
    rule = resource(
        "a",
        rows("rows"),
        used=value("n"),
        level=True,
        period=period(start=instant("from"), end=instant("to")),
    )
    answer = {"rows": [{"n": 1, "from": "2026-11-05", "to": "2026-12-05"}]}
    assert usage(rule, of=answer).period == OWN


def test_of_rows_with_several_periods_the_latest_counts() -> None:
    rule = resource(
        "a",
        rows("rows"),
        used=value("n"),
        reduce=reduce("sum"),
        period=period(start=instant("from"), end=instant("to")),
    )
    answer = {
        "rows": [
            {"n": 1, "from": "2026-11-05", "to": "2026-12-05"},
            {"n": 1, "from": "2026-10-05", "to": "2026-11-05"},
            {"n": 1},
        ]
    }
    assert usage(rule, of=answer).period == OWN


def test_the_definitions_period_copied_to_a_resource_is_still_the_documents() -> None:
    copied = monthly()
    rule = resource("{key}", rows("items(m)"), used=value("value"), period=copied)
    found = reading(target(rule, definition={"period": copied}), {**MONTHLY, "m": {"a": 1}})
    assert found.usages[0].period == OWN


def test_a_period_that_cannot_be_read_fails_with_its_place() -> None:
    rule = resource("a", used=value("n"))
    of = target(rule, definition={"period": monthly()})
    detail = failure(of, {"n": 1, "period": {"start": "soon"}}).detail
    assert detail.startswith("resources[a].period: path \"period.start\": 'soon' is not a time")


def test_a_calendar_period_is_that_of_the_request() -> None:
    rule = resource("a", used=value("n"), period=period(cycle=Cycle.MONTH))
    just_before = NOVEMBER[1] - 0.5
    found = reading(target(rule), {"n": 1}, at=just_before)
    assert found.at == just_before
    assert found.usages[0].period == Span(*NOVEMBER)
    assert reading(target(rule), {"n": 1}, at=NOW).usages[0].period == Span(*NOVEMBER)


def test_a_period_without_times_of_rows_is_worked_out_once() -> None:
    rule = resource(
        "{key}",
        rows("items(@)"),
        used=value("value"),
        period=period(asked_start="{params.from}", cycle=Cycle.MONTH),
    )
    of = target(rule, params={"from": ("-30days",)})
    found = reading(of, {"a": 1, "b": 2, "c": 3})
    assert {one.period for one in found.usages} == {Span(*NOVEMBER)}
    assert [(note.reason, note.count) for note in found.notes] == [("bad_period", 1)]
