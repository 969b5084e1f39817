"""The shipped definitions: all of them compile, and the founding three ask what they must ask."""

from datetime import UTC, datetime

import pytest

from exporter.config import library
from exporter.config.library import compiled, load_definition, load_shipped
from exporter.kernel.templates import Clock
from exporter.kernel.units import Kind
from exporter.model.definition.auth import HeaderAuth, TokenAuth
from exporter.model.definition.paging import NextUrl, NoPaging
from exporter.model.definition.provider import Definition
from exporter.model.definition.request import Argument, ArrayStyle
from exporter.model.definition.roles import Resource
from exporter.model.definition.values import How, Missing, Zero

NOVEMBER = Clock(datetime(2026, 11, 15, 12, tzinfo=UTC).timestamp())


def shipped(name: str) -> Definition:
    definition = load_shipped(name)
    assert isinstance(definition, Definition)
    return definition


def resources(definition: Definition) -> dict[str, Resource]:
    return {str(resource.name[0]): resource for resource in reversed(definition.resources)}


def asked(arguments: tuple[Argument, ...]) -> dict[str, list[str]]:
    return {one.name: [value.text for value in one.values] for one in arguments}


@pytest.mark.parametrize("name", library.shipped_names())
def test_a_shipped_definition_has_nothing_to_complain_about(name: str) -> None:
    definition, problems = compiled(library.shipped_text(name), name=name, shown=f"{name}.yaml")
    assert problems == ()
    assert definition is not None
    assert definition.documentation.startswith("https://")
    assert definition.permission


@pytest.mark.parametrize("name", library.shipped_names())
def test_a_shipped_definition_tells_editors_of_its_schema(name: str) -> None:
    first = library.shipped_text(name).splitlines()[0]
    assert first == "# yaml-language-server: $schema=../../docs/schema/provider.json"


def test_the_catalogue_knows_the_founding_three() -> None:
    assert {"billing_usage", "thousandeyes", "tpstreams"} <= set(library.shipped_names())
    assert list(library.shipped_names()) == sorted(library.shipped_names())
    with pytest.raises(KeyError):
        library.shipped_text("../model/target")


def test_a_definition_can_be_loaded_from_a_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("own") / "acme.yaml"
    path.write_text(library.shipped_text("tpstreams"))
    found = load_definition(str(path))
    assert isinstance(found, Definition)
    assert (found.name, found.origin) == ("acme", str(path))


def test_a_definition_that_is_not_there_is_a_problem() -> None:
    found = load_definition("nowhere/acme.yaml")
    assert not isinstance(found, Definition)
    assert [str(problem) for problem in found.problems] == [
        "nowhere/acme.yaml: The file does not exist. Is the path right?"
    ]


def test_tpstreams_asks_for_the_days_of_this_month() -> None:
    usage = shipped("tpstreams").collectors["usage"]
    values = {
        f"params.{name}": param.default.render({}, NOVEMBER) or ""
        for name, param in shipped("tpstreams").params.items()
        if param.default is not None
    } | {"params.organization_id": "k7w2qd"}
    assert usage.request.path.render(values, NOVEMBER) == "/api/v1/k7w2qd/assets_usage/"
    assert {one.name: one.values[0].render(values, NOVEMBER) for one in usage.request.query} == {
        "time_frame": "daily",
        "start": "2026-11-01",
        "end": "2026-11-30",
        "ordering": "-date",
        "month": None,
        "year": None,
        "day": None,
    }
    assert isinstance(usage.paging, NextUrl)


def test_tpstreams_takes_a_token_or_logs_in() -> None:
    token, login = shipped("tpstreams").auth
    assert isinstance(token, HeaderAuth)
    assert isinstance(login, TokenAuth)
    assert token.needs == {"token"}
    assert login.needs == {"username", "password"}
    assert isinstance(login.apply, HeaderAuth)
    assert login.apply.headers["Authorization"].text == "Token {token}"
    assert isinstance(login.request.json, dict)
    assert login.request.json.keys() == {"username", "password", "organization_id"}
    assert login.request.path.text == "/api/auth/login/"


def test_tpstreams_sums_flows_and_takes_the_last_of_levels() -> None:
    definition = shipped("tpstreams")
    found = resources(definition)
    assert found.keys() == {
        "bandwidth",
        "storage",
        "storage_active",
        "storage_deleted",
        "live_stream",
    }
    bandwidth = found["bandwidth"]
    assert bandwidth.reduce is not None
    assert bandwidth.reduce.how is How.SUM
    assert bandwidth.used is not None
    assert bandwidth.used.missing is Missing.FAIL
    assert [path.text for path in bandwidth.used.paths] == [
        "bandwidth_used",
        "bandwidth_used_bytes",
    ]
    for name in ("storage", "storage_active", "storage_deleted"):
        reduce = found[name].reduce
        assert reduce is not None
        assert reduce.by is not None
        assert (found[name].level, reduce.how, reduce.by.text) == (True, How.LAST, "date")
    (cost,) = definition.costs
    assert cost.fixed_currency is not None
    assert cost.fixed_currency.text == "{params.currency}"
    assert definition.period is not None
    assert definition.period.inclusive_end


def test_billing_usage_reads_whatever_metrics_there_are() -> None:
    definition = shipped("billing_usage")
    assert definition.base_url is None
    assert definition.min_interval == 0.0
    usage = definition.collectors["usage"]
    assert asked(usage.request.query) == {
        "startDate": ["{params.start_date}"],
        "endDate": ["{params.end_date}"],
        "metrics": ["{params.metrics}"],
    }
    commas = {one.name for one in usage.request.query if one.style is ArrayStyle.COMMA}
    assert commas == {"metrics"}
    assert usage.verdict.guard is not None
    assert usage.verdict.guard({"success": False}) is False
    (resource,) = definition.resources
    assert resource.levels >= {"seats", "storage", "users"}
    words = {word: unit.kind for word, unit in resource.unit.words.items()}
    assert words["calls"] is Kind.REQUESTS
    assert Kind.BYTES in resource.unit.kinds
    assert words["users"] is words["emails"] is words["events"] is Kind.QUANTITY
    assert resource.unit.words["gb"].factor == 1e9
    assert resource.limit is not None
    assert resource.limit.unlimited[:2] == (-1, "unlimited")
    assert isinstance(usage.paging, NoPaging)


def test_thousandeyes_reads_every_product_of_the_contract() -> None:
    definition = shipped("thousandeyes")
    found = resources(definition)
    assert found.keys() == {
        "cloud_units",
        "enterprise_units",
        "connected_devices_units",
        "endpoint_agents",
        "endpoint_agents_essentials",
        "endpoint_agents_embedded",
        "enterprise_agents",
        "device_agents",
        "allocations",
        "organization_quota",
    }
    zeros = {name: one.limit.zero for name, one in found.items() if one.limit is not None}
    assert zeros["cloud_units"] is Zero.LIMIT
    assert zeros["enterprise_agents"] is zeros["device_agents"] is Zero.UNKNOWN
    peaks = [name for name, one in found.items() if one.level and one.period is not None]
    assert sorted(peaks) == [
        "device_agents",
        "endpoint_agents",
        "endpoint_agents_embedded",
        "endpoint_agents_essentials",
        "enterprise_agents",
    ]
    assert found["cloud_units"].next_period is not None


def test_thousandeyes_expands_only_when_items_are_wanted() -> None:
    definition = shipped("thousandeyes")
    request = definition.collectors["usage"].request
    assert asked(request.query) == {"aid": ["{params.aid}"], "expand": ["{params.expand}"]}
    (expand,) = request.item_query
    assert [value.text for value in expand.values] == list(definition.params["expand"].choices)
    assert expand.style is ArrayStyle.COMMA
    groups = {(one.collector, one.group) for one in definition.items if not one.always}
    assert groups == {
        ("usage", "test"),
        ("usage", "agent"),
        ("usage", "account_group"),
        ("usage", "product"),
    }


def test_thousandeyes_keeps_the_vendors_rate() -> None:
    throttling = shipped("thousandeyes").throttling
    assert throttling.rate == 4.0
    assert throttling.reset_headers == ("x-organization-rate-limit-reset",)
    assert throttling.remaining_headers == ("x-organization-rate-limit-remaining",)


def test_thousandeyes_further_collectors_wait_to_be_switched_on() -> None:
    collectors = shipped("thousandeyes").collectors
    assert [name for name, one in collectors.items() if one.enabled] == ["usage"]
    for name in ("units_tests", "units_enterprise_agents"):
        paging = collectors[name].paging
        assert isinstance(paging, NextUrl)
        assert [path.text for path in paging.next] == ["_links.next.href"]
