"""The view of a status page with healthy, nearly exhausted and failing targets."""

from typing import Any

from exporter.model.health import Freshness, Health, Wait, worst
from exporter.web.view import (
    CollectorView,
    CostView,
    FailureView,
    ResourceView,
    StatusView,
    TargetView,
)

NOON = 1_795_348_800.0  # 2026-11-22T12:00:00Z
DAY = 86_400.0
START = NOON - 21.5 * DAY  # 1 Nov
END = START + 30 * DAY


def a_resource(resource: str = "bandwidth", **given: Any) -> ResourceView:
    values: dict[str, Any] = {
        "kind": "bytes",
        "used": 4.123e12,
        "limit": 5e12,
        "limit_kind": "config",
        "ratio": 0.8246,
        "projected": 5.75e12,
        "projected_ratio": 1.15,
        "projection": "linear",
        "exhaustion": NOON + 4.4 * DAY,
        "period_start": START,
        "period_end": END,
        "data_time": NOON - 7200,
    }
    return ResourceView(resource=resource, **(values | given))


def a_collector(collector: str = "usage", **given: Any) -> CollectorView:
    values: dict[str, Any] = {
        "health": Health.UP,
        "freshness": Freshness.FRESH,
        "interval": 900.0,
        "last_success": NOON - 185,
        "next_poll": NOON + 715,
    }
    return CollectorView(collector=collector, **(values | given))


def a_target(account: str = "video-prod", **given: Any) -> TargetView:
    values: dict[str, Any] = {
        "provider": "tpstreams",
        "title": "TPStreams",
        "resources": (a_resource(),),
        "collectors": (a_collector(),),
    }
    values |= given
    health = worst(collector.health for collector in values["collectors"])
    return TargetView(account=account, **({"health": health} | values))


def a_status(*targets: TargetView, **given: Any) -> StatusView:
    values: dict[str, Any] = {
        "version": "1.2.3",
        "now": NOON,
        "started": NOON - 9.2 * DAY,
        "config_loaded": NOON - 3 * DAY,
        "targets": targets,
    }
    return StatusView(**(values | given))


LEVEL: dict[str, Any] = {
    "projected": None,
    "projected_ratio": None,
    "projection": "none",
    "exhaustion": None,
}


def gallery() -> StatusView:
    """One of each."""
    return a_status(
        video(),
        saas(),
        network(),
        crm(),
        ci(),
        builds(),
        config_problems=(
            'config.yaml:14:20: targets[2].poll_interval: "5 minutes" is not a duration.',
        ),
    )


def video() -> TargetView:
    return a_target(
        plan="Business",
        labels={"team": "video"},
        resources=(
            a_resource(),
            a_resource("storage", used=212e9, limit=500e9, ratio=0.424, period_start=None, **LEVEL),
            a_resource(
                "live_stream",
                kind="quantity",
                used=1734,
                limit=None,
                limit_kind="unknown",
                ratio=None,
                **LEVEL,
            ),
        ),
        costs=(CostView(currency="USD", cost=41.5),),
    )


def saas() -> TargetView:
    return a_target(
        "saas-prod",
        provider="billing_usage",
        resources=(
            a_resource(
                "api_requests",
                kind="requests",
                used=9_412_331,
                limit=1e7,
                limit_kind="provider",
                ratio=0.9412,
                projected=1.31e7,
                projected_ratio=1.31,
                projection="provider",
                data_time=None,
            ),
            a_resource(
                "seats",
                kind="quantity",
                used=17,
                limit=25,
                limit_kind="provider",
                ratio=0.68,
                **LEVEL,
            ),
            a_resource(
                "emails",
                kind="quantity",
                unit="emails",
                used=120_000,
                limit=None,
                limit_kind="unlimited",
                ratio=None,
                **LEVEL,
            ),
        ),
        costs=(
            CostView(
                currency="USD", cost=184.2, base=99, overage=85.2, projected=261.75, limit=200
            ),
        ),
        collectors=(
            a_collector(),
            a_collector(
                "invoices",
                health=Health.NEVER_POLLED,
                freshness=Freshness.NONE,
                last_success=None,
                next_poll=NOON + 40,
            ),
        ),
    )


def network() -> TargetView:
    return a_target(
        "network",
        provider="thousandeyes",
        wait=Wait.THROTTLED,
        wait_seconds=754.0,
        wait_cause="throttled, the vendor said: come again in 15 min",
        resources=(
            a_resource(
                "cloud_units",
                kind="quantity",
                used=11_732_000,
                limit=18e6,
                limit_kind="provider",
                ratio=0.652,
                projected=16.9e6,
                projected_ratio=0.94,
                projection="provider",
                exhaustion=None,
            ),
            a_resource(
                "endpoint_agents",
                kind="quantity",
                used=2310,
                limit=2000,
                limit_kind="provider",
                ratio=1.155,
                **LEVEL,
            ),
        ),
        collectors=(
            a_collector(
                health=Health.THROTTLED,
                freshness=Freshness.CACHED,
                failures=3,
                reason="rate_limited",
                detail="429 Too Many Requests: wait 15 min",
            ),
            a_collector("quotas", interval=3600.0, last_success=NOON - 1500, next_poll=NOON + 2100),
        ),
        failures=(
            FailureView(
                at=NOON - 146,
                collector="usage",
                reason="rate_limited",
                detail="429 Too Many Requests: wait 15 min",
            ),
            FailureView(
                at=NOON - 1046, collector="usage", reason="http_5xx", detail='503: <html>"&oops'
            ),
        ),
    )


def crm() -> TargetView:
    return a_target(
        "crm",
        provider="anthropic",
        resources=(),
        collectors=(
            a_collector(
                health=Health.PAUSED,
                freshness=Freshness.NONE,
                failures=41,
                reason="auth",
                detail="401: invalid x-api-key",
                last_success=None,
                next_poll=NOON + 3100,
            ),
        ),
        failures=(
            FailureView(
                at=NOON - 400, collector="usage", reason="auth", detail="401: invalid x-api-key"
            ),
        ),
    )


def ci() -> TargetView:
    return a_target(
        "ci",
        provider="github_actions",
        resources=(),
        collectors=(
            a_collector(
                health=Health.NEVER_POLLED,
                freshness=Freshness.NONE,
                last_success=None,
                next_poll=NOON + 4,
            ),
        ),
    )


def builds() -> TargetView:
    return a_target(
        "builds",
        provider="circleci",
        resources=(
            a_resource(
                "build_minutes",
                kind="seconds",
                unit="minutes",
                used=184_800,
                limit=360_000,
                limit_kind="provider",
                ratio=0.5133,
                projected=257_000,
                projected_ratio=0.716,
                exhaustion=None,
            ),
            a_resource(
                "compute",
                kind="byte_seconds",
                unit="GB-hours",
                account="team-a",
                used=5.1e15,
                limit=None,
                ratio=None,
                **LEVEL,
            ),
        ),
        costs=(CostView(currency="JPY", cost=12_800),),
    )
