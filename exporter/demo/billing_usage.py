"""A fake of the ``/api/billing/usage`` family: an open map of metrics, each with its own unit."""

from datetime import UTC, datetime

from exporter.demo.numbers import grown, month_end, month_start
from exporter.demo.wire import Answer, Asked, is_signed, json_answer

TOKEN = "demo-billing-token"  # noqa: S105 - a fake vendor's fake token

_METRICS = {  # id: name, unit, included, at the start of the month, per day
    "apiCalls": ("API Calls", "requests", 2_500_000, 0.0, 96_000.0),
    "storage": ("Storage", "GB", 200, 141.0, 0.6),
    "seats": ("Team Seats", "users", 15, 12.0, 0.0),
    "bandwidth": ("Bandwidth", "GB", 1_500, 0.0, 41.5),
    "emails": ("Emails", "emails", 40_000, 0.0, 640.0),
    "webhooks": ("Webhook Events", "events", 100_000, 0.0, 3_900.0),
}
_WHOLE = frozenset({"requests", "users", "emails", "events"})


def answer(asked: Asked, now: float) -> Answer:
    """Answer one request as the vendor would."""
    if asked.path != "/api/billing/usage":
        return _refuse(404, "NOT_FOUND", "Resource not found")
    if not is_signed(asked, "Bearer", TOKEN):
        return _refuse(401, "UNAUTHORIZED", "Authentication required")
    metrics = {key: _metric(key, now) for key in _wanted(asked)}
    data = {
        "period": {"start": _iso(month_start(now)), "end": _iso(month_end(now) - 1)},
        "metrics": metrics,
        "estimatedCost": _cost(metrics),
        "projectedUsage": {
            key: _projection(key, now) for key in ("apiCalls", "bandwidth") if key in metrics
        },
    }
    return json_answer({"success": True, "data": data})


def _wanted(asked: Asked) -> list[str]:
    text = asked.argument("metrics")
    asked_for = {part.replace("_", "").lower() for part in text.split(",") if part}
    return [key for key in _METRICS if not asked_for or key.lower() in asked_for]


def _used(key: str, now: float) -> float:
    _, unit, _, base, per_day = _METRICS[key]
    value = base + grown(per_day, month_start(now), now)
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


def _refuse(status: int, code: str, message: str) -> Answer:
    problem = {"success": False, "error": {"code": code, "message": message}}
    return json_answer(problem, status=status)


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
