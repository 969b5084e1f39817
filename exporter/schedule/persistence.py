"""What the schedule keeps over a restart, as rows of bytes for a store that does not read them.

| key                      | row                                                              |
|--------------------------|------------------------------------------------------------------|
| ``job/COLLECTOR/TARGET`` | a `JobState`                                                     |
| ``budget/KEY``           | a `Budget`                                                       |
| ``account/TARGET``       | the fingerprint of the account that the target was polled for    |
| ``refused/TARGET``       | the digest of its secrets when the vendor rejected them          |

A row holds the state itself, in msgpack, by the names of its fields: fields may be added with a
default; a field that is renamed needs a translation as in `_unflattened`.

Loop time means nothing in another process, so a `Snapshot` is written in epoch seconds: `_INSTANTS`
lists the fields that are moved. Read back, they count from the moment they were written: a clock
that was set back meanwhile takes nothing off a wait.
"""

import math
from collections.abc import Container, Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from exporter.schedule.budget import NOTHING_KNOWN, Budget, Window
from exporter.schedule.state import Clocks, FailureStreak, JobState

JOB, BUDGET, ACCOUNT, REFUSED = "job/", "budget/", "account/", "refused/"
SHIFT = 2.0  # seconds that time servers may shift a clock by
KEPT_FOR = 35 * 86_400.0  # seconds past its due time; a target that is gone for so long has no wait
MOST = 1e15  # what no count and no time of a row exceeds

JobKey = tuple[str, str]
"""Target and collector."""
_State = TypeVar("_State", JobState, Budget, FailureStreak, Window)

_INSTANTS: Final[Mapping[type, tuple[str, ...]]] = {
    JobState: ("due", "started"),
    FailureStreak: ("since",),
    Budget: ("until", "tokens_at", "next_start", "recovery_end"),
    Window: ("reset", "seen_at"),
}
"""The fields that are loop time in this process, and epoch seconds in a row."""
_NESTED: Final = {JobState: "streak", Budget: "window"}
_DEFAULTS: Final = {
    kind: {field.name: field.default for field in msgspec.structs.fields(kind)}
    for kind in _INSTANTS
}


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The schedule as of `at`. Its instants are epoch seconds, or loop time after `recalled`."""

    at: float
    states: Mapping[JobKey, JobState] = {}
    budgets: Mapping[str, Budget] = {}


def snapshot(
    states: Mapping[JobKey, JobState], budgets: Mapping[str, Budget], clocks: Clocks
) -> Snapshot:
    """Return states and budgets of loop time in epoch seconds.

    Jobs that were never polled and budgets of which nothing is known are left out.
    """
    by = clocks.wall - clocks.now
    return Snapshot(
        at=clocks.wall,
        states={key: _moved(state, by) for key, state in states.items() if state.begun},
        budgets={
            key: _moved(budget, by) for key, budget in budgets.items() if budget != NOTHING_KNOWN
        },
    )


def recalled(written: Snapshot, clocks: Clocks) -> Snapshot:
    """Return `written` in this process's loop time.

    If the wall clock shows less than when it was written, no time at all is taken to have passed.
    """
    passed = max(0.0, clocks.wall - written.at)
    by = clocks.now - passed - written.at
    back = clocks.wall - written.at  # what is shown in wall time keeps its age, too
    if back < -SHIFT:
        states = {
            key: state
            if state.last_success is None
            else msgspec.structs.replace(state, last_success=state.last_success + back)
            for key, state in written.states.items()
        }
    else:
        states = dict(written.states)
    return Snapshot(
        at=clocks.now,
        states={key: _moved(state, by) for key, state in states.items()},
        budgets={key: _moved(budget, by) for key, budget in written.budgets.items()},
    )


def _moved(state: _State, by: float) -> _State:
    """Return `state` with its instants moved by so many seconds. Never stays never."""
    changes: dict[str, Any] = {}
    for name in _INSTANTS[type(state)]:
        when = getattr(state, name)
        if when is not None and math.isfinite(when):
            changes[name] = when + by
    nested = _NESTED.get(type(state))
    if nested is not None and (inner := getattr(state, nested)) is not None:
        changes[nested] = _moved(inner, by)
    return msgspec.structs.replace(state, **changes)


# ------------------------------------------------------------------------------------------- rows

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def job_key(target: str, collector: str) -> str:
    """Return the key of a job's row."""
    return f"{JOB}{collector}/{target}"


def budget_key(budget: str) -> str:
    """Return the key of a budget's row."""
    return f"{BUDGET}{budget}"


def schedule_rows(written: Snapshot) -> dict[str, bytes]:
    """Return a snapshot in epoch seconds as rows: one of each job and each budget."""
    jobs = {job_key(*key): _encode(state) for key, state in written.states.items()}
    return jobs | {budget_key(key): _encode(budget) for key, budget in written.budgets.items()}


def account_rows(accounts: Mapping[str, str]) -> dict[str, bytes]:
    """Return the rows of the targets' accounts, given their fingerprints by target."""
    return {f"{ACCOUNT}{name}": account.encode() for name, account in accounts.items()}


def refused_rows(digests: Mapping[str, str]) -> dict[str, bytes]:
    """Return the rows of secrets that were rejected, given their digests by target."""
    return {f"{REFUSED}{name}": digest.encode() for name, digest in digests.items()}


def read_schedule(rows: Mapping[str, bytes], written_at: float) -> tuple[Snapshot, tuple[str, ...]]:
    """Return the snapshot of job and budget rows, and the keys of those that are useless.

    `written_at` (epoch seconds) is when the newest of them was written. A row that cannot be
    understood costs only itself: its job is polled as if it were new.
    """
    states: dict[JobKey, JobState] = {}
    budgets: dict[str, Budget] = {}
    useless: list[str] = []
    for key, row in rows.items():
        try:
            fields = _unflattened(_decode(row))
            if key.startswith(BUDGET):
                budget = msgspec.convert(fields, Budget)
                _check_numbers(budget)
                budgets[key.removeprefix(BUDGET)] = budget
                continue
            state = msgspec.convert(fields, JobState)
            _check_numbers(state)
            collector, _, target = key.removeprefix(JOB).partition("/")
            if state.due >= written_at - KEPT_FOR:
                states[target, collector] = state
            else:
                useless.append(key)
        except (msgspec.MsgspecError, ValueError, TypeError, AttributeError):
            useless.append(key)
    return Snapshot(at=written_at, states=states, budgets=budgets), tuple(useless)


_STREAK: Final = ("reason", "detail", "since", "failures", "alike")
_RENAMED: Final = {
    "why": "cause",
    "strikes": "throttlings",
    "refusals": "rejections",
    "stamp": "tokens_at",
    "recovered": "recovery_end",
}


def _unflattened(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a row; those of its first form, which named its key, are translated."""
    if "target" in fields:
        inner = {name: fields.pop(name) for name in _STREAK if name in fields}
        if "reason" in inner:
            fields["streak"] = {"detail": "", "failures": 0, "alike": 0} | inner
        return {"interval": 0.0} | fields  # `restored` sets the config's
    if "key" in fields:
        fields = {_RENAMED.get(name, name): value for name, value in fields.items()}
        if "remaining" in fields:
            fields["window"] = {
                "limit": fields.get("limit"),
                "remaining": fields["remaining"],
                "reset": fields.get("reset"),
                "seen_at": fields.get("seen"),
            }
    return fields


def _check_numbers(state: JobState | Budget | FailureStreak | Window) -> None:
    """Raise ValueError for a number that is not finite or far too large for any arithmetic."""
    for name, default in _DEFAULTS[type(state)].items():
        value = getattr(state, name)
        if isinstance(value, FailureStreak | Window):
            _check_numbers(value)
        elif isinstance(value, int | float) and not (abs(value) <= MOST or value == default):
            raise ValueError(name)


# ------------------------------------------------------------------------------- after a restart


class Recalled(msgspec.Struct, frozen=True, kw_only=True):
    """What an earlier process knew, in epoch seconds.

    ``other_accounts`` are the targets that are other accounts now, ``refused`` the digests of
    rejected secrets by target, ``keys`` those of all rows.
    """

    snapshot: Snapshot
    other_accounts: frozenset[str]
    refused: Mapping[str, str]
    keys: frozenset[str]


def read_rows(
    rows: Mapping[str, bytes], written_at: float, accounts: Mapping[str, str]
) -> Recalled:
    """Read all rows. `accounts` are the present fingerprints by target.

    Of a target that is another account now, only the start of its last poll is kept: whose limits
    those were does not count, but that a request was made does.
    """
    schedule = {key: row for key, row in rows.items() if not key.startswith((ACCOUNT, REFUSED))}
    before, refused = _texts(rows, ACCOUNT), _texts(rows, REFUSED)
    others = {n for n, account in accounts.items() if before.get(n, account) != account}
    written, _ = read_schedule(schedule, written_at)
    states = {
        key: _only_start(state) if key[0] in others else state
        for key, state in written.states.items()
    }
    return Recalled(
        snapshot=msgspec.structs.replace(written, states=states),
        other_accounts=frozenset(others),
        refused={name: digest for name, digest in refused.items() if name not in others},
        keys=frozenset(rows),
    )


def _only_start(state: JobState) -> JobState:
    began = state.started if state.begun else state.due
    return JobState(due=began, interval=state.interval, started=state.started)


def _texts(rows: Mapping[str, bytes], prefix: str) -> dict[str, str]:
    return {
        key.removeprefix(prefix): row.decode("utf-8", "replace")
        for key, row in rows.items()
        if key.startswith(prefix)
    }


class Forgotten(msgspec.Struct):
    """Jobs (by target and collector) and budgets that hold nothing back any more."""

    jobs: tuple[JobKey, ...] = ()
    budgets: tuple[str, ...] = ()


def useless_keys(known: Recalled, rows: Iterable[str], targets: Iterable[str]) -> dict[str, None]:
    """Return the keys of rows to delete: all but `rows` and those about `targets`."""
    kept = {*rows, *(prefix + name for name in targets for prefix in (ACCOUNT, REFUSED))}
    return dict.fromkeys(known.keys - kept)


def forgotten_keys(forgotten: Forgotten, targets: Container[str]) -> dict[str, None]:
    """Return the keys of rows to delete after the schedule has forgotten jobs and budgets."""
    keys = [job_key(*key) for key in forgotten.jobs]
    keys += [budget_key(budget) for budget in forgotten.budgets]
    gone = [name for name, _ in forgotten.jobs if name not in targets]
    keys += [prefix + name for name in gone for prefix in (ACCOUNT, REFUSED)]
    return dict.fromkeys(keys)
