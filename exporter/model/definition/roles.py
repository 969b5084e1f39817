"""What a definition publishes: resources, costs, breakdowns and the plan.

Which roles there are stands in ``model.families``: their keys here are fields of the text forms
and, compiled, of `Resource`, `Cost` and `Items`. A rule whose numbers come from several collectors
or sets of rows is split: one compiled rule for each of these, all with the same name; the first
has the rule's own rows, its period and its time.
"""

from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from exporter.kernel.jmes import Selector
from exporter.kernel.problems import ErrorLocation, did_you_mean
from exporter.kernel.templates import Template
from exporter.kernel.units import minor_factor
from exporter.model.definition import parsers, values
from exporter.model.definition.parsers import (
    NameStr,
    PathOrPaths,
    PositiveInt,
    Strict,
    TemplateScope,
    TemplateStr,
)
from exporter.model.definition.period import Period, PeriodText, compile_period
from exporter.model.definition.rows import (
    NameParts,
    Rows,
    RowsText,
    ScopeNames,
    compile_rows,
    name_parts,
    outer_names,
)
from exporter.model.definition.values import (
    How,
    HowWord,
    Instant,
    InstantField,
    Reduce,
    ReduceText,
    UnitRule,
    UnitText,
    Value,
    ValueField,
    ValueText,
)
from exporter.model.families import (
    COST_ROLES,
    ITEM_ROLES,
    MEASURED,
    RESOURCE_ROLES,
    SPEND,
    Role,
    numbers,
)


class RuleContext(msgspec.Struct, frozen=True):
    """What the rules of a definition may refer to; `read` collects the collectors they do."""

    collectors: tuple[str, ...]
    scope: TemplateScope
    zone: str
    read: set[str] = msgspec.field(default_factory=set)

    def collector(self, place: ErrorLocation, text: str | UnsetType) -> str:
        """Return the collector that is meant, by default the first."""
        name = self.collectors[0] if isinstance(text, UnsetType) and self.collectors else str(text)
        if name not in self.collectors:
            hint = did_you_mean(name, self.collectors)
            place.error(f'There is no collector "{name}".{hint}')
        self.read.add(name)
        return name


class RulePart(msgspec.Struct, frozen=True):
    """The roles of a rule that are read from the same rows."""

    collector: str
    rows: Rows
    names: ScopeNames
    roles: dict[str, values.ValueField]


def split_by_source(
    place: ErrorLocation,
    text: RowsText,
    roles: Mapping[str, values.ValueField | UnsetType],
    terms: RuleContext,
) -> list[RulePart]:
    """Split a rule. The first part is the rule's own rows, unless no role reads these."""
    written = {role: value for role, value in roles.items() if not isinstance(value, UnsetType)}
    elsewhere = {
        role: value
        for role, value in written.items()
        if isinstance(value, ValueText)
        and (value.source, value.each, value.where) != (UNSET, UNSET, UNSET)
    }
    here = {role: value for role, value in written.items() if role not in elsewhere}
    collector = terms.collector(place / "collector", text.collector)
    found, names = compile_rows(place, text.each, text.where, text.join)
    split = [RulePart(collector, found, names, here)] if here or not elsewhere else []
    seen: list[tuple[object, RulePart]] = []
    for role, value in elsewhere.items():
        key = (value.source, value.each, value.where)
        part = next((part for other, part in seen if other == key), None)
        if part is None:
            source = collector
            if not isinstance(value.source, UnsetType):
                source = terms.collector(place / role / "from", value.source)
            own_rows, own_names = compile_rows(place / role, value.each, value.where, [])
            part = RulePart(source, own_rows, own_names, {})
            seen.append((key, part))
        part.roles[role] = value
    return split + [part for _, part in seen]


_RESOURCE_ROLES: Final = numbers(RESOURCE_ROLES)


_COST_ROLES: Final = numbers(COST_ROLES)


_ITEM_ROLES: Final = numbers(ITEM_ROLES)


def _values(
    place: ErrorLocation, part: RulePart, roles: dict[str, Role], reduce: Reduce | None
) -> dict[str, Value]:
    found = {}
    outer = outer_names(part.rows, part.names)
    for role, text in part.roles.items():
        value = values.compile_value(place / role, text, roles[role], part.names)
        found[role] = values.spread_over_rows(place / role, value, roles[role], reduce, outer)
    return found


class ResourceText(RowsText, kw_only=True, frozen=True):
    """How one resource, or one for each row, is read."""

    name: Annotated[
        str, Meta(description='Its name; "{metric.key}" takes it from the row, in snake_case.')
    ]
    unit: Annotated[
        str | UnitText, Meta(description="The vendor's unit: B, GB, GiB, requests, minutes.")
    ] = "quantity"
    level: Annotated[
        bool, Meta(description="What there is now (storage, seats), not what was used so far.")
    ] = False
    levels: Annotated[
        list[NameStr], Meta(description="Which of the names from the rows are levels.")
    ] = field(default_factory=list)
    rename: Annotated[
        dict[str, NameStr], Meta(description="Snake-cased names and what they are called here.")
    ] = field(default_factory=dict)
    only: Annotated[
        list[NameStr] | UnsetType, Meta(description="The names to keep; without it all.")
    ] = UNSET
    known: Annotated[
        list[NameStr], Meta(description="The names that are expected; others are noted in the log.")
    ] = field(default_factory=list)
    reduce: Annotated[
        HowWord | ReduceText | UnsetType, Meta(description="How several rows become one number.")
    ] = UNSET
    used: Annotated[ValueField | UnsetType, Meta(description="Used so far, or there now.")] = UNSET
    limit: Annotated[ValueField | UnsetType, Meta(description="The limit.")] = UNSET
    remaining: Annotated[ValueField | UnsetType, Meta(description="What is left of the limit.")] = (
        UNSET
    )
    ratio: Annotated[
        ValueField | UnsetType, Meta(description="The vendor's own share, 1 = at the limit.")
    ] = UNSET
    percent: Annotated[
        ValueField | UnsetType, Meta(description="The vendor's own share, 100 = at the limit.")
    ] = UNSET
    projected: Annotated[
        ValueField | UnsetType, Meta(description="The vendor's forecast for the period's end.")
    ] = UNSET
    next_period: Annotated[
        ValueField | UnsetType, Meta(description="The vendor's forecast for the next period.")
    ] = UNSET
    overage: Annotated[ValueField | UnsetType, Meta(description="Use beyond what is included.")] = (
        UNSET
    )
    as_of: Annotated[InstantField | UnsetType, Meta(description="The time of the data itself.")] = (
        UNSET
    )
    period: Annotated[
        PeriodText | UnsetType, Meta(description="The billing period, if not the definition's.")
    ] = UNSET


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

    @property
    def listed_names(self) -> list[str]:
        """The names that an open rule keeps, or is known to give; [] where any may come."""
        return sorted(self.only or self.known)

    @property
    def fixed_name(self) -> str | None:
        """Its name where that is the same for every row, else None."""
        name = "".join(part for part in self.name if isinstance(part, str))
        is_fixed = all(isinstance(part, str) for part in self.name)
        return self.rename.get(name, name) if is_fixed else None


def compile_resource(
    place: ErrorLocation, text: ResourceText, terms: RuleContext
) -> list[Resource]:
    """Compile a resource: one value for each collector or set of rows that it is read from."""
    _check_resource(place, text)
    roles = {role: getattr(text, role) for role in _RESOURCE_ROLES}
    split = split_by_source(place, text, roles, terms)
    return [_resource(place, text, part, terms, first=part is split[0]) for part in split]


def _check_resource(place: ErrorLocation, text: ResourceText) -> None:
    written = [role for role in _RESOURCE_ROLES if getattr(text, role) is not UNSET]
    if not written and place.whole:
        place.error(f"Nothing is read. Write at least one of {', '.join(_RESOURCE_ROLES)}.")
    if "ratio" in written and "percent" in written:
        (place / "percent").key_error('A resource has "ratio" or "percent". Delete one of them.')
    for key in ("levels", "known"):
        for index, name in enumerate(getattr(text, key)):
            parsers.check_name(place / key / index, name)
    for index, name in enumerate(text.only or ()):
        parsers.check_name(place / "only" / index, name)
    for name, common in text.rename.items():
        parsers.check_name(place / "rename" / name, name, at_key=True)
        parsers.check_name(place / "rename" / name, common)


def _resource(
    place: ErrorLocation, text: ResourceText, part: RulePart, terms: RuleContext, *, first: bool
) -> Resource:
    names = part.names
    unit = values.compile_unit_rule(place / "unit", text.unit, MEASURED, names) or UnitRule()
    reduce = values.compile_reduce(place / "reduce", text.reduce, names)
    read = _values(place, part, _RESOURCE_ROLES, reduce)
    for key, value in read.items():
        own = None if value.unit is None else value.unit.unit
        if own is None or unit.unit is None or _RESOURCE_ROLES[key].kinds is not MEASURED:
            continue
        if own.kind is not unit.unit.kind:
            (place / key / "unit").error(
                f'"{own.name}" counts {own.kind.value}, the resource {unit.unit.kind.value}. '
                "All numbers of a resource need units of one kind."
            )
    if text.name == SPEND:
        (place / "name").error(
            '"spend" is the name that costs have. Write another, or use `costs`.'
        )
    own_period = compile_period(place / "period", text.period, names, terms.zone, terms.scope)
    return Resource(
        collector=part.collector,
        name=name_parts(place / "name", text.name, names),
        rows=part.rows,
        level=text.level,
        levels=frozenset(text.levels),
        unit=unit,
        rename=text.rename,
        only=None if isinstance(text.only, UnsetType) else frozenset(text.only),
        known=frozenset(text.known),
        reduce=reduce,
        as_of=values.compile_instant(place / "as_of", text.as_of, names, terms.zone)
        if first
        else None,
        period=own_period if first else None,
        **{_RESOURCE_ROLES[key].into or key: value for key, value in read.items()},
    )


class CurrencyText(Strict, kw_only=True, frozen=True):
    """The currency stands in the answer."""

    path: Annotated[PathOrPaths, Meta(description="Where its ISO 4217 code stands, in any case.")]
    otherwise: Annotated[
        TemplateStr | UnsetType,
        Meta(description='The currency where the answer names none: USD, "{params.currency}".'),
    ] = UNSET


CurrencyField: TypeAlias = TemplateStr | CurrencyText


_NO_CURRENCY: Final = (
    '"currency" is missing. Write a code (USD), a parameter ("{params.currency}") or where it '
    "stands ({path: data.currency})."
)


def _currency(
    place: ErrorLocation, text: CurrencyField | UnsetType, names: ScopeNames, terms: RuleContext
) -> tuple[tuple[Selector, ...], Template | None]:
    match text:
        case UnsetType():
            return (), None
        case CurrencyText():
            paths = values.compile_scoped_paths(place / "path", text.path, names)
            if isinstance(text.otherwise, UnsetType):
                return paths, None
            return paths, _fixed_currency(place / "otherwise", text.otherwise, terms)
        case _:
            return (), _fixed_currency(place, text, terms)


def _fixed_currency(place: ErrorLocation, text: str, terms: RuleContext) -> Template | None:
    fixed = parsers.parse_template(place, text, terms.scope)
    if "{" not in text:
        try:
            minor_factor(text)
        except ValueError as error:
            place.error(str(error))
    return fixed


class CostText(RowsText, kw_only=True, frozen=True):
    """How money is read."""

    currency: Annotated[
        CurrencyField | UnsetType,
        Meta(description='An ISO 4217 code, "{params.currency}", or {path: …}.'),
    ] = UNSET
    reduce: Annotated[
        HowWord | ReduceText | UnsetType, Meta(description="How several rows become one number.")
    ] = UNSET
    cost: Annotated[ValueField | UnsetType, Meta(description="What it costs so far.")] = UNSET
    base: Annotated[ValueField | UnsetType, Meta(description="The fixed part.")] = UNSET
    overage: Annotated[ValueField | UnsetType, Meta(description="The part beyond the plan.")] = (
        UNSET
    )
    limit: Annotated[ValueField | UnsetType, Meta(description="The budget.")] = UNSET
    remaining: Annotated[ValueField | UnsetType, Meta(description="What is left of it.")] = UNSET
    balance: Annotated[
        ValueField | UnsetType,
        Meta(description="Prepaid money left on the account; negative when it owes."),
    ] = UNSET
    projected: Annotated[
        ValueField | UnsetType, Meta(description="The vendor's forecast for the period's end.")
    ] = UNSET
    period: Annotated[
        PeriodText | UnsetType, Meta(description="The billing period, if not the definition's.")
    ] = UNSET


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one collector's answer, by currency.

    ``currency`` gives the code from the answer; where that names none, ``fixed_currency`` renders
    to it (a parameter).
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
    balance: Value | None = None
    projected: Value | None = None
    period: Period | None = None


def compile_cost(place: ErrorLocation, text: CostText, terms: RuleContext) -> list[Cost]:
    """Compile a cost: one value for each collector or set of rows that it is read from."""
    roles = {role: getattr(text, role) for role in _COST_ROLES}
    if all(value is UNSET for value in roles.values()) and place.whole:
        place.error(f"Nothing is read. Write at least one of {', '.join(_COST_ROLES)}.")
    if text.currency is UNSET and place.whole:
        place.error(_NO_CURRENCY)
    found = []
    for index, part in enumerate(split_by_source(place, text, roles, terms)):
        names = part.names
        paths, fixed = _currency(place / "currency", text.currency, names, terms)
        period = compile_period(place / "period", text.period, names, terms.zone, terms.scope)
        reduce = values.compile_reduce(place / "reduce", text.reduce, names)
        found.append(
            Cost(
                collector=part.collector,
                rows=part.rows,
                currency=paths,
                fixed_currency=fixed,
                reduce=reduce,
                period=None if index else period,
                **_values(place, part, _COST_ROLES, reduce),
            )
        )
    return found


class ItemsText(RowsText, kw_only=True, frozen=True):
    """A breakdown: one series an item."""

    resource: Annotated[str, Meta(description='The resource that is broken down, or "spend".')]
    group: Annotated[NameStr, Meta(description="The kind of the items: test, model, project.")]
    item: Annotated[PathOrPaths, Meta(description="Where the item's name stands.")]
    used: Annotated[ValueField | UnsetType, Meta(description="What the item uses.")] = UNSET
    cost: Annotated[ValueField | UnsetType, Meta(description="What the item costs.")] = UNSET
    currency: Annotated[CurrencyField | UnsetType, Meta(description="The currency of `cost`.")] = (
        UNSET
    )
    unit: Annotated[str | UnitText, Meta(description="The vendor's unit of `used`.")] = "quantity"
    reduce: Annotated[
        HowWord | ReduceText, Meta(description="How several rows of one item become one number.")
    ] = "sum"
    top: Annotated[
        PositiveInt | UnsetType, Meta(description='Keep the largest, sum the rest as "other".')
    ] = UNSET
    lower: Annotated[bool, Meta(description="Write the item's name in small letters.")] = False
    always: Annotated[bool, Meta(description="Publish it also without `items: true`.")] = False


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


def compile_items(place: ErrorLocation, text: ItemsText, terms: RuleContext) -> Items:
    """Compile a breakdown."""
    collector = terms.collector(place / "collector", text.collector)
    found, names = compile_rows(place, text.each, text.where, text.join)
    _check_items(place, text)
    parsers.check_name(place / "group", text.group)
    currency, fixed = _currency(place / "currency", text.currency, names, terms)
    reduce = values.compile_reduce(place / "reduce", text.reduce, names) or Reduce(how=How.SUM)
    written = {
        key: values.spread_over_rows(
            place / key, value, _ITEM_ROLES[key], reduce, outer_names(found, names)
        )
        for key in _ITEM_ROLES
        if (value := _item_value(place / key, getattr(text, key), _ITEM_ROLES[key], names))
    }
    return Items(
        collector=collector,
        resource=name_parts(place / "resource", text.resource, names),
        group=text.group,
        item=values.compile_scoped_paths(place / "item", text.item, names),
        lower=text.lower,
        rows=found,
        unit=values.compile_unit_rule(place / "unit", text.unit, MEASURED, names) or UnitRule(),
        used=written.get("used"),
        cost=written.get("cost"),
        currency=currency,
        fixed_currency=fixed,
        reduce=reduce,
        top=None if isinstance(text.top, UnsetType) else text.top,
        always=text.always,
    )


def _check_items(place: ErrorLocation, text: ItemsText) -> None:
    if (text.used is UNSET) == (text.cost is UNSET) and place.whole:
        place.error('A breakdown has either "used" or "cost". Write one of them.')
    if text.cost is not UNSET and text.currency is UNSET and place.whole:
        place.error(_NO_CURRENCY)
    if text.cost is UNSET and text.currency is not UNSET:
        (place / "currency").key_error('Only "cost" has a currency. Delete it.')
    if text.cost is UNSET and text.resource == SPEND:
        (place / "resource").error(
            f'"{SPEND}" is what a breakdown of cost is about. Write "cost", or another resource.'
        )


def _item_value(
    place: ErrorLocation, text: values.ValueField | UnsetType, role: Role, names: ScopeNames
) -> Value | None:
    if isinstance(text, UnsetType):
        return None
    if isinstance(text, values.ValueText):
        for field in ("source", "each", "where"):
            if getattr(text, field) is not UNSET:
                key = "from" if field == "source" else field
                (place / key).key_error(
                    f'An item has no "{key}" of its own. Write it one level up.'
                )
    return values.compile_value(place, text, role, names)


class PlanText(Strict, kw_only=True, frozen=True):
    """Where the account's plan is named."""

    path: Annotated[PathOrPaths, Meta(description="Where its name stands.")]
    collector: Annotated[
        str | UnsetType, Meta(description="The collector whose answer is read; default the first.")
    ] = UNSET


class AccountPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer names the account's plan: the ``plan`` label of ``usage_account_info``."""

    collector: str
    paths: tuple[Selector, ...]


def compile_plan(
    place: ErrorLocation, text: str | list[str] | PlanText | UnsetType, terms: RuleContext
) -> AccountPlan | None:
    """Compile where the account's plan is named."""
    match text:
        case UnsetType():
            return None
        case PlanText():
            return AccountPlan(
                collector=terms.collector(place / "collector", text.collector),
                paths=parsers.parse_paths(place / "path", text.path),
            )
        case _:
            return AccountPlan(
                collector=terms.collector(place, UNSET), paths=parsers.parse_paths(place, text)
            )
