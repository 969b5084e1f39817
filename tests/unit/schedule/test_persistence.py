"""What is kept over a restart: rows of bytes, in wall time, and back in another process."""

import msgspec
import pytest

from exporter.model.health import WaitCause
from exporter.model.outcome import Reason
from exporter.schedule.budget import Budget, Window
from exporter.schedule.job import BudgetLimits
from exporter.schedule.persistence import (
    Snapshot,
    account_rows,
    read_rows,
    read_schedule,
    recalled,
    refused_rows,
    schedule_rows,
    snapshot,
    useless_keys,
)
from exporter.schedule.queue import BudgetQueue, Host, JobEntry, RunningPoll
from exporter.schedule.state import Clocks, FailureStreak, JobState, new_state
from tests.support.schedule import DAY, EPOCH, a_job

BEFORE = Clocks(now=5000.0, wall=EPOCH)
VIDEO, SLASH = ("video", "usage"), ("a/b", "usage")
STATES = {
    VIDEO: JobState(
        due=5600.0,
        interval=300.0,
        started=4900.0,
        streak=FailureStreak(reason=Reason.AUTH, detail="401", since=4000.0, failures=7, alike=3),
        last_success=EPOCH - 9000.0,
        calls=3.5,
        period_end=EPOCH + DAY,
    ),
    SLASH: JobState(due=5060.0, interval=60.0, started=5000.0, last_success=EPOCH),
}
BUDGETS = {
    "host#key": Budget(
        until=5120.0,
        cause=WaitCause.THROTTLED,
        throttlings=2,
        rejections=1,
        tokens=-1.5,
        tokens_at=4990.0,
        window=Window(100.0, 20.0, 5900.0, 4990.0),
        next_start=5010.0,
        recovery_end=5240.0,
    ),
    "host#dead": Budget(until=8600.0, cause=WaitCause.REFUSED, rejections=3),
    "host#quota": Budget(
        until=8600.0,
        cause=WaitCause.QUOTA,
        throttlings=1,
        window=Window(None, 3.0, None, 4990.0),
        recovery_end=9000.0,
    ),
}
FIRST_FORM = {
    "budget/host#dead": b"\x84\xa3key\xa9host#dead\xa5until\xcbA\xda\xacRd\x00\x00\x00\xa3why\xb2"
    b"credential refused\xa8refusals\x03",
    "budget/host#key": b"\x8d\xa3key\xa8host#key\xa5until\xcbA\xda\xacN\xfe\x00\x00\x00\xa3why\xa9"
    b"throttled\xa7strikes\x02\xa8refusals\x01\xa6tokens\xcb\xbf\xf8\x00\x00\x00\x00\x00\x00"
    b"\xa5stamp\xcbA\xda\xacN\xdd\x80\x00\x00\xa5limit\xcb@Y\x00\x00\x00\x00\x00\x00\xa9remaining"
    b"\xcb@4\x00\x00\x00\x00\x00\x00\xa5reset\xcbA\xda\xacO\xc1\x00\x00\x00\xa4seen\xcbA\xda\xacN"
    b"\xdd\x80\x00\x00\xaanext_start\xcbA\xda\xacN\xe2\x80\x00\x00\xa9recovered\xcbA\xda\xacO\x1c"
    b"\x00\x00\x00",
    "budget/host#quota": b"\x87\xa3key\xaahost#quota\xa5until\xcbA\xda\xacRd\x00\x00\x00\xa3why\xaf"
    b"quota exhausted\xa7strikes\x01\xa9remaining\xcb@\x08\x00\x00\x00\x00\x00\x00\xa4seen\xcbA"
    b"\xda\xacN\xdd\x80\x00\x00\xa9recovered\xcbA\xda\xacR\xc8\x00\x00\x00",
    "job/usage/a/b": b"\x86\xa6target\xa3a/b\xa9collector\xa5usage\xa3due\xcbA\xda\xacN\xef\x00\x00"
    b"\x00\xa7started\xcbA\xda\xacN\xe0\x00\x00\x00\xaclast_success\xcbA\xda\xacN\xe0\x00\x00\x00"
    b"\xa5calls\xcb?\xf0\x00\x00\x00\x00\x00\x00",
    "job/usage/video": b"\x8c\xa6target\xa5video\xa9collector\xa5usage\xa3due\xcbA\xda\xacOv\x00"
    b"\x00\x00\xa7started\xcbA\xda\xacN\xc7\x00\x00\x00\xaclast_success\xcbA\xda\xacF\x16\x00\x00\x00"
    b"\xa5calls\xcb@\x0c\x00\x00\x00\x00\x00\x00\xaaperiod_end\xcbA\xda\xac\xa3@\x00\x00\x00\xa6"
    b"reason\xa4auth\xa6detail\xa3401\xa5since\xcbA\xda\xacM\xe6\x00\x00\x00\xa8failures\x07\xa5"
    b"alike\x03",
}
"""The same states and budgets, as written when rows were flat and named their key."""


def kept() -> Snapshot:
    return snapshot(STATES, BUDGETS | {"host#unknown": Budget()}, BEFORE)


def test_rows_become_the_snapshot_again() -> None:
    rows = schedule_rows(kept())
    assert list(rows) == [
        "job/usage/video",
        "job/usage/a/b",
        "budget/host#key",
        "budget/host#dead",
        "budget/host#quota",
    ]
    assert read_schedule(rows, EPOCH) == (kept(), ())


def test_rows_of_the_first_form_are_still_read() -> None:
    found, useless = read_schedule(FIRST_FORM, EPOCH)
    without_interval = {
        key: msgspec.structs.replace(state, interval=0.0) for key, state in kept().states.items()
    }
    assert useless == ()
    assert dict(found.states) == without_interval
    assert dict(found.budgets) == dict(kept().budgets)


def test_another_process_knows_what_this_one_knew() -> None:
    again = recalled(kept(), Clocks(now=100.0, wall=EPOCH + 60.0))
    state, before = again.states[VIDEO], STATES[VIDEO]
    by = 100.0 - 60.0 - 5000.0
    assert state.due == pytest.approx(before.due + by)
    assert state.started == pytest.approx(before.started + by)
    assert state.streak is not None
    assert state.streak.since == pytest.approx(4000.0 + by)
    assert (state.streak.reason, state.streak.failures, state.streak.alike) == ("auth", 7, 3)
    assert (state.last_success, state.calls, state.period_end) == (EPOCH - 9000, 3.5, EPOCH + DAY)
    budget = again.budgets["host#key"]
    assert budget.until == pytest.approx(160.0)
    assert (budget.cause, budget.throttlings, budget.rejections) == ("throttled", 2, 1)
    assert budget.tokens == -1.5
    assert budget.tokens_at == pytest.approx(30.0)
    assert budget.next_start == pytest.approx(50.0)
    assert budget.recovery_end == pytest.approx(280.0)
    assert budget.window is not None
    assert budget.window.reset == pytest.approx(940.0)
    assert (budget.window.limit, budget.window.remaining) == (100.0, 20.0)


def test_a_budget_of_which_nothing_is_known_is_not_worth_a_row() -> None:
    assert "host#unknown" not in kept().budgets


def test_a_clock_that_was_set_back_takes_nothing_off_a_wait() -> None:
    again = recalled(kept(), Clocks(now=100.0, wall=EPOCH - 3600.0))
    assert again.budgets["host#key"].until == pytest.approx(220.0)
    assert again.states[VIDEO].due == pytest.approx(700.0)
    assert again.states[VIDEO].last_success == EPOCH - 9000.0 - 3600.0


def test_a_row_that_cannot_be_understood_costs_only_itself() -> None:
    rows = schedule_rows(kept()) | {
        "job/usage/video": b"\xc1",
        "job/usage/list": b"\x90",
        "budget/x": b"\x80",
        "from/the/future": b"",
    }
    found, useless = read_schedule(rows, EPOCH)
    assert list(found.states) == [SLASH]
    assert {*BUDGETS} <= {*found.budgets}
    assert useless == ("job/usage/video", "job/usage/list", "from/the/future")


def test_targets_that_are_gone_for_long_are_useless() -> None:
    found, useless = read_schedule(schedule_rows(kept()), EPOCH + 36 * DAY)
    assert found.states == {}
    assert useless == ("job/usage/video", "job/usage/a/b")


def test_a_target_that_is_another_account_now_keeps_only_the_start_of_its_last_poll() -> None:
    rows = schedule_rows(kept())
    rows |= account_rows({"video": "one", "a/b": "same"}) | refused_rows({"video": "digest"})
    known = read_rows(rows, EPOCH, {"video": "two", "a/b": "same"})
    began = EPOCH - 100.0
    assert known.snapshot.states[VIDEO] == JobState(due=began, interval=300.0, started=began)
    assert known.snapshot.states[SLASH] == kept().states[SLASH]
    assert known.other_accounts == {"video"}
    assert known.refused == {}
    useless = useless_keys(known, schedule_rows(kept()), ["a/b"])
    assert set(useless) == {"account/video", "refused/video"}


def an_entry(state: JobState) -> JobEntry:
    return JobEntry(a_job(), state, BudgetQueue("host#key", Host("host"), BudgetLimits()))


def test_a_job_that_never_started_has_nothing_to_remember() -> None:
    entry = an_entry(new_state(a_job(), 5010.0))
    assert snapshot({VIDEO: entry.if_process_died()}, {}, BEFORE).states == {}


def test_a_process_that_dies_of_its_polls_does_not_repeat_them_faster() -> None:
    entry = an_entry(new_state(a_job(), 4990.0))
    entry.running = RunningPoll(4990.0, 1, Host("host"), lambda: None)
    state = snapshot({VIDEO: entry.if_process_died()}, {}, BEFORE).states[VIDEO]
    assert (state.due, state.started) == (EPOCH + 290.0, EPOCH - 10.0)
