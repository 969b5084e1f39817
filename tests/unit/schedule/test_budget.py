"""Budgets: waits, the declared rate, the vendor's window, the reserve."""

import math
from typing import Any

import pytest

from exporter.model.health import WaitCause
from exporter.model.outcome import Failure, Reason, Unchanged
from exporter.model.reading import RateLimit
from exporter.schedule import budget
from exporter.schedule import budget as budget_module
from exporter.schedule.budget import NOTHING_KNOWN, Budget, Cut, Hold, Window, roomy
from exporter.schedule.job import BudgetLimits
from exporter.schedule.state import PollEnd
from tests.support.schedule import DAY, EPOCH, a_failure, a_job, a_poll

TERMS = BudgetLimits()


def hold(budget: Budget, now: float, limits: BudgetLimits = TERMS, **told: float) -> Hold | None:
    return budget_module.hold(budget, limits, now, **({"cost": 1.0, "in_flight": 0.0} | told))


def spend(budget: Budget, now: float, limits: BudgetLimits = TERMS, **told: float) -> Budget:
    return budget_module.poll_started(
        budget, limits, now, **({"cost": 1.0, "in_flight": 0.0, "demand": 0.001} | told)
    )


def settle_both(
    budget: Budget,
    outcome: Failure | Unchanged,
    now: float,
    limits: BudgetLimits = TERMS,
    *,
    rate: RateLimit | None = None,
    cost: float = 1.0,
    spent: float = 1.0,
    **facts: float | None,
) -> tuple[Budget, Cut | None]:
    told: dict[str, Any] = {"cost": cost, "spent": spent} | facts
    end = PollEnd(now=now, wall=EPOCH + now, started=now, chance=told.pop("chance", 0.0))
    poll = a_poll(a_job(), outcome, rate=rate)
    return budget_module.poll_ended(budget, limits, poll, end, **told)


def settle(
    budget: Budget,
    outcome: Failure | Unchanged,
    now: float,
    limits: BudgetLimits = TERMS,
    **told: object,
) -> Budget:
    return settle_both(budget, outcome, now, limits, **told)[0]  # type: ignore[arg-type]


def throttled(wait: float | None = None) -> Failure:
    return a_failure(Reason.RATE_LIMITED, wait)


def good() -> Unchanged:
    return Unchanged()


# ------------------------------------------------------------------------------------------ waits


def test_a_budget_of_which_nothing_is_known_holds_nothing() -> None:
    assert hold(NOTHING_KNOWN, 0.0) is None
    assert settle(spend(NOTHING_KNOWN, 0.0), good(), 1.0) is NOTHING_KNOWN


def test_a_retry_after_holds_every_poll_until_it_is_over() -> None:
    budget = settle(NOTHING_KNOWN, throttled(120.0), 10.0)
    assert hold(budget, 10.0) == Hold(131.0, WaitCause.THROTTLED)
    assert hold(budget, 130.9) == Hold(131.0, WaitCause.THROTTLED)
    assert hold(budget, 131.0) is None


def test_a_shorter_wait_that_is_told_later_takes_nothing_off() -> None:
    budget = settle(settle(NOTHING_KNOWN, throttled(120.0), 0.0), throttled(5.0), 1.0)
    assert budget.until == 121.0


def test_without_a_word_the_wait_doubles_with_each_refusal_up_to_hours() -> None:
    budget, now, waits = NOTHING_KNOWN, 0.0, []
    for _ in range(8):
        budget = settle(budget, throttled(), now)
        waits.append(budget.until - now)
        now = budget.until
    assert waits == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3840.0, 5760.0]


@pytest.mark.parametrize(("interval", "wait"), [(5.0, 60.0), (300.0, 300.0), (DAY, 3600.0)])
def test_without_a_word_the_first_wait_is_the_interval_of_who_was_refused(
    interval: float, wait: float
) -> None:
    assert settle(NOTHING_KNOWN, throttled(), 0.0, interval=interval).until == wait


def test_a_wait_of_nothing_is_still_a_moment_and_grows() -> None:
    first = settle(NOTHING_KNOWN, throttled(0.0), 0.0)
    second = settle(first, throttled(0.0), 10.0)
    assert (first.until, second.until) == (1.0, 12.0)


def test_a_success_ends_the_count_of_refusals() -> None:
    budget = settle(settle(NOTHING_KNOWN, throttled(), 0.0), good(), 60.0)
    assert settle(budget, throttled(), 100.0).until == 160.0


def test_the_reset_of_the_headers_is_the_wait_where_no_other_is_told() -> None:
    rate = RateLimit(limit=60.0, remaining=0.0, reset_at=EPOCH + 17.0)
    assert settle(NOTHING_KNOWN, throttled(), 0.0, rate=rate).until == 18.0


def test_the_reset_of_a_limit_of_which_something_is_left_is_not_the_wait() -> None:
    rate = RateLimit(limit=5000.0, remaining=4999.0, reset_at=EPOCH + 3000.0)
    assert settle(NOTHING_KNOWN, throttled(), 0.0, rate=rate).until == 60.0


def test_a_wait_beyond_the_longest_is_cut_and_told() -> None:
    budget, cut = settle_both(NOTHING_KNOWN, throttled(31_536_000.0), 0.0)
    assert budget.until == DAY
    assert cut == Cut(31_536_000.0, DAY)


def test_a_wait_without_end_is_cut_too() -> None:
    budget, cut = settle_both(NOTHING_KNOWN, throttled(math.inf), 0.0)
    assert budget.until == DAY
    assert cut is not None


@pytest.mark.parametrize("reason", [Reason.HTTP_5XX, Reason.HTTP_4XX, Reason.FORBIDDEN])
def test_a_retry_after_counts_whatever_the_failure(reason: Reason) -> None:
    assert settle(NOTHING_KNOWN, a_failure(reason, 120.0), 0.0).until == 121.0
    assert settle(NOTHING_KNOWN, a_failure(reason), 0.0) is NOTHING_KNOWN


def test_a_retry_after_on_a_good_answer_counts() -> None:
    assert settle(NOTHING_KNOWN, good(), 0.0, rate=RateLimit(wait=600.0)).until == 601.0


@pytest.mark.parametrize("reason", [Reason.SCHEMA, Reason.CONNECT, Reason.RATE_LIMITED])
def test_a_retry_after_on_a_good_page_counts_when_a_later_one_fails(reason: Reason) -> None:
    failed = a_failure(reason, 5.0 if reason is Reason.RATE_LIMITED else None)
    assert settle(NOTHING_KNOWN, failed, 0.0, rate=RateLimit(wait=600.0)).until == 601.0


def test_a_used_up_quota_waits_for_the_vendors_word_then_the_period_then_hours() -> None:
    exhausted = a_failure(Reason.QUOTA_EXHAUSTED)
    told = settle(NOTHING_KNOWN, a_failure(Reason.QUOTA_EXHAUSTED, 7200.0), 0.0)
    assert (told.until, told.cause) == (7201.0, WaitCause.QUOTA)
    assert settle(NOTHING_KNOWN, exhausted, 0.0, period_end=EPOCH + 5000.0).until == 5001.0
    assert settle(NOTHING_KNOWN, exhausted, 0.0, period_end=EPOCH - 5.0).until == 3600.0
    twice = settle(settle(NOTHING_KNOWN, exhausted, 0.0), exhausted, 3600.0)
    assert twice.until == 3600.0 + 7200.0


def test_a_period_that_ends_in_weeks_is_asked_again_every_day() -> None:
    budget, cut = settle_both(
        NOTHING_KNOWN, a_failure(Reason.QUOTA_EXHAUSTED), 0.0, period_end=EPOCH + 20 * DAY
    )
    assert budget.until == DAY
    assert cut == Cut(20 * DAY, DAY)


def test_after_a_wait_the_backlog_comes_at_half_as_much_again_as_the_steady_demand() -> None:
    budget = settle(settle(NOTHING_KNOWN, throttled(100.0), 0.0), good(), 100.0)
    budget = spend(budget, 101.0, demand=0.02)
    held = hold(budget, 101.0)
    assert held is not None
    assert held.until == pytest.approx(134.33, abs=0.01)
    assert held.cause is WaitCause.RECOVERING
    later = spend(budget, 310.0, demand=0.02)
    assert hold(later, 310.0) is None


def test_after_a_refusal_polls_come_one_by_one() -> None:
    rate = RateLimit(limit=100.0, remaining=90.0)
    roomy = settle(NOTHING_KNOWN, good(), 0.0, rate=rate)
    assert budget.roomy(roomy, TERMS, 1.0, 0.0)
    assert not budget.roomy(settle(roomy, throttled(1.0), 1.0), TERMS, 5.0, 0.0)
    assert not budget.roomy(NOTHING_KNOWN, TERMS, 1.0, 0.0)


# ----------------------------------------------------------------------------------- a dead key


def test_a_key_that_is_refused_twice_in_a_row_is_dead_for_all_targets() -> None:
    once = settle(NOTHING_KNOWN, a_failure(Reason.AUTH), 0.0)
    assert hold(once, 0.0) is None
    twice = settle(once, a_failure(Reason.AUTH), 1.0)
    assert hold(twice, 1.0) == Hold(901.0, WaitCause.REFUSED)
    thrice = settle(twice, a_failure(Reason.AUTH), 901.0)
    assert hold(thrice, 901.0) == Hold(4501.0, WaitCause.REFUSED)


def test_a_poll_of_a_dead_key_whose_end_nobody_saw_counts_as_refused() -> None:
    once = settle(NOTHING_KNOWN, a_failure(Reason.AUTH), 0.0)
    assert budget.process_died(once, 1.0) is once
    twice = settle(once, a_failure(Reason.AUTH), 1.0)
    again = budget.process_died(twice, 901.0)
    assert hold(again, 901.0) == Hold(4501.0, WaitCause.REFUSED)
    assert hold(budget.process_died(again, 4501.0), 4501.0) == Hold(
        4501.0 + 21_600.0, WaitCause.REFUSED
    )


def test_a_key_that_serves_other_targets_is_not_dead() -> None:
    budget = settle(NOTHING_KNOWN, a_failure(Reason.AUTH), 0.0)
    budget = settle(settle(budget, good(), 1.0), a_failure(Reason.AUTH), 2.0)
    assert hold(budget, 2.0) is None


def test_keys_that_share_a_host_are_not_refused_for_each_other() -> None:
    limits = BudgetLimits(one_key=False)
    budget = settle(NOTHING_KNOWN, a_failure(Reason.AUTH), 0.0, limits)
    assert settle(budget, a_failure(Reason.AUTH), 1.0, limits) is NOTHING_KNOWN


def test_a_new_secret_ends_the_refusal_but_not_the_throttling() -> None:
    refused = settle(
        settle(NOTHING_KNOWN, a_failure(Reason.AUTH), 0.0), a_failure(Reason.AUTH), 1.0
    )
    assert hold(budget.secret_changed(refused), 1.0) is None
    waiting = settle(NOTHING_KNOWN, throttled(120.0), 0.0)
    assert hold(budget.secret_changed(waiting), 1.0) == Hold(121.0, WaitCause.THROTTLED)
    assert budget.secret_changed(NOTHING_KNOWN) is NOTHING_KNOWN


# ------------------------------------------------------------------------------ the declared rate


def test_polls_keep_to_the_declared_rate() -> None:
    limits = BudgetLimits(rate=0.5, burst=2.0)
    budget = spend(spend(NOTHING_KNOWN, 0.0, limits), 0.0, limits)
    assert hold(budget, 0.0, limits) == Hold(2.0, WaitCause.RATE)
    assert hold(budget, 2.0, limits) is None


def test_a_poll_of_many_pages_takes_as_many_tokens() -> None:
    limits = BudgetLimits(rate=1.0, burst=10.0)
    budget = spend(NOTHING_KNOWN, 0.0, limits, cost=7.0)
    assert hold(budget, 0.0, limits, cost=7.0) == Hold(4.0, WaitCause.RATE)


def test_a_poll_dearer_than_the_burst_pays_afterwards() -> None:
    limits = BudgetLimits(rate=1.0, burst=2.0)
    assert hold(NOTHING_KNOWN, 0.0, limits, cost=9.0) is None
    budget = spend(NOTHING_KNOWN, 0.0, limits, cost=9.0)
    assert hold(budget, 0.0, limits, cost=9.0) == Hold(9.0, WaitCause.RATE)


def test_what_was_really_spent_is_what_counts() -> None:
    limits = BudgetLimits(rate=1.0, burst=5.0)
    dearer = settle(spend(NOTHING_KNOWN, 0.0, limits), good(), 0.0, limits, spent=6.0)
    assert hold(dearer, 0.0, limits) == Hold(2.0, WaitCause.RATE)
    cheaper = settle(spend(NOTHING_KNOWN, 0.0, limits, cost=5.0), good(), 0.0, limits, cost=5.0)
    assert hold(cheaper, 0.0, limits, cost=4.0) is None


def test_tokens_never_pile_up_beyond_the_burst() -> None:
    limits = BudgetLimits(rate=1.0, burst=2.0)
    budget = spend(NOTHING_KNOWN, 0.0, limits, cost=2.0)
    budget = spend(budget, 1000.0, limits, cost=2.0)
    assert hold(budget, 1000.0, limits, cost=2.0) == Hold(1002.0, WaitCause.RATE)


# ----------------------------------------------------------------------------- the vendor's window


def window(remaining: float, reset: float | None = 600.0, limit: float | None = 100.0) -> Budget:
    reset_at = None if reset is None else EPOCH + reset
    rate = RateLimit(limit=limit, remaining=remaining, reset_at=reset_at)
    return settle(NOTHING_KNOWN, good(), 0.0, rate=rate)


def test_the_reserve_is_left_to_the_keys_other_users() -> None:
    assert hold(window(21.0), 1.0) is None
    assert hold(window(20.0), 1.0) == Hold(601.0, WaitCause.RESERVE)
    assert hold(window(20.0), 601.0) is None


def test_what_running_polls_may_still_spend_is_taken_for_spent() -> None:
    assert hold(window(24.0), 1.0, cost=2.0, in_flight=2.0) is None
    assert hold(window(24.0), 1.0, cost=2.0, in_flight=3.0) == Hold(601.0, WaitCause.RESERVE)


def test_a_200_that_says_that_nothing_remains_stops_the_polls_until_the_reset() -> None:
    assert hold(window(0.0), 1.0) == Hold(601.0, WaitCause.RESERVE)


def test_near_the_reserve_polls_slow_down_until_the_reset() -> None:
    budget = spend(window(40.0), 1.0, demand=1.0)  # 20 requests for 600 s
    assert hold(budget, 1.0) == Hold(31.0, WaitCause.PACED)


def test_with_enough_left_for_all_polls_nothing_slows_down() -> None:
    assert hold(spend(window(90.0), 1.0, demand=0.1), 1.0) is None


def test_a_poll_dearer_than_the_window_waits_for_a_full_one_and_no_longer() -> None:
    assert hold(window(99.0), 1.0, cost=200.0) == Hold(601.0, WaitCause.RESERVE)
    assert hold(window(100.0), 1.0, cost=200.0) is None
    assert hold(window(99.0), 601.0, cost=200.0) is None


@pytest.mark.parametrize("limit", [1.0, 2.0, 4.0])
def test_a_tiny_limit_is_not_all_reserve(limit: float) -> None:
    limits = BudgetLimits(reserve=1.0)
    assert hold(window(limit, limit=limit), 1.0, limits) is None


def test_a_window_without_a_reset_is_believed_for_some_minutes() -> None:
    budget = window(5.0, reset=None)
    assert hold(budget, 1.0) == Hold(300.0, WaitCause.RESERVE)
    assert hold(budget, 300.0) is None


def test_a_window_that_ends_in_weeks_is_asked_again_every_day() -> None:
    assert hold(window(0.0, reset=20 * DAY), 1.0) == Hold(DAY, WaitCause.RESERVE)


def observe(budget: Budget, remaining: float, reset: float, now: float) -> Budget:
    rate = RateLimit(limit=100.0, remaining=remaining, reset_at=EPOCH + reset)
    return settle(budget, good(), now, rate=rate)


def test_answers_that_overtake_each_other_do_not_raise_what_remains() -> None:
    budget = observe(window(50.0), 52.0, 600.4, 2.0)
    assert budget.window is not None
    assert (budget.window.remaining, budget.window.reset) == (50.0, 600.0)


def test_a_reset_that_moves_further_than_jitter_is_a_new_window() -> None:
    budget = observe(window(50.0), 99.0, 606.0, 2.0)
    assert budget.window is not None
    assert (budget.window.remaining, budget.window.reset) == (99.0, 606.0)


def test_a_used_up_limit_stands_against_an_answer_on_its_way() -> None:
    used_up = window(0.0, reset=55.0)
    assert used_up.window is not None
    rate = RateLimit(remaining=99.0, reset_at=EPOCH + 22.0)
    seen = used_up.window.seen_at
    end = PollEnd(now=seen + 2.0, wall=EPOCH + seen + 2.0, started=seen - 1.0, chance=0.0)
    assert budget_module.observe(used_up.window, rate, end) is used_up.window
    later = PollEnd(now=seen + 2.0, wall=EPOCH + seen + 2.0, started=seen + 1.0, chance=0.0)
    replaced = budget_module.observe(used_up.window, rate, later)
    assert replaced is not None
    assert replaced.remaining == 99.0


def test_after_the_reset_every_answer_is_of_a_new_window() -> None:
    budget = observe(window(0.0, reset=2.0), 99.0, 6.0, 4.0)
    assert budget.window is not None
    assert budget.window.remaining == 99.0


def test_an_answer_without_headers_is_counted_by_us() -> None:
    budget = settle(window(22.0), a_failure(Reason.TIMEOUT), 2.0, spent=2.0)
    assert hold(budget, 2.0) == Hold(601.0, WaitCause.RESERVE)


@pytest.mark.parametrize("reset", [-3600.0, math.inf, math.nan])
def test_a_reset_that_cannot_be_is_unknown(reset: float) -> None:
    budget = window(0.0, reset=reset)
    assert hold(budget, 1.0) == Hold(300.0, WaitCause.RESERVE)


# ------------------------------------------------------------------------------- to be remembered


def test_a_budget_is_forgotten_only_when_it_holds_nothing_back() -> None:
    assert budget.idle(NOTHING_KNOWN, 4000.0)
    waiting = settle(NOTHING_KNOWN, throttled(100.0), 4000.0)
    assert not budget.idle(waiting, 4050.0)
    assert not budget.idle(window(5.0, reset=8000.0), 4000.0)
    assert budget.idle(waiting, 8000.0)
    spent = spend(NOTHING_KNOWN, 4000.0, BudgetLimits(rate=1.0))
    assert not budget.idle(spent, 4001.0)
    assert budget.idle(spent, 4000.0 + DAY)


def test_a_remembered_wait_beyond_the_longest_is_cut() -> None:
    budget = Budget(
        until=1e9, cause=WaitCause.THROTTLED, tokens_at=1e9, recovery_end=1e9, next_start=1e9
    )
    restored = budget_module.restored(budget, TERMS, 50.0)
    assert restored.until == restored.recovery_end == restored.next_start == 50.0 + DAY
    assert restored.tokens_at == 50.0


@pytest.mark.parametrize(
    ("rejections", "throttlings", "careful"),
    [(0, 0, False), (1, 0, False), (2, 0, True), (3, 0, True), (0, 1, True), (3, 2, True)],
)
def test_a_dead_key_and_a_throttled_one_are_tried_by_one_poll_at_a_time(
    rejections: int,
    throttlings: int,
    careful: bool,  # noqa: FBT001
) -> None:
    plenty = Window(limit=1000.0, remaining=1000.0, reset=600.0, seen_at=0.0)
    budget = Budget(rejections=rejections, throttlings=throttlings, window=plenty)
    assert roomy(budget, TERMS, 0.0, 0.0) is not careful


def test_a_new_secret_ends_a_single_refusal_too() -> None:
    doubted = settle(NOTHING_KNOWN, a_failure(Reason.AUTH), 0.0)
    renewed = budget.secret_changed(doubted)
    assert renewed.rejections == 0
    again = settle(renewed, a_failure(Reason.AUTH), 10.0)
    assert hold(again, 10.0) is None  # one refusal may be the fault of one target
    assert hold(settle(again, a_failure(Reason.AUTH), 20.0), 20.0) is not None
