"""What is guessed from the answers that vendors give."""

from pathlib import Path
from typing import Any

import pytest

from exporter.kernel.calendar import Span
from exporter.model.reading import Known, Reading, Unlimited
from tests.support.drafting import compiled, drafted, learned, resources, tree, values

OPEN_MAP = {
    "data": {
        "metrics": {
            "apiCalls": {"used": 7, "included": 10, "overage": 0, "unit": "requests"},
            "storage": {"used": 2.5, "included": 5, "overage": 0, "unit": "GB"},
            "seats": {"used": 3, "included": -1, "overage": 0, "unit": "users"},
        },
        "projected": {"apiCalls": {"total": 9}, "storage": {"total": 4}},
        "estimatedCost": {"base": 10, "overage": 1.5, "total": 11.5, "currency": "EUR"},
        "period": {"start": "2026-11-01", "end": "2026-11-30"},
        "plan": {"name": "Team"},
    }
}


def test_an_open_map_becomes_resources_named_by_its_keys(tmp_path: Path) -> None:
    text = drafted(OPEN_MAP)
    rule = tree(text)["resources"][0]
    assert rule["name"] == "{metric.key}"
    assert rule["each"] == {"path": "items(data.metrics)", "as": "metric"}
    assert rule["used"] == "metric.value.used"
    assert rule["limit"] == {"path": "metric.value.included", "unlimited": [-1]}
    assert rule["unit"]["from"] == "metric.value.unit"
    assert rule["unit"]["words"] == {"requests": "requests", "GB": "GB", "users": "quantity"}
    assert sorted(rule["levels"]) == ["seats", "storage"]
    reading = learned(text, OPEN_MAP, tmp_path)
    assert values(reading) == {"api_calls": 7, "storage": 2.5e9, "seats": 3}
    assert values(reading, "limit") == {
        "api_calls": Known(10),
        "storage": Known(5e9),
        "seats": Unlimited(),
    }


def test_cost_currency_period_and_plan_are_found(tmp_path: Path) -> None:
    text = drafted(OPEN_MAP)
    reading = learned(text, OPEN_MAP, tmp_path)
    assert isinstance(reading, Reading)
    (money,) = reading.money
    assert (money.currency, money.cost, money.base, money.overage) == ("EUR", 11.5, 10, 1.5)
    assert money.period == Span(1793491200.0, 1796083200.0)  # November, to its last day
    assert reading.plans == (("", "Team"),)


def test_entries_may_hold_maps_and_lists_of_their_own(tmp_path: Path) -> None:
    document = {
        "services": {
            "mail": {"used": 1, "plan": {"max": 5}, "days": [{"day": "2026-11-01", "sms": 2}]},
            "push": {"used": 2, "plan": {"max": 6}, "days": [{"day": "2026-11-01", "sms": 3}]},
            "chat": {"used": 3, "days": []},
            "note": "beta",
        }
    }
    text = drafted(document)
    reading = learned(text, document, tmp_path)
    assert values(reading) == {"mail": 1, "push": 2, "chat": 3, "sms": 5}
    assert isinstance(reading, Reading)
    assert tree(text)["resources"][0]["limit"] == "service.value.plan.max"


def test_entries_that_hold_other_things_under_one_key_are_no_trouble(tmp_path: Path) -> None:
    document = {"services": {"mail": {"used": 1, "x": {"used": 2}}, "sms": {"used": 3, "x": [4]}}}
    assert values(learned(drafted(document), document, tmp_path)) == {"mail": 1, "sms": 3}


def test_entries_whose_keys_tell_their_units_are_named_one_by_one(tmp_path: Path) -> None:
    document = {"usage": {"emails": {"used": 3, "max": 9}, "disk_gb": {"used": 1.5, "max": 5}}}
    text = drafted(document)
    assert [one["name"] for one in tree(text)["resources"]] == ["emails", "disk"]
    assert values(learned(text, document, tmp_path)) == {"emails": 3, "disk": 1.5e9}


def test_scalars_among_the_entries_of_a_map_are_passed_over(tmp_path: Path) -> None:
    document = {
        "usage": {
            "total": 3,
            "note": "beta",
            "emails": {"used": 1, "max": 2},
            "sms": {"used": 2, "max": 4},
        }
    }
    text = drafted(document)
    assert tree(text)["resources"][-1]["where"] == "type(usage.value) == 'object'"
    assert values(learned(text, document, tmp_path)) == {"emails": 1, "sms": 2}


@pytest.mark.parametrize(
    "document",
    [
        {"bandwidth": {"used": 5, "limit": 9}},
        {"bandwidth_used": 5, "bandwidth_limit": 9},
        {"usage": {"bandwidth": 5}, "limits": {"bandwidth": 9}},
        {"current": {"bandwidth": 5}, "max": {"bandwidth": 9}},
        {"bandwidth": {"current": 5, "max": 9}},
        {"bandwidth": {"count": 5, "quota": 9}},
        {"bandwidth": {"value": 5, "allowed": 9}},
        {"bandwidthUsed": 5, "bandwidthIncluded": 9},
        {"bandwidth": {"consumed": 5, "total": 9}},
    ],
    ids=str,
)
def test_used_and_limit_find_each_other(document: dict[str, Any], tmp_path: Path) -> None:
    reading = learned(drafted(document), document, tmp_path)
    assert isinstance(reading, Reading)
    (usage,) = reading.usages
    assert usage.resource == "bandwidth"
    assert (usage.used, usage.limit) == (5e9, Known(9e9))


def test_a_limit_that_fits_two_things_goes_with_none() -> None:
    text = drafted({"outgoing_traffic": 1, "ingoing_traffic": 2, "included_traffic": 3})
    assert "limit" not in tree(text)["resources"][0]
    assert "#   included_traffic" in text


@pytest.mark.parametrize(
    ("limit", "marks"),
    [
        (-1, [-1]),
        ("unlimited", ["unlimited"]),
        ("Unlimited ", ["Unlimited"]),
        (1000000000000, [1000000000000]),
        (9223372036854775807, [9223372036854775808]),
        (2147483647, [2147483647]),
    ],
)
def test_what_stands_for_no_limit_is_listed(
    limit: object, marks: list[Any], tmp_path: Path
) -> None:
    document = {"emails": {"used": 5, "limit": limit}}
    text = drafted(document)
    assert tree(text)["resources"][0]["limit"]["unlimited"] == marks
    reading = learned(text, document, tmp_path)
    assert isinstance(reading, Reading)
    assert reading.usages[0].limit == Unlimited()


def test_a_terabyte_is_a_limit_like_any_other() -> None:
    found = resources({"bandwidth_bytes": {"used": 5, "limit": 1_000_000_000_000}})
    assert found["bandwidth"]["limit"] == "bandwidth_bytes.limit"


@pytest.mark.parametrize(
    ("key", "unit"),
    [
        ("storage_bytes", "B"),
        ("storage_gb", "GB"),
        ("storage_mib", "MiB"),
        ("build_minutes", "minutes"),
        ("apiRequests", "requests"),
        ("latency_ms", "ms"),
        ("emails", "quantity"),
        ("compute_gb_hours", "gb-hours"),
    ],
)
def test_units_come_from_the_keys(key: str, unit: str, tmp_path: Path) -> None:
    document = {"usage": {key: 12}}
    text = drafted(document)
    (rule,) = tree(text)["resources"]
    assert str(rule["unit"]).lower() == unit.lower()
    assert isinstance(learned(text, document, tmp_path), Reading)


def test_each_role_has_its_own_unit_where_these_differ(tmp_path: Path) -> None:
    document = {"storage": {"used_mb": 500, "limit_gb": 2}}
    reading = learned(drafted(document), document, tmp_path)
    assert isinstance(reading, Reading)
    assert (reading.usages[0].used, reading.usages[0].limit) == (5e8, Known(2e9))


def test_the_size_says_whether_it_is_bytes_or_gigabytes() -> None:
    assert resources({"bandwidth_used": 12_345_678_901})["bandwidth"]["unit"] == "B"
    assert resources({"bandwidth_used": 12.3})["bandwidth"]["unit"] == "GB"


@pytest.mark.parametrize(
    ("key", "value", "role", "ratio"),
    [
        ("percent", 45, "percent", 0.45),
        ("usage_pct", 45, "percent", 0.45),
        ("utilization", 0.45, "ratio", 0.45),
        ("utilization", 45, "percent", 0.45),
    ],
)
def test_shares_are_percent_or_ratio_by_their_size(
    key: str, value: float, role: str, ratio: float, tmp_path: Path
) -> None:
    document = {"quota": {"emails": {key: value}}}
    text = drafted(document)
    assert role in tree(text)["resources"][0]
    assert values(learned(text, document, tmp_path), "ratio") == {"emails": pytest.approx(ratio)}


def test_days_are_summed_and_levels_are_the_last(tmp_path: Path) -> None:
    document = {
        "results": [
            {"date": "2026-11-02", "bandwidth_bytes": 2_000_000, "storage_bytes": 9_000_000},
            {"date": "2026-11-01", "bandwidth_bytes": 1_000_000, "storage_bytes": 8_000_000},
        ]
    }
    text = drafted(document)
    assert values(learned(text, document, tmp_path)) == {"bandwidth": 3e6, "storage": 9e6}
    assert compiled(text).resources[1].level


def test_a_map_of_days_is_a_series_of_days(tmp_path: Path) -> None:
    document = {"by_day": {"2026-11-01": {"calls": 2}, "2026-11-02": {"calls": 3}}}
    assert values(learned(drafted(document), document, tmp_path)) == {"calls": 5}


def test_a_list_of_metrics_becomes_resources_named_by_its_rows(tmp_path: Path) -> None:
    document = {
        "metrics": [
            {"name": "api_calls", "used": 3, "limit": 5, "unit": "requests"},
            {"name": "storage", "used": 4, "limit": 6, "unit": "GB"},
        ]
    }
    reading = learned(drafted(document), document, tmp_path)
    assert values(reading) == {"api_calls": 3, "storage": 4e9}


def test_a_list_of_projects_gives_a_sum_and_its_parts(tmp_path: Path) -> None:
    document = {"projects": [{"name": "web", "requests": 3}, {"name": "api", "requests": 4}]}
    reading = learned(drafted(document), document, tmp_path)
    assert isinstance(reading, Reading)
    assert values(reading) == {"requests": 7}
    assert [(one.group, one.item, one.value) for one in reading.items] == [
        ("project", "api", 4),
        ("project", "web", 3),
    ]


def test_rows_with_limits_of_their_own_are_resources_of_their_own(tmp_path: Path) -> None:
    document = {
        "servers": [
            {"name": "a", "traffic_bytes": 3, "traffic_limit_bytes": 5},
            {"name": "b", "traffic_bytes": 4, "traffic_limit_bytes": 6},
        ]
    }
    assert values(learned(drafted(document), document, tmp_path)) == {
        "traffic_a": 3,
        "traffic_b": 4,
    }


def test_several_lists_are_all_read(tmp_path: Path) -> None:
    document = {
        "mail": [{"date": "2026-11-01", "emails": 1}, {"date": "2026-11-02", "emails": 2}],
        "calls": [{"date": "2026-11-01", "minutes": 3}],
    }
    assert values(learned(drafted(document), document, tmp_path)) == {"emails": 3, "minutes": 180}


@pytest.mark.parametrize(
    "document",
    [
        {"values": [{"name": "used", "value": 3}, {"name": "limit", "value": 9}]},
        {"labels": ["emails", "sms"], "values": [3, 4]},
        {"disk": {"used": "1.5 GB", "limit": "10 GB"}},
    ],
    ids=["pairs", "lists side by side", "numbers with units"],
)
def test_what_is_not_understood_is_not_guessed(document: dict[str, Any]) -> None:
    assert "Nothing in the sample looks like usage" in drafted({"usage": document})


def test_projections_without_units_are_left_to_the_author() -> None:
    text = drafted(OPEN_MAP)
    assert len(tree(text)["resources"]) == 1
    assert "#   projected.value.total" in text


def test_json_lines_are_rows(tmp_path: Path) -> None:
    rows = [{"service": "a", "quantity": 1}, {"service": "b", "quantity": 2}]
    text = drafted(rows, lines=True)
    assert tree(text)["collectors"]["usage"]["format"] == "jsonl"
    assert values(learned(text, rows, tmp_path)) == {"a": 1, "b": 2}


def test_ids_pages_and_statuses_are_no_usage() -> None:
    text = drafted({"id": 5, "status": 200, "page": 1, "per_page": 50, "emails_used": 3})
    assert list(resources({"id": 5, "page": 1, "emails_used": 3})) == ["emails"]
    assert "nothing above reads" not in text


@pytest.mark.parametrize("document", [{}, [], 5, "text", None, True, [1, 2], {"a": {"b": "c"}}])
def test_a_sample_without_usage_gives_the_skeleton(document: object) -> None:
    text = drafted(document)
    assert "Nothing in the sample looks like usage" in text
    compiled(text)


def test_what_nobody_understood_is_named() -> None:
    text = drafted({"emails_used": 1, "flux": 7})
    assert "# Numbers of the sample that nothing above reads:\n#   flux\n" in text
