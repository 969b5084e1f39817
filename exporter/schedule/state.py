"""How often, and at which moment: first phase, interval, alignment, slow cadences.

Everything here moves a poll later than asked for, or keeps it; only `adaptive` makes polls faster,
and never faster than the vendor's minimum.

How long to stay away after failures: a function of numbers.

The state of one job, and its one step: how a poll ended decides when the next one comes.
"""

import hashlib
import math
from typing import assert_never

import msgspec

from exporter.model.events import TargetBack, TargetDown
from exporter.model.health import Health
from exporter.model.outcome import Failure, Poll, Reason, Unchanged
from exporter.model.reading import Reading
from exporter.schedule.job import Job

FIRST_PER_SECOND = 20.0  # first polls after a start: values come soon, vendors see no burst
FIRST_WITHIN = 30.0  # when readiness stops waiting for first attempts
FIRST_PER_SECOND_MAX = 200.0  # what a quarter of a core polls
STEADY_PER_SECOND = 2.0  # later the crowd spreads further
AUTH_PAUSES = (900.0, 3600.0, 21_600.0)  # a dead key: 6 tries on the first day, then 4 a day
AUTH_JITTER = 0.1
ALIGN_FROM = 3600.0  # below that a cadence is how long a vendor caches, not when it publishes
ALIGN_PHASE = 0.1  # of the vendor's cadence: come a little after its data, not all at once
ALIGN_PHASE_MAX = 300.0
NEAR_LIMIT = 0.75  # where the status page turns yellow; polls start to come faster
AT_LIMIT = 0.9  # where it turns red
FASTEST = 4.0  # times, at the limit


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
    once, by the difference, so that the crowd does not stay together for ever.
    """
    return min(interval, max(first_spread(jobs, interval), jobs / STEADY_PER_SECOND))


def auth_pause(refusals: int, chance: float) -> float:
    """Return the seconds until a refused credential is tried again after so many refusals."""
    pause = AUTH_PAUSES[min(max(refusals, 1), len(AUTH_PAUSES)) - 1]
    return pause * (1.0 + AUTH_JITTER * chance)


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
    slack = cadence * ALIGN_PHASE / 2.0  # a poll that started a moment late must not lose a turn
    turn = math.ceil((due - slack - offset) / cadence)
    return max(due, turn * cadence + offset)


JITTER = 0.25  # of our own steps, upward: clients that failed together come back apart
WAIT_MARGIN = 1.0  # second: some vendors round their waits down
WAIT_JITTER = 0.1  # of a wait that the vendor asked for, upward too
WAIT_JITTER_MAX = 30.0  # seconds
EXPONENT_MAX = 62  # 2**62 s is far beyond every cap; 2.0**1024 would overflow


def backoff(failures: int, chance: float, *, floor: float, base: float, cap: float) -> float:
    """Return the seconds to wait after so many consecutive failures (1 is the first).

    `base` doubles with each failure; `chance` in [0, 1) spreads the result upward. The result is
    never below `floor` (a vendor's word, or a minimal interval), which is rounded up to a second
    and spread upward, and never above `cap`, which wins over all others.
    """
    exponent = min(max(failures - 1, 0), EXPONENT_MAX)
    step = min(base * 2.0**exponent, cap / (1.0 + JITTER))
    return min(cap, max(step * (1.0 + JITTER * chance), above(floor, chance)))


def above(wait: float, chance: float) -> float:
    """Return `wait` seconds, rounded up and spread upward: a floor is never undercut.

    Vendors round, and reset their counters a moment late; and whoever shares the key was told the
    same instant. Not a number, negative: 0, as nothing was said.
    """
    if not wait > 0.0:
        return 0.0
    if math.isinf(wait):
        return wait
    return (
        math.ceil(wait) + WAIT_MARGIN + chance * min(max(1.0, wait * WAIT_JITTER), WAIT_JITTER_MAX)
    )


RETRY_BASE = 300.0  # a first retry comes after this or the interval, whichever is less
RETRY_CAP = 900.0  # a vendor that is down is asked this often, or at the interval if longer
FIX_CAP = 3600.0  # an answer that we cannot use does not change soon
AGAIN_MIN = 30.0  # after a wait of a moment, too: usage figures are not worth a race
LEARN = 0.25  # how fast the number of requests of a poll is unlearned
WAKE_MIN = 1.0  # between two tries when a secret changes again and again


class FailureStreak(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why the last poll failed. `since` is when the first of them ended (loop time).

    `alike` counts the failures in a row after which the next poll is due by the same rule.
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


class JobState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """When a job is due, and what its polls showed. Times are loop time unless said otherwise.

    `started` is the start of the last poll. `last_success` is epoch seconds. `calls` is how many
    requests a poll makes, as learned. `settle` stretches the gap after the first poll, once.
    `period_end` (epoch seconds) is when the vendor's quota begins anew, where a reading told.
    """

    due: float
    interval: float
    started: float = -math.inf
    trouble: FailureStreak | None = None
    last_success: float | None = None
    calls: float = 1.0
    settle: float = 0.0
    period_end: float | None = None

    @property
    def failures(self) -> int:
        """Consecutive failures."""
        return 0 if self.trouble is None else self.trouble.failures

    @property
    def health(self) -> Health:
        """How the last poll ended."""
        if self.trouble is not None:
            return self.trouble.reason.health
        return Health.NEVER_POLLED if self.last_success is None else Health.UP

    @property
    def begun(self) -> bool:
        """Tell whether a poll ever started."""
        return self.started > -math.inf

    @property
    def cost(self) -> int:
        """The requests that the next poll is expected to make."""
        return max(1, math.ceil(self.calls - 1e-6))


class Tick(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The moment at which a poll ended, told to the pure steps.

    `now` and `started` are loop time, `wall` is `now` in epoch seconds, `chance` in [0, 1);
    `until` (loop time) is what the budget waits for. `ratio` is the highest one of used to limit
    that the poll speaks of.
    """

    now: float
    wall: float
    started: float
    until: float
    chance: float
    ratio: float | None = None


StateEvent = TargetDown | TargetBack


def step(
    job: Job, state: JobState, poll: Poll, tick: Tick
) -> tuple[JobState, tuple[StateEvent, ...]]:
    """Return the state after `poll`, and what is worth telling beyond its end."""
    match poll.outcome:
        case Failure() as failure:
            return _fail(job, state, poll, failure, tick)
        case Reading() as reading:
            interval = paced_interval(job, tick.ratio)
            period_end = _period_end(reading, tick.wall)
        case Unchanged():
            interval, period_end = state.interval, state.period_end
        case _:
            assert_never(poll.outcome)
    due = _aligned(job, tick.started + interval + state.settle, tick)
    after = JobState(
        due=due,
        interval=interval,
        started=tick.started,
        last_success=poll.at,
        calls=_learn(state.calls, len(poll.exchanges), whole=True),
        period_end=period_end,
    )
    return after, _back(state, poll, tick)


def _aligned(job: Job, due: float, tick: Tick) -> float:
    if job.data_cadence is None:
        return due
    ahead = due - tick.now
    return tick.now + aligned(job, tick.wall + ahead) - tick.wall


def _period_end(reading: Reading, wall: float) -> float | None:
    ends = [usage.period.end for usage in reading.usages if usage.period is not None]
    return min((end for end in ends if end > wall), default=None)


def _learn(calls: float, seen: int, *, whole: bool) -> float:
    """Return how many requests the next poll is expected to make: grows at once, shrinks slowly.

    A poll that failed may have stopped half way: it can only show that there are more.
    """
    if seen > calls:
        return float(seen)
    if not whole or seen == 0:
        return calls
    return calls + LEARN * (seen - calls)


def _back(state: JobState, poll: Poll, tick: Tick) -> tuple[StateEvent, ...]:
    if state.trouble is None:
        return ()
    return (
        TargetBack(
            provider=poll.provider,
            target=poll.target,
            collector=poll.collector,
            failures=state.trouble.failures,
            down_for=max(0.0, tick.now - state.trouble.since),
        ),
    )


def _fail(
    job: Job, state: JobState, poll: Poll, failure: Failure, tick: Tick
) -> tuple[JobState, tuple[StateEvent, ...]]:
    trouble = _trouble(state.trouble, failure, tick.now)
    due = max(_due_after(job, trouble, failure, tick), tick.started + job.min_interval)
    after = msgspec.structs.replace(
        state,
        due=due,
        interval=max(job.interval, job.min_interval),
        started=tick.started,
        trouble=trouble,
        calls=_learn(state.calls, len(poll.exchanges), whole=False),
    )
    if state.trouble is not None and state.trouble.reason is failure.reason:
        return after, ()
    down = TargetDown(
        provider=poll.provider,
        target=poll.target,
        collector=poll.collector,
        reason=failure.reason,
        detail=failure.detail,
        next_poll=tick.wall + max(due, tick.until) - tick.now,
    )
    return after, (down,)


def _trouble(before: FailureStreak | None, failure: Failure, now: float) -> FailureStreak:
    if before is None:
        return FailureStreak(
            reason=failure.reason, detail=failure.detail, since=now, failures=1, alike=1
        )
    alike = (before.reason.health, before.reason.transient) == (
        failure.reason.health,
        failure.reason.transient,
    )
    return FailureStreak(
        reason=failure.reason,
        detail=failure.detail,
        since=before.since,
        failures=before.failures + 1,
        alike=before.alike + 1 if alike else 1,
    )


def _due_after(job: Job, trouble: FailureStreak, failure: Failure, tick: Tick) -> float:
    """Return when a failed job comes again, its budget apart: each reaction has its own pace."""
    floor = min(failure.wait or 0.0, job.throttling.max_wait)
    health = failure.reason.health
    if health is Health.THROTTLED:  # the budget knows until when
        return max(tick.until, tick.started + min(job.interval, AGAIN_MIN))
    if health is Health.PAUSED:
        pause = auth_pause(trouble.alike, tick.chance)
        return tick.now + max(pause, job.interval, floor)
    if failure.reason.transient:
        base, cap = min(job.interval, RETRY_BASE), max(job.interval, RETRY_CAP)
    else:
        base, cap = job.interval, max(job.interval, FIX_CAP)
    cap = max(cap, floor)
    return tick.now + backoff(trouble.alike, tick.chance, floor=floor, base=base, cap=cap)


def fresh(job: Job, due: float, *, settle: float = 0.0) -> JobState:
    """Return the state of a job that was never polled."""
    return JobState(due=due, interval=max(job.interval, job.min_interval), settle=settle)


def anew(job: Job, state: JobState, due: float) -> JobState:
    """Return the state of a job that is asked in another way now.

    How its last poll ended stays known until the next one, but what it counted ends: whoever mends
    a key that was refused must not wait as long as the sixth refusal would make him.
    """
    trouble = state.trouble
    if trouble is not None:
        trouble = msgspec.structs.replace(trouble, alike=0)
    return msgspec.structs.replace(
        fresh(job, due),
        started=state.started,
        trouble=trouble,
        last_success=state.last_success,
        calls=state.calls,
    )


def removed(state: JobState, due: float) -> JobState:
    """Return what stays of a job that left the config: its waits, in case that it comes again."""
    return msgspec.structs.replace(state, due=due, last_success=None)


def refit(job: Job, state: JobState, now: float) -> JobState:
    """Return the state of a job whose interval was changed in the config."""
    interval = max(job.interval, job.min_interval)
    if state.health is Health.NEVER_POLLED:
        due = min(state.due, now + interval)
    elif state.trouble is None:
        due = state.started + interval
    else:
        due = max(state.due, state.started + job.min_interval)
    return msgspec.structs.replace(state, due=due, interval=interval)


def cut_short(job: Job, state: JobState, started: float) -> JobState:
    """Return the state after a poll that we cancelled ourselves, as if it had not been asked for.

    What it requested counts: the next poll keeps the minimal interval to it.
    """
    due = max(state.due, started + job.min_interval)
    return msgspec.structs.replace(state, due=due, started=started)


def stopped(job: Job, state: JobState, started: float) -> JobState:
    """Return the state of a job whose poll the end of the process cancelled.

    Who starts and stops us again and again must not poll faster by it; but a job without any
    success so far need not wait as long for its first.
    """
    wait = max(job.interval, job.min_interval)
    if state.trouble is not None and state.trouble.paused:
        wait = max(wait, auth_pause(state.trouble.alike, 0.0))
    elif state.last_success is None:
        wait = max(min(job.interval, RETRY_BASE), job.min_interval)
    return msgspec.structs.replace(state, due=started + wait, started=started)


def unended(state: JobState, started: float) -> JobState:
    """Return the state if the process does not see the end of a poll that began at `started`.

    A process that dies of its polls must not repeat them faster than at the interval. Where the
    credential was refused before, the try counts as refused.
    """
    trouble, wait = state.trouble, state.interval
    if trouble is not None and trouble.paused:
        again = msgspec.structs.replace(
            trouble, failures=trouble.failures + 1, alike=trouble.alike + 1
        )
        trouble, wait = again, max(wait, auth_pause(again.alike, 0.0))
    return msgspec.structs.replace(state, due=started + wait, started=started, trouble=trouble)


def clock_moved(state: JobState, by: float) -> JobState:
    """Return the state after the wall clock was set: the last success is as long ago as before."""
    if state.last_success is None:
        return state
    return msgspec.structs.replace(state, last_success=state.last_success + by)


def wake(job: Job, state: JobState, now: float) -> JobState:
    """Return the state after the job's secret changed: a refused one is tried at once.

    A refused caller is a new caller with a new secret, so the provider's minimal interval does not
    bind it, but a moment must pass. Other failures had nothing to do with the secret.
    """
    if state.trouble is None:
        due = max(now, state.started + job.min_interval)
    elif state.trouble.paused:
        due = max(now, state.started + WAKE_MIN)
    else:
        return state
    return state if due >= state.due else msgspec.structs.replace(state, due=due)


def restored(job: Job, state: JobState, now: float) -> JobState:
    """Return a remembered state, fit for `job`.

    A due time that lies further ahead than any wait could have put it comes from a clock that was
    wrong; it is cut to what could have been.
    """
    interval = max(job.interval, job.min_interval)
    due = min(state.due, now + _furthest(job, state, interval))
    trouble = state.trouble
    if trouble is not None and trouble.since > now:
        trouble = msgspec.structs.replace(trouble, since=now)
    return msgspec.structs.replace(
        state, due=due, interval=interval, started=min(state.started, now), trouble=trouble
    )


def _furthest(job: Job, state: JobState, interval: float) -> float:
    if state.trouble is None:
        return interval + (job.data_cadence or 0.0)
    if state.health is Health.THROTTLED:
        return max(interval, job.throttling.max_wait)
    if state.health is Health.PAUSED:
        return max(interval, auth_pause(state.trouble.alike, 1.0))
    return max(interval, FIX_CAP)
