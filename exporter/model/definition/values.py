"""Numbers, units, reductions and times of an answer: how one of them is read.

Paths are looked up in the scope of a row (``rows``): with names, they begin with one of these.
A number is the first path that gives something, or the sum of all; its unit and its reduction are
the rule's, unless it has its own. ``mapping.values`` reads by these rules.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from exporter.kernel.jmes import Selector
from exporter.kernel.problems import ErrorLocation
from exporter.kernel.units import Kind, Unit
from exporter.model.definition import parsers
from exporter.model.definition.parsers import CodeFormat, PathOrPaths, PathStr, Strict
from exporter.model.definition.rows import EachText, ScopeNames, check_names
from exporter.model.families import Role


class How(StrEnum):
    """How the rows of one series become one number."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"
    COUNT = "count"
    FIRST = "first"
    LAST = "last"


HowWord: TypeAlias = Literal["sum", "max", "min", "count", "first", "last"]


class ReduceText(Strict, kw_only=True, frozen=True):
    """How the rows of one series become one number."""

    how: Annotated[HowWord, Meta(description="The operation.")]
    by: Annotated[
        PathStr | UnsetType, Meta(description="The time that `first` and `last` go by.")
    ] = UNSET
    per: Annotated[
        PathOrPaths | UnsetType,
        Meta(
            description="What tells the things apart that the rows are of: `how` makes one number "
            "of the rows of each, and these are summed."
        ),
    ] = UNSET


class Reduce(msgspec.Struct, frozen=True, kw_only=True):
    """``first`` and ``last`` go by the time at ``by``, or by position where it is not given.

    With ``per`` the rows of each thing are reduced, and then the numbers of all things summed:
    the newest size of each bucket, then their sum. All the paths of ``per`` together name a thing.
    """

    how: How
    by: Selector | None = None
    per: tuple[Selector, ...] = ()

    @property
    def sums(self) -> bool:
        """Whether the number is a sum of rows, so that no row may be missing."""
        return self.adds_numbers or self.counts

    @property
    def counts(self) -> bool:
        """Whether it is how many rows have a number, whatever the number."""
        return self.how is How.COUNT

    @property
    def adds_numbers(self) -> bool:
        """Whether it is a sum of what the rows give, and not of their count."""
        return bool(self.per) or self.how is How.SUM


class UnitText(Strict, kw_only=True, frozen=True):
    """The unit stands in the answer, as the vendor's own word."""

    source: Annotated[PathStr, Meta(description="Where the word stands.")] = field(name="from")
    words: Annotated[
        dict[str, str],
        Meta(description="What the vendor's own words mean: {users: quantity}; GB is known."),
    ] = field(default_factory=dict)
    otherwise: Annotated[
        str | UnsetType, Meta(description="What unknown words mean; without it they are a failure.")
    ] = UNSET
    regex: Annotated[
        str | UnsetType, Meta(description="Takes group 1 out of the text: GB out of 12.5 GB.")
    ] = UNSET


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

    def describe(self, code: CodeFormat = str) -> str:
        """Return the unit, or where its word stands and what words mean."""
        if self.unit is not None:
            return self.unit.name
        place = "?" if self.path is None else code(self.path.text)
        spellings: dict[str, list[str]] = {}
        for word, unit in self.words.items():
            spellings.setdefault(unit.name, []).append(code(word) if word else '""')
        words = "; ".join(f"{unit}: {', '.join(found)}" for unit, found in spellings.items())
        other = "" if self.otherwise is None else f"; any other word: {self.otherwise.name}"
        return f"{place} tells, in units such as GB or its own words. {words}{other}"


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


class ValueText(Strict, kw_only=True, frozen=True):
    """How one number is read."""

    path: Annotated[
        PathOrPaths | UnsetType,
        Meta(description="Where it stands; of a list the first that is there."),
    ] = UNSET
    add: Annotated[
        list[PathStr], Meta(description="Places of which the sum is taken, instead of `path`.")
    ] = field(default_factory=list)
    regex: Annotated[str | UnsetType, Meta(description="Takes group 1 out of a text.")] = UNSET
    words: Annotated[
        dict[str, int | float], Meta(description="Texts that stand for numbers: {on: 1}.")
    ] = field(default_factory=dict)
    missing: Annotated[
        Literal["skip", "zero", "fail"], Meta(description="What null or absent means.")
    ] = "skip"
    unlimited: Annotated[
        list[str | int | float | bool | None],
        Meta(description='Values that mean "no limit": [-1, null, unlimited].'),
    ] = field(default_factory=list)
    zero: Annotated[
        Literal["limit", "unknown", "unlimited"], Meta(description="What a limit of 0 means.")
    ] = "limit"
    unit: Annotated[
        str | UnitText | UnsetType, Meta(description="This number's unit, if not the rule's.")
    ] = UNSET
    reduce: Annotated[
        HowWord | ReduceText | UnsetType,
        Meta(description="This number's reduction, if not the rule's."),
    ] = UNSET
    source: Annotated[
        str | UnsetType, Meta(description="The collector that it comes from, if not the rule's.")
    ] = field(name="from", default=UNSET)
    each: Annotated[EachText | UnsetType, Meta(description="This number's own rows.")] = UNSET
    where: Annotated[
        PathStr | UnsetType, Meta(description="A condition on this number's own rows.")
    ] = UNSET


ValueField: TypeAlias = PathStr | list[PathStr] | ValueText


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """How one number is read: the first path that gives something, or the sum of all (``add``).

    ``pattern`` takes group 1 of a text; ``words`` turns texts into numbers; ``unlimited`` are the
    sentinel values (numbers compare by value, texts without regard to case) of a limit;
    ``unit`` and ``reduce`` override the rule's. ``above`` are the names of the scope that a number
    is read from which does not depend on the innermost row (() is the answer itself) and counts
    once in a sum, not once a row; None: it depends on the row.
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
    above: tuple[str, ...] | None = None
    is_limit: bool = False  # so that infinite integers mean that there is none

    @property
    def absence_has_meaning(self) -> bool:
        """Whether null or absent is a number or "no limit", and not only nothing."""
        return self.missing is Missing.ZERO or None in self.unlimited


class InstantText(Strict, kw_only=True, frozen=True):
    """A time in the answer."""

    path: Annotated[PathOrPaths, Meta(description="Where it stands.")]
    zone: Annotated[
        str | UnsetType, Meta(description="The zone of times without one, if not the definition's.")
    ] = UNSET


InstantField: TypeAlias = PathStr | list[PathStr] | InstantText


class Instant(msgspec.Struct, frozen=True, kw_only=True):
    """A time in the answer, in any form that ``kernel.timestamps`` reads.

    ``zone`` names the zone of times that carry none.
    """

    paths: tuple[Selector, ...]
    zone: str = "UTC"


_ORDERED: Final = frozenset({How.FIRST, How.LAST})


def compile_value(place: ErrorLocation, text: ValueField, role: Role, names: ScopeNames) -> Value:
    """Compile how the number of a role is read."""
    default = UnitRule(unit=parsers.parse_unit(place, role.unit, role.kinds)) if role.unit else None
    if not isinstance(text, ValueText):
        found = compile_scoped_paths(place, text, names)
        return Value(paths=found, unit=default, is_limit=role.is_limit)
    _check_value(place, text, role)
    if text.add:
        found = compile_scoped_paths(place / "add", text.add, names)
    else:
        found = compile_scoped_paths(place / "path", text.path, names)
    return Value(
        paths=found,
        add=bool(text.add),
        pattern=parsers.parse_pattern(place / "regex", text.regex, groups=1),
        words={word: float(number) for word, number in text.words.items()},
        missing=Missing(text.missing),
        unlimited=tuple(text.unlimited),
        zero=Zero(text.zero),
        unit=compile_unit_rule(place / "unit", text.unit, role.kinds, names) or default,
        reduce=compile_reduce(place / "reduce", text.reduce, names),
        is_limit=role.is_limit,
    )


def spread_over_rows(
    place: ErrorLocation, value: Value, role: Role, reduce: Reduce | None, outer: frozenset[str]
) -> Value:
    """Return `value` with the names that it depends on, and refuse a sum that would repeat a part.

    `outer` are the names in scope that several rows share, ``root`` among them; `reduce` is the
    rule's. A number under a sum is read from the row or from what is around it, never from both:
    a fallback or a part that the rows share would count once a row.
    """
    levels = {path.heads & outer if path.heads <= outer else None for path in value.paths}
    levels.discard(frozenset())  # a literal stands in for whatever else there is
    mixed = any(path.heads & outer and not path.heads <= outer for path in value.paths)
    own = value.reduce or reduce
    if own is not None and own.adds_numbers:
        if mixed or len(levels) > 1:
            place.error(
                "One part of this comes from the row, another from what all rows share, which "
                "would be added once a row. Write both from one place, or another `reduce` here."
            )
        if not levels and not role.is_limit and value.paths:
            place.error(
                "This is the same for every row, and is no sum of them. "
                "Write `reduce: count` for the number of rows."
            )
    if mixed or None in levels or len(levels) > 1:
        return value
    names = frozenset().union(*(level for level in levels if level is not None)) - {"root"}
    return msgspec.structs.replace(value, above=tuple(sorted(names)))


def _check_value(place: ErrorLocation, text: ValueText, role: Role) -> None:
    if text.path is UNSET and not text.add and place.whole:
        place.error('"path" is missing. Write where the number stands.')
    if text.path is not UNSET and text.add:
        (place / "add").key_error('A number has "path" or "add". Delete one of them.')
    for key, usual in (("unlimited", []), ("zero", "limit")):
        if getattr(text, key) != usual and not role.is_limit:
            (place / key).key_error(f'Only a limit has "{key}". Delete it.')


def compile_scoped_path(place: ErrorLocation, text: str, names: ScopeNames) -> Selector:
    """Compile a path that is looked up in the scope of a row."""
    found = parsers.parse_path(place, text)
    check_names(place, found, names)
    return found


def compile_scoped_paths(
    place: ErrorLocation, text: str | list[str] | UnsetType, names: ScopeNames
) -> tuple[Selector, ...]:
    """Compile paths that are looked up in the scope of a row."""
    found = parsers.parse_paths(place, text)
    for index, one in enumerate(found):
        check_names(place / index if isinstance(text, list) else place, one, names)
    if text == []:
        place.error("The list is empty. Write at least one path.")
    return found


def compile_unit_rule(
    place: ErrorLocation, text: str | UnitText | UnsetType, kinds: Iterable[Kind], names: ScopeNames
) -> UnitRule | None:
    """Compile a fixed unit, or the vendor's words for it."""
    if isinstance(text, UnsetType):
        return None
    if isinstance(text, str):
        return UnitRule(unit=parsers.parse_unit(place, text, kinds))
    otherwise = text.otherwise
    return UnitRule(
        path=compile_scoped_path(place / "from", text.source, names),
        words={
            word: parsers.parse_unit(place / "words" / word, meaning, kinds)
            for word, meaning in text.words.items()
        },
        otherwise=None
        if isinstance(otherwise, UnsetType)
        else parsers.parse_unit(place / "otherwise", otherwise, kinds),
        kinds=frozenset(kinds),
        pattern=parsers.parse_pattern(place / "regex", text.regex, groups=1),
    )


def compile_reduce(
    place: ErrorLocation, text: HowWord | ReduceText | UnsetType, names: ScopeNames
) -> Reduce | None:
    """Compile how several rows become one number."""
    match text:
        case UnsetType():
            return None
        case ReduceText():
            how = How(text.how)
            if text.by is not UNSET and how not in _ORDERED:
                (place / "by").key_error('Only "first" and "last" go by a time. Delete it.')
            by = (
                None
                if isinstance(text.by, UnsetType)
                else compile_scoped_path(place / "by", text.by, names)
            )
            per: tuple[Selector, ...] = ()
            if not isinstance(text.per, UnsetType):
                per = compile_scoped_paths(place / "per", text.per, names)
                if how is How.SUM or how is How.COUNT:
                    (place / "per").key_error(
                        f'"{how}" is of all rows anyhow. Delete it, or write last, first, max or '
                        "min: what each thing has, and then the sum."
                    )
            return Reduce(how=how, by=by, per=per)
        case _:
            return Reduce(how=How(text))


def compile_instant(
    place: ErrorLocation, text: InstantField | UnsetType, names: ScopeNames, zone: str
) -> Instant | None:
    """Compile where a time stands; `zone` is that of times without one."""
    match text:
        case UnsetType():
            return None
        case InstantText():
            return Instant(
                paths=compile_scoped_paths(place / "path", text.path, names),
                zone=parsers.parse_zone(place / "zone", text.zone, zone),
            )
        case _:
            return Instant(paths=compile_scoped_paths(place, text, names), zone=zone)
