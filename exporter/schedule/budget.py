"""Budgets: the rate-limit state of one host and one credential, shared by all jobs that use it.

`hold` answers whether a poll may start now, and if not, until when and why. `poll_started` and
`poll_ended` change the state. Three things bound polls, and the longest of them holds:

- a wait, because the vendor throttled, the quota is used up, or the credential was rejected. The
  vendor's own time (``Retry-After``, else the reset) is a floor, padded upward and cut at
  `max_wait`; without one it is an exponential back-off;
- the declared rate of the definition: a token bucket from which a poll of n requests takes n;
- the window that the vendor's rate-limit headers report: what remains beyond the reserve must last
  for all polls until the reset, so polls slow down ahead of it and stop at the reserve.

After a wait that let polls pile up, they are spread over a recovery time, so that they do not cause
the next 429.

Everything here is pure. Times are loop time in seconds unless a docstring says epoch seconds;
`in_flight` are the requests that running polls of the budget may still make.
"""

import math

import msgspec

from exporter.model.health import WaitCause
from exporter.model.outcome import Failure, Poll, Reason
from exporter.model.reading import RateLimit
from exporter.schedule.job import BudgetLimits
from exporter.schedule.state import AUTH_PAUSES, PollEnd, auth_pause, backoff, padded

RESET_TOLERANCE = 5.0  # vendors' reset times jitter; a new window moves further
RESET_MARGIN = 1.0  # resets are reported in whole seconds
UNKNOWN_WINDOW = 300.0  # how long a `remaining` without a reset is believed
ROOMY = 0.25  # of the limit, beyond the reserve: nobody uses that up in the time of a poll
EPSILON = 1e-9  # of a request: sums of floats must not cost a poll
NO_WAIT_MIN = 60.0  # first wait after a 429 that gives no time: the commonest window, or longer:
NO_WAIT_MAX = 3600.0  # the job's interval, by which nothing is lost; within an hour
GIVEN_BASE = 1.0  # with a time from the vendor only repeated refusals outgrow it
THROTTLED_CAP = 7200.0  # as windows are rarely longer than an hour
QUOTA_BASE = 3600.0  # a quota without a known reset: some tries a day
QUOTA_CAP = 21_600.0
RECOVERY_MAX = 7200.0
RECOVERY_PACE = 1.5  # times the steady demand
TOKENS_KEPT = 86_400.0  # seconds until a bucket that nobody uses is surely full


class Window(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the vendor reported `seen_at` of its limit; `limit`, `reset`: None where it did not."""

    limit: float | None
    remaining: float
    reset: float | None
    seen_at: float

    @property
    def end(self) -> float:
        """When a new window surely has begun."""
        return self.seen_at + UNKNOWN_WINDOW if self.reset is None else self.reset + RESET_MARGIN

    def over(self, now: float) -> bool:
        """Whether the numbers mean nothing any more."""
        return now >= self.end

    def reserved(self, limits: BudgetLimits) -> float:
        """Return the requests that are left to the key's other users, but never all."""
        whole = self.remaining if self.limit is None else self.limit
        return max(0.0, min(math.floor(limits.reserve * whole), whole - 1.0))

    def available(self, limits: BudgetLimits, in_flight: float) -> float:
        """Return the requests that we may still make in this window."""
        return self.remaining - self.reserved(limits) - in_flight


class Budget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The state. The default is a budget of which nothing is known.

    No poll starts before `until`, because of `cause`. `throttlings` are throttled polls in a row,
    `rejections` those whose credential was rejected. `tokens` (None: the bucket is full) are as of
    `tokens_at`. No poll starts before `next_start`, because of `pace_cause`: polls are spread over
    what is left of the window, or, before `recovery_end`, because a wait let them pile up.
    """

    until: float = -math.inf
    cause: WaitCause | None = None
    throttlings: int = 0
    rejections: int = 0
    tokens: float | None = None
    tokens_at: float = -math.inf
    window: Window | None = None
    next_start: float = -math.inf
    pace_cause: WaitCause | None = None
    recovery_end: float = -math.inf

    @property
    def rejected(self) -> bool:
        """Whether the credential is rejected for all: a first time may be the target's fault."""
        return self.rejections > 1


NOTHING_KNOWN = Budget()


class Hold(msgspec.Struct, frozen=True, gc=False):
    """No poll before `until`, because of `cause`."""

    until: float
    cause: WaitCause

    @property
    def late(self) -> bool:
        """Whether the wait makes polls late: the jobs need more than the declared rate allows."""
        return self.cause is WaitCause.RATE


class Cut(msgspec.Struct, frozen=True, gc=False):
    """A vendor asked for more seconds than `max_wait` allows."""

    asked: float
    applied: float


def hold(
    budget: Budget, limits: BudgetLimits, now: float, *, cost: float, in_flight: float
) -> Hold | None:
    """Return what a poll of `cost` requests must wait for, or None: it may start."""
    if budget is NOTHING_KNOWN and limits.rate is None:
        return None
    if budget.until > now:
        return Hold(budget.until, budget.cause or WaitCause.THROTTLED)
    longest = Hold(budget.next_start, budget.pace_cause or WaitCause.PACED)
    window = budget.window
    if window is not None and not window.over(now):
        # A poll that costs more than all that the reserve leaves starts in a full window.
        most = math.inf if window.limit is None else window.limit - window.reserved(limits)
        if window.available(limits, in_flight) < min(cost, most) - EPSILON:
            # A window that ends in weeks is tried again after `max_wait`: the limit may be raised.
            until = min(window.end, window.seen_at + limits.max_wait)
            if until > longest.until:
                longest = Hold(until, WaitCause.RESERVE)
    if limits.rate is not None:
        missing = min(cost, limits.burst) - _tokens(budget, limits, now)
        if missing > EPSILON and now + missing / limits.rate > longest.until:
            longest = Hold(now + missing / limits.rate, WaitCause.RATE)
    return longest if longest.until > now else None


def _tokens(budget: Budget, limits: BudgetLimits, now: float) -> float:
    if budget.tokens is None or limits.rate is None:
        return limits.burst
    return min(limits.burst, budget.tokens + max(0.0, now - budget.tokens_at) * limits.rate)


def roomy(budget: Budget, limits: BudgetLimits, now: float, in_flight: float) -> bool:
    """Return whether so much is left, by the vendor's headers, that polls may run side by side.

    Where nothing is known they come one after another: of two polls under way when the limit is
    reached, both are refused. After refusals one poll must show first that the vendor answers.
    """
    window = budget.window
    if window is None or window.limit is None or window.over(now):
        return False
    if budget.throttlings or budget.rejected:
        return False
    return window.available(limits, in_flight) >= ROOMY * window.limit


def poll_started(
    budget: Budget,
    limits: BudgetLimits,
    now: float,
    *,
    cost: float,
    in_flight: float,
    demand: float,
) -> Budget:
    """Return the budget after the start of a poll of `cost` requests.

    `demand` is what all jobs of the budget need, in requests per second.
    """
    next_start, cause = budget.next_start, None
    if now < budget.recovery_end and demand > 0.0:
        next_start, cause = now + cost / (RECOVERY_PACE * demand), WaitCause.RECOVERING
    window = budget.window
    if window is not None and window.reset is not None and not window.over(now):
        left = window.end - now
        available = max(window.available(limits, in_flight), EPSILON)
        if demand * left > available:
            latest = min(window.end, now + limits.max_wait)
            next_start, cause = min(now + cost * left / available, latest), WaitCause.PACED
    if limits.rate is None and cause is None:
        return budget
    tokens = None if limits.rate is None else _tokens(budget, limits, now) - cost
    return msgspec.structs.replace(
        budget, tokens=tokens, tokens_at=now, next_start=next_start, pace_cause=cause
    )


def poll_ended(
    budget: Budget,
    limits: BudgetLimits,
    poll: Poll,
    end: PollEnd,
    *,
    cost: float,
    spent: float,
    interval: float = 0.0,
    period_end: float | None = None,
) -> tuple[Budget, Cut | None]:
    """Return the budget after the end of a poll, and the cut if a wait was too long.

    `cost` requests were expected, `spent` were made. `interval` is the job's; at `period_end`
    (epoch seconds) its quota starts again, where a reading says so.
    """
    budget = _requests_made(budget, limits, poll, end, cost=cost, spent=spent)
    asked, ours, cause = _asked_wait(poll), 0.0, WaitCause.THROTTLED
    match poll.outcome:
        case Failure(reason=Reason.RATE_LIMITED | Reason.QUOTA_EXHAUSTED as reason):
            quota = reason is Reason.QUOTA_EXHAUSTED
            cause = WaitCause.QUOTA if quota else WaitCause.THROTTLED
            if asked is None:
                asked = _reset_wait(poll, end, period_end if quota else None)
            if asked is not None:
                base, cap = GIVEN_BASE, THROTTLED_CAP
            elif quota:
                base, cap = QUOTA_BASE, QUOTA_CAP
            else:
                base, cap = min(max(NO_WAIT_MIN, interval), NO_WAIT_MAX), THROTTLED_CAP
            budget = msgspec.structs.replace(budget, throttlings=budget.throttlings + 1)
            ours = backoff(budget.throttlings, end.chance, floor=0.0, base=base, cap=cap)
        case Failure(reason=Reason.AUTH) if limits.one_key:
            budget = _credential_rejected(budget, end)
        case Failure():
            pass
        case _:
            if budget.throttlings or budget.rejections:
                budget = msgspec.structs.replace(budget, throttlings=0, rejections=0)
    wait = min(limits.max_wait, max(ours, padded(asked or 0.0, end.chance)))
    if not wait > 0.0:
        return budget, None
    cut = Cut(asked, wait) if asked is not None and asked > limits.max_wait else None
    until = end.now + wait
    if until <= budget.until:
        return budget, cut
    recovery_end = until + min(wait / (RECOVERY_PACE - 1.0), RECOVERY_MAX)
    budget = msgspec.structs.replace(budget, until=until, cause=cause, recovery_end=recovery_end)
    return budget, cut


def _requests_made(
    budget: Budget, limits: BudgetLimits, poll: Poll, end: PollEnd, *, cost: float, spent: float
) -> Budget:
    """Correct the tokens that were taken at the start, and take in the rate-limit headers."""
    tokens = budget.tokens
    if tokens is not None and limits.rate is not None and cost != spent:
        tokens = min(limits.burst, tokens + cost - spent)
    window = observe(budget.window, poll.rate, end, spent=spent)
    if tokens is budget.tokens and window is budget.window:
        return budget
    return msgspec.structs.replace(budget, tokens=tokens, window=window)


def _credential_rejected(budget: Budget, end: PollEnd) -> Budget:
    budget = msgspec.structs.replace(budget, rejections=budget.rejections + 1)
    until = end.now + auth_pause(budget.rejections - 1, end.chance)
    if not budget.rejected or until <= budget.until:
        return budget
    return msgspec.structs.replace(budget, until=until, cause=WaitCause.REFUSED)


def _asked_wait(poll: Poll) -> float | None:
    """Return the longest wait that any answer of the poll asked for, the good ones included."""
    failed = poll.outcome.wait if isinstance(poll.outcome, Failure) else None
    waits = (failed, None if poll.rate is None else poll.rate.wait)
    return max((wait for wait in waits if wait is not None and wait >= 0.0), default=None)


def _reset_wait(poll: Poll, end: PollEnd, period_end: float | None) -> float | None:
    """Return the seconds to the limit's reset, else to the period's end; None if none is known.

    The reset of a limit of which something remains says nothing: another limit was met, such as
    GitHub's secondary ones, whose documentation asks for a minute.
    """
    rate = poll.rate
    reset = None if rate is None or rate.remaining else rate.reset_at
    instants = (reset, period_end)
    return next((at - end.wall for at in instants if at is not None and at > end.wall), None)


def observe(
    old: Window | None, rate: RateLimit | None, end: PollEnd, *, spent: float = 0.0
) -> Window | None:
    """Return the window after a poll of `spent` requests; `old` itself if nothing is known.

    Without a word in the headers what was spent is subtracted. Answers may overtake each other:
    within a window `remaining` only falls. A limit that is used up stands until its reset against
    answers to polls that had `started` before it was seen: these may be about another limit.
    """
    remaining = None if rate is None else _count(rate.remaining)
    if rate is None or remaining is None:
        return old and msgspec.structs.replace(old, remaining=old.remaining - spent)
    reset = None if rate.reset_at is None else end.now + rate.reset_at - end.wall
    if reset is not None and not end.now <= reset < math.inf:
        reset = None
    if (
        old is not None
        and old.reset is not None
        and old.remaining < 1.0
        and not old.over(end.now)
        and end.started < old.seen_at
        and (reset is None or reset < old.reset - RESET_TOLERANCE)
    ):
        return old
    if (
        old is not None
        and old.reset is not None
        and reset is not None
        and not old.over(end.now)
        and abs(reset - old.reset) <= RESET_TOLERANCE
    ):
        remaining, reset = min(remaining, old.remaining), old.reset
    return Window(_count(rate.limit), remaining, reset, end.now)


def _count(number: float | None) -> float | None:
    return number if number is not None and 0.0 <= number < math.inf else None


def process_died(budget: Budget, started: float) -> Budget:
    """Return the budget if the process does not see the end of a poll that began at `started`.

    A rejected key is tried by one poll at a time. If the process ends meanwhile, the next target
    of the key must not try it at once after the restart: the poll counts as rejected.
    """
    if not budget.rejected:
        return budget
    until = max(budget.until, started + auth_pause(budget.rejections, 0.0))
    return msgspec.structs.replace(
        budget, rejections=budget.rejections + 1, until=until, cause=WaitCause.REFUSED
    )


def secret_changed(budget: Budget) -> Budget:
    """Return the budget after its secret changed: rejections of the old one count no more.

    A wait for throttling stays.
    """
    if budget.cause is WaitCause.REFUSED:
        return msgspec.structs.replace(budget, until=-math.inf, cause=None, rejections=0)
    return msgspec.structs.replace(budget, rejections=0) if budget.rejections else budget


def idle(budget: Budget, now: float) -> bool:
    """Return whether the budget holds nothing back any more, nor will: it may be forgotten."""
    full = -math.inf if budget.tokens is None else budget.tokens_at + TOKENS_KEPT
    over = budget.window is None or budget.window.over(now)
    return over and max(budget.until, budget.next_start, budget.recovery_end, full) <= now


def restored(budget: Budget, limits: BudgetLimits, now: float) -> Budget:
    """Return a budget that an earlier process wrote, made fit for `limits`.

    A time further ahead than any wait comes from a clock that was wrong, and is cut.
    """
    furthest = now + max(limits.max_wait, auth_pause(len(AUTH_PAUSES), 1.0))
    return msgspec.structs.replace(
        budget,
        until=min(budget.until, furthest),
        next_start=min(budget.next_start, furthest),
        recovery_end=min(budget.recovery_end, furthest),
        tokens_at=min(budget.tokens_at, now),
    )
