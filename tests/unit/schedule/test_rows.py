"""A snapshot as rows of bytes, and back."""

from exporter.model.health import WaitCause
from exporter.model.outcome import Reason
from exporter.schedule.persistence import BudgetMemo, JobMemo, Snapshot, assemble, snapshot_rows
from tests.support.schedule import DAY, EPOCH

SNAPSHOT = Snapshot(
    at=EPOCH,
    jobs=(
        JobMemo(target="a/b", collector="usage", due=EPOCH + 60.0, started=EPOCH, calls=3.0),
        JobMemo(target="b", collector="usage", due=EPOCH, reason=Reason.AUTH, failures=2, alike=2),
    ),
    budgets=(BudgetMemo(key="host#key", until=EPOCH + 9.0, why=WaitCause.QUOTA, strikes=1),),
)


def test_rows_become_the_snapshot_again() -> None:
    assert assemble(snapshot_rows(SNAPSHOT), EPOCH) == (SNAPSHOT, ())


def test_each_job_and_each_budget_has_a_row_of_its_own() -> None:
    assert list(snapshot_rows(SNAPSHOT)) == ["job/usage/a/b", "job/usage/b", "budget/host#key"]


def test_a_row_that_cannot_be_understood_costs_only_itself() -> None:
    stored = snapshot_rows(SNAPSHOT) | {
        "job/usage/b": b"\xc1",
        "budget/x": b"\x80",
        "from/the/future": b"",
    }
    snapshot, useless = assemble(stored, EPOCH)
    assert [memo.target for memo in snapshot.jobs] == ["a/b"]
    assert snapshot.budgets == SNAPSHOT.budgets
    assert useless == ("job/usage/b", "budget/x", "from/the/future")


def test_targets_that_are_gone_for_long_are_good_for_nothing() -> None:
    snapshot, useless = assemble(snapshot_rows(SNAPSHOT), EPOCH + 36 * DAY)
    assert snapshot.jobs == ()
    assert useless == ("job/usage/a/b", "job/usage/b")
