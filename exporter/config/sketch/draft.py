"""What was guessed, as values: the parts of a definition, ready to be written."""

from collections.abc import Mapping

import msgspec

from exporter.config.sketch.levels import Step


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """How one role is read. ``unit`` only where it is not the rule's."""

    path: str
    unit: str = ""
    regex: str = ""
    unlimited: tuple[object, ...] = ()
    reduce: str = ""


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a rule, and how several become one number ("": there is one).

    ``join`` is a line of YAML.
    """

    steps: tuple[Step, ...] = ()
    where: str = ""
    join: str = ""
    reduce: str = ""


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """The unit stands in the answer: where, and what each word that was seen means."""

    path: str
    words: Mapping[str, str]


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """Where a period stands; a ``cycle`` for the side that does not."""

    start: str = ""
    end: str = ""
    inclusive: bool = False
    cycle: str = ""


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A resource, or one for each row. ``remark`` is a doubt that its author should settle.

    ``entries`` are the keys of the open map that the names come from.
    """

    name: str
    unit: str | Words
    rows: Rows = Rows()
    roles: Mapping[str, Number]
    level: bool = False
    levels: tuple[str, ...] = ()
    period: Period | None = None
    as_of: str = ""
    remark: str = ""
    entries: tuple[str, ...] = ()


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Money. ``currency`` is a code, or with ``told`` the path of one."""

    currency: str
    told: bool
    rows: Rows = Rows()
    roles: Mapping[str, Number]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A breakdown of a resource, or with a currency of the cost."""

    resource: str
    group: str
    item: str
    rows: Rows
    number: Number
    unit: str | Words = ""
    currency: str = ""
    told: bool = False


class Sketch(msgspec.Struct, frozen=True, kw_only=True):
    """All guesses. ``unread`` are the paths of numbers that nobody understood."""

    lines: bool = False
    paging: str = ""
    resources: tuple[Resource, ...] = ()
    costs: tuple[Cost, ...] = ()
    items: tuple[Item, ...] = ()
    plan: str = ""
    period: Period | None = None
    unread: tuple[str, ...] = ()
