"""Numbers that look like a living account: smooth, growing, weekday-shaped, the same for all.

Everything is a function of the time, so that two readers at one moment see one truth.

A fake of the ``/api/billing/usage`` family: an open map of metrics, each with its own unit.

A fake of ThousandEyes' v7 usage API: a period from the 5th, HAL paging, throttle headers.

A fake of TPStreams' usage API: Django paging by absolute ``next``, a token or a log-in.

The demo's cast: which fake vendors there are, how often they throttle, who asks them.
"""

import itertools
import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

from exporter.demo.faults import chaos_targets
from exporter.demo.server import (
    FakeVendor,
    FaultInjector,
    Script,
    VendorRequest,
    VendorResponse,
    has_token,
    json_response,
    script_of,
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
    """Return the day's share of a usual day: quiet week-ends, and a little of its own."""
    own = math.sin(day.toordinal() * 12.9898) * 43_758.5453
    weekday = 0.55 if day.weekday() >= 5 else 1.0  # noqa: PLR2004 - Saturday
    return weekday * (0.85 + 0.3 * (own - math.floor(own)))


def elapsed_share(day: date, now: float) -> float:
    """Return how much of a day has passed, 0 to 1."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    return min(max((now - begin) / DAY, 0.0), 1.0)


def used_since(per_day: float, start: float, now: float) -> float:
    """Return what was used since ``start`` at about ``per_day``."""
    return sum(
        per_day * daily_activity(day) * elapsed_share(day, now)
        for day in days_between(today(start), today(now))
    )


BILLING_TOKEN = "demo-billing-token"  # noqa: S105 - a fake vendor's fake token
_METRICS = {  # id: name, unit, included, at the start of the month, per day
    "apiCalls": ("API Calls", "requests", 2_500_000, 0.0, 96_000.0),
    "storage": ("Storage", "GB", 200, 141.0, 0.6),
    "seats": ("Team Seats", "users", 15, 12.0, 0.0),
    "bandwidth": ("Bandwidth", "GB", 1_500, 0.0, 41.5),
    "emails": ("Emails", "emails", 40_000, 0.0, 640.0),
    "webhooks": ("Webhook Events", "events", 100_000, 0.0, 3_900.0),
}
_WHOLE = frozenset({"requests", "users", "emails", "events"})


def billing_answer(request: VendorRequest, now: float) -> VendorResponse:
    """Answer one request as the vendor would."""
    if request.path != "/api/billing/usage":
        return _refuse(404, "NOT_FOUND", "Resource not found")
    if not has_token(request, "Bearer", BILLING_TOKEN):
        return _refuse(401, "UNAUTHORIZED", "Authentication required")
    metrics = {key: _metric(key, now) for key in _wanted(request)}
    data = {
        "period": {"start": _iso(month_start(now)), "end": _iso(month_end(now) - 1)},
        "metrics": metrics,
        "estimatedCost": _cost(metrics),
        "projectedUsage": {
            key: _projection(key, now) for key in ("apiCalls", "bandwidth") if key in metrics
        },
    }
    return json_response({"success": True, "data": data})


def _wanted(request: VendorRequest) -> list[str]:
    text = request.argument("metrics")
    asked_for = {part.replace("_", "").lower() for part in text.split(",") if part}
    return [key for key in _METRICS if not asked_for or key.lower() in asked_for]


def _used(key: str, now: float) -> float:
    _, unit, _, base, per_day = _METRICS[key]
    value = base + used_since(per_day, month_start(now), now)
    return float(int(value)) if unit in _WHOLE else round(value, 2)


def _metric(key: str, now: float) -> dict[str, object]:
    name, unit, included, _, _ = _METRICS[key]
    used = _used(key, now)
    return {
        "name": name,
        "unit": unit,
        "included": included,
        "used": used,
        "overage": round(max(0.0, used - included), 2),
        "percentage": round(100 * used / included, 2),
    }


def _projection(key: str, now: float) -> dict[str, float]:
    start, end = month_start(now), month_end(now)
    share = max((now - start) / (end - start), 0.02)
    projected = round(_used(key, now) / share, 2)
    return {"projected": projected, "percentage": round(100 * projected / _METRICS[key][2], 2)}


def _cost(metrics: dict[str, dict[str, object]]) -> dict[str, object]:
    over = round(sum(float(str(metric["overage"])) * 0.0005 for metric in metrics.values()), 2)
    return {"base": 79.0, "overage": over, "total": 79.0 + over, "currency": "usd"}


def _refuse(status: int, code: str, message: str) -> VendorResponse:
    problem = {"success": False, "error": {"code": code, "message": message}}
    return json_response(problem, status=status)


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


THOUSANDEYES_TOKEN = "demo-thousandeyes-token"  # noqa: S105 - a fake vendor's fake token
CYCLE_OFFSET = 4 * DAY + 8 * 3_600  # periods run from the 5th, 08:00 UTC
TESTS = (
    ("2067", "Platform", "814501", "checkout API", "Web - HTTP Server", 520_000.0),
    ("2067", "Platform", "814502", "login page", "Web - Page Load", 690_000.0),
    ("2071", "Edge", "820077", "DNS resolvers", "DNS - Server", 73_000.0),
)
AGENTS = (("2067", "Platform", "551201", "fra-ea-01"), ("2071", "Edge", "551377", "sin-ea-02"))


def thousandeyes_answer(request: VendorRequest, now: float) -> VendorResponse:
    """Answer one request as the vendor would."""
    if not has_token(request, "Bearer", THOUSANDEYES_TOKEN):
        problem = {"error": "invalid_token", "error_description": "Invalid access token"}
        return json_response(problem, status=401)
    routes = {
        "/v7/usage": _usage,
        "/v7/usage/units/tests": _tests,
        "/v7/usage/units/enterprise-agents": _agents,
        "/v7/quotas": _quotas,
    }
    route = routes.get(request.path)
    if route is None:
        return _hal({"title": "Not Found", "status": 404, "detail": "No such resource"}, now, 404)
    return _hal(route(request, now), now)


def thousandeyes_period(now: float) -> tuple[float, float]:
    """Return the billing period that holds ``now``: 5th 08:00 to 5th 08:00 UTC."""
    start = month_start(now) + CYCLE_OFFSET
    if start > now:
        start = month_start(month_start(now) - DAY) + CYCLE_OFFSET
    return start, month_start(month_start(start) + 32 * DAY) + CYCLE_OFFSET


def _hal(document: dict[str, object], now: float, status: int = 200) -> VendorResponse:
    reset = int(now) // 60 * 60 + 60
    headers = {
        "X-Organization-Rate-Limit-Limit": "240",
        "X-Organization-Rate-Limit-Remaining": str(max(0, reset - int(now)) * 3 + 40),
        "X-Organization-Rate-Limit-Reset": str(reset),
    }
    kind = "application/hal+json" if status < 400 else "application/problem+json"  # noqa: PLR2004
    return json_response(document, status=status, headers=headers, content_type=kind)


def _usage(request: VendorRequest, now: float) -> dict[str, object]:
    start, end = thousandeyes_period(now)
    used = sum(int(used_since(test[5], start, now)) for test in TESTS)
    share = max((now - start) / (end - start), 0.02)
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
        "cloudUnitsProjected": int(used / share),
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
        usage |= _expanded(start, now, share)
    return {"usage": usage, "_links": {"self": {"href": f"{request.origin}{request.path}"}}}


def _expanded(start: float, now: float, share: float) -> dict[str, object]:
    return {
        "tests": [_test(test, start, now, share) for test in TESTS],
        "enterpriseAgentUnits": [_agent(agent) for agent in AGENTS],
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


def _test(
    test: tuple[str, str, str, str, str, float], start: float, now: float, share: float
) -> dict[str, object]:
    used = int(used_since(test[5], start, now))
    return {
        "aid": test[0],
        "accountGroupName": test[1],
        "testId": test[2],
        "testName": test[3],
        "testType": test[4],
        "cloudUnitsUsed": used,
        "cloudUnitsProjected": int(used / share),
    }


def _agent(agent: tuple[str, str, str, str]) -> dict[str, object]:
    return {
        "aid": agent[0],
        "accountGroupName": agent[1],
        "agentId": agent[2],
        "agentName": agent[3],
        "enterpriseUnitsUsed": 0,
        "enterpriseUnitsProjected": 0,
    }


def _tests(request: VendorRequest, now: float) -> dict[str, object]:
    start, end = thousandeyes_period(now)
    share = max((now - start) / (end - start), 0.02)
    rows = [{**_test(test, start, now, share), "isInstantTest": False} for test in TESTS]
    if request.argument("cursor") == "cursor2":
        return {"breakdowns": rows[2:], "_links": {"self": {"href": request.origin + request.path}}}
    following = f"{request.origin}{request.path}?cursor=cursor2"
    return {"breakdowns": rows[:2], "_links": {"next": {"href": following}}}


def _agents(request: VendorRequest, now: float) -> dict[str, object]:
    return {"breakdowns": [_agent(agent) for agent in AGENTS], "_links": {}}


def _quotas(request: VendorRequest, now: float) -> dict[str, object]:
    groups = [{"aid": "2067", "value": 24_000_000}, {"aid": "2071", "value": 9_000_000}]
    quota = {"organizationQuota": {"orgId": "1101", "value": 36_000_000}}
    return {"quotas": [{**quota, "accountGroupQuotas": groups}], "_links": {}}


TPSTREAMS_TOKEN = "demo-tpstreams-token"  # noqa: S105 - a fake vendor's fake token
PAGE = 10


def tpstreams_answer(request: VendorRequest, now: float) -> VendorResponse:
    """Answer one request as the vendor would."""
    if request.path == "/api/auth/login/" and request.method == "POST":
        return _login(request)
    if not has_token(request, "Token", TPSTREAMS_TOKEN):
        challenge = {"WWW-Authenticate": "Token"}
        return json_response({"detail": "Invalid token."}, status=401, headers=challenge)
    if request.path.startswith("/api/v1/") and request.path.endswith("/assets_usage/"):
        return _tpstreams_usage(request, now)
    return json_response({"detail": "Not found."}, status=404)


def _login(request: VendorRequest) -> VendorResponse:
    try:
        known = json.loads(request.body).get("password") == "demo"
    except ValueError:
        known = False
    if not known:
        problem = {"non_field_errors": ["Unable to log in with provided credentials."]}
        return json_response(problem, status=400)
    return json_response({"token": TPSTREAMS_TOKEN, "expiry": None})


def _tpstreams_usage(request: VendorRequest, now: float) -> VendorResponse:
    try:
        start = date.fromisoformat(request.argument("start") or f"{today(now):%Y-%m}-01")
        end = date.fromisoformat(request.argument("end") or today(now).isoformat())
    except ValueError:
        return json_response({"start": ["Enter a valid date."]}, status=400)
    rows = [_row(day, now) for day in days_between(start, min(end, today(now)))]
    if request.argument("ordering") == "-date":
        rows.reverse()
    return _page(request, rows)


def _row(day: date, now: float) -> dict[str, object]:
    share = daily_activity(day) * elapsed_share(day, now)
    stored = 402_000_000_000 + (day.toordinal() - 739_500) * 150_000_000
    return {
        "id": 90_000 + day.toordinal() - 739_000,
        "date": day.isoformat(),
        "bandwidth_used": int(165_000_000_000 * share),
        "subtitle_generation_cost": round(1.6 * share, 2),
        "live_stream_usage": int(5_400 * share),
        "active_storage_bytes": stored,
        "deleted_storage_bytes": 38_000_000_000,
        "total_storage_bytes": stored + 38_000_000_000,
    }


def _page(request: VendorRequest, rows: list[dict[str, object]]) -> VendorResponse:
    number = int(request.argument("page", "1"))
    more = [(name, value) for name, value in request.query if name != "page"]

    def link(page: int) -> str | None:
        if not 0 < page <= max(-(-len(rows) // PAGE), 1):
            return None
        return f"{request.origin}{request.path}?{urlencode([*more, ('page', page)])}"

    return json_response(
        {
            "count": len(rows),
            "next": link(number + 1),
            "previous": link(number - 1),
            "results": rows[(number - 1) * PAGE : number * PAGE],
        }
    )


VENDORS: dict[str, FakeVendor] = {
    "tpstreams": tpstreams_answer,
    "billing_usage": billing_answer,
    "thousandeyes": thousandeyes_answer,
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
TOKENS = {
    "tpstreams": TPSTREAMS_TOKEN,
    "billing_usage": BILLING_TOKEN,
    "thousandeyes": THOUSANDEYES_TOKEN,
}


def demo_config(origin: str, *, chaos: bool = False) -> str:
    """Return the configuration of an exporter that polls the fake vendors at ``origin``.

    With ``chaos`` there is also an account for each fault that the vendors know.
    """
    usual = _CONFIG.format(origin=origin, **TOKENS)
    return usual + chaos_targets(origin, TOKENS) if chaos else usual


def occasional_throttling(every: int = 14, wait: int = 8) -> FaultInjector:
    """Return a fault that refuses each ``every``-th request with 429 and ``Retry-After``."""
    counters: dict[str, Callable[[], int]] = {}

    def inject(vendor: str, request: VendorRequest, response: VendorResponse) -> Script | None:
        count = counters.setdefault(vendor, itertools.count(1).__next__)()
        if count % every:
            return None
        refusal = {"detail": f"Request was throttled. Expected available in {wait} seconds."}
        return script_of(json_response(refusal, status=429, headers={"Retry-After": str(wait)}))

    return inject
