"""``once`` as a process, on answers of the founding vendors that nobody recorded."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from exporter.demo.server import FakeVendors, VendorRequest, VendorResponse, json_response
from tests.support.cli_process import Done, once
from tests.support.parsed_exposition import ParsedExposition
from tests.support.vendor import NOW

Case: TypeAlias = tuple[object, Mapping[str, Any]]
NOVEMBER = {"start": "2026-11-01T00:00:00Z", "end": "2026-11-30T23:59:59Z"}
MONTH = {"start": 1793491200.0, "end": 1796083200.0}


def billing(metrics: object, **data: object) -> dict[str, object]:
    return {"success": True, "data": {"period": NOVEMBER, "metrics": metrics, **data}}


def metric(unit: object, used: object = 3, included: object = 10) -> dict[str, object]:
    return {"unit": unit, "used": used, "included": included}


UNITS: Mapping[str, tuple[str, float]] = {  # word: family and the base value of 3
    "GiB": ("usage_bytes", 3 * 2.0**30),
    "PB": ("usage_bytes", 3e15),
    "gb": ("usage_bytes", 3e9),
    "Requests": ("usage_requests", 3.0),
    "ms": ("usage_seconds", 0.003),
    "minutes": ("usage_seconds", 180.0),
    "GB-hours": ("usage_byte_seconds", 3e9 * 3600),
    "tokens": ("usage_quantity", 3.0),
    "": ("usage_quantity", 3.0),
    "widgets/day": ("usage_quantity", 3.0),
}
PARAMS: Mapping[str, Mapping[str, object]] = {
    "usual": {},
    "september": {"month": 9, "year": 2026},
    "a_day": {"day": 3, "ordering": "date"},
    "both": {"month": 9, "start": "2026-09-02"},
    "none": {"start": "", "end": "", "time_frame": ""},
}
TPSTREAMS: Mapping[str, Case] = {
    name: (
        {"count": 0, "next": None, "results": []},
        {"params": {"organization_id": "acme", **params}},
    )
    for name, params in PARAMS.items()
}
ASKED = {
    "usual": "time_frame=daily&start=2026-11-01&end=2026-11-30&ordering=-date",
    "september": "time_frame=daily&month=9&year=2026&ordering=-date",
    "a_day": "time_frame=daily&day=3&ordering=date",
    "both": "time_frame=daily&start=2026-09-02&month=9&ordering=-date",
    "none": "ordering=-date",
}
QUOTA = {"monthStart": "2026-11-05 08:00:00", "monthEnd": "2026-12-05 08:00:00"}
TESTS = [
    {"testId": 7, "testName": None, "cloudUnitsUsed": 4, "accountGroupName": "A"},
    {"testId": 8, "cloudUnitsUsed": 5, "accountGroupName": "A"},
    {"testId": 9, "testName": "web", "cloudUnitsUsed": 6},
    {"testId": 10, "testName": "web", "cloudUnitsUsed": 7, "accountGroupName": "B"},
    {"testId": 11, "testName": "new"},
]

BILLING: Mapping[str, Case] = {
    "units": (billing({f"m{n}": metric(word) for n, word in enumerate(UNITS)}), {}),
    "scalars": (billing({"apiCalls": metric("requests"), "plan": "pro", "n": 5, "x": None}), {}),
    "no_data": ({"success": True, "data": None}, {}),
    "no_metrics": (billing(None), {}),
    "none": (billing({}), {}),
    "unlimited": (billing({"apiCalls": metric("requests", 3, "∞")}), {}),
    "last_month": (
        billing(
            {"apiCalls": metric("requests"), "seats": metric("users")},
            period={"start": "2026-10-01T00:00:00Z", "end": "2026-10-31T23:59:59Z"},
        ),
        {},
    ),
    "wrong_budget": (
        billing({}, estimatedCost={"total": "1.50", "currency": "eur"}),
        {"limits": {"spend": "10 USD"}},
    ),
}
THOUSANDEYES: Mapping[str, Case] = {
    "error_at_200": ({"message": "maintenance"}, {}),
    "null": ({"usage": None}, {}),
    "items": ({"usage": {"cloudUnitsUsed": 22, "quota": QUOTA, "tests": TESTS}}, {"items": True}),
    "many": (
        {"usage": {"tests": [{"testName": f"t{n}", "cloudUnitsUsed": n} for n in range(5000)]}},
        {"items": True, "max_series": 50},
    ),
}
PROVIDERS = {"billing_usage": BILLING, "thousandeyes": THOUSANDEYES, "tpstreams": TPSTREAMS}


class Round:
    """One run of ``once`` on all cases."""

    def __init__(self, done: Done, asked: Mapping[str, VendorRequest]) -> None:
        self.done = done
        self.asked = asked
        self.seen: ParsedExposition = done.exposed()

    def failed(self, account: str) -> dict[str, int]:
        return self.seen.failed(account)

    def line(self, account: str, *words: str) -> str:
        return self.done.line(f"account={account} ", *words)


def _answering(name: str, document: object, heard: dict[str, VendorRequest]) -> Any:
    def answer(asked: VendorRequest, now: float) -> VendorResponse:
        heard[name] = asked
        return json_response(document)

    return answer


async def _play(folder: Path) -> Round:
    cases = {
        f"{provider}-{name}": (provider, *case)
        for provider, found in PROVIDERS.items()
        for name, case in found.items()
    }
    heard: dict[str, VendorRequest] = {}
    vendors = {name: _answering(name, document, heard) for name, (_, document, _) in cases.items()}
    async with FakeVendors(vendors, wall=lambda: NOW) as server:
        targets = [
            {
                "name": name,
                "provider": provider,
                "base_url": f"{server.origin}/{name}",
                "credentials": {"token": "test-token"},
                **more,
            }
            for name, (provider, _, more) in cases.items()
        ]
        path = folder / "config.yaml"
        path.write_text(json.dumps({"targets": targets}))
        return Round(await once(path), heard)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Round:
    return asyncio.run(_play(tmp_path_factory.mktemp("odd")))


def test_each_metric_is_measured_in_its_own_unit(seen: Round) -> None:
    for number, (word, (family, value)) in enumerate(UNITS.items()):
        name, account = f"m{number}", "billing_usage-units"
        assert seen.seen.get(family, account=account, resource=name) == pytest.approx(value), word
        assert seen.seen.get("usage_ratio", account=account, resource=name) == 0.3


def test_scalars_among_the_metrics_are_no_metrics(seen: Round) -> None:
    found = seen.seen.all("usage_info", account="billing_usage-scalars")
    assert [one.labels["resource"] for one in found] == ["api_calls"]


@pytest.mark.parametrize(
    "account",
    [
        "billing_usage-no_data",
        "billing_usage-no_metrics",
        "thousandeyes-error_at_200",
        "thousandeyes-null",
    ],
)
def test_an_answer_without_what_it_is_asked_for_is_no_empty_usage(
    seen: Round, account: str
) -> None:
    assert seen.failed(account) == {"schema": 1}
    assert not [name for name in seen.seen.names(account=account) if name.startswith("usage_info")]


def test_an_empty_map_of_metrics_is_an_answer(seen: Round) -> None:
    assert seen.failed("billing_usage-none") == {}


def test_a_word_for_endless_is_unlimited(seen: Round) -> None:
    (info,) = seen.seen.all("usage_info", account="billing_usage-unlimited")
    assert info.labels["limit_kind"] == "unlimited"
    assert seen.seen.get("usage_limit_requests", account="billing_usage-unlimited") is None


def test_a_vendor_that_names_last_month_is_published_as_last_month(seen: Round) -> None:
    account = "billing_usage-last_month"
    assert seen.seen.get("usage_requests", account=account) == 3
    assert seen.seen.get("usage_quantity", account=account, resource="seats") == 3
    ends = seen.seen.all("usage_period_end_timestamp_seconds", account=account)
    assert {one.value for one in ends} == {MONTH["start"]}
    assert seen.seen.get("usage_projected_requests", account=account) is None
    assert "the period that ended at" in seen.line(account, "api_calls")


def test_a_limit_in_another_currency_is_told(seen: Round) -> None:
    account = "billing_usage-wrong_budget"
    assert seen.seen.get("usage_cost", account=account, currency="EUR") == 1.5
    assert seen.seen.get("usage_ratio", account=account) is None
    assert "spend: the limit is in USD, the cost in EUR." in seen.line(account, "limit_ignored")


def test_parts_without_a_name_go_by_their_id_and_namesakes_are_added(seen: Round) -> None:
    account = "thousandeyes-items"
    tests = seen.seen.all("usage_item_quantity", account=account, group="test")
    assert {one.labels["item"]: one.value for one in tests} == {"7": 4, "8": 5, "web": 13}
    groups = seen.seen.all("usage_item_quantity", account=account, group="account_group")
    # The third group has a test of which no number is known: its sum is not known.
    assert {one.labels["item"]: one.value for one in groups} == {"A": 9, "B": 7}
    assert seen.line(account, "unknown_part")


def test_a_time_without_a_zone_is_utc(seen: Round) -> None:
    account = "thousandeyes-items"
    found = seen.seen.get(
        "usage_period_start_timestamp_seconds", account=account, resource="cloud_units"
    )
    assert found == 1793865600  # 2026-11-05T08:00:00Z


def test_what_the_cap_leaves_out_is_told_and_the_largest_parts_stay(seen: Round) -> None:
    account = "thousandeyes-many"
    usage = [one for one in seen.seen.series if one.labels.get("account") == account]
    assert len([one for one in usage if one.name.startswith("usage_item_")]) <= 50
    assert seen.seen.get("usage_item_quantity", account=account, item="t4999", group="test") == 4999
    assert "count=" in seen.line(account, "series_limit", "detail=usage")


@pytest.mark.parametrize("name", ASKED)
def test_a_month_a_year_or_a_day_takes_the_place_of_the_current_month(
    seen: Round, name: str
) -> None:
    asked = "&".join(f"{key}={value}" for key, value in seen.asked[f"tpstreams-{name}"].query)
    assert asked == ASKED[name]
    period = seen.seen.get(
        "usage_period_start_timestamp_seconds", account=f"tpstreams-{name}", resource="bandwidth"
    )
    assert period == (MONTH["start"] if name == "usual" else None)
