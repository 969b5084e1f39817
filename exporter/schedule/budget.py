"""Budgets: the throttling state of one host and one credential, as values and steps.

A budget answers one question, `hold`: may a poll start now, and if not, when and why. It is told
what happened by `spend` (a poll starts) and `settle` (a poll ended). Times are loop time.

Three things bound a poll, each a floor:

- a wait, because a poll was refused: throttled, quota exhausted, credential refused;
- the declared rate, a token bucket: a poll of n requests takes n tokens;
- the window that the vendor's headers tell of: what remains beyond the reserve must last for all
  polls until the reset, so they slow down ahead of it and stop at the reserve.
"""

import math
from enum import StrEnum

import msgspec

from exporter.model.outcome import Failure, Poll, Reason
from exporter.model.reading import RateLimit
from exporter.schedule import cadence
from exporter.schedule.backoff import above, backoff
from exporter.schedule.job import Terms

UNTOLD_BASE = 60.0  # first wait after a refusal without any word: the commonest window
TOLD_BASE = 1.0  # with a word: only refusals again and again outgrow it
UNTOLD_CAP = 3600.0  # as windows are rarely longer than an hour
QUOTA_BASE = 3600.0  # a quota that says nothing of its reset: some tries a day
QUOTA_CAP = 21_600.0
RESET_TOLERANCE = 5.0  # vendors' reset times jitter; a new window moves further
RESET_MARGIN = 1.0  # resets are told in whole seconds
UNKNOWN_WINDOW = 300.0  # how long a `remaining` without a reset is believed
RECOVERY_MAX = 3600.0
RECOVERY_PACE = 2.0  # times the steady demand: a backlog must not become the next refusal
ROOMY = 0.25  # of the limit, beyond the reserve: nobody uses that up in the time of a poll
EPSILON = 1e-9  # of a token: sums of floats must not cost a turn


class Why(StrEnum):
    """Why a poll waits, for the status page. Closed."""

    THROTTLED = "throttled"
    QUOTA = "quota exhausted"
    REFUSED = "credential refused"
    FORBIDDEN = "permission refused"
    RESERVE = "reserve reached"
    PACED = "paced until the reset"
    RECOVERING = "recovering"
    RATE = "declared rate"
    BACKOFF = "back-off"


class Window(msgspec.Struct, frozen=True, gc=False):
    """What the vendor said of its own limit. `reset` is None where it said nothing."""

    limit: float | None
    remaining: float
    reset: float | None
    seen: float

    def over(self, now: float) -> bool:
        """Tell whether the numbers mean nothing any more."""
        return now >= self.end

    @property
    def end(self) -> float:
        """When a new window surely has begun."""
        if self.reset is None:
            return self.seen + UNKNOWN_WINDOW
        return self.reset + RESET_MARGIN


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The throttling state. The default is a budget of which nothing is known.

    No poll starts before `until`, because of `why`. `strikes` are refusals in a row, `refusals`
    those of the credential. `tokens` (None: full) are as of `stamp`. `next_start` paces polls;
    until `recovered` they are paced because a wait has piled them up.
    """

    until: float = -math.inf
    why: Why | None = None
    strikes: int = 0
    refusals: int = 0
    tokens: float | None = None
    stamp: float = 0.0
    window: Window | None = None
    next_start: float = -math.inf
    paced: Why | None = None
    recovered: float = -math.inf

    @property
    def careful(self) -> bool:
        """Tell whether one poll at a time must show first that the vendor answers again."""
        return self.strikes > 0 or self.refusals > 1


FRESH = Budget()


class Hold(msgspec.Struct, frozen=True):
    """No poll before `until`, because of `why`."""

    until: float
    why: Why

    @property
    def ours(self) -> bool:
        """Tell whether more was asked of us than we may do: polls are late, not just waiting."""
        return self.why is Why.RATE


class Cut(msgspec.Struct, frozen=True):
    """A vendor asked for more seconds than `max_wait` lets us stay away."""

    asked: float
    applied: float


# ------------------------------------------------------------------------------ may a poll start?


def hold(budget: Budget, terms: Terms, now: float, *, cost: float, pledged: float) -> Hold | None:
    """Return what a poll of `cost` requests must wait for, or None: it may start.

    `pledged` are the requests that running polls of the budget may still make.
    """
    if budget is FRESH and terms.rate is None:
        return None
    if budget.until > now:
        return Hold(budget.until, budget.why or Why.THROTTLED)
    holds = (_window_hold(budget, terms, now, cost, pledged), _rate_hold(budget, terms, now, cost))
    paced = Hold(budget.next_start, budget.paced or Why.PACED)
    longest = max((*(held for held in holds if held), paced), key=lambda held: held.until)
    return longest if longest.until > now else None


def _rate_hold(budget: Budget, terms: Terms, now: float, cost: float) -> Hold | None:
    if terms.rate is None:
        return None
    missing = min(cost, terms.burst) - _tokens(budget, terms, now)
    return Hold(now + missing / terms.rate, Why.RATE) if missing > EPSILON else None


def _tokens(budget: Budget, terms: Terms, now: float) -> float:
    if budget.tokens is None or terms.rate is None:
        return terms.burst
    return min(terms.burst, budget.tokens + max(0.0, now - budget.stamp) * terms.rate)


def _window_hold(
    budget: Budget, terms: Terms, now: float, cost: float, pledged: float
) -> Hold | None:
    window = budget.window
    if window is None or window.over(now):
        return None
    # A poll that is dearer than all that the reserve leaves must start some time: in a full window.
    need = cost if window.limit is None else min(cost, window.limit - _kept(window, terms))
    if _available(window, terms, pledged) >= need - EPSILON:
        return None
    return Hold(min(window.end, window.seen + terms.max_wait), Why.RESERVE)


def _available(window: Window, terms: Terms, pledged: float) -> float:
    return window.remaining - _kept(window, terms) - pledged


def _kept(window: Window, terms: Terms) -> float:
    """Return the requests that are the others': the reserve, but never all."""
    whole = window.remaining if window.limit is None else window.limit
    return max(0.0, min(math.floor(terms.reserve * whole), whole - 1.0))


def roomy(budget: Budget, terms: Terms, now: float, pledged: float) -> bool:
    """Tell whether so much is left, by the vendor's own word, that polls may run side by side.

    Where nothing is known they come one after another: of two polls under way when the limit is
    reached, both are refused.
    """
    window = budget.window
    if budget.careful or window is None or window.limit is None or window.over(now):
        return False
    return _available(window, terms, pledged) >= ROOMY * window.limit


# --------------------------------------------------------------------------------- a poll starts


def spend(
    budget: Budget, terms: Terms, now: float, *, cost: float, pledged: float, demand: float
) -> Budget:
    """Return the budget after the start of a poll of `cost` requests.

    `demand` is what all polls of the budget need, in requests per second.
    """
    pace, why = _pace(budget, terms, now, pledged, demand)
    if terms.rate is None and pace is None:
        return budget
    tokens = None if terms.rate is None else _tokens(budget, terms, now) - cost
    return msgspec.structs.replace(
        budget,
        tokens=tokens,
        stamp=now,
        next_start=budget.next_start if pace is None else now + cost / pace,
        paced=why,
    )


def _pace(
    budget: Budget, terms: Terms, now: float, pledged: float, demand: float
) -> tuple[float | None, Why | None]:
    """Return the requests per second that the window, or the recovery, leaves room for."""
    window = budget.window
    if window is not None and window.reset is not None and not window.over(now):
        left = window.end - now
        available = max(_available(window, terms, pledged), EPSILON)
        if demand * left > available:
            return available / left, Why.PACED
    if now < budget.recovered and demand > 0.0:
        return RECOVERY_PACE * demand, Why.RECOVERING
    return None, None


# ----------------------------------------------------------------------------------- a poll ended


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """How a poll ended, in numbers: `cost` was expected, `spent` requests were made.

    `now` is loop time, `wall` the same instant in epoch seconds; `chance` in [0, 1).
    `period_end` is epoch seconds: when a quota begins anew, where a reading told.
    """

    now: float
    wall: float
    chance: float
    cost: float
    spent: float
    period_end: float | None = None


def settle(
    budget: Budget, terms: Terms, poll: Poll, facts: Settlement
) -> tuple[Budget, Cut | None]:
    """Return the budget after the end of a poll, and the cut if a wait was too long."""
    after = _charge(_observe(budget, poll.rate, facts), terms, poll.rate, facts)
    match poll.outcome:
        case Failure(reason=Reason.RATE_LIMITED | Reason.QUOTA_EXHAUSTED) as failure:
            return _refuse(after, terms, failure, poll.rate, facts)
        case Failure() as failure:
            told = failure.wait
            if failure.reason is Reason.AUTH and terms.one_key:
                after = _doubt_key(after, facts)
        case _:
            told = None if poll.rate is None else poll.rate.wait
            after = _trust(after)
    if told is None or not told > 0.0:
        return after, None
    return _stay_away(after, terms, facts, why=Why.THROTTLED, told=told)


def _trust(budget: Budget) -> Budget:
    if budget.strikes == 0 and budget.refusals == 0:
        return budget
    return msgspec.structs.replace(budget, strikes=0, refusals=0)


def _charge(budget: Budget, terms: Terms, rate: RateLimit | None, facts: Settlement) -> Budget:
    """Correct what was taken beforehand by what was really spent."""
    told = rate is not None and rate.remaining is not None
    window = budget.window
    if window is not None and not told:
        window = msgspec.structs.replace(window, remaining=window.remaining - facts.spent)
    tokens = budget.tokens
    if tokens is not None and terms.rate is not None:
        tokens = min(terms.burst, tokens + facts.cost - facts.spent)
    if window is budget.window and tokens == budget.tokens:
        return budget
    return msgspec.structs.replace(budget, window=window, tokens=tokens)


def _observe(budget: Budget, rate: RateLimit | None, facts: Settlement) -> Budget:
    """Take in what the vendor's headers say of its limit.

    Answers may overtake each other: within a window `remaining` only falls.
    """
    if rate is None or rate.remaining is None:
        return budget
    reset = None if rate.reset_at is None else facts.now + rate.reset_at - facts.wall
    if reset is not None and not facts.now <= reset < math.inf:
        reset = None
    old = budget.window
    remaining = rate.remaining
    if old is not None and _same_window(old, reset, facts.now):
        remaining = min(remaining, old.remaining)
        reset = old.reset
    window = Window(rate.limit, remaining, reset, facts.now)
    return msgspec.structs.replace(budget, window=window)


def _same_window(old: Window, reset: float | None, now: float) -> bool:
    if reset is None or old.reset is None or old.over(now):
        return False
    return abs(reset - old.reset) <= RESET_TOLERANCE


def _refuse(
    budget: Budget, terms: Terms, failure: Failure, rate: RateLimit | None, facts: Settlement
) -> tuple[Budget, Cut | None]:
    quota = failure.reason is Reason.QUOTA_EXHAUSTED
    told = _told_wait(failure, rate, facts.period_end if quota else None, facts.wall)
    if told is not None:
        base, cap = TOLD_BASE, UNTOLD_CAP
    elif quota:
        base, cap = QUOTA_BASE, QUOTA_CAP
    else:
        base, cap = UNTOLD_BASE, UNTOLD_CAP
    struck = msgspec.structs.replace(budget, strikes=budget.strikes + 1)
    ours = backoff(struck.strikes, facts.chance, floor=0.0, base=base, cap=cap)
    why = Why.QUOTA if quota else Why.THROTTLED
    return _stay_away(struck, terms, facts, why=why, told=told or 0.0, ours=ours)


def _told_wait(
    failure: Failure, rate: RateLimit | None, period_end: float | None, wall: float
) -> float | None:
    """Return the vendor's word in seconds: its wait, else its reset, else the period's end."""
    if failure.wait is not None and failure.wait >= 0.0:
        return failure.wait
    instants = (rate.reset_at if rate is not None else None, period_end)
    return next((at - wall for at in instants if at is not None and at > wall), None)


def _stay_away(
    budget: Budget, terms: Terms, facts: Settlement, *, why: Why, told: float, ours: float = 0.0
) -> tuple[Budget, Cut | None]:
    wait = min(terms.max_wait, max(ours, above(told, facts.chance)))
    until = facts.now + wait
    cut = Cut(told, wait) if told > terms.max_wait else None
    if until <= budget.until:
        return budget, cut
    recovered = until + min(wait, RECOVERY_MAX)
    return msgspec.structs.replace(budget, until=until, why=why, recovered=recovered), cut


def _doubt_key(budget: Budget, facts: Settlement) -> Budget:
    """Count a refused credential; refused twice with no success between, it is dead for all.

    Once may be the fault of the one target that asked.
    """
    doubted = msgspec.structs.replace(budget, refusals=budget.refusals + 1)
    if doubted.refusals == 1:
        return doubted
    until = facts.now + cadence.auth_pause(doubted.refusals - 1, facts.chance)
    if until <= budget.until:
        return doubted
    return msgspec.structs.replace(doubted, until=until, why=Why.REFUSED)


def forgive(budget: Budget) -> Budget:
    """Return the budget after its secret changed: what the vendor thought of the old is over.

    A wait for throttling stays.
    """
    if budget.why is Why.REFUSED:
        return msgspec.structs.replace(budget, until=-math.inf, why=None, refusals=0)
    return msgspec.structs.replace(budget, refusals=0) if budget.refusals else budget


def idle(budget: Budget, now: float) -> bool:
    """Tell whether the budget holds nothing back any more, nor will: it may be forgotten."""
    bound = (budget.until, budget.next_start, budget.recovered, budget.stamp + RECOVERY_MAX)
    over = budget.window is None or budget.window.over(now)
    return over and all(when <= now for when in bound)


def restored(budget: Budget, terms: Terms, now: float) -> Budget:
    """Return a remembered budget; what lies further ahead than any wait could, is cut.

    Such a time comes from a clock that was wrong.
    """
    furthest = now + max(terms.max_wait, cadence.auth_pause(len(cadence.AUTH_PAUSES), 1.0))
    return msgspec.structs.replace(
        budget,
        until=min(budget.until, furthest),
        next_start=min(budget.next_start, furthest),
        recovered=min(budget.recovered, furthest),
        stamp=min(budget.stamp, now),
    )
