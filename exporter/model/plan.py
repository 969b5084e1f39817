"""What a configuration asks for, after every check: the running order of the daemon."""

from collections.abc import Mapping

import msgspec

from exporter.kernel.problems import Problem
from exporter.model.target import Target


class Concurrency(msgspec.Struct, frozen=True, kw_only=True):
    """How many polls may run at once: in all, and on one host."""

    polls: int = 64
    per_host: int = 16


AT_ONCE = Concurrency()


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a configuration as it was read, or a pattern and the files that it stood for.

    `state` changes when the file or the files do; "" for a file that could not be read. `read`:
    the plan is made of its text; else it is only looked at (a certificate).
    """

    path: str
    state: str
    pattern: bool = False
    read: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All targets by name, and the settings that a reload may change.

    ``state_file`` is absolute, "" for memory only. ``warnings`` did not stop the load.
    ``sources`` are what the plan was read from, for auto-reload. ``without_secret`` are the
    targets of which a secret could not be read: their budgets are other ones once it can.
    ``text`` is the configuration for ``/config``, with each secret as ``<secret>``.
    """

    targets: Mapping[str, Target]
    concurrency: Concurrency = AT_ONCE
    state_file: str = ""
    redis_url: str = ""
    warnings: tuple[Problem, ...] = ()
    sources: tuple[Source, ...] = ()
    without_secret: frozenset[str] = frozenset()
    text: str = ""


class PlanDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload changes: target names. Unchanged targets keep timers, budgets and series."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration that cannot run: every problem, sorted by position.

    ``sources`` are all files that were looked at: when one is repaired, the load is worth a try.
    """

    problems: tuple[Problem, ...]
    sources: tuple[Source, ...] = ()
