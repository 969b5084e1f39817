"""``once`` as a process, against the recorded answers of ThousandEyes."""

import asyncio
import json
from pathlib import Path

import pytest

from exporter.demo.server import FakeVendors
from tests.support.cli_process import once
from tests.support.recorded_targets import Cases, RecordedTargets, play, refused
from tests.support.replay import RecordedVendor, exchanges_of
from tests.support.vendor import NOW

CYCLE = {"start_date": "2026-11-05T08:00:00Z", "end_date": "2026-11-15T12:00:00Z"}
THOUSANDEYES: Cases = {
    "usage": (("usage",), {}),
    "expanded": (("usage_expanded",), {"items": True}),
    "metered": (("usage_metered_aid",), {"params": {"aid": "2071"}}),
    "siblings": (
        ("usage", "units_tests_page1", "units_tests_page2", "units_enterprise_agents", "quotas"),
        {
            "params": CYCLE,
            "collectors": {"units_tests": True, "units_enterprise_agents": True, "quotas": True},
        },
    ),
    "error_400": (("error_400",), {"params": {"expand": "test"}}),
    "error_403": (("error_403",), {"params": {"aid": "9999"}}),
    **{case: ((case,), {}) for case in ("error_401", "error_429", "error_500")},
}


@pytest.fixture(scope="module")
def thousandeyes(tmp_path_factory: pytest.TempPathFactory) -> RecordedTargets:
    folder = tmp_path_factory.mktemp("thousandeyes")
    return asyncio.run(play(folder, "thousandeyes", THOUSANDEYES, {}, suffix="/v7"))


def test_every_request_was_as_recorded(thousandeyes: RecordedTargets) -> None:
    assert [name for name, replay in thousandeyes.replays.items() if replay.strange] == []
    assert thousandeyes.done.code == 5


def test_thousandeyes_gives_what_was_worked_out_by_hand(thousandeyes: RecordedTargets) -> None:
    found = thousandeyes
    assert found.values("usage", "usage_quantity") == {
        "cloud_units": 12_844_120,
        "enterprise_units": 0,
        "connected_devices_units": 0,
        "endpoint_agents": 412,
        "endpoint_agents_essentials": 655,
        "endpoint_agents_embedded": 7,
        "enterprise_agents": 24,
    }
    assert found.values("usage", "usage_limit_quantity") == {
        "cloud_units": 36_000_000,
        "endpoint_agents": 500,
        "endpoint_agents_essentials": 1_000,
        "endpoint_agents_embedded": 50,
    }
    assert found.values("usage", "usage_projected_quantity")["cloud_units"] == 34_918_300
    assert found.values("usage", "usage_next_period_quantity")["cloud_units"] == 36_400_250
    assert found.values("metered", "usage_quantity")["enterprise_units"] == 7_964_090
    ends = found.values("usage", "usage_period_end_timestamp_seconds")
    assert ends["cloud_units"] == 1_796_457_600
    assert found.seen.get("usage_api_rate_limit", account="usage") == 240
    assert found.seen.get("usage_api_rate_limit_remaining", account="usage") == 231
    reset = found.seen.get("usage_api_rate_limit_reset_timestamp_seconds", account="usage")
    assert reset == 1_794_744_034
    assert found.seen.all("usage_item_quantity", account="usage") == []


def items(found: RecordedTargets, account: str, resource: str, group: str) -> dict[str, float]:
    wanted = {"account": account, "resource": resource, "group": group}
    series = found.seen.all("usage_item_quantity", **wanted)
    return {one.labels["item"]: one.value for one in series}


def test_thousandeyes_breaks_down_what_it_is_asked_to(thousandeyes: RecordedTargets) -> None:
    found = thousandeyes
    assert items(found, "expanded", "cloud_units", "test") == {
        "checkout API": 5_210_400,
        "login page": 6_901_720,
        "new DNS test": 732_000,
    }
    assert items(found, "expanded", "cloud_units", "account_group") == {
        "Platform": 12_112_120,
        "Edge": 732_000,
    }
    assert items(found, "expanded", "endpoint_agents", "account_group") == {
        "Platform": 300,
        "Edge": 112,
    }
    assert items(found, "expanded", "allocated_units", "product") == {
        "Cloud and Enterprise Agents": 25_000,
        "Connected Devices": 10_000,
    }
    metered = items(found, "siblings", "cloud_units", "metered_test")
    assert sum(metered.values()) == 12_844_120 + 1_200  # the instant test is one of the rows
    assert items(found, "siblings", "enterprise_units", "metered_agent") == {
        "fra-ea-01": 599_878,
        "sin-ea-02": 97_123,
    }
    assert items(found, "siblings", "account_group_quota", "account_group") == {
        "2067": 24_000_000,
        "2071": 9_000_000,
    }
    limits = found.values("siblings", "usage_limit_quantity")
    assert limits["organization_quota"] == 36_000_000


@pytest.mark.parametrize(
    ("case", "reason", "words"),
    [
        ("error_400", "http_4xx", "Validation failed"),
        ("error_401", "auth", "Invalid access token"),
        ("error_403", "forbidden", "Insufficient permissions to query endpoint"),
        ("error_429", "rate_limited", "Exhausted rate limit for the organization"),
        ("error_500", "http_5xx", "Internal server error"),
    ],
)
def test_thousandeyes_errors_say_why(
    thousandeyes: RecordedTargets, case: str, reason: str, words: str
) -> None:
    refused(thousandeyes, case, reason, words)


async def test_thousandeyes_at_a_wrong_address_says_what_the_vendor_says(tmp_path: Path) -> None:
    replay = RecordedVendor(exchanges_of("thousandeyes"), "error_404", exact=False)
    async with FakeVendors({"v": replay}, wall=lambda: NOW) as vendors:
        definition = tmp_path / "misspelt.yaml"
        definition.write_text(
            "title: Misspelt\ndocumentation: https://example.com\ninterval: 1h\n"
            f"base_url: {vendors.origin}/v/v7\ncredentials: {{token: {{description: A key.}}}}\n"
            "auth: {kind: bearer}\ncollectors: {usage: {request: {path: /usages}}}\n"
            "resources: [{name: units, used: usage.cloudUnitsUsed}]\n"
        )
        target = {"name": "x", "provider": "misspelt", "credentials": {"token": "test-token"}}
        path = tmp_path / "config.yaml"
        path.write_text(json.dumps({"providers": {"files": ["*.yaml"]}, "targets": [target]}))
        path = path.rename(tmp_path / "config.yml")
        done = await once(path)
    assert done.code == 5
    assert done.exposed().failed("x") == {"http_4xx": 1}
    assert "No such resource" in done.line("account=x ")
