"""What is kept over a restart: loop time to wall time, and back in another process."""

import msgspec
import pytest

from exporter.model.health import WaitCause
from exporter.model.outcome import Reason
from exporter.schedule.budget import Budget, Window
from exporter.schedule.job import BudgetLimits
from exporter.schedule.persistence import Clocks, JobMemo, Snapshot, recall, take_snapshot
from exporter.schedule.queue import BudgetQueue, HostCount, JobEntry, RunningPoll
from exporter.schedule.state import FailureStreak, JobState, fresh
from tests.support.schedule import DAY, EPOCH, a_job

BEFORE = Clocks(now=5000.0, wall=EPOCH)
TROUBLE = FailureStreak(reason=Reason.AUTH, detail="401", since=4000.0, failures=7, alike=3)
STATE = JobState(
    due=5600.0,
    interval=300.0,
    started=4900.0,
    trouble=TROUBLE,
    last_success=EPOCH - 9000.0,
    calls=3.5,
    period_end=EPOCH + DAY,
)
BUDGET = Budget(
    until=5120.0,
    why=WaitCause.THROTTLED,
    strikes=2,
    refusals=1,
    tokens=-1.5,
    stamp=4990.0,
    window=Window(100.0, 20.0, 5900.0, 4990.0),
    next_start=5010.0,
    recovered=5240.0,
)


def kept() -> Snapshot:
    states = {("video", "usage"): STATE}
    return take_snapshot([], states, {"host#key": BUDGET, "host#fresh": Budget()}, BEFORE)


def through_json(memo: Snapshot) -> Snapshot:
    return msgspec.json.decode(msgspec.json.encode(memo), type=Snapshot)


def test_another_process_knows_what_this_one_knew() -> None:
    again = recall(through_json(kept()), Clocks(now=100.0, wall=EPOCH + 60.0))
    state = again.states["video", "usage"]
    assert state.due == pytest.approx(100.0 + 540.0)
    assert state.started == pytest.approx(100.0 - 160.0)
    assert state.trouble is not None
    assert state.trouble.since == pytest.approx(100.0 - 1060.0)
    assert (state.trouble.reason, state.trouble.failures, state.trouble.alike) == ("auth", 7, 3)
    assert (state.last_success, state.calls, state.period_end) == (EPOCH - 9000, 3.5, EPOCH + DAY)
    budget = again.budgets["host#key"]
    assert budget.until == pytest.approx(160.0)
    assert (budget.why, budget.strikes, budget.refusals) == (WaitCause.THROTTLED, 2, 1)
    assert budget.tokens == -1.5
    assert budget.stamp == pytest.approx(30.0)
    assert budget.next_start == pytest.approx(50.0)
    assert budget.recovered == pytest.approx(280.0)
    assert budget.window is not None
    assert budget.window.reset == pytest.approx(940.0)
    assert (budget.window.limit, budget.window.remaining) == (100.0, 20.0)


def test_a_budget_of_which_nothing_is_known_is_not_worth_a_row() -> None:
    assert [memo.key for memo in kept().budgets] == ["host#key"]


def test_a_clock_that_was_set_back_takes_nothing_off_a_wait() -> None:
    again = recall(kept(), Clocks(now=100.0, wall=EPOCH - 3600.0))
    assert again.budgets["host#key"].until == pytest.approx(220.0)
    assert again.states["video", "usage"].due == pytest.approx(700.0)


def an_entry(state: JobState) -> JobEntry:
    return JobEntry(a_job(), state, BudgetQueue("host#key", HostCount("host"), BudgetLimits()))


def test_a_job_that_never_started_has_nothing_to_remember() -> None:
    assert take_snapshot([an_entry(fresh(a_job(), 5010.0))], {}, {}, BEFORE).jobs == ()


def test_a_process_that_dies_of_its_polls_does_not_repeat_them_faster() -> None:
    entry = an_entry(fresh(a_job(), 4990.0))
    entry.running = RunningPoll(4990.0, 1, HostCount("host"), lambda: None)
    (memo,) = take_snapshot([entry], {}, {}, BEFORE).jobs
    assert memo == JobMemo(
        target="video", collector="usage", due=EPOCH + 290.0, started=EPOCH - 10.0
    )
