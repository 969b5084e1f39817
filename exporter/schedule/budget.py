"""The vendor's window: what its headers say of its own limit, and what follows for our pace.

What remains beyond the reserve must last for all polls until the reset: they slow down ahead of
it, and stop at the reserve. Times are loop time.

Budgets: the throttling state of one host and one credential, as values and steps.

A budget answers one question, `hold`: may a poll start now, and if not, when and why. It is told
what happened by `spend` (a poll starts) and `settle` (a poll ended). Times are loop time.

Three things bound a poll, each a floor:

- a wait, because a poll was refused: throttled, quota exhausted, credential refused;
- the declared rate, a token bucket: a poll of n requests takes n tokens;
- the window that the vendor's headers tell of: what remains beyond the reserve must last for all
  polls until the reset, so they slow down ahead of it and stop at the reserve.
"""

import math

import msgspec

from exporter.model.health import WaitCause
from exporter.model.outcome import Failure, Poll, Reason
from exporter.model.reading import RateLimit
from exporter.schedule import state
from exporter.schedule.job import BudgetLimits
from exporter.schedule.state import above, backoff

RESET_TOLERANCE = 5.0  # vendors' reset times jitter; a new window moves further
RESET_MARGIN = 1.0  # resets are told in whole seconds
UNKNOWN_WINDOW = 300.0  # how long a `remaining` without a reset is believed
ROOMY = 0.25  # of the limit, beyond the reserve: nobody uses that up in the time of a poll
WINDOW_EPSILON = 1e-9  # of a request: sums of floats must not cost a turn


class Window(msgspec.Struct, frozen=True, gc=False):
    """What the vendor said of its own limit. `limit` and `reset` are None where it did not say."""

    limit: float | None
    remaining: float
    reset: float | None
    seen: float

    @property
    def end(self) -> float:
        """When a new window surely has begun."""
        if self.reset is None:
            return self.seen + UNKNOWN_WINDOW
        return self.reset + RESET_MARGIN

    def over(self, now: float) -> bool:
        """Tell whether the numbers mean nothing any more."""
        return now >= self.end


def observe(
    old: Window | None, rate: RateLimit | None, *, now: float, wall: float
) -> Window | None:
    """Return the window after an answer; `old` itself if the answer says nothing.

    Answers may overtake each other: within a window `remaining` only falls. `wall` is `now` in
    epoch seconds, as resets are.
    """
    remaining = _count(None if rate is None else rate.remaining)
    if rate is None or remaining is None:
        return old
    reset = None if rate.reset_at is None else now + rate.reset_at - wall
    if reset is not None and not now <= reset < math.inf:
        reset = None
    if old is not None and _same(old, reset, now):
        remaining, reset = min(remaining, old.remaining), old.reset
    return Window(_count(rate.limit), remaining, reset, now)


def _count(number: float | None) -> float | None:
    return number if number is not None and 0.0 <= number < math.inf else None


def _same(old: Window, reset: float | None, now: float) -> bool:
    if reset is None or old.reset is None or old.over(now):
        return False
    return abs(reset - old.reset) <= RESET_TOLERANCE


def closed_until(
    window: Window, terms: BudgetLimits, now: float, *, cost: float, pledged: float
) -> float:
    """Return when a poll of `cost` requests may start; not later than `now` if it may.

    `pledged` are the requests that running polls may still make. A window that ends in weeks is
    asked again after `max_wait`: the vendor may have changed its mind.
    """
    if window.over(now):
        return -math.inf
    # A poll that is dearer than all that the reserve leaves must start some time: in a full window.
    need = cost if window.limit is None else min(cost, window.limit - _kept(window, terms))
    if _available(window, terms, pledged) >= need - WINDOW_EPSILON:
        return -math.inf
    return min(window.end, window.seen + terms.max_wait)


def window_roomy(window: Window, terms: BudgetLimits, now: float, pledged: float) -> bool:
    """Tell whether much is left, by the vendor's own word."""
    if window.limit is None or window.over(now):
        return False
    return _available(window, terms, pledged) >= ROOMY * window.limit


def window_pace(
    window: Window, terms: BudgetLimits, now: float, *, pledged: float, demand: float
) -> float | None:
    """Return the requests per second that last until the reset; None if `demand` is less."""
    if window.reset is None or window.over(now):
        return None
    left = window.end - now
    available = max(_available(window, terms, pledged), WINDOW_EPSILON)
    return available / left if demand * left > available else None


def _available(window: Window, terms: BudgetLimits, pledged: float) -> float:
    return window.remaining - _kept(window, terms) - pledged


def _kept(window: Window, terms: BudgetLimits) -> float:
    """Return the requests that are the others': the reserve, but never all."""
    whole = window.remaining if window.limit is None else window.limit
    return max(0.0, min(math.floor(terms.reserve * whole), whole - 1.0))


UNTOLD_MIN = 60.0  # first wait after a refusal without any word: the commonest window, or longer:
UNTOLD_MAX = 3600.0  # the interval of who was refused, who loses nothing by it; within an hour
TOLD_BASE = 1.0  # with a word: only refusals again and again outgrow it
UNTOLD_CAP = 7200.0  # as windows are rarely longer than an hour
QUOTA_BASE = 3600.0  # a quota that says nothing of its reset: some tries a day
QUOTA_CAP = 21_600.0
RECOVERY_MAX = 7200.0
RECOVERY_PACE = 1.5  # times the steady demand: a backlog must not become the next refusal
TOKENS_KEPT = 86_400.0  # seconds until a bucket that nobody uses is surely full
EPSILON = 1e-9  # of a token: sums of floats must not cost a turn


class Budget(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The throttling state. The default is a budget of which nothing is known.

    No poll starts before `until`, because of `why`. `strikes` are refusals in a row, `refusals`
    those of the credential. `tokens` (None: full) are as of `stamp`. `next_start` paces polls;
    until `recovered` they are paced because a wait has piled them up.
    """

    until: float = -math.inf
    why: WaitCause | None = None
    strikes: int = 0
    refusals: int = 0
    tokens: float | None = None
    stamp: float = -math.inf
    window: Window | None = None
    next_start: float = -math.inf
    paced: WaitCause | None = None
    recovered: float = -math.inf

    @property
    def careful(self) -> bool:
        """Tell whether one poll at a time must show first that the vendor answers again."""
        return self.strikes > 0 or self.dead

    @property
    def dead(self) -> bool:
        """Tell whether the credential is taken to be refused whoever asks."""
        return self.refusals > 1


FRESH = Budget()


class Hold(msgspec.Struct, frozen=True, gc=False):
    """No poll before `until`, because of `why`."""

    until: float
    why: WaitCause

    @property
    def ours(self) -> bool:
        """Tell whether more was asked of us than we may do: polls are late, not just waiting."""
        return self.why is WaitCause.RATE


class Cut(msgspec.Struct, frozen=True, gc=False):
    """A vendor asked for more seconds than `max_wait` lets us stay away."""

    asked: float
    applied: float


def hold(
    budget: Budget, terms: BudgetLimits, now: float, *, cost: float, pledged: float
) -> Hold | None:
    """Return what a poll of `cost` requests must wait for, or None: it may start.

    `pledged` are the requests that running polls of the budget may still make.
    """
    if budget is FRESH and terms.rate is None:
        return None
    if budget.until > now:
        return Hold(budget.until, budget.why or WaitCause.THROTTLED)
    holds = [Hold(budget.next_start, budget.paced or WaitCause.PACED)]
    if budget.window is not None:
        full = closed_until(budget.window, terms, now, cost=cost, pledged=pledged)
        holds.append(Hold(full, WaitCause.RESERVE))
    if terms.rate is not None:
        missing = min(cost, terms.burst) - _tokens(budget, terms, now)
        if missing > EPSILON:
            holds.append(Hold(now + missing / terms.rate, WaitCause.RATE))
    longest = max(holds, key=lambda held: held.until)
    return longest if longest.until > now else None


def _tokens(budget: Budget, terms: BudgetLimits, now: float) -> float:
    if budget.tokens is None or terms.rate is None:
        return terms.burst
    return min(terms.burst, budget.tokens + max(0.0, now - budget.stamp) * terms.rate)


def roomy(budget: Budget, terms: BudgetLimits, now: float, pledged: float) -> bool:
    """Tell whether so much is left, by the vendor's own word, that polls may run side by side.

    Where nothing is known they come one after another: of two polls under way when the limit is
    reached, both are refused.
    """
    window = budget.window
    return not budget.careful and window is not None and window_roomy(window, terms, now, pledged)


def spend(
    budget: Budget, terms: BudgetLimits, now: float, *, cost: float, pledged: float, demand: float
) -> Budget:
    """Return the budget after the start of a poll of `cost` requests.

    `demand` is what all polls of the budget need, in requests per second.
    """
    next_start, why = budget.next_start, None
    if now < budget.recovered and demand > 0.0:
        next_start, why = now + cost / (RECOVERY_PACE * demand), WaitCause.RECOVERING
    if budget.window is not None:
        pace = window_pace(budget.window, terms, now, pledged=pledged, demand=demand)
        if pace is not None:
            latest = min(budget.window.end, now + terms.max_wait)
            next_start, why = min(now + cost / pace, latest), WaitCause.PACED
    if terms.rate is None and why is None:
        return budget
    tokens = None if terms.rate is None else _tokens(budget, terms, now) - cost
    return msgspec.structs.replace(
        budget, tokens=tokens, stamp=now, next_start=next_start, paced=why
    )


class Settlement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a poll ended, in numbers: `cost` was expected, `spent` requests were made.

    `now` is loop time, `wall` the same instant in epoch seconds; `chance` in [0, 1).
    `interval` is the job's. `period_end` is epoch seconds: when a quota begins anew, where a
    reading told.
    """

    now: float
    wall: float
    chance: float
    cost: float
    spent: float
    interval: float = 0.0
    period_end: float | None = None


def settle(
    budget: Budget, terms: BudgetLimits, poll: Poll, facts: Settlement
) -> tuple[Budget, Cut | None]:
    """Return the budget after the end of a poll, and the cut if a wait was too long."""
    after = _charge(_observe(budget, poll.rate, facts), terms, facts)
    told = _asked_wait(poll)
    match poll.outcome:
        case Failure(reason=Reason.RATE_LIMITED | Reason.QUOTA_EXHAUSTED) as failure:
            return _refuse(after, terms, failure, _told_wait(poll, failure, facts), facts)
        case Failure(reason=Reason.AUTH) if terms.one_key:
            after = _doubt_key(after, facts)
        case Failure():
            pass
        case _:
            after = _trust(after)
    if told is None or not told > 0.0:
        return after, None
    return _stay_away(after, terms, facts, why=WaitCause.THROTTLED, told=told)


def _asked_wait(poll: Poll) -> float | None:
    """Return the longest wait that any answer of the poll asked for, the good ones included."""
    failed = poll.outcome.wait if isinstance(poll.outcome, Failure) else None
    waits = (failed, None if poll.rate is None else poll.rate.wait)
    return max((wait for wait in waits if wait is not None and wait >= 0.0), default=None)


def _trust(budget: Budget) -> Budget:
    if budget.strikes == 0 and budget.refusals == 0:
        return budget
    return msgspec.structs.replace(budget, strikes=0, refusals=0)


def _charge(budget: Budget, terms: BudgetLimits, facts: Settlement) -> Budget:
    """Correct the tokens that were taken beforehand by what was really spent."""
    if budget.tokens is None or terms.rate is None or facts.cost == facts.spent:
        return budget
    tokens = min(terms.burst, budget.tokens + facts.cost - facts.spent)
    return msgspec.structs.replace(budget, tokens=tokens)


def _observe(budget: Budget, rate: RateLimit | None, facts: Settlement) -> Budget:
    """Take in what the vendor's headers say of its limit; if they say nothing, count on."""
    seen = observe(budget.window, rate, now=facts.now, wall=facts.wall)
    if seen is budget.window and seen is not None:
        seen = msgspec.structs.replace(seen, remaining=seen.remaining - facts.spent)
    return budget if seen is budget.window else msgspec.structs.replace(budget, window=seen)


def _refuse(
    budget: Budget, terms: BudgetLimits, failure: Failure, told: float | None, facts: Settlement
) -> tuple[Budget, Cut | None]:
    quota = failure.reason is Reason.QUOTA_EXHAUSTED
    if told is not None:
        base, cap = TOLD_BASE, UNTOLD_CAP
    elif quota:
        base, cap = QUOTA_BASE, QUOTA_CAP
    else:
        base, cap = min(max(UNTOLD_MIN, facts.interval), UNTOLD_MAX), UNTOLD_CAP
    struck = msgspec.structs.replace(budget, strikes=budget.strikes + 1)
    ours = backoff(struck.strikes, facts.chance, floor=0.0, base=base, cap=cap)
    why = WaitCause.QUOTA if quota else WaitCause.THROTTLED
    return _stay_away(struck, terms, facts, why=why, told=told or 0.0, ours=ours)


def _told_wait(poll: Poll, failure: Failure, facts: Settlement) -> float | None:
    """Return the vendor's word in seconds: its wait, else its reset, else the period's end."""
    asked = _asked_wait(poll)
    if asked is not None:
        return asked
    quota = failure.reason is Reason.QUOTA_EXHAUSTED
    instants = (_used_up_until(poll.rate), facts.period_end if quota else None)
    return next((at - facts.wall for at in instants if at is not None and at > facts.wall), None)


def _used_up_until(rate: RateLimit | None) -> float | None:
    """Return when a limit resets, unless it says that something is left of it.

    Then it is another limit that was met, such as GitHub's secondary ones, whose documentation
    asks for a minute: the hour's reset says nothing of it.
    """
    return None if rate is None or rate.remaining else rate.reset_at


def _stay_away(
    budget: Budget,
    terms: BudgetLimits,
    facts: Settlement,
    *,
    why: WaitCause,
    told: float,
    ours: float = 0.0,
) -> tuple[Budget, Cut | None]:
    wait = min(terms.max_wait, max(ours, above(told, facts.chance)))
    until = facts.now + wait
    cut = Cut(told, wait) if told > terms.max_wait else None
    if until <= budget.until:
        return budget, cut
    recovered = until + min(wait / (RECOVERY_PACE - 1.0), RECOVERY_MAX)
    return msgspec.structs.replace(budget, until=until, why=why, recovered=recovered), cut


def _doubt_key(budget: Budget, facts: Settlement) -> Budget:
    """Count a refused credential; refused twice with no success between, it is dead for all.

    Once may be the fault of the one target that asked.
    """
    doubted = msgspec.structs.replace(budget, refusals=budget.refusals + 1)
    if not doubted.dead:
        return doubted
    until = facts.now + state.auth_pause(doubted.refusals - 1, facts.chance)
    if until <= budget.until:
        return doubted
    return msgspec.structs.replace(doubted, until=until, why=WaitCause.REFUSED)


def unended(budget: Budget, started: float) -> Budget:
    """Return the budget if the process does not see the end of a poll that began at `started`.

    A dead key is tried by one poll at a time. If the process ends meanwhile, the next target of the
    key must not try it at once after the restart: the try counts as refused.
    """
    if not budget.dead:
        return budget
    until = max(budget.until, started + state.auth_pause(budget.refusals, 0.0))
    return msgspec.structs.replace(
        budget, refusals=budget.refusals + 1, until=until, why=WaitCause.REFUSED
    )


def forgive(budget: Budget) -> Budget:
    """Return the budget after its secret changed: what the vendor thought of the old is over.

    A wait for throttling stays.
    """
    if budget.why is WaitCause.REFUSED:
        return msgspec.structs.replace(budget, until=-math.inf, why=None, refusals=0)
    return msgspec.structs.replace(budget, refusals=0) if budget.refusals else budget


def idle(budget: Budget, now: float) -> bool:
    """Tell whether the budget holds nothing back any more, nor will: it may be forgotten."""
    full = -math.inf if budget.tokens is None else budget.stamp + TOKENS_KEPT
    bound = (budget.until, budget.next_start, budget.recovered, full)
    over = budget.window is None or budget.window.over(now)
    return over and all(when <= now for when in bound)


def restored(budget: Budget, terms: BudgetLimits, now: float) -> Budget:
    """Return a remembered budget; what lies further ahead than any wait could, is cut.

    Such a time comes from a clock that was wrong.
    """
    furthest = now + max(terms.max_wait, state.auth_pause(len(state.AUTH_PAUSES), 1.0))
    return msgspec.structs.replace(
        budget,
        until=min(budget.until, furthest),
        next_start=min(budget.next_start, furthest),
        recovered=min(budget.recovered, furthest),
        stamp=min(budget.stamp, now),
    )
