from exporter.model.events import LedgerStatus
from exporter.model.outcome import Reason, Unchanged
from exporter.observe.history import FailedPoll, PollHistory, RecentPolls, SuccessfulPoll
from tests.support.events import NOON, a_failure, a_poll, finished


def test_an_unknown_target_has_no_history() -> None:
    assert PollHistory().recent("video-prod") == RecentPolls()


def test_successes_and_failures_are_kept_apart_newest_first() -> None:
    history = PollHistory()
    history(finished(a_poll(at=1)))
    history(finished(a_poll(a_failure(Reason.AUTH, "401"), at=2)))
    history(finished(a_poll(Unchanged(), at=3)))
    assert history.recent("video-prod") == RecentPolls(
        (SuccessfulPoll(3, "usage", 0.25), SuccessfulPoll(1, "usage", 0.25)),
        (FailedPoll(2, "usage", Reason.AUTH, "401"),),
    )


def test_a_burst_of_successes_does_not_hide_last_nights_error() -> None:
    history = PollHistory()
    history(finished(a_poll(a_failure(), at=NOON - 3600)))
    for minute in range(100):
        history(finished(a_poll(at=NOON + 60 * minute)))
    recent = history.recent("video-prod")
    assert [failure.at for failure in recent.failures] == [NOON - 3600]
    assert [success.at for success in recent.successes] == [NOON + 60 * 99, NOON + 60 * 98]


def test_the_last_five_failures_are_kept() -> None:
    history = PollHistory()
    for at in range(9):
        history(finished(a_poll(a_failure(), at=at)))
    assert [failure.at for failure in history.recent("video-prod").failures] == [8, 7, 6, 5, 4]


def test_removed_targets_are_forgotten() -> None:
    history = PollHistory()
    for target in ("a", "b"):
        history(finished(a_poll(target=target)))
        history(finished(a_poll(a_failure(), target=target)))
    history.keep({"b"})
    assert history.recent("a") == RecentPolls()
    assert history.recent("b").failures


def test_other_events_are_no_history() -> None:
    history = PollHistory()
    history(LedgerStatus(ok=False, detail="disk full"))
    assert history.recent("") == RecentPolls()
