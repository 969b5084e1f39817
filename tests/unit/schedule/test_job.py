"""Jobs and the terms of their budget."""

from typing import Any

import pytest

from exporter.kernel.templates import compile_template
from exporter.model.definition.auth import NoAuth
from exporter.model.definition.provider import Collector, Definition
from exporter.model.definition.ratelimit import BudgetScope
from exporter.model.definition.request import Request
from exporter.model.target import Target
from exporter.schedule.job import GUARD, budget_limits_of, jobs_of
from tests.support.schedule import a_job, throttling


def test_the_terms_of_a_budget_are_the_strictest_of_its_jobs() -> None:
    jobs = [
        a_job("a", throttling=throttling(rate=4.0, burst=10, max_wait=600.0), reserve=0.2),
        a_job("b", throttling=throttling(rate=2.0, burst=20), reserve=0.5),
        a_job("c", throttling=throttling(burst=30), reserve=0.1),
    ]
    terms = budget_limits_of(jobs)
    assert terms.rate == 1.0
    assert terms.burst == 5.0
    assert terms.reserve == 0.5
    assert terms.max_wait == 86_400.0
    assert terms.one_key


def test_our_share_of_a_declared_rate_leaves_the_reserve_to_others() -> None:
    terms = budget_limits_of([a_job(throttling=throttling(rate=4.0, burst=1), reserve=0.2)])
    assert terms.rate == pytest.approx(3.2)
    assert terms.burst == 1.0


def test_a_reserve_of_everything_still_leaves_a_poll_now_and_then() -> None:
    terms = budget_limits_of([a_job(throttling=throttling(rate=4.0), reserve=1.0)])
    assert terms.rate == pytest.approx(0.04)


def test_keys_are_one_unless_the_budget_is_the_hosts() -> None:
    assert budget_limits_of([a_job(throttling=throttling(scope=BudgetScope.TARGET))]).one_key
    assert not budget_limits_of([a_job(throttling=throttling(scope=BudgetScope.HOST))]).one_key


def a_target(**settings: Any) -> Target:
    def collector(name: str, **own: Any) -> Collector:
        return Collector(name=name, request=Request(path=compile_template("/usage")), **own)

    definition = Definition(
        name="example",
        title="Example",
        documentation="https://example.com",
        origin="example.yaml",
        base_url=None,
        auth=(NoAuth(),),
        throttling=throttling(rate=4.0),
        min_interval=120.0,
        data_cadence=3600.0,
        collectors={
            "usage": collector("usage"),
            "costs": collector("costs", min_interval=900.0),
            "quotas": collector("quotas"),
        },
    )
    usual: dict[str, Any] = {
        "name": "video",
        "definition": definition,
        "base_url": "https://user:secret@API.example.com:8443/v1",
        "auth": NoAuth(),
        "collectors": {"usage": 300.0, "costs": 300.0},
        "poll_timeout": 20.0,
        "stale_after": {},
        "user_agent": "test",
        "budget": "api.example.com#ab12",
        "reserve": 0.3,
    }
    return Target(**(usual | settings))


def test_a_target_has_a_job_for_each_collector_that_it_polls() -> None:
    usage, costs = jobs_of(a_target())
    assert (usage.target, usage.provider, usage.collector) == ("video", "example", "usage")
    assert (usage.interval, usage.min_interval, usage.timeout) == (300.0, 120.0, 20.0 + GUARD)
    assert (usage.budget, usage.reserve) == ("api.example.com#ab12", 0.3)
    assert usage.data_cadence == 3600.0
    assert usage.throttling.rate == 4.0
    assert (costs.collector, costs.min_interval) == ("costs", 900.0)


def test_an_interval_below_the_providers_minimum_is_raised_to_it() -> None:
    _, costs = jobs_of(a_target())
    assert costs.interval == 900.0


def test_the_host_of_a_job_is_the_addresss_without_the_user() -> None:
    assert jobs_of(a_target())[0].host == "api.example.com:8443"
