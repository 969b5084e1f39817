"""A snapshot as rows of bytes, for a store that keeps them without knowing what they are."""

import math
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from exporter.schedule.memory import BudgetMemo, JobMemo, Snapshot

JOB, BUDGET = "job/", "budget/"
KEPT_FOR = 35 * 86_400.0  # seconds past its due time: whose target is gone for so long has no wait

MOST = 1e15  # what no count and no time of a row exceeds

_Memo = TypeVar("_Memo", JobMemo, BudgetMemo)

_encode = msgspec.msgpack.Encoder().encode
_job = msgspec.msgpack.Decoder(JobMemo).decode
_budget = msgspec.msgpack.Decoder(BudgetMemo).decode


def rows(snapshot: Snapshot) -> dict[str, bytes]:
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
                budgets.append(_sane(_budget(row)))
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
