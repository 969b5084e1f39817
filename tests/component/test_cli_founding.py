"""``once`` as a process, against the recorded answers of TPStreams and the billing API.

The wall clock of the process stands at the instant that the recordings refer to.
"""

import asyncio

import pytest

from tests.support.recorded_targets import Cases, RecordedTargets, play, refused

NOVEMBER = {"start": "2026-11-01", "end": "2026-11-30"}
BARE = {"time_frame": "", "start": "", "end": "", "ordering": ""}

TPSTREAMS: Cases = {
    "daily": (("daily_page1", "daily_page2", "daily_page3"), {}),
    "monthly": (
        ("monthly",),
        {"params": {"time_frame": "monthly", "start": "2026-09-01", "ordering": ""}},
    ),
    "empty": (("empty",), {"params": {"start": "2026-12-01", "end": "2026-12-31"}}),
    "next_is_itself": (("next_is_itself",), {}),
    "error_429_html": (("error_429_html",), {}),
    "foreign": (("adversarial_next_foreign_host",), {}),
    "login": (
        ("login", "daily_page1", "daily_page2", "daily_page3"),
        {"credentials": {"username": "ops", "password": "***"}},
    ),
    "login_error_400": (
        ("login_error_400",),
        {"credentials": {"username": "ops", "password": "bad"}},
    ),
    "error_400": (
        ("error_400",),
        {"params": {**BARE, "start": "2026-13-01"}},
    ),
    **{
        f"error_{status}": ((f"error_{status}",), {"params": BARE})
        for status in (401, 403, 429, 500)
    },
    "error_404": (("error_404",), {"params": {**BARE, "organization_id": "nosuch"}}),
}
BILLING: Cases = {
    "current": (("current",), {}),
    "overage": (("overage",), {}),
    "range": (
        ("range",),
        {
            "params": {
                "metrics": ["api_calls", "storage"],
                "start_date": "2026-10-01",
                "end_date": "2026-10-31",
            }
        },
    ),
    "error_400": (
        ("error_400",),
        {"params": {"start_date": "2026-11-30", "end_date": "2026-11-01"}},
    ),
    **{
        case: ((case,), {})
        for case in ("error_401", "error_403", "error_404", "error_429", "error_500")
    },
    "error_429_http_date": (("error_429_http_date",), {}),
    "success_false": (("success_false",), {}),
    "not_a_number": (("not_a_number",), {}),
}


@pytest.fixture(scope="module")
def tpstreams(tmp_path_factory: pytest.TempPathFactory) -> RecordedTargets:
    usual = {
        "params": {"organization_id": "k7w2qd"},
        "limits": {"bandwidth": "5 TB", "storage": "500 GB", "spend": "20 USD"},
    }
    folder = tmp_path_factory.mktemp("tpstreams")
    return asyncio.run(play(folder, "tpstreams", TPSTREAMS, usual))


@pytest.fixture(scope="module")
def billing_usage(tmp_path_factory: pytest.TempPathFactory) -> RecordedTargets:
    folder = tmp_path_factory.mktemp("billing_usage")
    return asyncio.run(play(folder, "billing_usage", BILLING, {}))


def test_every_request_was_as_recorded(
    tpstreams: RecordedTargets, billing_usage: RecordedTargets
) -> None:
    for found in (tpstreams, billing_usage):
        assert {name: replay.strange for name, replay in found.replays.items()} == {
            name: [] for name in found.replays
        }
        assert found.done.code == 5


def test_tpstreams_gives_what_was_worked_out_by_hand(tpstreams: RecordedTargets) -> None:
    found = tpstreams
    for case in ("daily", "login"):
        assert found.values(case, "usage_bytes") == {
            "bandwidth": 459_400_000_000,
            "storage": 469_740_000_000,
            "storage_active": 430_900_000_000,
            "storage_deleted": 38_840_000_000,
        }
        assert found.values(case, "usage_quantity") == {"live_stream": 16_200}
        assert found.values(case, "usage_limit_bytes") == {
            "bandwidth": 5e12,
            "storage": 5e11,
        }
        ratios = found.values(case, "usage_ratio")
        assert ratios == {
            "bandwidth": pytest.approx(0.09188),
            "storage": pytest.approx(0.93948),
            "spend": pytest.approx(0.3075),
        }
        cost = found.seen.get("usage_cost", account=case, currency="USD")
        assert cost == pytest.approx(6.15)
        starts = found.values(case, "usage_period_start_timestamp_seconds")
        ends = found.values(case, "usage_period_end_timestamp_seconds")
        assert set(starts.values()) == {1_793_491_200}
        assert set(ends.values()) == {1_796_083_200}
        assert set(starts) == {"bandwidth", "live_stream", "spend"}


def test_tpstreams_by_month_sums_what_was_asked_for(tpstreams: RecordedTargets) -> None:
    found = tpstreams
    used = found.values("monthly", "usage_bytes")
    assert used["bandwidth"] == 648_221_450_112 + 702_914_008_377 + 459_400_000_000
    assert used["storage"] == 469_740_000_000  # by its date, wherever it stands
    starts = found.values("monthly", "usage_period_start_timestamp_seconds")
    assert starts["bandwidth"] == 1_788_220_800  # 2026-09-01
    assert found.values("empty", "usage_bytes") == {"bandwidth": 0}
    assert found.seen.get("usage_up", account="empty") == 1


@pytest.mark.parametrize(
    ("case", "reason", "words"),
    [
        ("foreign", "paging", "attacker.example.net"),
        ("next_is_itself", "paging", "page"),
        ("error_429_html", "rate_limited", "429"),
        ("login_error_400", "auth", "Unable to log in with provided credentials."),
        ("error_400", "http_4xx", "Enter a valid date."),
        ("error_401", "auth", "Invalid token."),
        ("error_403", "forbidden", "You do not have permission to perform this action."),
        ("error_404", "http_4xx", "Not found."),
        ("error_429", "rate_limited", "Expected available in 37 seconds."),
        ("error_500", "http_5xx", "Server Error (500)"),
    ],
)
def test_tpstreams_errors_say_why(
    tpstreams: RecordedTargets, case: str, reason: str, words: str
) -> None:
    refused(tpstreams, case, reason, words)


def test_billing_usage_gives_what_was_worked_out_by_hand(billing_usage: RecordedTargets) -> None:
    found = billing_usage
    assert found.values("current", "usage_requests") == {"api_calls": 131_480}
    assert found.values("current", "usage_bytes") == {"storage": 148.25e9, "bandwidth": 402.6e9}
    assert found.values("current", "usage_quantity") == {
        "seats": 12,
        "emails": 9_120,
        "webhooks": 57_310,
    }
    assert found.values("current", "usage_limit_requests") == {"api_calls": 250_000}
    assert found.values("current", "usage_limit_bytes") == {"storage": 200e9, "bandwidth": 1500e9}
    assert found.values("current", "usage_limit_quantity") == {
        "seats": 15,
        "emails": 40_000,
        "webhooks": 100_000,
    }
    assert found.values("current", "usage_projected_requests") == {"api_calls": 262_960}
    assert found.values("current", "usage_projected_bytes")["bandwidth"] == 805.2e9
    assert set(found.values("current", "usage_period_end_timestamp_seconds").values()) == {
        1_796_083_200  # the inclusive end of the answer, made exclusive
    }
    costs = {
        name: found.seen.get(name, account="overage", currency="USD")
        for name in ("usage_cost", "usage_cost_base", "usage_cost_overage")
    }
    assert costs == {"usage_cost": 121.75, "usage_cost_base": 79, "usage_cost_overage": 42.75}
    assert found.values("overage", "usage_ratio") == {
        "api_calls": pytest.approx(1.15),
        "storage": pytest.approx(1.0225),
        "seats": pytest.approx(0.8),
        "bandwidth": pytest.approx(0.2684),
        "emails": pytest.approx(0.228),
        "webhooks": pytest.approx(0.5731),
    }
    assert found.values("overage", "usage_overage_requests") == {"api_calls": 37_500}
    assert found.values("overage", "usage_overage_bytes") == {"storage": 4.5e9, "bandwidth": 0}
    # A range of last month is over, so its flows are no longer published; levels are.
    assert found.values("range", "usage_bytes") == {"storage": 139.9e9}
    assert found.seen.get("usage_up", account="range") == 1


@pytest.mark.parametrize(
    ("case", "reason", "words"),
    [
        ("error_400", "http_4xx", "Invalid date range: startDate must be before endDate"),
        ("error_401", "auth", "Authentication required"),
        ("error_403", "forbidden", "Insufficient permissions"),
        ("error_404", "http_4xx", "Subscription not found"),
        ("error_429", "rate_limited", "Too many requests"),
        ("error_429_http_date", "rate_limited", "Too many requests"),
        ("success_false", "schema", "the answer says that it failed"),
        ("not_a_number", "not_json", "NaN and Infinity are not JSON"),
        ("error_500", "http_5xx", "An unexpected error occurred"),
    ],
)
def test_billing_usage_errors_say_why(
    billing_usage: RecordedTargets, case: str, reason: str, words: str
) -> None:
    refused(billing_usage, case, reason, words)
