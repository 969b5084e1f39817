"""What one rule of a definition reads from one payload: resources, costs and items alike.

One algorithm, three sections: the rule's rows are grouped into series (by name, by currency, by
item), each role's numbers of a series are reduced to one in its base unit, and the series becomes a
`Usage`, a `Money` or an `Item`. `_Section` holds what differs.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec

from exporter.kernel.calendar import format_rfc3339
from exporter.kernel.jmes import Selector, quoted
from exporter.kernel.secrets import clip
from exporter.kernel.templates import Template
from exporter.kernel.units import Kind, Unit, find_unit, is_currency, minor_factor
from exporter.mapping.period import (
    NO_PERIOD,
    Billing,
    RequestVariables,
    billing_period,
    instant_of,
    rolled_over,
)
from exporter.mapping.values import (
    ENDLESS,
    MAX_LABEL,
    UNLIMITED,
    Amount,
    MappingError,
    Measure,
    UnnamedError,
    adds,
    agreed,
    amount_of,
    converted,
    empty_total,
    first_found,
    fixed,
    label_at,
    limit_fact,
    measures,
    plain_amounts,
    reduced,
    resource_name,
    shared,
    total_of,
)
from exporter.model.definition.period import Period
from exporter.model.definition.roles import Cost, Items, Resource
from exporter.model.definition.rows import Row, Rows, RowScope, RowsError, row_scope
from exporter.model.definition.values import Reduce, UnitRule, Value
from exporter.model.families import (
    COST_ROLES,
    ITEM_ROLES,
    MEASURED,
    MONEY,
    RESOURCE_ROLES,
    SHARE,
    Role,
    read_roles,
)
from exporter.model.reading import Item, Known, LimitFact, Money, Note, Unlimited, Usage
from exporter.model.target import Target

ROWS = " /"
"""What stands behind the place of rows in `Reading.matched`: ``results /``, with the paths of the
row after it: ``results / bandwidth_used``."""
OTHER = "other"
"""The item that holds the sum of what ``top`` leaves out."""
_SHOWN = 5  # new keys that a note names
_MINOR = "minor"  # the unit whose size the currency decides
_WHOLE = UnitRule(unit=find_unit("ratio"))
_MAJOR = UnitRule(unit=find_unit("major"))
_NO_CODE = "is no currency of ISO 4217 (USD, EUR, JPY)."
_ROLLED_OVER = (
    "one page tells of a period that ends at {}, another of one that begins at {}: their sum would "
    "be of neither. It ended while the pages were turned; the next poll reads the new one."
)


class PayloadContext(msgspec.Struct, kw_only=True):
    """What one payload is read with. Notes and matched paths gather here.

    `seen` are the paths of the present rule that gave something, as they stand in the definition;
    `adds` says whether it sums several pages, which must then be of one period.
    `answered`: a list that a rule iterates was there, so that an answer without rows is an answer.
    `dropped`: series that were not even read, because there are more than the target may have.
    `left_out`: the rules whose optional list was not there; those expect nothing of an answer.
    """

    target: Target
    asked: RequestVariables
    documents: Sequence[object]
    account: str
    notes: list[Note] = msgspec.field(default_factory=list)
    matched: set[str] = msgspec.field(default_factory=set)
    seen: set[str] = msgspec.field(default_factory=set)
    adds: bool = False
    answered: bool = False
    left_out: int = 0
    dropped: int = 0
    _periods: dict[tuple[int, ...], Billing] = msgspec.field(default_factory=dict)
    _rooted: dict[int, bool] = msgspec.field(default_factory=dict)
    _scopes: dict[int, RowScope] = msgspec.field(default_factory=dict)

    def rows(self, rows: Rows) -> RowScope:
        """Return the rows of all pages; rules with the same rows share one list of them."""
        found = self._scopes.get(id(rows))
        if found is None:
            try:
                found = self._scopes[id(rows)] = row_scope(rows, self.documents)
            except RowsError as error:
                raise MappingError(error.path, error.what) from error
        if rows.steps:
            if found.present or len(rows.steps) > 1:
                self.answered = True
            else:
                self.left_out += 1
            if found.rows:
                self.matched.add(rows.place + ROWS)
        return found

    def remember(self, rows: Rows) -> None:
        """Keep the paths of a rule that gave something, with the place of its rows."""
        if rows.steps:
            place = rows.place + ROWS
            self.matched.update([f"{place} {path}" for path in self.seen])
        else:
            self.matched |= self.seen
        self.seen.clear()

    def billing(self, own: Period | None, rows: Sequence[Row], *, level: bool) -> Billing:
        """Return the period of a series: its rule's own, else for a flow the definition's.

        The paths of a rule's own period see what its other paths see, those of the definition's
        the document. Of rows with different periods the latest counts; but a sum of pages
        of two periods is the sum of neither: raises MappingError.
        """
        default = self.target.definition.period
        if own is not None and own is not default:
            if own.start is None and own.end is None:
                return self._kept((own,), own, None)
            if len(rows) == 1 and self._is_rooted(own, rows[0]):
                return self._kept((own, rows[0][1]), own, rows[0][0])
            found = [self._billing(own, row[0]) for row in rows] or [self._billing(own, None)]
            self._check(found, rows)
            return max(found, key=lambda one: 0.0 if one.period is None else one.period.end)
        if default is None or (level and own is None):
            return NO_PERIOD
        if len(self.documents) == 1:  # and so one period
            return self._kept((default, self.documents[0]), default, self.documents[0])
        documents = [row[1] for row in rows] or self.documents[-1:]
        found = [self._kept((default, document), default, document) for document in documents]
        self._check(found, rows)
        return found[-1]

    def _check(self, found: Sequence[Billing], rows: Sequence[Row]) -> None:
        """Notice that a period ended while the pages were turned."""
        if self.adds:
            pages = [id(row[1]) for row in rows]
            seam = rolled_over([one.period for one in found], pages)
            if seam is not None:
                raise MappingError("", _ROLLED_OVER.format(*map(format_rfc3339, seam))).at("period")

    def _kept(self, same: tuple[object, ...], rule: Period, view: object) -> Billing:
        """Work a period out once for all that has the `same` rule and document."""
        key = tuple(map(id, same))
        known = self._periods.get(key)
        if known is None:
            known = self._periods[key] = self._billing(rule, view)
        return known

    def _is_rooted(self, rule: Period, row: Row) -> bool:
        """Tell whether a period reads nothing of its row but the document that it is from."""
        known = self._rooted.get(id(rule))
        if known is None:
            view, document = row
            named = isinstance(view, dict) and view.get("root") is document
            sides = [side for side in (rule.start, rule.end) if side is not None]
            paths = [path.plain for side in sides for path in side.paths]
            known = named and all(path is not None and path[0] == "root" for path in paths)
            self._rooted[id(rule)] = known
        return known

    def _billing(self, rule: Period, view: object) -> Billing:
        try:
            return billing_period(rule, view, self.asked, seen=self.matched, notes=self.notes)
        except MappingError as error:
            raise error.at("period") from error.__cause__

    def amounts(
        self, value: Value, rows: Sequence[Row], units: Sequence[Measure]
    ) -> Sequence[Amount | None]:
        """Return the numbers that `value` has in the rows of a series, in its base unit.

        `units` are those of the rows.
        """
        plain = plain_amounts(value, rows, units, self.seen) if len(rows) > 1 else None
        return plain or [
            converted(amount_of(value, row[0], self.seen, self.notes), one.unit.factor)
            for row, one in zip(rows, units, strict=True)
        ]


Rule: TypeAlias = Resource | Cost | Items
NUMBERS: dict[type[Rule], tuple[Role, ...]] = {
    kind: tuple(role for role in read_roles(roles) if role.kinds)
    for kind, roles in ((Resource, RESOURCE_ROLES), (Cost, COST_ROLES), (Items, ITEM_ROLES))
}
"""The roles whose numbers a rule may read, in the order in which they are read."""
_Rule = TypeVar("_Rule", Resource, Cost, Items)
_Read = TypeVar("_Read", Usage, Money, Item)


class _Key(msgspec.Struct, frozen=True, gc=False):
    """What rows are grouped by. ``place`` names the series in an error."""

    place: str = ""
    resource: str = ""
    item: str = ""
    currency: str = ""


Number: TypeAlias = tuple[Role, Value, UnitRule]
"""A role that a rule reads, and the unit of its numbers."""


class _Series(msgspec.Struct, frozen=True, gc=False):
    """The rows of one key, and what they come to.

    `numbers` are in base units, by the keys of their roles. `measure` is the unit of the amounts,
    None where there are none, or they are money.
    """

    key: _Key
    rows: Sequence[Row]
    numbers: dict[str, float]
    limit: LimitFact | None = None
    measure: Measure | None = None


class _Column(NamedTuple):
    """The numbers of one role in the rows of a series, in base units."""

    role: Role
    value: Value
    reduce: Reduce | None
    amounts: Sequence[Amount | None]


class _Section(NamedTuple, Generic[_Rule, _Read]):
    """What differs between resources, costs and items."""

    roles: tuple[Role, ...]
    groups: Callable[[_Rule, list[Row], PayloadContext], dict[_Key, list[Row]]]
    build: Callable[[_Rule, _Series, PayloadContext], _Read]


def read_usages(rule: Resource, context: PayloadContext) -> list[Usage]:
    """Return one usage for each name among the rows of `rule`. Raises MappingError."""
    return _read(rule, _RESOURCES, context)


def read_money(rule: Cost, context: PayloadContext) -> list[Money]:
    """Return one entry for each currency among the rows of `rule`. Raises MappingError."""
    return _read(rule, _COSTS, context)


def read_items(rule: Items, context: PayloadContext) -> list[Item]:
    """Return the parts that `rule` reads, largest first. Raises MappingError."""
    found = _read(rule, _ITEMS, context)
    found.sort(key=lambda one: (-one.value, one.resource, one.item, one.currency))
    return found if rule.top is None else _largest(found, rule.top)


def _read(rule: _Rule, section: _Section[_Rule, _Read], context: PayloadContext) -> list[_Read]:
    numbers = numbers_of(rule, section.roles)
    scope = context.rows(rule.rows)
    if not scope.rows and not scope.present:
        return []
    context.adds = len(context.documents) > 1 and adds(
        rule.reduce, (value for _, value, _ in numbers)
    )
    read = []
    for key, rows in section.groups(rule, scope.rows, context).items():
        try:
            if scope.rows:
                series = _series(rule, numbers, key, rows, context)
            else:
                series = _of_no_rows(rule, numbers, key)
            if series.limit is not None or series.numbers:
                read.append(section.build(rule, series, context))
            elif key.place and rows and all(_is_null(rule, row[0]) for row in rows):
                context.notes.append(_null(key))
        except _NoCurrencyError as error:
            context.notes.append(Note(reason="no_currency", detail=str(error.at(key.place))))
        except MappingError as error:
            if key.place and rows and all(_is_null(rule, row[0]) for row in rows):
                context.notes.append(_null(key))
                continue
            raise error.at(key.place) if key.place else error from error.__cause__
    if scope.rows:
        context.remember(rule.rows)
    return read


class _NoCurrencyError(MappingError):
    """The answer names no known currency: this money is left out, with a note."""


def _null(key: _Key) -> Note:
    return Note(reason="no_value", detail=f"{key.place}: it is null.")


def _is_null(rule: Rule, view: object) -> bool:
    """Tell whether a row is null, or an entry of a map with the value null."""
    scoped = bool(rule.rows.joins) or any(step.name for step in rule.rows.steps)
    row = view.get("row") if scoped and isinstance(view, dict) else view
    return row is None or (
        isinstance(row, dict) and row.keys() == {"key", "value"} and row["value"] is None
    )


def numbers_of(rule: Rule, roles: Iterable[Role]) -> list[Number]:
    """Return what `rule` reads. The unit of a share and of money is not the rule's."""
    found = []
    for role in roles:
        value: Value | None = getattr(rule, role.key)
        if value is not None:
            unit = value.unit
            if unit is None and not isinstance(rule, Cost) and role.kinds is MEASURED:
                unit = rule.unit
            found.append((role, value, unit or (_WHOLE if role.kinds is SHARE else _MAJOR)))
    return found


def _series(
    rule: Rule, numbers: list[Number], key: _Key, rows: list[Row], context: PayloadContext
) -> _Series:
    """Read every role. All amounts must be measured in one kind of unit."""
    amounts: dict[str, Amount] = {}
    common: Measure | None = None
    units: list[Measure] = []
    measured_by: UnitRule | None = None  # mostly that of the number before
    columns: list[_Column] = []
    for role, value, unit in numbers:
        kinds = role.kinds
        try:
            if unit is not measured_by:
                units, measured_by = measures(unit, rows, context.seen), unit
            if kinds is MONEY:
                units = minor_units(units, key.currency)
            found = context.amounts(value, rows, units)
            columns.append(_Column(role, value, value.reduce or rule.reduce, found))
            if kinds is MEASURED:
                common = common or units[0]
                agreed(common, units[0])
        except MappingError as error:
            raise error if isinstance(rule, Items) else error.at(role.key) from error.__cause__
    for column in columns:
        try:
            amount = _reduced(column, columns, key, rows)
        except MappingError as error:
            where = error if isinstance(rule, Items) else error.at(column.role.key)
            raise where from error.__cause__
        if any(one is ENDLESS for one in column.amounts):
            name = key.place or key.resource or key.currency
            detail = f"{name}.{column.role.key}: read as no limit. `unlimited` should list it."
            context.notes.append(Note(reason="endless_limit", detail=detail))
        if amount is None:
            _note_unknown(column, key, rows, context)
        else:
            amounts[column.role.key] = amount
    limit = None if isinstance(rule, Items) else _limit(rule, amounts, key, context)
    known = {name: one for name, one in amounts.items() if isinstance(one, float)}
    return _Series(key, rows, known, limit, common)


def _reduced(
    column: _Column, columns: list[_Column], key: _Key, rows: Sequence[Row]
) -> Amount | None:
    """Return the one number of a role. Roles of one reduction are reduced over the same rows."""
    reduce, amounts = column.reduce, column.amounts
    above = column.value.above
    if reduce is None or (len(rows) == 1 and not reduce.counts):
        amount = reduced(None, rows, amounts)
    elif above is not None and reduce.adds_numbers:
        amount = shared(above, rows, amounts)
    elif len(columns) == 1:
        amount = reduced(reduce, rows, amounts)
    else:
        beside = [one.amounts for one in columns if one.reduce == reduce]
        if any(None not in one for one in beside):
            told = [True] * len(rows)
        else:
            told = [any(one is not None for one in row) for row in zip(*beside, strict=True)]
        amount = reduced(reduce, rows, amounts, told)
    if amount is not None and column.role.kinds is MONEY and not key.currency:
        raise _NoCurrencyError(
            column.value.paths[0].text, "there is money here, but no currency that is known."
        )
    return amount


def _note_unknown(column: _Column, key: _Key, rows: Sequence[Row], context: PayloadContext) -> None:
    """Say why a number is not known of which the answer has a part."""
    value, reduce, amounts = column.value, column.reduce, column.amounts
    absent = sum(one is None for one in amounts)
    if absent < len(amounts):
        how = "" if reduce is None else f"{reduce.how} "
        why = (
            f"{absent} of {len(amounts)} rows have no number, so the {how}of all is not known"
            if absent
            else "the rows disagree about what they share"
        )
    elif value.add and any(path(row[0]) not in (None, "") for row in rows for path in value.paths):
        why = "a part of `add` is not there, so the sum is not known"
    else:
        return
    name = key.place or key.resource or key.currency
    hint = "" if value.absence_has_meaning or not absent else " `missing: zero` counts it as 0."
    detail = f"{name}.{column.role.key}: {why}.{hint}"
    context.notes.append(Note(reason="unknown_part", detail=detail))


def _limit(
    rule: Resource | Cost, amounts: dict[str, Amount], key: _Key, context: PayloadContext
) -> LimitFact | None:
    """Take the limit out of the amounts, and return what it and the remainder say of it.

    A limit below zero means nothing, and is noted: a vendor that begins to write -1 for "unlimited"
    must not turn every ratio around.
    """
    given = amounts.pop("limit", None)
    limit = None if rule.limit is None else limit_fact(given, rule.limit.zero)
    if isinstance(limit, Known) and limit.value < 0:
        name = key.resource or key.currency
        detail = f"{name}: {limit.value:g}. If it has a meaning, `unlimited` lists it."
        context.notes.append(Note(reason="negative_limit", detail=detail))
        return None
    return UNLIMITED if limit is None and isinstance(amounts.get("remaining"), Unlimited) else limit


def minor_units(units: list[Measure], currency: str) -> list[Measure]:
    """Return the units with the size that minor units (cents, yen) have in a currency."""
    if not currency or all(one.unit.name != _MINOR for one in units):
        return units
    minor = Measure(Unit(_MINOR, Kind.MONEY, minor_factor(currency)), _MINOR)
    return [minor if one.unit.name == _MINOR else one for one in units]


def _of_no_rows(rule: Rule, numbers: list[Number], key: _Key) -> _Series:
    """Return what an empty list says: a sum is 0, and the last of nothing is nothing."""
    totals = {
        role.key: total
        for role, value, _ in numbers
        if role.accrues and (total := empty_total(value.reduce or rule.reduce)) is not None
    }
    if isinstance(rule, Cost):
        return _Series(key, (), totals if key.currency else {})
    unit = next((unit for role, _, unit in numbers if role.key == "used"), rule.unit).unit
    # Without a row there is no word for its unit.
    measure = None if unit is None else Measure(unit, unit.name)
    return _Series(key, (), {} if unit is None else totals, None, measure)


# ------------------------------------------------------------------------------------- resources


def _by_name(rule: Resource, rows: list[Row], context: PayloadContext) -> dict[_Key, list[Row]]:
    """Group rows by their common name. Two keys of one name are rows of one series."""
    groups: dict[str, list[Row]] = {}
    unnamed: UnnamedError | None = None
    is_fixed = fixed(rule.name)
    if is_fixed:
        key = resource_name(rule.name, None, context.seen)
        groups[rule.rename.get(key, key)] = rows
    else:
        for row in rows:
            try:
                key = resource_name(rule.name, row[0], context.seen)
            except UnnamedError as error:
                unnamed = error
                context.notes.append(Note(reason="no_name", detail=str(error)))
                continue
            groups.setdefault(rule.rename.get(key, key), []).append(row)
        if unnamed is not None and not groups:
            raise unnamed
    if rule.known:
        new = [key for key in groups if key not in rule.known]
        if new:
            shown = ", ".join(new[:_SHOWN]) + (", …" if len(new) > _SHOWN else "")
            context.notes.append(Note(reason="new_key", detail=shown, count=len(new)))
    if rule.only is not None:
        groups = {key: of_key for key, of_key in groups.items() if key in rule.only}
    most = context.target.max_series
    context.dropped += max(len(groups) - most, 0)
    return {
        _Key("" if is_fixed else key, key): of_key
        for key, of_key in itertools.islice(groups.items(), most)
    }


def _usage(rule: Resource, series: _Series, context: PayloadContext) -> Usage:
    measure = series.measure or measures(rule.unit, series.rows, context.seen)[0]
    level = rule.level or series.key.resource in rule.levels
    period, closed = context.billing(rule.period, series.rows, level=level)
    more: dict[str, Any] = series.numbers
    return Usage(
        resource=series.key.resource,
        kind=measure.unit.kind,
        unit=measure.word,
        account=context.account,
        level=level,
        limit=series.limit,
        as_of=_as_of(rule, series.rows, context),
        period=period,
        closed=closed,
        **more,
    )


def _as_of(rule: Resource, rows: Sequence[Row], context: PayloadContext) -> float | None:
    if rule.as_of is None:
        return None
    try:
        times = [instant_of(rule.as_of, row[0], context.seen) for row in rows]
    except MappingError as error:
        raise error.at("as_of") from error.__cause__
    return max((time for time in times if time is not None), default=None)


# ----------------------------------------------------------------------------------------- costs


def _by_currency(rule: Cost, rows: list[Row], context: PayloadContext) -> dict[_Key, list[Row]]:
    groups: dict[str, list[Row]] = {}
    if rule.currency and rows:
        for row in rows:
            code = _currency(rule.currency, rule.fixed_currency, row[0], context)
            if code is not None:
                groups.setdefault(code, []).append(row)
    else:
        groups[_currency((), rule.fixed_currency, None, context) or ""] = rows
    return {_Key(code, currency=code): of_code for code, of_code in groups.items()}


def _currency(
    paths: tuple[Selector, ...], fixed_code: Template | None, view: object, context: PayloadContext
) -> str | None:
    """Return the ISO 4217 code of a row in capitals, else the rule's own.

    "" where neither names one; None where the row has a text that is no code: that is noted, and
    money is never guessed.
    Raises MappingError where the rule's own, a parameter, is none.
    """
    found = first_found(paths, view, context.seen)
    code = _code(found)
    if code:
        return code
    own = context.asked.text(fixed_code, context.target.definition.zone) or ""
    code = _code(own)
    if code is None:
        raise MappingError("", f'"{clip(own, 20)}" {_NO_CODE}').at("currency")
    if not code and found is not None and found != "":
        shown = f'"{clip(found, 20)}"' if isinstance(found, str) else quoted(found)
        detail = f"{paths[0].text}: {shown} {_NO_CODE}"
        context.notes.append(Note(reason="no_currency", detail=detail))
        return None
    return code


def _code(found: object) -> str | None:
    """Return a currency's code; "" for nothing, None for what is no code."""
    if found is None:
        return ""
    code = found.strip().upper() if isinstance(found, str) else None
    return code if code is None or not code or is_currency(code) else None


def _money(rule: Cost, series: _Series, context: PayloadContext) -> Money:
    roles = [role for role in COST_ROLES if role.key in series.numbers]
    level = series.limit is None and all(role.is_level for role in roles)
    period, closed = context.billing(rule.period, series.rows, level=level)
    more: dict[str, Any] = series.numbers
    return Money(
        currency=series.key.currency,
        account=context.account,
        limit=series.limit,
        period=period,
        closed=closed,
        **more,
    )


# ----------------------------------------------------------------------------------------- items


def _by_item(rule: Items, rows: list[Row], context: PayloadContext) -> dict[_Key, list[Row]]:
    groups: dict[_Key, list[Row]] = {}
    cuts = 0
    for row in rows:
        view = row[0]
        text, cut = label_at(rule.item, view, context.seen)
        cuts += cut
        code = ""
        if rule.cost is not None:
            named = _currency(rule.currency, rule.fixed_currency, view, context)
            if named is None:
                continue
            code = named
        resource = resource_name(rule.resource, view, context.seen)
        if rule.lower:
            text = text.lower()[:MAX_LABEL]  # "İ" becomes two characters
        key = _Key(f'{resource}["{text}"]', resource, text, code)
        groups.setdefault(key, []).append(row)
    if cuts:
        context.notes.append(Note(reason="label_cut", detail=rule.group, count=cuts))
    return groups


def _item(rule: Items, series: _Series, context: PayloadContext) -> Item:
    (value,) = series.numbers.values()
    return Item(
        resource=series.key.resource,
        kind=Kind.MONEY if series.measure is None else series.measure.unit.kind,
        group=rule.group,
        item=series.key.item,
        value=value,
        account=context.account,
        currency=series.key.currency,
    )


def _largest(found: Iterable[Item], top: int) -> list[Item]:
    """Keep the `top` items of each resource and unit; the rest becomes one, ``other``."""
    groups: dict[tuple[str, Kind, str], list[Item]] = {}
    for one in found:
        groups.setdefault((one.resource, one.kind, one.currency), []).append(one)
    kept: list[Item] = []
    for group in groups.values():
        if len(group) <= top:
            kept += group
            continue
        named = [one for one in group if one.item != OTHER][:top]
        taken = set(map(id, named))
        rest = [one for one in group if id(one) not in taken]
        value = total_of([one.value for one in rest])
        kept += [*named, msgspec.structs.replace(rest[0], item=OTHER, value=value)]
    return kept


_RESOURCES = _Section(NUMBERS[Resource], _by_name, _usage)
_COSTS = _Section(NUMBERS[Cost], _by_currency, _money)
_ITEMS = _Section(NUMBERS[Items], _by_item, _item)
