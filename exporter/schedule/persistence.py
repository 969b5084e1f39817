"""What is kept over a restart: the schedule in wall time, and how it becomes loop time again.

Loop time means nothing in another process, so times are written as epoch seconds. Read back, they
count from the moment they were written: a clock that was set back meanwhile takes nothing off a
wait.

A snapshot as rows of bytes, for a store that keeps them without knowing what they are.
"""

import math
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from exporter.model.health import WaitCause
from exporter.model.outcome import Reason
from exporter.schedule.budget import Budget, Window
from exporter.schedule.queue import JobEntry
from exporter.schedule.state import FailureStreak, JobState, unended

SHIFT = 2.0  # seconds that time servers may shift a clock by


class JobMemo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One job. `due`, `started`, `since` and `period_end` are epoch seconds.

    Of a job that is being polled, `due` is what follows if the poll never ends: a process that dies
    of its polls does not repeat them faster.
    """

    target: str
    collector: str
    due: float
    started: float | None = None
    last_success: float | None = None
    calls: float = 1.0
    period_end: float | None = None
    reason: Reason | None = None
    detail: str = ""
    since: float | None = None
    failures: int = 0
    alike: int = 0


class BudgetMemo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One budget. `until`, `stamp`, `reset`, `seen` and `recovered` are epoch seconds."""

    key: str
    until: float | None = None
    why: WaitCause | None = None
    strikes: int = 0
    refusals: int = 0
    tokens: float | None = None
    stamp: float | None = None
    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None
    seen: float | None = None
    next_start: float | None = None
    recovered: float | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The schedule as of `at` (epoch seconds)."""

    at: float
    jobs: tuple[JobMemo, ...] = ()
    budgets: tuple[BudgetMemo, ...] = ()


class Clocks(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One instant on two clocks: loop time and epoch seconds."""

    now: float
    wall: float

    def epoch(self, when: float) -> float:
        """Return the loop time `when` in epoch seconds."""
        return self.wall + when - self.now

    def epoch_or_none(self, when: float | None) -> float | None:
        """Return the loop time `when` in epoch seconds; None for never."""
        return None if when is None or math.isinf(when) else self.epoch(when)


def job_memo(entry: JobEntry, clocks: Clocks) -> JobMemo:
    """Return what is to be kept of a job."""
    state, running = entry.state, entry.running
    if running is not None:
        state = unended(state, running.started)
    return state_memo(entry.job.target, entry.job.collector, state, clocks)


def state_memo(target: str, collector: str, state: JobState, clocks: Clocks) -> JobMemo:
    """Return what is to be kept of a state."""
    trouble = state.trouble
    memo = JobMemo(
        target=target,
        collector=collector,
        due=clocks.epoch(state.due),
        started=clocks.epoch_or_none(state.started),
        last_success=state.last_success,
        calls=state.calls,
        period_end=state.period_end,
    )
    if trouble is None:
        return memo
    return msgspec.structs.replace(
        memo,
        reason=trouble.reason,
        detail=trouble.detail,
        since=clocks.epoch(trouble.since),
        failures=trouble.failures,
        alike=trouble.alike,
    )


def budget_memo(key: str, budget: Budget, clocks: Clocks) -> BudgetMemo:
    """Return what is to be kept of a budget."""
    window = budget.window
    memo = BudgetMemo(
        key=key,
        until=clocks.epoch_or_none(budget.until),
        why=budget.why,
        strikes=budget.strikes,
        refusals=budget.refusals,
        tokens=budget.tokens,
        stamp=clocks.epoch_or_none(budget.stamp),
        next_start=clocks.epoch_or_none(budget.next_start),
        recovered=clocks.epoch_or_none(budget.recovered),
    )
    if window is None:
        return memo
    return msgspec.structs.replace(
        memo,
        limit=window.limit,
        remaining=window.remaining,
        reset=clocks.epoch_or_none(window.reset),
        seen=clocks.epoch(window.seen),
    )


class Recollection(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot in this process's loop time."""

    states: dict[tuple[str, str], JobState]
    budgets: dict[str, Budget]


def recall(snapshot: Snapshot, clocks: Clocks) -> Recollection:
    """Return what `snapshot` means now.

    If the wall clock shows less than when it was written, no time at all is taken to have passed.
    """
    passed = max(0.0, clocks.wall - snapshot.at)
    written = Clocks(now=clocks.now - passed, wall=snapshot.at)
    back = clocks.wall - snapshot.at  # what is shown in wall time keeps its age, too
    back = back if back < -SHIFT else 0.0
    return Recollection(
        states={
            (memo.target, memo.collector): _state(memo, written, back) for memo in snapshot.jobs
        },
        budgets={memo.key: _budget(memo, written) for memo in snapshot.budgets},
    )


def _loop_time(epoch: float | None, written: Clocks) -> float:
    return -math.inf if epoch is None else written.now + epoch - written.wall


def _state(memo: JobMemo, written: Clocks, back: float) -> JobState:
    trouble = None
    if memo.reason is not None:
        trouble = FailureStreak(
            reason=memo.reason,
            detail=memo.detail,
            since=_loop_time(memo.since, written),
            failures=memo.failures,
            alike=memo.alike,
        )
    return JobState(
        due=_loop_time(memo.due, written),
        interval=0.0,  # the config's, once the job is known
        started=_loop_time(memo.started, written),
        trouble=trouble,
        last_success=None if memo.last_success is None else memo.last_success + back,
        calls=memo.calls,
        period_end=memo.period_end,
    )


def _budget(memo: BudgetMemo, written: Clocks) -> Budget:
    window = None
    if memo.remaining is not None:
        reset = None if memo.reset is None else _loop_time(memo.reset, written)
        window = Window(memo.limit, memo.remaining, reset, _loop_time(memo.seen, written))
    return Budget(
        until=_loop_time(memo.until, written),
        why=memo.why,
        strikes=memo.strikes,
        refusals=memo.refusals,
        tokens=memo.tokens,
        stamp=_loop_time(memo.stamp, written),
        window=window,
        next_start=_loop_time(memo.next_start, written),
        recovered=_loop_time(memo.recovered, written),
    )


def take_snapshot(
    entries: Iterable[JobEntry],
    kept_states: dict[tuple[str, str], JobState],
    budgets: dict[str, Budget],
    clocks: Clocks,
) -> Snapshot:
    """Return all that is to be kept. Jobs that were never polled and fresh budgets say nothing."""
    jobs = [job_memo(entry, clocks) for entry in entries if entry.running or entry.state.begun]
    jobs += [state_memo(*key, state, clocks) for key, state in kept_states.items()]
    return Snapshot(
        at=clocks.wall,
        jobs=tuple(jobs),
        budgets=tuple(
            budget_memo(key, budget, clocks)
            for key, budget in budgets.items()
            if budget != Budget()
        ),
    )


JOB, BUDGET = "job/", "budget/"
KEPT_FOR = 35 * 86_400.0  # seconds past its due time: whose target is gone for so long has no wait
MOST = 1e15  # what no count and no time of a row exceeds
_Memo = TypeVar("_Memo", JobMemo, BudgetMemo)
_encode = msgspec.msgpack.Encoder().encode
_job = msgspec.msgpack.Decoder(JobMemo).decode
_rows_budget = msgspec.msgpack.Decoder(BudgetMemo).decode


def snapshot_rows(snapshot: Snapshot) -> dict[str, bytes]:
    """Return `snapshot` as rows: one of each job and each budget, whose newest counts."""
    jobs = {job_key(memo.target, memo.collector): _encode(memo) for memo in snapshot.jobs}
    return jobs | {budget_key(memo.key): _encode(memo) for memo in snapshot.budgets}


def job_key(target: str, collector: str) -> str:
    """Return the key of a job's row."""
    return f"{JOB}{collector}/{target}"


def budget_key(budget: str) -> str:
    """Return the key of a budget's row."""
    return f"{BUDGET}{budget}"


def assemble(stored: Mapping[str, bytes], written_at: float) -> tuple[Snapshot, tuple[str, ...]]:
    """Return the snapshot of stored rows, and the keys of rows that are good for nothing.

    `written_at` (epoch seconds) is when the newest of them was written. A row that cannot be
    understood costs only itself: its job is polled as if it were new.
    """
    jobs: list[JobMemo] = []
    budgets: list[BudgetMemo] = []
    useless: list[str] = []
    for key, row in stored.items():
        try:
            if key.startswith(BUDGET):
                budgets.append(_sane(_rows_budget(row)))
            elif (job := _sane(_job(row))).due >= written_at - KEPT_FOR:
                jobs.append(job)
            else:
                useless.append(key)
        except (msgspec.MsgspecError, ValueError, TypeError):
            useless.append(key)
    snapshot = Snapshot(at=written_at, jobs=tuple(jobs), budgets=tuple(budgets))
    return snapshot, tuple(useless)


def _sane(memo: _Memo) -> _Memo:
    """Return `memo`; raise ValueError if a number in it cannot be: no arithmetic survives those."""
    for name in memo.__struct_fields__:
        value = getattr(memo, name)
        if isinstance(value, int | float) and not (math.isfinite(value) and abs(value) <= MOST):
            raise ValueError(name)
    return memo
