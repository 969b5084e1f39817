"""The schedule's part of the ledger: rows of the schedule's own, and two about targets.

``account/NAME`` tells whose account a target was when it was last polled: what is remembered of its
polls is about that one. ``refused/NAME`` tells which secrets were refused.
"""

from collections.abc import Container, Iterable, Mapping

import msgspec

from exporter.schedule.memory import JobMemo, Snapshot
from exporter.schedule.roster import Forgotten
from exporter.schedule.rows import assemble, budget_key, job_key
from exporter.store.recall import Restored

ACCOUNT, REFUSED = "account/", "refused/"


class Recalled(msgspec.Struct, frozen=True, kw_only=True):
    """What an earlier process knew of the schedule.

    ``others`` are the targets that are other accounts now; ``refused`` are digests of secrets by
    target. ``rows`` are the keys of all that is written.
    """

    snapshot: Snapshot
    others: frozenset[str]
    refused: Mapping[str, str]
    rows: frozenset[str]

    @property
    def failing(self) -> tuple[tuple[str, str], ...]:
        """The targets and collectors whose polls failed."""
        return tuple((memo.target, memo.collector) for memo in self.snapshot.jobs if memo.reason)

    @property
    def budgets(self) -> tuple[str, ...]:
        """The budgets of which something is known."""
        return tuple(memo.key for memo in self.snapshot.budgets)


def recalled(restored: Restored, accounts: Mapping[str, str]) -> Recalled:
    """Take the rows apart. `accounts` are the present fingerprints by target.

    Of a target that is another account now, only the time of its last request stays.
    """
    stored = restored.schedule
    own = {key: row for key, row in stored.items() if not key.startswith((ACCOUNT, REFUSED))}
    snapshot, _ = assemble(own, restored.written_at or 0.0)
    before = _texts(stored, ACCOUNT)
    others = {n for n, account in accounts.items() if before.get(n, account) != account}
    jobs = tuple(_stranger(memo) if memo.target in others else memo for memo in snapshot.jobs)
    return Recalled(
        snapshot=msgspec.structs.replace(snapshot, jobs=jobs),
        others=frozenset(others),
        refused={n: digest for n, digest in _texts(stored, REFUSED).items() if n not in others},
        rows=frozenset(stored),
    )


def account_rows(accounts: Mapping[str, str]) -> dict[str, bytes]:
    """Return the rows that tell whose accounts the targets are."""
    return {f"{ACCOUNT}{name}": print_.encode() for name, print_ in accounts.items()}


def refused_rows(digests: Mapping[str, str]) -> dict[str, bytes]:
    """Return the rows that tell which secrets of targets were refused."""
    return {f"{REFUSED}{name}": digest.encode() for name, digest in digests.items()}


def useless(known: Recalled, rows: Iterable[str], targets: Iterable[str]) -> dict[str, None]:
    """Return what may be deleted: all but `rows`, and what is about neither `targets` nor them."""
    kept = set(rows)
    about = {*targets}
    return {
        key: None
        for key in known.rows - kept
        if not (key.startswith((ACCOUNT, REFUSED)) and key.partition("/")[2] in about)
    }


def forgotten_rows(gone: Forgotten, targets: Container[str]) -> dict[str, None]:
    """Return the rows of what holds nothing back any more, to be deleted."""
    keys = [job_key(*key) for key in gone.jobs]
    keys += [budget_key(budget) for budget in gone.budgets]
    names = [name for name, _ in gone.jobs if name not in targets]
    keys += [prefix + name for name in names for prefix in (ACCOUNT, REFUSED)]
    return dict.fromkeys(keys)


def _stranger(memo: JobMemo) -> JobMemo:
    began = memo.due if memo.started is None else memo.started
    return JobMemo(target=memo.target, collector=memo.collector, due=began, started=memo.started)


def _texts(stored: Mapping[str, bytes], prefix: str) -> dict[str, str]:
    return {
        key.removeprefix(prefix): row.decode("utf-8", "replace")
        for key, row in stored.items()
        if key.startswith(prefix)
    }
