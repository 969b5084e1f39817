"""The state of one job, the events that change it, and when its next poll is due.

A job is one collector of one target. Its state says when the next poll is due and how the last ones
ended; `JobState.health` names it. Everything here is pure: a function takes a state and the instant
of an event, and returns the next state.

- `poll_ended`: after a success the next poll is due one interval after the start of this one,
  moved to shortly after the vendor's data changes where that is known. After a failure it depends
  on the reason: throttled, when the budget's wait ends; transient, after an exponential back-off
  that begins below the interval; rejected credential, after pauses of 15 min to 6 h; an answer that
  cannot be used, after a back-off that begins at the interval.
- `poll_cancelled`, `process_stopped`, `process_died`: no outcome. The requests may have been made,
  so the next poll keeps a distance to the start of this one.
- `secret_changed`: a job whose credential was rejected is due at once.
- `interval_changed`, `request_changed`, `removed`: the config was reloaded.
- `restored`: a state that an earlier process wrote.

No poll starts earlier than `min_interval` after the start of the one before (except after a changed
secret), and none inside the wait of its budget, which `budget` keeps: what is due inside it waits.
Only `adaptive` makes polls more frequent than the interval.

Times are loop time in seconds unless a docstring says epoch seconds. `chance` is a random number in
[0, 1): it spreads waits upward, never downward, so that clients that failed together do not come
back together.
"""

import hashlib
import math
from typing import TypeAlias, assert_never

import msgspec

from exporter.model.events import TargetBack, TargetDown
from exporter.model.health import AT_LIMIT, NEAR_LIMIT, Health
from exporter.model.outcome import Failure, Poll, Reason, Unchanged
from exporter.model.reading import Reading
from exporter.schedule.job import Job

FIRST_PER_SECOND = 20.0  # first polls after a start: values come soon, vendors see no burst
FIRST_WITHIN = 30.0  # when readiness stops waiting for first attempts
FIRST_PER_SECOND_MAX = 200.0  # what a quarter of a core polls
STEADY_PER_SECOND = 2.0  # later the polls spread further
AUTH_PAUSES = (900.0, 3600.0, 21_600.0)  # a dead key: 6 tries on the first day, then 4 a day
AUTH_JITTER = 0.1
ALIGN_FROM = 3600.0  # below that a cadence is how long a vendor caches, not when it publishes
ALIGN_PHASE = 0.1  # of the vendor's cadence: come a little after its data, not all at once
ALIGN_PHASE_MAX = 300.0
FASTEST = 4.0  # times, at the limit
JITTER = 0.25  # of our own steps, upward
WAIT_MARGIN = 1.0  # second: some vendors round their waits down
WAIT_JITTER = 0.1  # of a wait that the vendor asked for, upward too
WAIT_JITTER_MAX = 30.0  # seconds
EXPONENT_MAX = 62  # 2**62 s is far beyond every cap; 2.0**1024 would overflow
RETRY_BASE = 300.0  # a first retry comes after this or the interval, whichever is less
RETRY_CAP = 900.0  # a vendor that is down is asked this often, or at the interval if longer
FIX_CAP = 3600.0  # an answer that we cannot use does not change soon
AGAIN_MIN = 30.0  # after a wait of a moment, too: usage figures are not worth a race
LEARN = 0.25  # how fast the expected number of requests of a poll shrinks
WAKE_MIN = 1.0  # between two tries when a secret changes again and again

StateEvent: TypeAlias = TargetDown | TargetBack


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


class PollEnd(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The instant at which a poll ended: `now`, which is `wall` in epoch seconds."""

    now: float
    wall: float
    started: float
    chance: float = 0.0


class FailureStreak(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The failures since the last success: how many, the last one's reason, the first one's end.

    `alike` counts those at the end of the row after which the next poll is due by the same rule.
    """

    reason: Reason
    detail: str
    since: float
    failures: int
    alike: int

    @property
    def paused(self) -> bool:
        """Whether the credential was rejected."""
        return self.reason.health is Health.PAUSED


class JobState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """When a job is due, and how its polls went.

    `started` is the start of the last poll, `last_success` epoch seconds. `calls` is how many
    requests a poll makes, as learned. `settle` stretches the gap after the first poll, once.
    `period_end` (epoch seconds) is when the vendor's quota starts again, where a reading says so.
    """

    due: float
    interval: float
    started: float = -math.inf
    streak: FailureStreak | None = None
    last_success: float | None = None
    calls: float = 1.0
    settle: float = 0.0
    period_end: float | None = None

    @property
    def failures(self) -> int:
        """Consecutive failures."""
        return 0 if self.streak is None else self.streak.failures

    @property
    def health(self) -> Health:
        """How the last poll ended."""
        if self.streak is not None:
            return self.streak.reason.health
        return Health.NEVER_POLLED if self.last_success is None else Health.UP

    @property
    def begun(self) -> bool:
        """Whether a poll ever started."""
        return self.started > -math.inf

    @property
    def cost(self) -> int:
        """The requests that the next poll is expected to make."""
        return max(1, math.ceil(self.calls - 1e-6))


# ---------------------------------------------------------------------------------- a poll ended


def poll_ended(
    job: Job,
    state: JobState,
    poll: Poll,
    end: PollEnd,
    *,
    budget_wait: float,
    ratio: float | None = None,
) -> tuple[JobState, tuple[StateEvent, ...]]:
    """Return the state after `poll`, and the events if the target went down or came back.

    Until `budget_wait` the job's budget holds all polls. `ratio` is the highest one of used to
    limit that the poll speaks of.
    """
    match poll.outcome:
        case Failure() as failure:
            return _poll_failed(job, state, poll, failure, end, budget_wait=budget_wait)
        case Reading() as reading:
            interval = paced_interval(job, ratio)
            ends = [usage.period.end for usage in reading.usages if usage.period is not None]
            period_end = min((at for at in ends if at > end.wall), default=None)
        case Unchanged():
            interval, period_end = state.interval, state.period_end
        case _:
            assert_never(poll.outcome)
    due = end.started + interval + state.settle
    if job.data_cadence is not None:
        due = end.now + aligned(job, end.wall + due - end.now) - end.wall
    after = JobState(
        due=due,
        interval=interval,
        started=end.started,
        last_success=poll.at,
        calls=_learn(state.calls, len(poll.exchanges), whole=True),
        period_end=period_end,
    )
    if state.streak is None:
        return after, ()
    back = TargetBack(
        provider=poll.provider,
        target=poll.target,
        collector=poll.collector,
        failures=state.streak.failures,
        down_for=max(0.0, end.now - state.streak.since),
    )
    return after, (back,)


def _poll_failed(
    job: Job, state: JobState, poll: Poll, failure: Failure, end: PollEnd, *, budget_wait: float
) -> tuple[JobState, tuple[StateEvent, ...]]:
    before, reason = state.streak, failure.reason
    alike = before is not None and (reason.health, reason.transient) == (
        before.reason.health,
        before.reason.transient,
    )
    streak = FailureStreak(
        reason=reason,
        detail=failure.detail,
        since=end.now if before is None else before.since,
        failures=state.failures + 1,
        alike=before.alike + 1 if before is not None and alike else 1,
    )
    due = _due_after_failure(job, streak, failure, end, budget_wait)
    due = max(due, end.started + job.min_interval)
    after = msgspec.structs.replace(
        state,
        due=due,
        interval=max(job.interval, job.min_interval),
        started=end.started,
        streak=streak,
        calls=_learn(state.calls, len(poll.exchanges), whole=False),
    )
    if before is not None and before.reason is reason:
        return after, ()
    down = TargetDown(
        provider=poll.provider,
        target=poll.target,
        collector=poll.collector,
        reason=reason,
        detail=failure.detail,
        next_poll=end.wall + max(due, budget_wait) - end.now,
    )
    return after, (down,)


def _due_after_failure(
    job: Job, streak: FailureStreak, failure: Failure, end: PollEnd, budget_wait: float
) -> float:
    health = failure.reason.health
    if health is Health.THROTTLED:
        return max(budget_wait, end.started + min(job.interval, AGAIN_MIN))
    floor = min(failure.wait or 0.0, job.throttling.max_wait)
    if health is Health.PAUSED:
        return end.now + max(auth_pause(streak.alike, end.chance), job.interval, floor)
    if failure.reason.transient:
        base, cap = min(job.interval, RETRY_BASE), max(job.interval, RETRY_CAP)
    else:
        base, cap = job.interval, max(job.interval, FIX_CAP)
    cap = max(cap, floor)
    return end.now + backoff(streak.alike, end.chance, floor=floor, base=base, cap=cap)


def _learn(calls: float, seen: int, *, whole: bool) -> float:
    """Return how many requests the next poll is expected to make: grows at once, shrinks slowly.

    A poll that failed may have stopped half way: it can only show that there are more.
    """
    if seen > calls:
        return float(seen)
    if not whole or seen == 0:
        return calls
    return calls + LEARN * (seen - calls)


# ------------------------------------------------------------------------ a poll without an outcome


def poll_cancelled(job: Job, state: JobState, started: float) -> JobState:
    """Return the state after a poll that the runner cancelled, as if it had not been due.

    What it requested counts: the next poll keeps the minimal interval to it.
    """
    due = max(state.due, started + job.min_interval)
    return msgspec.structs.replace(state, due=due, started=started)


def process_stopped(job: Job, state: JobState, started: float) -> JobState:
    """Return the state of a job whose poll the end of the process cancelled.

    Polls do not become more frequent by restarts; but a job without any success so far need not
    wait a whole interval for its first.
    """
    wait = max(job.interval, job.min_interval)
    if state.streak is not None and state.streak.paused:
        wait = max(wait, auth_pause(state.streak.alike, 0.0))
    elif state.last_success is None:
        wait = max(min(job.interval, RETRY_BASE), job.min_interval)
    return msgspec.structs.replace(state, due=started + wait, started=started)


def process_died(state: JobState, started: float) -> JobState:
    """Return the state if the process does not see the end of a poll that began at `started`.

    A process that is killed by its polls must not repeat them faster than at the interval. Where
    the credential was rejected before, this poll counts as rejected too.
    """
    streak, wait = state.streak, state.interval
    if streak is not None and streak.paused:
        streak = msgspec.structs.replace(
            streak, failures=streak.failures + 1, alike=streak.alike + 1
        )
        wait = max(wait, auth_pause(streak.alike, 0.0))
    return msgspec.structs.replace(state, due=started + wait, started=started, streak=streak)


# --------------------------------------------------------------------------------- the job changed


def new_state(job: Job, due: float, *, settle: float = 0.0) -> JobState:
    """Return the state of a job that was never polled."""
    return JobState(due=due, interval=max(job.interval, job.min_interval), settle=settle)


def interval_changed(job: Job, state: JobState, now: float) -> JobState:
    """Return the state of a job whose interval or limits were changed in the config."""
    interval = max(job.interval, job.min_interval)
    if state.health is Health.NEVER_POLLED:
        due = min(state.due, now + interval)
    elif state.streak is None:
        due = state.started + interval
    else:
        due = max(state.due, state.started + job.min_interval)
    return msgspec.structs.replace(state, due=due, interval=interval)


def request_changed(job: Job, state: JobState, due: float) -> JobState:
    """Return the state of a job whose request or credential was changed in the config.

    Its health stays known until the next poll, but the back-off starts again: a corrected key must
    not wait as long as the sixth rejection of the old one would.
    """
    streak = state.streak
    return msgspec.structs.replace(
        new_state(job, due),
        started=state.started,
        streak=None if streak is None else msgspec.structs.replace(streak, alike=0),
        last_success=state.last_success,
        calls=state.calls,
    )


def secret_changed(job: Job, state: JobState, now: float) -> JobState:
    """Return the state after the job's secret changed: a rejected one is tried at once.

    To the vendor a rejected caller with a new secret is a new caller, so the provider's minimal
    interval does not apply, but a second must pass. Other failures are not the secret's.
    """
    if state.streak is None:
        due = max(now, state.started + job.min_interval)
    elif state.streak.paused:
        due = max(now, state.started + WAKE_MIN)
    else:
        return state
    return state if due >= state.due else msgspec.structs.replace(state, due=due)


def removed(state: JobState, due: float) -> JobState:
    """Return what is kept of a job that left the config: its waits, in case it comes back."""
    return msgspec.structs.replace(state, due=due, last_success=None)


def clock_moved(state: JobState, by: float) -> JobState:
    """Return the state after the wall clock was set: the last success is as long ago as before."""
    if state.last_success is None:
        return state
    return msgspec.structs.replace(state, last_success=state.last_success + by)


def restored(job: Job, state: JobState, now: float) -> JobState:
    """Return a state that an earlier process wrote, made fit for `job`.

    A due time further ahead than any rule of this module puts it comes from a clock that was
    wrong; it is cut to the furthest that is possible.
    """
    interval = max(job.interval, job.min_interval)
    streak = state.streak
    if streak is None:
        furthest = interval + (job.data_cadence or 0.0)
    elif state.health is Health.THROTTLED:
        furthest = max(interval, job.throttling.max_wait)
    elif state.health is Health.PAUSED:
        furthest = max(interval, auth_pause(streak.alike, 1.0))
    else:
        furthest = max(interval, FIX_CAP)
    if streak is not None and streak.since > now:
        streak = msgspec.structs.replace(streak, since=now)
    return msgspec.structs.replace(
        state,
        due=min(state.due, now + furthest),
        interval=interval,
        started=min(state.started, now),
        streak=streak,
    )


# ------------------------------------------------------------------------------- how long to wait


def backoff(failures: int, chance: float, *, floor: float, base: float, cap: float) -> float:
    """Return the seconds to wait after so many consecutive failures (1 is the first).

    `base` doubles with each failure; `chance` spreads the result upward. The result is never below
    `floor` (a vendor's wait, or a minimal interval), which is padded, and never above `cap`, which
    wins over all others.
    """
    exponent = min(max(failures - 1, 0), EXPONENT_MAX)
    step = min(base * 2.0**exponent, cap / (1.0 + JITTER))
    return min(cap, max(step * (1.0 + JITTER * chance), padded(floor, chance)))


def padded(wait: float, chance: float) -> float:
    """Return the vendor's `wait` in seconds, rounded up and spread upward, so that it is kept.

    Vendors round, and reset their counters a moment late; and all users of the key got the same
    instant. 0 for a wait that is not a number, or negative: it says nothing.
    """
    if not wait > 0.0:
        return 0.0
    if math.isinf(wait):
        return wait
    jitter = min(max(1.0, wait * WAIT_JITTER), WAIT_JITTER_MAX)
    return math.ceil(wait) + WAIT_MARGIN + chance * jitter


def auth_pause(rejections: int, chance: float) -> float:
    """Return the seconds until a rejected credential is tried again after so many rejections."""
    pause = AUTH_PAUSES[min(max(rejections, 1), len(AUTH_PAUSES)) - 1]
    return pause * (1.0 + AUTH_JITTER * chance)


# ----------------------------------------------------------------- first polls, interval, alignment


def phase(*names: str) -> float:
    """Return a number in [0, 1) that looks random and is the same after every start."""
    digest = hashlib.blake2b("\0".join(names).encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2.0**48


def first_spread(jobs: int, interval: float) -> float:
    """Return the seconds over which the first polls of `jobs` are spread."""
    quick = min(FIRST_WITHIN, max(1.0, jobs / FIRST_PER_SECOND))
    return min(interval, max(quick, jobs / FIRST_PER_SECOND_MAX))


def steady_spread(jobs: int, interval: float) -> float:
    """Return the seconds over which polls of `jobs` are spread once all had their first.

    First polls come close together, so that there are values; the gap to the second is stretched
    once, by the difference, so that they do not stay together for ever.
    """
    return min(interval, max(first_spread(jobs, interval), jobs / STEADY_PER_SECOND))


def paced_interval(job: Job, ratio: float | None) -> float:
    """Return the interval for `job`, of which the fullest resource is at `ratio` of its limit.

    An adaptive job comes up to four times as often near its limit, but neither faster than the
    vendor allows nor than its data changes.
    """
    interval = max(job.interval, job.min_interval)
    if not job.adaptive or ratio is None or ratio <= NEAR_LIMIT:
        return interval
    closeness = min(1.0, (ratio - NEAR_LIMIT) / (AT_LIMIT - NEAR_LIMIT))
    faster = interval / (1.0 + closeness * (FASTEST - 1.0))
    return min(interval, max(faster, job.min_interval, job.data_cadence or 0.0))


def aligned(job: Job, due: float) -> float:
    """Return `due` (epoch seconds), moved to shortly after the vendor's data changes.

    Only where data changes as rarely as we poll (the interval is a multiple of the cadence): a
    poll just before the change would show old data for a whole interval. Later by less than one
    cadence, never earlier. Cadences are taken to begin at midnight UTC; those of minutes have no
    such beginning.
    """
    cadence = job.data_cadence
    if not cadence or cadence < ALIGN_FROM or cadence > job.interval or job.interval % cadence:
        return due
    share = phase(job.target, job.collector, "cadence")
    offset = share * min(cadence * ALIGN_PHASE, ALIGN_PHASE_MAX)
    slack = cadence * ALIGN_PHASE / 2.0  # a poll that started a moment late must not skip a cadence
    number = math.ceil((due - slack - offset) / cadence)
    return max(due, number * cadence + offset)
