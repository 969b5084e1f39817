"""A fake of TPStreams' usage API: Django paging by absolute ``next``, a token or a log-in."""

import json
from datetime import date
from urllib.parse import urlencode

from exporter.demo.numbers import activity, days_of, elapsed_of, today
from exporter.demo.wire import Answer, Asked, is_signed, json_answer

TOKEN = "demo-tpstreams-token"  # noqa: S105 - a fake vendor's fake token
PAGE = 10


def answer(asked: Asked, now: float) -> Answer:
    """Answer one request as the vendor would."""
    if asked.path == "/api/auth/login/" and asked.method == "POST":
        return _login(asked)
    if not is_signed(asked, "Token", TOKEN):
        challenge = {"WWW-Authenticate": "Token"}
        return json_answer({"detail": "Invalid token."}, status=401, headers=challenge)
    if asked.path.startswith("/api/v1/") and asked.path.endswith("/assets_usage/"):
        return _usage(asked, now)
    return json_answer({"detail": "Not found."}, status=404)


def _login(asked: Asked) -> Answer:
    try:
        known = json.loads(asked.body).get("password") == "demo"
    except ValueError:
        known = False
    if not known:
        problem = {"non_field_errors": ["Unable to log in with provided credentials."]}
        return json_answer(problem, status=400)
    return json_answer({"token": TOKEN, "expiry": None})


def _usage(asked: Asked, now: float) -> Answer:
    try:
        start = date.fromisoformat(asked.argument("start") or f"{today(now):%Y-%m}-01")
        end = date.fromisoformat(asked.argument("end") or today(now).isoformat())
    except ValueError:
        return json_answer({"start": ["Enter a valid date."]}, status=400)
    rows = [_row(day, now) for day in days_of(start, min(end, today(now)))]
    if asked.argument("ordering") == "-date":
        rows.reverse()
    return _page(asked, rows)


def _row(day: date, now: float) -> dict[str, object]:
    share = activity(day) * elapsed_of(day, now)
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


def _page(asked: Asked, rows: list[dict[str, object]]) -> Answer:
    number = int(asked.argument("page", "1"))
    more = [(name, value) for name, value in asked.query if name != "page"]

    def link(page: int) -> str | None:
        if not 0 < page <= max(-(-len(rows) // PAGE), 1):
            return None
        return f"{asked.origin}{asked.path}?{urlencode([*more, ('page', page)])}"

    return json_answer(
        {
            "count": len(rows),
            "next": link(number + 1),
            "previous": link(number - 1),
            "results": rows[(number - 1) * PAGE : number * PAGE],
        }
    )
