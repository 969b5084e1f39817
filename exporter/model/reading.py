"""What one good poll learned. Numbers are finite and in base units."""

from typing import Final, TypeAlias

import msgspec

from exporter.kernel.calendar import Span
from exporter.kernel.units import Kind
from exporter.model.families import COST_ROLES, read_roles

_OF_SPEND = [role.key for role in read_roles(COST_ROLES) if not role.is_level]


class Known(msgspec.Struct, frozen=True, tag="known", gc=False):
    """A limit that the vendor gives."""

    value: float


class Unlimited(msgspec.Struct, frozen=True, tag="unlimited", gc=False):
    """The vendor says that there is no limit."""


LimitFact: TypeAlias = Known | Unlimited
"""Unknown is None."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one collector says of one resource of one account. None: it says nothing of that.

    ``closed``: the target asked for a period that was over when it asked; its values do not expire.
    """

    resource: str
    kind: Kind  # bytes, requests, seconds, byte_seconds or quantity
    unit: str = ""  # the vendor's own word, for people
    account: str = ""  # the fan-out's account; "" is the target itself
    level: bool = False
    used: float | None = None
    limit: LimitFact | None = None
    remaining: float | None = None
    ratio: float | None = None
    projected: float | None = None
    next_period: float | None = None
    overage: float | None = None
    as_of: float | None = None
    period: Span | None = None
    closed: bool = False


class Money(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one collector says of the money of one account, in major units of one currency."""

    currency: str
    account: str = ""
    cost: float | None = None
    base: float | None = None
    overage: float | None = None
    limit: LimitFact | None = None
    remaining: float | None = None
    balance: float | None = None
    projected: float | None = None
    period: Span | None = None
    closed: bool = False

    @property
    def is_spend(self) -> bool:
        """Whether anything is said of what is spent: a prepaid balance has no budget, no period."""
        return any(getattr(self, key) is not None for key in _OF_SPEND)


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One part of a breakdown; ``kind`` is MONEY for the cost, with its currency."""

    resource: str
    kind: Kind
    group: str
    item: str
    value: float
    account: str = ""
    currency: str = ""


class RateLimit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The vendor API's own throttle, from an answer's headers. ``reset_at`` is epoch seconds.

    ``wait`` is a Retry-After on a good answer, in seconds; a failure has its own.
    """

    limit: float | None = None
    remaining: float | None = None
    reset_at: float | None = None
    wait: float | None = None


DROPS: Final = frozenset({"series_limit", "duplicate"})
"""Reasons of notes that say that series were left out: `SeriesDropped` counts them."""
NOTES: Final = {
    "path_gone": "a path that gave something gives nothing now: a field was renamed or removed",
    "series_gone": "a good answer does not have a resource or a number that the one before had",
    "family_changed": "a resource is measured in another kind of unit, so its family is another",
    "new_key": "an open map has a key that the definition does not know; it is published",
    "label_cut": "the name of an item is longer than 128 characters and is cut",
    "bad_period": "a period cannot be: it is left out",
    "period_over": "the vendor still names a period that has ended",
    "no_value": "an entry is null, or a number is a dash or N/A: it is left out",
    "no_name": "a row without a name, or an entry with an empty key, is left out",
    "no_currency": "money without a currency, or with one that is unknown, is left out",
    "negative_limit": "a limit below zero is left out",
    "endless_limit": "a limit is 2^63-1 or another number or word that means that there is none",
    "unknown_part": "a part of a sum has no number, or rows disagree: that number is left out",
    "unit_conflict": "two collectors measure one resource in units of two kinds; the first stays",
    "limit_ignored": "a limit of the config is in another unit or currency than what it is for",
    "more_left_than_limit": "more is left than the limit, so what was used is not known",
    "continues": "the answer names further pages, and the definition declares no paging",
}
"""The reasons of all other notes, and what they mean: ``usage_exporter_answer_notes_total``."""


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Something that did not fit and did not fail the poll: what, where, how often.

    ``reason`` is one of `DROPS` or of `NOTES`.
    """

    reason: str
    detail: str
    count: int = 1


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """All that one good poll of one collector learned. ``at`` is epoch seconds.

    ``plans`` are pairs of an account, as in ``Usage.account``, and its plan. ``matched`` are the
    paths that gave something: the next reading is compared with it, so that a renamed field is
    noticed.
    """

    collector: str
    at: float
    usages: tuple[Usage, ...] = ()
    money: tuple[Money, ...] = ()
    items: tuple[Item, ...] = ()
    plans: tuple[tuple[str, str], ...] = ()
    notes: tuple[Note, ...] = ()
    matched: frozenset[str] = frozenset()
