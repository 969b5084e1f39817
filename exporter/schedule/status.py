"""What the status page and the self-metrics may know of the schedule, in wall time."""

import msgspec

from exporter.model.health import Health, WaitCause
from exporter.model.outcome import Reason
from exporter.model.reading import RateLimit
from exporter.schedule.budget import Budget
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


def budget_status(queue: BudgetQueue, clocks: Clocks) -> BudgetStatus:
    """Return what there is to know of a queue's budget."""
    budget = queue.budget
    held = queue.hold(clocks.now, 1)
    return BudgetStatus(
        key=queue.key,
        wait=0.0 if held is None else held.until - clocks.now,
        cause=None if held is None else held.cause,
        throttlings=budget.throttlings,
        rate=_rate(budget, clocks),
        declared_rate=queue.limits.rate,
        reserve=queue.limits.reserve,
        jobs=queue.jobs,
        queued=len(queue.due or ()),
        running=len(queue.running),
    )


def _rate(budget: Budget, clocks: Clocks) -> RateLimit | None:
    window = budget.window
    if window is None or window.over(clocks.now):
        return None
    return RateLimit(
        limit=window.limit,
        remaining=window.remaining,
        reset_at=clocks.epoch_or_none(window.reset),
    )


def job_status(entry: JobEntry, budget: BudgetStatus, clocks: Clocks) -> JobStatus:
    """Return what there is to know of a job."""
    job, state = entry.job, entry.state
    streak = state.streak
    wait, cause = _job_wait(entry, budget, clocks.now)
    return JobStatus(
        target=job.target,
        provider=job.provider,
        collector=job.collector,
        next_poll=clocks.wall + max(0.0, state.due - clocks.now, budget.wait),
        interval=state.interval,
        health=state.health,
        running=entry.running is not None,
        failures=state.failures,
        reason=None if streak is None else streak.reason,
        detail="" if streak is None else streak.detail,
        failing_since=None if streak is None else clocks.epoch(streak.since),
        last_attempt=None
        if state.health is Health.NEVER_POLLED
        else clocks.epoch_or_none(state.started),
        last_success=state.last_success,
        wait=wait,
        cause=cause,
        lateness=entry.lateness,
        calls=state.calls,
        budget=budget,
    )


def _job_wait(entry: JobEntry, budget: BudgetStatus, now: float) -> tuple[float, WaitCause | None]:
    """Return the longer of the budget's wait and the job's own after failures."""
    own = max(0.0, entry.state.due - now)
    streak = entry.state.streak
    if streak is None or own <= budget.wait:
        return budget.wait, budget.cause
    return own, _OF_REASON.get(streak.reason, WaitCause.FAILURES)


_OF_REASON = {
    Reason.AUTH: WaitCause.REFUSED,
    Reason.FORBIDDEN: WaitCause.FORBIDDEN,
    # The job comes some seconds after its budget's wait, as there is no hurry.
    Reason.RATE_LIMITED: WaitCause.THROTTLED,
    Reason.QUOTA_EXHAUSTED: WaitCause.QUOTA,
}
