"""The fake vendors of the seed APIs, and the configuration of an exporter that polls them.

Their numbers look like those of a living account: they grow smoothly, less at weekends. All of them
are functions of the time, so that two readers at one moment get the same, and a restart changes
nothing. Each vendor is a function (request, now in epoch seconds) that returns its response:

- `billing_answer`, the ``/api/billing/usage`` family: an open map of metrics with their own units;
- `thousandeyes_answer`, v7: periods from the 5th, HAL paging, rate-limit headers;
- `tpstreams_answer`: Django paging by absolute ``next``, a token or a log-in.
"""

import json
import math
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlencode

from exporter.demo.faults import FAULTS
from exporter.demo.server import (
    FAULT_MARK,
    FakeVendor,
    VendorRequest,
    VendorResponse,
    has_token,
    json_response,
)

DAY = 86_400.0


def today(now: float) -> date:
    """Return the UTC day of an instant."""
    return datetime.fromtimestamp(now, UTC).date()


def month_start(now: float) -> float:
    """Return the first instant of the UTC month."""
    first = today(now).replace(day=1)
    return datetime(first.year, first.month, 1, tzinfo=UTC).timestamp()


def month_end(now: float) -> float:
    """Return the first instant of the next UTC month."""
    return month_start(month_start(now) + 32 * DAY)


def days_between(start: date, end: date) -> list[date]:
    """Return the days from ``start`` to ``end``, both included; at most 400."""
    return [start + timedelta(days=n) for n in range(min((end - start).days + 1, 400))]


def daily_activity(day: date) -> float:
    """Return the day's share of a usual day: quiet weekends, and some noise of its own."""
    noise = math.sin(day.toordinal() * 12.9898) * 43_758.5453
    weekday = 0.55 if day.weekday() >= 5 else 1.0  # noqa: PLR2004 - Saturday
    return weekday * (0.85 + 0.3 * (noise - math.floor(noise)))


def elapsed_share(day: date, now: float) -> float:
    """Return how much of a day has passed, 0 to 1."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    return min(max((now - begin) / DAY, 0.0), 1.0)


def used_since(start: float, now: float, per_day: float) -> float:
    """Return what was used since ``start`` at about ``per_day``."""
    return sum(
        per_day * daily_activity(day) * elapsed_share(day, now)
        for day in days_between(today(start), today(now))
    )


def _elapsed_of_period(start: float, end: float, now: float) -> float:
    """Return the share of a period that has passed; not so little that a projection explodes."""
    return max((now - start) / (end - start), 0.02)


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


BILLING_TOKEN = "demo-billing-token"  # noqa: S105 - a fake vendor's fake token
_WHOLE = frozenset({"requests", "users", "emails", "events"})


class _Metric(NamedTuple):
    name: str
    unit: str
    included: int
    at_start: float  # of the month
    per_day: float

    def used(self, now: float) -> float:
        value = self.at_start + used_since(month_start(now), now, self.per_day)
        return float(int(value)) if self.unit in _WHOLE else round(value, 2)


_METRICS = {
    "apiCalls": _Metric("API Calls", "requests", 2_500_000, 0.0, 96_000.0),
    "storage": _Metric("Storage", "GB", 200, 141.0, 0.6),
    "seats": _Metric("Team Seats", "users", 15, 12.0, 0.0),
    "bandwidth": _Metric("Bandwidth", "GB", 1_500, 0.0, 41.5),
    "emails": _Metric("Emails", "emails", 40_000, 0.0, 640.0),
    "webhooks": _Metric("Webhook Events", "events", 100_000, 0.0, 3_900.0),
}


def billing_answer(request: VendorRequest, now: float) -> VendorResponse:
    """Answer one request as the vendor would."""
    status, code, message = 0, "", ""
    if request.path != "/api/billing/usage":
        status, code, message = 404, "NOT_FOUND", "Resource not found"
    elif not has_token(request, "Bearer", BILLING_TOKEN):
        status, code, message = 401, "UNAUTHORIZED", "Authentication required"
    if status:
        problem = {"success": False, "error": {"code": code, "message": message}}
        return json_response(problem, status=status)

    names = request.argument("metrics").split(",")
    wanted = {name.replace("_", "").lower() for name in names if name}
    start, end = month_start(now), month_end(now)
    metrics: dict[str, object] = {}
    projected: dict[str, object] = {}
    overage = 0.0
    for key, metric in _METRICS.items():
        if wanted and key.lower() not in wanted:
            continue
        used = metric.used(now)
        over = round(max(0.0, used - metric.included), 2)
        overage += over * 0.0005
        metrics[key] = {
            "name": metric.name,
            "unit": metric.unit,
            "included": metric.included,
            "used": used,
            "overage": over,
            "percentage": round(100 * used / metric.included, 2),
        }
        if key in {"apiCalls", "bandwidth"}:
            at_end = round(used / _elapsed_of_period(start, end, now), 2)
            percentage = round(100 * at_end / metric.included, 2)
            projected[key] = {"projected": at_end, "percentage": percentage}
    overage = round(overage, 2)
    data = {
        "period": {"start": _iso(start), "end": _iso(end - 1)},
        "metrics": metrics,
        "estimatedCost": {
            "base": 79.0,
            "overage": overage,
            "total": 79.0 + overage,
            "currency": "usd",
        },
        "projectedUsage": projected,
    }
    return json_response({"success": True, "data": data})


THOUSANDEYES_TOKEN = "demo-thousandeyes-token"  # noqa: S105 - a fake vendor's fake token
_CYCLE_OFFSET = 4 * DAY + 8 * 3_600  # periods run from the 5th, 08:00 UTC


class _Test(NamedTuple):
    aid: str
    group: str
    id: str
    name: str
    type: str
    units_per_day: float

    def row(self, start: float, end: float, now: float) -> dict[str, object]:
        used = int(used_since(start, now, self.units_per_day))
        return {
            "aid": self.aid,
            "accountGroupName": self.group,
            "testId": self.id,
            "testName": self.name,
            "testType": self.type,
            "cloudUnitsUsed": used,
            "cloudUnitsProjected": int(used / _elapsed_of_period(start, end, now)),
        }


_TESTS = (
    _Test("2067", "Platform", "814501", "checkout API", "Web - HTTP Server", 520_000.0),
    _Test("2067", "Platform", "814502", "login page", "Web - Page Load", 690_000.0),
    _Test("2071", "Edge", "820077", "DNS resolvers", "DNS - Server", 73_000.0),
)
_AGENTS = [
    {
        "aid": aid,
        "accountGroupName": group,
        "agentId": agent,
        "agentName": name,
        "enterpriseUnitsUsed": 0,
        "enterpriseUnitsProjected": 0,
    }
    for aid, group, agent, name in (
        ("2067", "Platform", "551201", "fra-ea-01"),
        ("2071", "Edge", "551377", "sin-ea-02"),
    )
]


def thousandeyes_answer(request: VendorRequest, now: float) -> VendorResponse:
    """Answer one request as the vendor would."""
    if not has_token(request, "Bearer", THOUSANDEYES_TOKEN):
        problem = {"error": "invalid_token", "error_description": "Invalid access token"}
        return json_response(problem, status=401)
    status, content_type = 200, "application/hal+json"
    document: dict[str, object]
    match request.path:
        case "/v7/usage":
            document = _usage(request, now)
        case "/v7/usage/units/tests":
            document = _test_units(request, now)
        case "/v7/usage/units/enterprise-agents":
            document = {"breakdowns": _AGENTS, "_links": {}}
        case "/v7/quotas":
            groups = [{"aid": "2067", "value": 24_000_000}, {"aid": "2071", "value": 9_000_000}]
            quota = {"organizationQuota": {"orgId": "1101", "value": 36_000_000}}
            document = {"quotas": [{**quota, "accountGroupQuotas": groups}], "_links": {}}
        case _:
            status, content_type = 404, "application/problem+json"
            document = {"title": "Not Found", "status": 404, "detail": "No such resource"}
    reset = int(now) // 60 * 60 + 60
    headers = {
        "X-Organization-Rate-Limit-Limit": "240",
        "X-Organization-Rate-Limit-Remaining": str(max(0, reset - int(now)) * 3 + 40),
        "X-Organization-Rate-Limit-Reset": str(reset),
    }
    return json_response(document, status=status, headers=headers, content_type=content_type)


def thousandeyes_period(now: float) -> tuple[float, float]:
    """Return the billing period that holds ``now``: 5th 08:00 to 5th 08:00 UTC."""
    start = month_start(now) + _CYCLE_OFFSET
    if start > now:
        start = month_start(month_start(now) - DAY) + _CYCLE_OFFSET
    return start, month_start(month_start(start) + 32 * DAY) + _CYCLE_OFFSET


def _usage(request: VendorRequest, now: float) -> dict[str, object]:
    start, end = thousandeyes_period(now)
    used = sum(int(used_since(start, now, test.units_per_day)) for test in _TESTS)
    usage: dict[str, object] = {
        "quota": {
            "monthStart": _iso(start),
            "monthEnd": _iso(end),
            "cloudUnitsIncluded": 36_000_000,
            "deviceAgentsIncluded": 0,
            "endpointAgentsIncluded": 500,
            "endpointAgentsEssentialsIncluded": 1_000,
            "endpointAgentsEmbeddedIncluded": 50,
            "enterpriseAgentsIncluded": 0,
        },
        "cloudUnitsUsed": used,
        "cloudUnitsProjected": int(used / _elapsed_of_period(start, end, now)),
        "cloudUnitsNextBillingPeriod": 36_400_250,
        "enterpriseUnitsUsed": 0,
        "enterpriseUnitsProjected": 0,
        "enterpriseUnitsNextBillingPeriod": 0,
        "connectedDevicesUnitsUsed": 0,
        "connectedDevicesUnitsProjected": 0,
        "connectedDevicesUnitsNextBillingPeriod": 0,
        "endpointAgentsUsed": 412,
        "endpointAgentsEssentialsUsed": 655,
        "endpointAgentsEmbeddedUsed": 7,
        "enterpriseAgentsUsed": 24,
    }
    if "test" in request.argument("expand").split(","):
        usage |= {
            "tests": [test.row(start, end, now) for test in _TESTS],
            "enterpriseAgentUnits": _AGENTS,
            "endpointAgents": [
                {"aid": "2067", "accountGroupName": "Platform", "endpointAgentsUsed": 300},
                {"aid": "2071", "accountGroupName": "Edge", "endpointAgentsUsed": 112},
            ],
            "allocations": {
                "used": 21_400,
                "projected": 30_000,
                "allocations": [
                    {"productName": "Cloud and Enterprise Agents", "allocatedUnits": 25_000},
                    {"productName": "Connected Devices", "allocatedUnits": 10_000},
                ],
            },
        }
    return {"usage": usage, "_links": {"self": {"href": f"{request.origin}{request.path}"}}}


def _test_units(request: VendorRequest, now: float) -> dict[str, object]:
    """Return one of two pages."""
    start, end = thousandeyes_period(now)
    rows = [{**test.row(start, end, now), "isInstantTest": False} for test in _TESTS]
    url = request.origin + request.path
    if request.argument("cursor") == "cursor2":
        return {"breakdowns": rows[2:], "_links": {"self": {"href": url}}}
    return {"breakdowns": rows[:2], "_links": {"next": {"href": f"{url}?cursor=cursor2"}}}


TPSTREAMS_TOKEN = "demo-tpstreams-token"  # noqa: S105 - a fake vendor's fake token
_PAGE_SIZE = 10


def tpstreams_answer(request: VendorRequest, now: float) -> VendorResponse:
    """Answer one request as the vendor would."""
    if request.path == "/api/auth/login/" and request.method == "POST":
        try:
            known = json.loads(request.body).get("password") == "demo"
        except ValueError:
            known = False
        if known:
            return json_response({"token": TPSTREAMS_TOKEN, "expiry": None})
        problem = {"non_field_errors": ["Unable to log in with provided credentials."]}
        return json_response(problem, status=400)
    if not has_token(request, "Token", TPSTREAMS_TOKEN):
        challenge = {"WWW-Authenticate": "Token"}
        return json_response({"detail": "Invalid token."}, status=401, headers=challenge)
    if request.path.startswith("/api/v1/") and request.path.endswith("/assets_usage/"):
        return _assets_usage(request, now)
    return json_response({"detail": "Not found."}, status=404)


def _assets_usage(request: VendorRequest, now: float) -> VendorResponse:
    """Return a page of the days, in Django's shape."""
    try:
        start = date.fromisoformat(request.argument("start") or f"{today(now):%Y-%m}-01")
        end = date.fromisoformat(request.argument("end") or today(now).isoformat())
    except ValueError:
        return json_response({"start": ["Enter a valid date."]}, status=400)
    rows = []
    for day in days_between(start, min(end, today(now))):
        share = daily_activity(day) * elapsed_share(day, now)
        stored = 402_000_000_000 + (day.toordinal() - 739_500) * 150_000_000
        rows.append(
            {
                "id": 90_000 + day.toordinal() - 739_000,
                "date": day.isoformat(),
                "bandwidth_used": int(165_000_000_000 * share),
                "subtitle_generation_cost": round(1.6 * share, 2),
                "live_stream_usage": int(5_400 * share),
                "active_storage_bytes": stored,
                "deleted_storage_bytes": 38_000_000_000,
                "total_storage_bytes": stored + 38_000_000_000,
            }
        )
    if request.argument("ordering") == "-date":
        rows.reverse()
    number = int(request.argument("page", "1"))
    last = max(-(-len(rows) // _PAGE_SIZE), 1)
    others = [(name, value) for name, value in request.query if name != "page"]

    def link(page: int) -> str | None:
        if not 0 < page <= last:
            return None
        return f"{request.origin}{request.path}?{urlencode([*others, ('page', page)])}"

    return json_response(
        {
            "count": len(rows),
            "next": link(number + 1),
            "previous": link(number - 1),
            "results": rows[(number - 1) * _PAGE_SIZE : number * _PAGE_SIZE],
        }
    )


VENDORS: dict[str, FakeVendor] = {
    "tpstreams": tpstreams_answer,
    "billing_usage": billing_answer,
    "thousandeyes": thousandeyes_answer,
}
TOKENS = {
    "tpstreams": TPSTREAMS_TOKEN,
    "billing_usage": BILLING_TOKEN,
    "thousandeyes": THOUSANDEYES_TOKEN,
}
_CONFIG = """\
global:
  poll_interval: 1h
targets:
  - name: video-prod
    provider: tpstreams
    base_url: {origin}/tpstreams
    credentials: {{token: {tpstreams}}}
    params: {{organization_id: 9q94nm}}
    limits: {{bandwidth: 5 TB, storage: 500 GB, spend: 200 USD}}
    labels: {{team: video}}
  - name: saas-prod
    provider: billing_usage
    base_url: {origin}/billing_usage
    credentials: {{token: {billing_usage}}}
    labels: {{team: product}}
  - name: network
    provider: thousandeyes
    base_url: {origin}/thousandeyes/v7
    credentials: {{token: {thousandeyes}}}
    items: true
    collectors: {{units_tests: true, units_enterprise_agents: true, quotas: true}}
    labels: {{team: network}}
"""
_CHAOS_TARGET = """\
  - name: "{name}"
    provider: {vendor}
    base_url: {origin}/{vendor}{path}
    credentials: {{token: "{token}{mark}{name}"}}
    labels: {{team: chaos}}
{more}"""


def demo_config(origin: str, *, chaos: bool = False) -> str:
    """Return the configuration of an exporter that polls the fake vendors at ``origin``.

    With ``chaos`` there is also an account for each fault. Each has a credential of its own: a
    throttled account must not hold the others up.
    """
    config = _CONFIG.format(origin=origin, **TOKENS)
    if not chaos:
        return config
    for number, name in enumerate(sorted(FAULTS)):
        # Faults of links to the next page are for the vendor that has such links.
        vendor = "tpstreams" if name.startswith("next_") else list(VENDORS)[number % len(VENDORS)]
        config += _CHAOS_TARGET.format(
            name=name,
            vendor=vendor,
            origin=origin,
            path="/v7" if vendor == "thousandeyes" else "",
            token=TOKENS[vendor],
            mark=FAULT_MARK,
            more="    params: {organization_id: 9q94nm}\n" if vendor == "tpstreams" else "",
        )
    return config
