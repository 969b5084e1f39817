"""How numbers are read from an answer."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

from exporter.kernel.cycles import Cycle
from exporter.kernel.select import Selector
from exporter.kernel.templates import Template
from exporter.kernel.units import Kind, Unit


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One level of iteration: rows at ``path``; a named row stays in scope for what is below.

    ``optional``: an absent list means no rows; otherwise it is a ``schema`` failure.
    """

    path: Selector
    name: str | None = None
    optional: bool = False


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """Another part of the answer, looked up by key and put into the scope as ``name``.

    ``table`` gives a map (looked up by ``key``) or a list (its row whose ``on`` equals ``key``).
    Absent rows are null in the scope, never an error.
    """

    name: str
    table: Selector
    key: Selector
    on: Selector | None = None


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows a rule reads.

    Without steps the document is the one row. A path sees the row itself when no step is named and
    nothing is joined, else the scope: every name, ``root`` (the document) and ``row`` (the last).
    The first step and the tables of joins start at the document all the same, with or without
    ``root``.
    """

    steps: tuple[Step, ...] = ()
    joins: tuple[Join, ...] = ()
    where: Selector | None = None
    place: str = ""  # made of the steps: where in the answer the rows are; "" is the document

    def __post_init__(self) -> None:
        place = " / ".join(step.path.text for step in self.steps)
        msgspec.structs.force_setattr(self, "place", place)


class How(StrEnum):
    """How the rows of one series become one number."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"
    COUNT = "count"
    FIRST = "first"
    LAST = "last"


class Reduce(msgspec.Struct, frozen=True, kw_only=True):
    """``first`` and ``last`` go by the time at ``by``, or by position where it is not given."""

    how: How
    by: Selector | None = None


class Missing(StrEnum):
    """What null or absent means."""

    SKIP = "skip"  # no sample
    ZERO = "zero"
    FAIL = "fail"  # a schema failure


class Zero(StrEnum):
    """What a limit of 0 means."""

    LIMIT = "limit"  # nothing is allowed: a limit like any other
    UNKNOWN = "unknown"  # not applicable, not known yet
    UNLIMITED = "unlimited"


class UnitRule(msgspec.Struct, frozen=True, kw_only=True):
    """A fixed unit, or the vendor's word at ``path`` with its meaning.

    A word that is not in ``words`` and is a unit of ours (``kernel.units``), of one of ``kinds``,
    is that unit. All others are ``otherwise``, or where that is not set a schema failure.
    ``pattern`` takes group 1 of the text: the word stands behind the number.
    """

    unit: Unit | None = None
    path: Selector | None = None
    words: Mapping[str, Unit] = {}
    otherwise: Unit | None = None
    kinds: frozenset[Kind] = frozenset()
    pattern: re.Pattern[str] | None = None


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """How one number is read: the first path that gives something, or the sum of all (``add``).

    ``pattern`` takes group 1 of a text; ``words`` turns texts into numbers; ``unlimited`` are the
    sentinel values (numbers compare by value, texts without regard to case) of a limit;
    ``unit`` and ``reduce`` override the rule's.
    """

    paths: tuple[Selector, ...]
    add: bool = False
    pattern: re.Pattern[str] | None = None
    words: Mapping[str, float] = {}
    missing: Missing = Missing.SKIP
    unlimited: tuple[bool | float | str | None, ...] = ()
    zero: Zero = Zero.LIMIT
    unit: UnitRule | None = None
    reduce: Reduce | None = None


class Instant(msgspec.Struct, frozen=True, kw_only=True):
    """A time in the answer, in any form that ``kernel.timestamps`` reads.

    ``zone`` names the zone of times that carry none.
    """

    paths: tuple[Selector, ...]
    zone: str = "UTC"


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """The billing period: from the answer, from what was asked, or from the calendar.

    Each side is the first of: the instant in the answer (``start``, ``end``), the text that the
    request carried (``asked_start``, ``asked_end``: a date or a time), and the calendar's
    ``cycle``, which also finds the other side where only one is known. An answer that should tell
    and does not leaves the period unknown. ``inclusive_end`` makes the end exclusive: a date by a
    day, a time by a second. ``anchor_day`` renders to 1..31.
    """

    start: Instant | None = None
    end: Instant | None = None
    asked_start: Template | None = None
    asked_end: Template | None = None
    inclusive_end: bool = False
    cycle: Cycle | None = None
    anchor_day: Template | None = None
    zone: str = "UTC"


NameParts: TypeAlias = tuple[str | Selector, ...]
"""A text with paths into the row: ``units_{g.aid}``. The result is snake-cased."""


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """How one resource, or one resource per row, is read from one collector's answer.

    ``level``: the value is what there is now (storage, seats), not what was used in the period;
    ``levels`` names those of an open map. Without a ``period`` of its own a flow has the
    definition's and a level has none.
    ``rename`` maps snake-cased names to the common ones; ``only`` lists the names to keep.
    A definition's roles that come from several collectors become several of these of one name.
    """

    collector: str
    name: NameParts
    rows: Rows
    level: bool = False
    levels: frozenset[str] = frozenset()
    unit: UnitRule
    rename: Mapping[str, str] = {}
    only: frozenset[str] | None = None
    reduce: Reduce | None = None
    used: Value | None = None
    limit: Value | None = None
    remaining: Value | None = None
    ratio: Value | None = None  # in whatever unit: percent, or ratio
    projected: Value | None = None
    next_period: Value | None = None
    overage: Value | None = None
    as_of: Instant | None = None
    period: Period | None = None
    known: frozenset[str] = frozenset()  # names that an open map is known to hold; others are noted


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one collector's answer, by currency.

    ``currency`` gives the code from the answer, or ``fixed_currency`` renders to it (a parameter).
    """

    collector: str
    rows: Rows
    currency: tuple[Selector, ...] = ()
    fixed_currency: Template | None = None
    reduce: Reduce | None = None
    cost: Value | None = None
    base: Value | None = None
    overage: Value | None = None
    limit: Value | None = None
    remaining: Value | None = None
    projected: Value | None = None
    period: Period | None = None


class Items(msgspec.Struct, frozen=True, kw_only=True):
    """A breakdown of a resource, or of the cost: one series an item.

    ``group`` names the kind of the breakdown (test, model, project), ``item`` finds the label's
    text (null is ""). Exactly one of ``used`` and ``cost`` is set. ``top`` keeps the largest and
    sums the rest as ``other``. Rows of one item are reduced by ``reduce``, by default summed.
    """

    collector: str
    resource: NameParts
    group: str
    item: tuple[Selector, ...]
    lower: bool = False
    rows: Rows
    unit: UnitRule
    used: Value | None = None
    cost: Value | None = None
    currency: tuple[Selector, ...] = ()
    fixed_currency: Template | None = None
    reduce: Reduce = Reduce(how=How.SUM)
    top: int | None = None
    always: bool = False  # published without `items: true`


class AccountPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer names the account's plan: the ``plan`` label of ``usage_account_info``."""

    collector: str
    paths: tuple[Selector, ...]
