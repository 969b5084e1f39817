"""A fake of ThousandEyes' v7 usage API: a period from the 5th, HAL paging, throttle headers."""

from datetime import UTC, datetime

from exporter.demo.numbers import DAY, grown, month_start
from exporter.demo.wire import Answer, Asked, is_signed, json_answer

TOKEN = "demo-thousandeyes-token"  # noqa: S105 - a fake vendor's fake token
CYCLE_OFFSET = 4 * DAY + 8 * 3_600  # periods run from the 5th, 08:00 UTC
TESTS = (
    ("2067", "Platform", "814501", "checkout API", "Web - HTTP Server", 520_000.0),
    ("2067", "Platform", "814502", "login page", "Web - Page Load", 690_000.0),
    ("2071", "Edge", "820077", "DNS resolvers", "DNS - Server", 73_000.0),
)
AGENTS = (("2067", "Platform", "551201", "fra-ea-01"), ("2071", "Edge", "551377", "sin-ea-02"))


def answer(asked: Asked, now: float) -> Answer:
    """Answer one request as the vendor would."""
    if not is_signed(asked, "Bearer", TOKEN):
        problem = {"error": "invalid_token", "error_description": "Invalid access token"}
        return json_answer(problem, status=401)
    routes = {
        "/v7/usage": _usage,
        "/v7/usage/units/tests": _tests,
        "/v7/usage/units/enterprise-agents": _agents,
        "/v7/quotas": _quotas,
    }
    route = routes.get(asked.path)
    if route is None:
        return _hal({"title": "Not Found", "status": 404, "detail": "No such resource"}, now, 404)
    return _hal(route(asked, now), now)


def period(now: float) -> tuple[float, float]:
    """Return the billing period that holds ``now``: 5th 08:00 to 5th 08:00 UTC."""
    start = month_start(now) + CYCLE_OFFSET
    if start > now:
        start = month_start(month_start(now) - DAY) + CYCLE_OFFSET
    return start, month_start(month_start(start) + 32 * DAY) + CYCLE_OFFSET


def _hal(document: dict[str, object], now: float, status: int = 200) -> Answer:
    reset = int(now) // 60 * 60 + 60
    headers = {
        "X-Organization-Rate-Limit-Limit": "240",
        "X-Organization-Rate-Limit-Remaining": str(max(0, reset - int(now)) * 3 + 40),
        "X-Organization-Rate-Limit-Reset": str(reset),
    }
    kind = "application/hal+json" if status < 400 else "application/problem+json"  # noqa: PLR2004
    return json_answer(document, status=status, headers=headers, content_type=kind)


def _usage(asked: Asked, now: float) -> dict[str, object]:
    start, end = period(now)
    used = sum(int(grown(test[5], start, now)) for test in TESTS)
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
    if "test" in asked.argument("expand").split(","):
        usage |= _expanded(start, now, share)
    return {"usage": usage, "_links": {"self": {"href": f"{asked.origin}{asked.path}"}}}


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
    used = int(grown(test[5], start, now))
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


def _tests(asked: Asked, now: float) -> dict[str, object]:
    start, end = period(now)
    share = max((now - start) / (end - start), 0.02)
    rows = [{**_test(test, start, now, share), "isInstantTest": False} for test in TESTS]
    if asked.argument("cursor") == "cursor2":
        return {"breakdowns": rows[2:], "_links": {"self": {"href": asked.origin + asked.path}}}
    following = f"{asked.origin}{asked.path}?cursor=cursor2"
    return {"breakdowns": rows[:2], "_links": {"next": {"href": following}}}


def _agents(asked: Asked, now: float) -> dict[str, object]:
    return {"breakdowns": [_agent(agent) for agent in AGENTS], "_links": {}}


def _quotas(asked: Asked, now: float) -> dict[str, object]:
    groups = [{"aid": "2067", "value": 24_000_000}, {"aid": "2071", "value": 9_000_000}]
    quota = {"organizationQuota": {"orgId": "1101", "value": 36_000_000}}
    return {"quotas": [{**quota, "accountGroupQuotas": groups}], "_links": {}}


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
