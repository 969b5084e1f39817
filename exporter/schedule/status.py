"""What others may know of the schedule: the status of each job and budget, in wall time.

Made when it is asked for, nothing is kept. Health and wait are worked out here and nowhere else:
the status page, its JSON, the log and the metrics map `JobStatus.health` and `JobStatus.cause`.
"""

import msgspec

from exporter.model.health import Health, WaitCause
from exporter.model.outcome import Reason
from exporter.model.reading import RateLimit
from exporter.schedule.queue import BudgetQueue, JobEntry
from exporter.schedule.state import Clocks


class BudgetStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A budget: `wait` seconds left and the `cause`; what the vendor's headers said; who uses it.

    `declared_rate` is requests per second, the reserve taken off: the share of the vendor's limit
    that is left to others. `throttlings` are throttled polls in a row.
    """

    key: str
    wait: float = 0.0
    cause: WaitCause | None = None
    throttlings: int = 0
    rate: RateLimit | None = None
    declared_rate: float | None = None
    reserve: float = 0.0
    jobs: int = 0
    queued: int = 0
    running: int = 0


class JobStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A job as people see it. `next_poll` and `last_*` are epoch seconds, the others seconds.

    `wait` is what is left of a wait that is not just the interval, and `cause` why: the longer of
    the budget's wait and the job's own after failures; 0 and None when there is neither.
    `lateness` is how late the last poll started, `last_attempt` when the last one that ended did.
    """

    target: str
    provider: str
    collector: str
    next_poll: float
    interval: float
    health: Health = Health.NEVER_POLLED
    running: bool = False
    failures: int = 0
    reason: Reason | None = None
    detail: str = ""
    failing_since: float | None = None
    last_attempt: float | None = None
    last_success: float | None = None
    wait: float = 0.0
    cause: WaitCause | None = None
    lateness: float = 0.0
    calls: float = 1.0
    budget: BudgetStatus

    @property
    def paused(self) -> bool:
        """Whether the job waits because its credential was rejected, in its own poll or another."""
        return self.health is Health.PAUSED or self.budget.cause is WaitCause.REFUSED


_CAUSES = {
    Reason.AUTH: WaitCause.REFUSED,
    Reason.FORBIDDEN: WaitCause.FORBIDDEN,
    # The job comes some seconds after its budget's wait, as there is no hurry.
    Reason.RATE_LIMITED: WaitCause.THROTTLED,
    Reason.QUOTA_EXHAUSTED: WaitCause.QUOTA,
}
"""Why a job waits after a failure for this reason; after others it backs off."""


def budget_status(queue: BudgetQueue, clocks: Clocks) -> BudgetStatus:
    """Return the status of a queue's budget."""
    held = queue.hold(clocks.now, 1)
    window, rate = queue.budget.window, None
    if window is not None and not window.over(clocks.now):
        rate = RateLimit(
            limit=window.limit,
            remaining=window.remaining,
            reset_at=clocks.epoch_or_none(window.reset),
        )
    return BudgetStatus(
        key=queue.key,
        wait=0.0 if held is None else held.until - clocks.now,
        cause=None if held is None else held.cause,
        throttlings=queue.budget.throttlings,
        rate=rate,
        declared_rate=queue.limits.rate,
        reserve=queue.limits.reserve,
        jobs=queue.jobs,
        queued=len(queue.due or ()),
        running=len(queue.running),
    )


def job_status(entry: JobEntry, budget: BudgetStatus, clocks: Clocks) -> JobStatus:
    """Return the status of a job, given that of its budget."""
    job, state, streak = entry.job, entry.state, entry.state.streak
    left = max(0.0, state.due - clocks.now)
    wait, cause = budget.wait, budget.cause
    if streak is not None and left > wait:
        wait, cause = left, _CAUSES.get(streak.reason, WaitCause.FAILURES)
    polled = state.health is not Health.NEVER_POLLED
    return JobStatus(
        target=job.target,
        provider=job.provider,
        collector=job.collector,
        next_poll=clocks.wall + max(left, budget.wait),
        interval=state.interval,
        health=state.health,
        running=entry.running is not None,
        failures=state.failures,
        reason=None if streak is None else streak.reason,
        detail="" if streak is None else streak.detail,
        failing_since=None if streak is None else clocks.epoch(streak.since),
        last_attempt=clocks.epoch_or_none(state.started) if polled else None,
        last_success=state.last_success,
        wait=wait,
        cause=cause,
        lateness=entry.lateness,
        calls=state.calls,
        budget=budget,
    )
