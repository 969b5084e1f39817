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
from exporter.schedule import window as windows
from exporter.schedule.backoff import above, backoff
from exporter.schedule.job import Terms
from exporter.schedule.window import Window

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


class Budget(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
    stamp: float = -math.inf
    window: Window | None = None
    next_start: float = -math.inf
    paced: Why | None = None
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
    why: Why

    @property
    def ours(self) -> bool:
        """Tell whether more was asked of us than we may do: polls are late, not just waiting."""
        return self.why is Why.RATE


class Cut(msgspec.Struct, frozen=True, gc=False):
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
    holds = [Hold(budget.next_start, budget.paced or Why.PACED)]
    if budget.window is not None:
        full = windows.closed_until(budget.window, terms, now, cost=cost, pledged=pledged)
        holds.append(Hold(full, Why.RESERVE))
    if terms.rate is not None:
        missing = min(cost, terms.burst) - _tokens(budget, terms, now)
        if missing > EPSILON:
            holds.append(Hold(now + missing / terms.rate, Why.RATE))
    longest = max(holds, key=lambda held: held.until)
    return longest if longest.until > now else None


def _tokens(budget: Budget, terms: Terms, now: float) -> float:
    if budget.tokens is None or terms.rate is None:
        return terms.burst
    return min(terms.burst, budget.tokens + max(0.0, now - budget.stamp) * terms.rate)


def roomy(budget: Budget, terms: Terms, now: float, pledged: float) -> bool:
    """Tell whether so much is left, by the vendor's own word, that polls may run side by side.

    Where nothing is known they come one after another: of two polls under way when the limit is
    reached, both are refused.
    """
    window = budget.window
    return not budget.careful and window is not None and windows.roomy(window, terms, now, pledged)


# --------------------------------------------------------------------------------- a poll starts


def spend(
    budget: Budget, terms: Terms, now: float, *, cost: float, pledged: float, demand: float
) -> Budget:
    """Return the budget after the start of a poll of `cost` requests.

    `demand` is what all polls of the budget need, in requests per second.
    """
    next_start, why = budget.next_start, None
    if now < budget.recovered and demand > 0.0:
        next_start, why = now + cost / (RECOVERY_PACE * demand), Why.RECOVERING
    if budget.window is not None:
        pace = windows.pace(budget.window, terms, now, pledged=pledged, demand=demand)
        if pace is not None:
            latest = min(budget.window.end, now + terms.max_wait)
            next_start, why = min(now + cost / pace, latest), Why.PACED
    if terms.rate is None and why is None:
        return budget
    tokens = None if terms.rate is None else _tokens(budget, terms, now) - cost
    return msgspec.structs.replace(
        budget, tokens=tokens, stamp=now, next_start=next_start, paced=why
    )


# ----------------------------------------------------------------------------------- a poll ended


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
    budget: Budget, terms: Terms, poll: Poll, facts: Settlement
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
    return _stay_away(after, terms, facts, why=Why.THROTTLED, told=told)


def _asked_wait(poll: Poll) -> float | None:
    """Return the longest wait that any answer of the poll asked for, the good ones included."""
    failed = poll.outcome.wait if isinstance(poll.outcome, Failure) else None
    waits = (failed, None if poll.rate is None else poll.rate.wait)
    return max((wait for wait in waits if wait is not None and wait >= 0.0), default=None)


def _trust(budget: Budget) -> Budget:
    if budget.strikes == 0 and budget.refusals == 0:
        return budget
    return msgspec.structs.replace(budget, strikes=0, refusals=0)


def _charge(budget: Budget, terms: Terms, facts: Settlement) -> Budget:
    """Correct the tokens that were taken beforehand by what was really spent."""
    if budget.tokens is None or terms.rate is None or facts.cost == facts.spent:
        return budget
    tokens = min(terms.burst, budget.tokens + facts.cost - facts.spent)
    return msgspec.structs.replace(budget, tokens=tokens)


def _observe(budget: Budget, rate: RateLimit | None, facts: Settlement) -> Budget:
    """Take in what the vendor's headers say of its limit; if they say nothing, count on."""
    seen = windows.observe(budget.window, rate, now=facts.now, wall=facts.wall)
    if seen is budget.window and seen is not None:
        seen = msgspec.structs.replace(seen, remaining=seen.remaining - facts.spent)
    return budget if seen is budget.window else msgspec.structs.replace(budget, window=seen)


def _refuse(
    budget: Budget, terms: Terms, failure: Failure, told: float | None, facts: Settlement
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
    why = Why.QUOTA if quota else Why.THROTTLED
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
    budget: Budget, terms: Terms, facts: Settlement, *, why: Why, told: float, ours: float = 0.0
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
    until = facts.now + cadence.auth_pause(doubted.refusals - 1, facts.chance)
    if until <= budget.until:
        return doubted
    return msgspec.structs.replace(doubted, until=until, why=Why.REFUSED)


def unended(budget: Budget, started: float) -> Budget:
    """Return the budget if the process does not see the end of a poll that began at `started`.

    A dead key is tried by one poll at a time. If the process ends meanwhile, the next target of the
    key must not try it at once after the restart: the try counts as refused.
    """
    if not budget.dead:
        return budget
    until = max(budget.until, started + cadence.auth_pause(budget.refusals, 0.0))
    return msgspec.structs.replace(
        budget, refusals=budget.refusals + 1, until=until, why=Why.REFUSED
    )


def forgive(budget: Budget) -> Budget:
    """Return the budget after its secret changed: what the vendor thought of the old is over.

    A wait for throttling stays.
    """
    if budget.why is Why.REFUSED:
        return msgspec.structs.replace(budget, until=-math.inf, why=None, refusals=0)
    return msgspec.structs.replace(budget, refusals=0) if budget.refusals else budget


def idle(budget: Budget, now: float) -> bool:
    """Tell whether the budget holds nothing back any more, nor will: it may be forgotten."""
    full = -math.inf if budget.tokens is None else budget.stamp + TOKENS_KEPT
    bound = (budget.until, budget.next_start, budget.recovered, full)
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
