import pytest
from structlog.testing import CapturingLogger

from exporter.model.events import (
    ConfigLoaded,
    ConfigRejected,
    Event,
    LedgerStatus,
    PollCrashed,
    RunnerRecovered,
    SchemaNote,
    SeriesDropped,
    TargetBack,
    TargetDown,
    ValuesExpired,
    WaitCut,
)
from exporter.model.outcome import Reason, Unchanged
from exporter.observe.eventlog import EventLog
from tests.support.events import NOON, a_failure, a_poll, finished


class Journal:
    """An event log, its lines and its clock."""

    def __init__(self, *, polls: bool = False) -> None:
        self.lines = CapturingLogger()
        self.now = 1000.0
        self.note = EventLog(self.lines, clock=lambda: self.now, polls=polls)

    def written(self) -> list[tuple[str, str]]:
        return [(call.method_name, call.args[0]) for call in self.lines.calls]

    def fields(self) -> dict[str, object]:
        return self.lines.calls[-1].kwargs


WHO = {"provider": "tpstreams", "target": "video-prod", "collector": "usage"}
SEEN = {"provider": "tpstreams", "account": "video-prod", "collector": "usage"}


def test_a_target_that_goes_down_says_why_and_when_it_is_tried_again() -> None:
    journal = Journal()
    journal.note(
        TargetDown(**WHO, reason=Reason.RATE_LIMITED, detail="429, wait 60 s", next_poll=NOON + 60)
    )
    assert journal.written() == [("warning", "target is down")]
    assert journal.fields() == {
        **SEEN,
        "health": "throttled",
        "reason": "rate_limited",
        "detail": "429, wait 60 s",
        "next_poll": "2026-11-22T12:01:00Z",
    }


def test_a_target_that_is_back_says_after_what() -> None:
    journal = Journal()
    journal.note(TargetBack(**WHO, failures=7, down_for=5400.4))
    assert journal.written() == [("info", "target is back")]
    assert journal.fields() == {**SEEN, "failures": 7, "down_for": "1h30m"}


def test_polls_are_silent_unless_asked_for() -> None:
    journal = Journal()
    journal.note(finished(a_poll(a_failure()), failures=3))
    assert journal.written() == []


@pytest.mark.parametrize(
    ("outcome", "word"), [(None, "ok"), (Unchanged(), "unchanged"), (a_failure(), "timeout")]
)
def test_a_poll_is_one_line_at_debug(outcome: None, word: str) -> None:
    journal = Journal(polls=True)
    journal.note(finished(a_poll(outcome, statuses=(200, 503))))
    assert journal.written() == [("debug", "poll finished")]
    assert journal.fields() == {
        **SEEN,
        "outcome": word,
        "duration": "250ms",
        "requests": 2,
        "status": 503,
        "bytes": 4000,
        "failures": 0,
        "next_poll": "2026-11-22T12:05:00Z",
        "lateness": "1ms",
    }


def test_a_poll_without_a_request_is_a_line_too() -> None:
    journal = Journal(polls=True)
    journal.note(finished(a_poll(a_failure(Reason.AUTH), statuses=())))
    assert journal.fields()["status"] is None


def test_dropped_series_are_said_at_most_once_an_hour_with_all_that_were_dropped() -> None:
    journal = Journal()
    dropped = SeriesDropped(provider="p", target="t", reason="series_limit", count=10)
    journal.note(dropped)
    for journal.now in (1001.0, 1002.0, 4599.0):
        journal.note(dropped)
    assert len(journal.lines.calls) == 1
    journal.now = 4600.0
    journal.note(dropped)
    assert [call.kwargs["count"] for call in journal.lines.calls] == [10, 40]


def test_each_target_and_reason_has_its_own_hour() -> None:
    journal = Journal()
    for target, reason in (("a", "duplicate"), ("a", "series_limit"), ("b", "duplicate")):
        journal.note(SeriesDropped(provider="p", target=target, reason=reason, count=1))
    assert len(journal.lines.calls) == 3


def changed(reason: str, detail: str, count: int = 1) -> SchemaNote:
    return SchemaNote(
        provider="p", target="t", collector="c", reason=reason, detail=detail, count=count
    )


def test_a_changed_answer_is_said_once() -> None:
    journal = Journal()
    for detail in ("results[].bandwidth", "results[].storage", "results[].bandwidth"):
        journal.note(changed("path_gone", detail))
    assert [call.kwargs["detail"] for call in journal.lines.calls] == [
        "results[].bandwidth",
        "results[].storage",
    ]


def test_a_note_that_counts_more_is_no_other_note() -> None:
    journal = Journal()
    for count in (1, 2, 2):
        journal.note(changed("new_key", "emails", count))
    assert len(journal.lines.calls) == 1


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.observe.eventlog._REMEMBERED", 2)
    journal = Journal()
    for detail in ("a", "b", "c", "a"):
        journal.note(changed("new_key", detail))
    assert len(journal.lines.calls) == 4


def test_trouble_with_the_ledger_is_said_on_its_edges() -> None:
    journal = Journal()
    for ok in (True, False, False, True, True, False):
        journal.note(LedgerStatus(ok=ok, detail="disk full"))
    assert [level for level, _ in journal.written()] == ["error", "info", "error"]


@pytest.mark.parametrize(
    ("event", "level", "message"),
    [
        (ValuesExpired(**WHO, cause="stale"), "warning", "values are no longer published"),
        (
            WaitCut(provider="p", target="t", asked=1e6, applied=86400),
            "warning",
            "the vendor asked for a longer wait than max_wait",
        ),
        (
            PollCrashed(**WHO, error="KeyError at mapping/read.py:12"),
            "error",
            "a poll crashed: this is a bug of the exporter",
        ),
        (
            RunnerRecovered(error="KeyError at schedule/runner.py:12", times=1),
            "error",
            "the poll loop was rebuilt after an error: this is a bug of the exporter",
        ),
        (ConfigLoaded(at=NOON, targets=3, added=1), "info", "configuration loaded"),
    ],
    ids=["expired", "cut", "crashed", "mended", "loaded"],
)
def test_other_events_have_a_line_of_their_own(event: Event, level: str, message: str) -> None:
    journal = Journal()
    journal.note(event)
    assert journal.written() == [(level, message)]


def test_a_rejected_configuration_is_said_with_every_problem() -> None:
    journal = Journal()
    journal.note(ConfigRejected(at=NOON, problems=("config.yaml:1:1: a", "config.yaml:2:2: b")))
    assert [level for level, _ in journal.written()] == ["error"] * 3
    assert journal.lines.calls[0].kwargs == {"problems": 2}
    assert journal.fields() == {"problem": "config.yaml:2:2: b"}
