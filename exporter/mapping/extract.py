"""One payload in the light of its target: what the rules read from, and what they add to.

Money: what a cost's rule reads from an answer, by currency.

Items: the parts of a resource or of the cost, one series each, the largest ones kept.

Usages: what a resource's rule reads from an answer.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

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
    MAX_LABEL,
    UNLIMITED,
    Amount,
    MappingError,
    Measure,
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
    total_of,
)
from exporter.model.definition.period import Period
from exporter.model.definition.roles import Cost, Items, Resource
from exporter.model.definition.rows import Row, Rows, RowScope, RowsError, row_scope
from exporter.model.definition.values import Reduce, UnitRule, Value, Zero
from exporter.model.reading import Item, Known, LimitFact, Money, Note, Unlimited, Usage
from exporter.model.target import Target

ROWS = " /"
"""What stands behind the place of rows in `Reading.matched`: ``results /``, with the paths of the
row after it: ``results / bandwidth_used``."""
_ROLLED_OVER = (
    "one page tells of a period that ends at {}, another of one that begins at {}: their sum would "
    "be of neither. It ended while the pages were turned; the next poll reads the new one."
)


class PayloadContext(msgspec.Struct, kw_only=True):
    """What one payload is read with. Notes and matched paths gather here.

    `seen` are the paths of the present rule that gave something, as they stand in the definition.
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

    def billing(
        self, own: Period | None, rows: Sequence[Row], *, level: bool, adds: bool = False
    ) -> Billing:
        """Return the period of a series: its rule's own, else for a flow the definition's.

        The paths of a rule's own period see what its other paths see, those of the definition's
        the document. Of rows with different periods the latest counts; but a sum that `adds` pages
        of two periods is the sum of neither: raises Misfit.
        """
        default = self.target.definition.period
        if own is not None and own is not default:
            if own.start is None and own.end is None:
                return self._kept((own,), own, None)
            if len(rows) == 1 and self._is_rooted(own, rows[0]):
                return self._kept((own, rows[0][1]), own, rows[0][0])
            found = [self._billing(own, row[0]) for row in rows] or [self._billing(own, None)]
            self._check(found, rows, adds=adds)
            return max(found, key=lambda one: 0.0 if one.period is None else one.period.end)
        if default is None or (level and own is None):
            return NO_PERIOD
        if len(self.documents) == 1:  # and so one period
            return self._kept((default, self.documents[0]), default, self.documents[0])
        documents = [row[1] for row in rows] or self.documents[-1:]
        found = [self._kept((default, document), default, document) for document in documents]
        self._check(found, rows, adds=adds)
        return found[-1]

    def _check(self, found: Sequence[Billing], rows: Sequence[Row], *, adds: bool) -> None:
        """Notice that a period ended while the pages were turned."""
        if adds:
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
        except MappingError as misfit:
            raise misfit.at("period") from misfit.__cause__

    def number(
        self,
        value: Value,
        rows: Sequence[Row],
        units: Sequence[Measure],
        otherwise: Reduce | None,
    ) -> Amount | None:
        """Return the one number that `value` has for the rows of a series, in its base unit.

        `units` are those of the rows; `otherwise` is the rule's reduction.
        """
        rule = value.reduce or otherwise
        if rule is None and len(rows) == 1:
            return converted(amount_of(value, rows[0][0], self.seen), units[0].unit.factor)
        amounts: Sequence[Amount | None] | None = plain_amounts(value, rows, units, self.seen)
        if amounts is not None:
            return reduced(rule, rows, amounts)
        amounts = [
            converted(amount_of(value, row[0], self.seen), one.unit.factor)
            for row, one in zip(rows, units, strict=True)
        ]
        return reduced(rule, rows, amounts)

    def limit(
        self, value: Value | None, numbers: dict[str, Amount], series: str
    ) -> LimitFact | None:
        """Return what the numbers of the roles ``limit`` and ``remaining`` say of the limit.

        A limit below zero means nothing, and is noted: a vendor that begins to write -1 for
        "unlimited" must not turn every ratio around.
        """
        fact = limit_fact(numbers.get("limit"), Zero.LIMIT if value is None else value.zero)
        if isinstance(fact, Known) and fact.value < 0:
            detail = f"{series}: {fact.value:g}. If it has a meaning, `unlimited` lists it."
            self.notes.append(Note(reason="negative_limit", detail=detail))
            return None
        if fact is None and isinstance(numbers.get("remaining"), Unlimited):
            return UNLIMITED
        return fact


_ROLES = ("cost", "base", "overage", "limit", "remaining", "projected")
_ACCRUED = ("cost", "base", "overage")
_MAJOR = UnitRule(unit=find_unit("major"))
_MINOR = "minor"  # the unit whose size the currency decides


def read_money(rule: Cost, scene: PayloadContext) -> list[Money]:
    """Return one entry for each currency among the rows of `rule`. Raises Misfit."""
    found = scene.rows(rule.rows)
    if not found.rows:
        return _of_no_rows(rule, scene) if found.present else []
    read = []
    for code, rows in _by_currency(rule, found.rows, scene).items():
        try:
            one = _money(rule, code, rows, scene)
        except MappingError as misfit:
            raise misfit.at(code) if code else misfit from misfit.__cause__
        if one is not None:
            read.append(one)
    scene.remember(rule.rows)
    return read


def _by_currency(rule: Cost, rows: list[Row], scene: PayloadContext) -> dict[str, list[Row]]:
    if not rule.currency:
        return {currency_of((), rule.fixed_currency, None, scene): rows}
    groups: dict[str, list[Row]] = {}
    for row in rows:
        code = currency_of(rule.currency, rule.fixed_currency, row[0], scene)
        groups.setdefault(code, []).append(row)
    return groups


def currency_of(
    paths: tuple[Selector, ...], fixed: Template | None, view: object, scene: PayloadContext
) -> str:
    """Return the ISO 4217 code of a row in capitals; "" where neither row nor rule names one.

    Raises Misfit for a text that is no code: money is never guessed.
    """
    found = first_found(paths, view, scene.seen)
    if found is None or found == "":
        found = scene.asked.text(fixed, scene.target.definition.zone) or ""
    code = found.strip().upper() if isinstance(found, str) else None
    if code is None or (code and not is_currency(code)):
        shown = f'"{clip(found, 20)}"' if isinstance(found, str) else quoted(found)
        path = paths[0].text if paths else ""
        raise MappingError(path, f"{shown} is no currency of ISO 4217 (USD, EUR, JPY).").at(
            "currency"
        )
    return code


def charged(
    value: Value, code: str, rows: Sequence[Row], otherwise: Reduce | None, scene: PayloadContext
) -> Amount | None:
    """Return an amount of money in major units. Raises Misfit for one without a currency."""
    found = measures(value.unit or _MAJOR, rows, scene.seen)
    if code and any(one.unit.name == _MINOR for one in found):
        minor = Measure(Unit(_MINOR, Kind.MONEY, minor_factor(code)), _MINOR)
        found = [minor if one.unit.name == _MINOR else one for one in found]
    number = scene.number(value, rows, found, otherwise)
    if number is not None and not code:
        raise MappingError(value.paths[0].text, "there is money here, but no currency.")
    return number


def _money(rule: Cost, code: str, rows: list[Row], scene: PayloadContext) -> Money | None:
    numbers: dict[str, Amount] = {}
    for role in _ROLES:
        value: Value | None = getattr(rule, role)
        if value is None:
            continue
        try:
            number = charged(value, code, rows, rule.reduce, scene)
        except MappingError as misfit:
            raise misfit.at(role) from misfit.__cause__
        if number is not None:
            numbers[role] = number
    limit = scene.limit(rule.limit, numbers, code)
    known = {
        role: number
        for role, number in numbers.items()
        if isinstance(number, float) and role != "limit"
    }
    if limit is None and not known:
        return None
    return _stated(rule, code, rows, scene, known=known, limit=limit)


def _of_no_rows(rule: Cost, scene: PayloadContext) -> list[Money]:
    """Return 0 where no row was charged and the currency does not stand in the rows."""
    code = currency_of((), rule.fixed_currency, None, scene)
    totals: dict[str, float] = {}
    for role in _ACCRUED:
        value: Value | None = getattr(rule, role)
        total = None if value is None else empty_total(value.reduce or rule.reduce)
        if total is not None:
            totals[role] = total
    if not code or not totals:
        return []
    return [_stated(rule, code, (), scene, known=totals, limit=None)]


def _stated(
    rule: Cost,
    code: str,
    rows: Sequence[Row],
    scene: PayloadContext,
    *,
    known: Mapping[str, float],
    limit: LimitFact | None,
) -> Money:
    sums = len(scene.documents) > 1 and adds(rule, _ROLES)
    period, closed = scene.billing(rule.period, rows, level=False, adds=sums)
    return Money(
        currency=code,
        account=scene.account,
        cost=known.get("cost"),
        base=known.get("base"),
        overage=known.get("overage"),
        limit=limit,
        remaining=known.get("remaining"),
        projected=known.get("projected"),
        period=period,
        closed=closed,
    )


OTHER = "other"
"""The item that holds the sum of what ``top`` leaves out."""


class _Series(NamedTuple):
    resource: str
    item: str
    currency: str


def read_items(rule: Items, scene: PayloadContext) -> list[Item]:
    """Return the parts that `rule` reads, largest first. Raises Misfit."""
    rows = scene.rows(rule.rows).rows
    groups: dict[_Series, list[Row]] = {}
    cuts = 0
    for row in rows:
        series, cut = _series(rule, row[0], scene)
        cuts += cut
        groups.setdefault(series, []).append(row)
    if cuts:
        scene.notes.append(Note(reason="label_cut", detail=rule.group, count=cuts))
    found = [one for series, rows in groups.items() if (one := _item(rule, series, rows, scene))]
    if rows:
        scene.remember(rule.rows)
    found.sort(key=lambda one: (-one.value, one.resource, one.item, one.currency))
    return found if rule.top is None else _largest(found, rule.top)


def _series(rule: Items, view: object, scene: PayloadContext) -> tuple[_Series, bool]:
    text, cut = label_at(rule.item, view, scene.seen)
    code = ""
    if rule.cost is not None:
        code = currency_of(rule.currency, rule.fixed_currency, view, scene)
    resource = resource_name(rule.resource, view, scene.seen)
    if rule.lower:
        text = text.lower()[:MAX_LABEL]  # "İ" becomes two characters
    return _Series(resource, text, code), cut


def _item(rule: Items, series: _Series, rows: list[Row], scene: PayloadContext) -> Item | None:
    try:
        kind, value = _value(rule, series, rows, scene)
    except MappingError as misfit:
        raise misfit.at(f'{series.resource}["{series.item}"]') from misfit.__cause__
    if not isinstance(value, float):
        return None
    return Item(
        resource=series.resource,
        kind=kind,
        group=rule.group,
        item=series.item,
        value=value,
        account=scene.account,
        currency=series.currency,
    )


def _value(
    rule: Items, series: _Series, rows: list[Row], scene: PayloadContext
) -> tuple[Kind, Amount | None]:
    if rule.cost is not None:
        return Kind.MONEY, charged(rule.cost, series.currency, rows, rule.reduce, scene)
    if rule.used is None:
        return Kind.QUANTITY, None
    found = measures(rule.used.unit or rule.unit, rows, scene.seen)
    return found[0].unit.kind, scene.number(rule.used, rows, found, rule.reduce)


def _largest(found: Sequence[Item], top: int) -> list[Item]:
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


_RESOURCES_ROLES = ("used", "limit", "remaining", "ratio", "projected", "next_period", "overage")
_RESOURCES_ACCRUED = ("used", "overage")
"""The roles of which no rows mean zero; of a limit or a projection they mean nothing."""
_SHOWN = 5  # new keys that a note names
_RATIO = "ratio"
_WHOLE = UnitRule(unit=Unit("ratio", Kind.RATIO, 1.0))
_Role: TypeAlias = tuple[str, Value, UnitRule]


class _Numbers(NamedTuple):
    by_role: dict[str, Amount]
    measure: Measure


def read_usages(rule: Resource, scene: PayloadContext) -> list[Usage]:
    """Return one usage for each name among the rows of `rule`. Raises Misfit."""
    found = scene.rows(rule.rows)
    if not found.rows:
        return _resources_of_no_rows(rule, scene) if found.present and fixed(rule.name) else []
    roles = _roles(rule)
    read = []
    groups = _by_name(rule, found.rows, scene)
    most = scene.target.max_series
    scene.dropped += max(len(groups) - most, 0)
    for series, rows in itertools.islice(groups.items(), most):
        try:
            usage = _usage(rule, roles, series, rows, scene)
        except MappingError as misfit:
            raise misfit if fixed(rule.name) else misfit.at(series) from misfit.__cause__
        if usage is not None:
            read.append(usage)
    scene.remember(rule.rows)
    return read


def _by_name(rule: Resource, rows: list[Row], scene: PayloadContext) -> dict[str, list[Row]]:
    """Group rows by their common name. Two keys of one name are rows of one series."""
    groups: dict[str, list[Row]] = {}
    if fixed(rule.name):
        key = resource_name(rule.name, None, scene.seen)
        groups[rule.rename.get(key, key)] = rows
    else:
        for row in rows:
            key = resource_name(rule.name, row[0], scene.seen)
            groups.setdefault(rule.rename.get(key, key), []).append(row)
    if rule.known:
        new = [key for key in groups if key not in rule.known]
        if new:
            shown = ", ".join(new[:_SHOWN]) + (", …" if len(new) > _SHOWN else "")
            scene.notes.append(Note(reason="new_key", detail=shown, count=len(new)))
    if rule.only is None:
        return groups
    return {key: rows for key, rows in groups.items() if key in rule.only}


def _usage(
    rule: Resource, roles: Sequence[_Role], series: str, rows: list[Row], scene: PayloadContext
) -> Usage | None:
    numbers, found = _numbers(rule, roles, rows, scene)
    limit = scene.limit(rule.limit, numbers, series)
    known = {
        role: number
        for role, number in numbers.items()
        if isinstance(number, float) and role != "limit"
    }
    if limit is None and not known:
        return None
    return _resources_stated(rule, series, rows, scene, measure=found, known=known, limit=limit)


def _resources_of_no_rows(rule: Resource, scene: PayloadContext) -> list[Usage]:
    """Return what an empty list says: a sum is 0, and the last of nothing is nothing."""
    totals: dict[str, float] = {}
    for role in _RESOURCES_ACCRUED:
        value: Value | None = getattr(rule, role)
        total = None if value is None else empty_total(value.reduce or rule.reduce)
        if total is not None:
            totals[role] = total
    unit = rule.unit if rule.used is None or rule.used.unit is None else rule.used.unit
    if not totals or unit.unit is None:  # without a row there is no word for its unit
        return []
    measure = Measure(unit.unit, unit.unit.name)
    series = next(iter(_by_name(rule, [], scene)), None)
    if series is None:
        return []
    return [_resources_stated(rule, series, (), scene, measure=measure, known=totals, limit=None)]


def _resources_stated(
    rule: Resource,
    series: str,
    rows: Sequence[Row],
    scene: PayloadContext,
    *,
    measure: Measure,
    known: Mapping[str, float],
    limit: LimitFact | None,
) -> Usage:
    level = rule.level or series in rule.levels
    sums = len(scene.documents) > 1 and adds(rule, _RESOURCES_ROLES)
    period, closed = scene.billing(rule.period, rows, level=level, adds=sums)
    return Usage(
        resource=series,
        kind=measure.unit.kind,
        unit=measure.word,
        account=scene.account,
        level=level,
        used=known.get("used"),
        limit=limit,
        remaining=known.get("remaining"),
        ratio=known.get("ratio"),
        projected=known.get("projected"),
        next_period=known.get("next_period"),
        overage=known.get("overage"),
        as_of=_as_of(rule, rows, scene),
        period=period,
        closed=closed,
    )


def _numbers(
    rule: Resource, roles: Sequence[_Role], rows: list[Row], scene: PayloadContext
) -> _Numbers:
    """Read every role. All but the ratio must be measured in one kind of unit."""
    numbers: dict[str, Amount] = {}
    common: Measure | None = None
    own: list[Measure] | None = None
    for role, value, unit in roles:
        try:
            if unit is not rule.unit:
                found = measures(unit, rows, scene.seen)
            else:
                found = own = own or measures(unit, rows, scene.seen)
            number = scene.number(value, rows, found, rule.reduce)
            if role != _RATIO:
                common = common or found[0]
                agreed(common, found[0])
        except MappingError as misfit:
            raise misfit.at(role) from misfit.__cause__
        if number is not None:
            numbers[role] = number
    return _Numbers(numbers, common or measures(rule.unit, rows, scene.seen)[0])


def _roles(rule: Resource) -> list[_Role]:
    """Return the roles that `rule` has, each with its unit. A ratio's is not the resource's."""
    found = []
    for role in _RESOURCES_ROLES:
        value: Value | None = getattr(rule, role)
        if value is not None:
            otherwise = _WHOLE if role == _RATIO else rule.unit
            found.append((role, value, value.unit or otherwise))
    return found


def _as_of(rule: Resource, rows: Sequence[Row], scene: PayloadContext) -> float | None:
    if rule.as_of is None:
        return None
    try:
        times = [instant_of(rule.as_of, row[0], scene.seen) for row in rows]
    except MappingError as misfit:
        raise misfit.at("as_of") from misfit.__cause__
    return max((time for time in times if time is not None), default=None)
