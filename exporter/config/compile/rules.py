"""Resources, costs, breakdowns and the plan."""

from typing import Final

from msgspec import UNSET, UnsetType

from exporter.config.compile import leaves, values
from exporter.config.compile.parts import Part, Terms, parts
from exporter.config.compile.periods import period
from exporter.config.compile.rows import Names, name_parts, rows
from exporter.config.compile.values import Role
from exporter.config.findings import Place
from exporter.config.grammar import rules as grammar
from exporter.config.grammar.rules import (
    CostText,
    CurrencyText,
    ItemsText,
    PlanText,
    ResourceText,
)
from exporter.kernel.select import Selector
from exporter.kernel.templates import Template
from exporter.kernel.units import is_currency, minor_factor
from exporter.model.definition import (
    AccountPlan,
    Cost,
    How,
    Items,
    NameParts,
    Reduce,
    Resource,
    UnitRule,
    Value,
)

SPEND: Final = "spend"
"""The resource under which money stands in the unit-free families."""

_MEASURE: Final = Role()
_RESOURCE_ROLES: Final = {
    "used": _MEASURE,
    "limit": Role(limit=True),
    "remaining": _MEASURE,
    "ratio": Role(values.SHARE, unit="ratio"),
    "percent": Role(values.SHARE, unit="percent"),
    "projected": _MEASURE,
    "next_period": _MEASURE,
    "overage": _MEASURE,
}
_MONEY: Final = Role(values.MONEY)
_COST_ROLES: Final = {
    "cost": _MONEY,
    "base": _MONEY,
    "overage": _MONEY,
    "limit": Role(values.MONEY, limit=True),
    "remaining": _MONEY,
    "projected": _MONEY,
}


def resource(place: Place, text: ResourceText, terms: Terms) -> list[Resource]:
    """Compile a resource: one value for each collector or set of rows that it is read from."""
    _check_resource(place, text)
    roles = {role: getattr(text, role) for role in _RESOURCE_ROLES}
    split = parts(place, text, roles, terms)
    return [_resource(place, text, part, terms, first=part is split[0]) for part in split]


def _check_resource(place: Place, text: ResourceText) -> None:
    written = [role for role in _RESOURCE_ROLES if getattr(text, role) is not UNSET]
    if not written and place.whole:
        place.error(f"Nothing is read. Write at least one of {', '.join(_RESOURCE_ROLES)}.")
    if "ratio" in written and "percent" in written:
        (place / "percent").key_error('A resource has "ratio" or "percent". Delete one of them.')
    for field in ("levels", "known"):
        for index, name in enumerate(getattr(text, field)):
            leaves.name(place / field / index, name)
    for index, name in enumerate(text.only or ()):
        leaves.name(place / "only" / index, name)
    for name, common in text.rename.items():
        leaves.name(place / "rename" / name, name, at_key=True)
        leaves.name(place / "rename" / name, common)


def _resource(
    place: Place, text: ResourceText, part: Part, terms: Terms, *, first: bool
) -> Resource:
    names = part.names
    unit = values.unit_rule(place / "unit", text.unit, values.MEASURES, names) or UnitRule()
    read = _values(place, part, _RESOURCE_ROLES)
    for role in ("used", "limit", "remaining", "projected", "next_period", "overage"):
        _check_same_kind(place / role, unit, read.get(role))
    own_period = period(place / "period", text.period, names, terms.zone, terms.scope)
    return Resource(
        collector=part.collector,
        name=_resource_name(place / "name", text.name, names),
        rows=part.rows,
        level=text.level,
        levels=frozenset(text.levels),
        unit=unit,
        rename=text.rename,
        only=None if isinstance(text.only, UnsetType) else frozenset(text.only),
        known=frozenset(text.known),
        reduce=values.reduction(place / "reduce", text.reduce, names),
        used=read.get("used"),
        limit=read.get("limit"),
        remaining=read.get("remaining"),
        ratio=read.get("ratio") or read.get("percent"),
        projected=read.get("projected"),
        next_period=read.get("next_period"),
        overage=read.get("overage"),
        as_of=values.instant(place / "as_of", text.as_of, names, terms.zone) if first else None,
        period=own_period if first else None,
    )


def _values(place: Place, part: Part, roles: dict[str, Role]) -> dict[str, Value]:
    return {
        role: values.value(place / role, text, roles[role], part.names)
        for role, text in part.roles.items()
    }


def _check_same_kind(place: Place, rule: UnitRule, value: Value | None) -> None:
    own = value.unit.unit if value is not None and value.unit is not None else None
    if own is not None and rule.unit is not None and own.kind is not rule.unit.kind:
        (place / "unit").error(
            f'"{own.name}" counts {own.kind.value}, the resource {rule.unit.kind.value}. '
            "All numbers of a resource need units of one kind."
        )


def _resource_name(place: Place, text: str, names: Names) -> NameParts:
    if text == SPEND:
        place.error('"spend" is the name that costs have. Write another, or use `costs`.')
    return name_parts(place, text, names)


def cost(place: Place, text: CostText, terms: Terms) -> list[Cost]:
    """Compile a cost: one value for each collector or set of rows that it is read from."""
    roles = {role: getattr(text, role) for role in _COST_ROLES}
    if all(value is UNSET for value in roles.values()) and place.whole:
        place.error(f"Nothing is read. Write at least one of {', '.join(_COST_ROLES)}.")
    if text.currency is UNSET and place.whole:
        place.error(_NO_CURRENCY)
    split = parts(place, text, roles, terms)
    return [_cost(place, text, part, terms, first=part is split[0]) for part in split]


_NO_CURRENCY: Final = (
    '"currency" is missing. Write a code (USD), a parameter ("{params.currency}") or where it '
    "stands ({path: data.currency})."
)


def _cost(place: Place, text: CostText, part: Part, terms: Terms, *, first: bool) -> Cost:
    names = part.names
    read = _values(place, part, _COST_ROLES)
    found, fixed = _currency(place / "currency", text.currency, names, terms)
    own_period = period(place / "period", text.period, names, terms.zone, terms.scope)
    return Cost(
        collector=part.collector,
        rows=part.rows,
        currency=found,
        fixed_currency=fixed,
        reduce=values.reduction(place / "reduce", text.reduce, names),
        cost=read.get("cost"),
        base=read.get("base"),
        overage=read.get("overage"),
        limit=read.get("limit"),
        remaining=read.get("remaining"),
        projected=read.get("projected"),
        period=own_period if first else None,
    )


def _currency(
    place: Place, text: grammar.Currency | UnsetType, names: Names, terms: Terms
) -> tuple[tuple[Selector, ...], Template | None]:
    match text:
        case UnsetType():
            return (), None
        case CurrencyText():
            return values.scoped_paths(place / "path", text.path, names), None
        case _:
            fixed = leaves.template(place, text, terms.scope)
            if "{" not in text and not is_currency(text):
                _say_no_currency(place, text)
            return (), fixed


def _say_no_currency(place: Place, code: str) -> None:
    try:
        minor_factor(code)
    except ValueError as error:
        place.error(str(error))


def items(place: Place, text: ItemsText, terms: Terms) -> Items:
    """Compile a breakdown."""
    collector = terms.collector(place / "collector", text.collector)
    found, names = rows(place, text.each, text.where, text.join)
    _check_items(place, text)
    leaves.name(place / "group", text.group)
    currency, fixed = _currency(place / "currency", text.currency, names, terms)
    return Items(
        collector=collector,
        resource=name_parts(place / "resource", text.resource, names),
        group=text.group,
        item=values.scoped_paths(place / "item", text.item, names),
        lower=text.lower,
        rows=found,
        unit=values.unit_rule(place / "unit", text.unit, values.MEASURES, names) or UnitRule(),
        used=_item_value(place / "used", text.used, _MEASURE, names),
        cost=_item_value(place / "cost", text.cost, _MONEY, names),
        currency=currency,
        fixed_currency=fixed,
        reduce=values.reduction(place / "reduce", text.reduce, names) or Reduce(how=How.SUM),
        top=None if isinstance(text.top, UnsetType) else text.top,
        always=text.always,
    )


def _check_items(place: Place, text: ItemsText) -> None:
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
    place: Place, text: grammar.Value | UnsetType, role: Role, names: Names
) -> Value | None:
    if isinstance(text, UnsetType):
        return None
    if isinstance(text, grammar.ValueText):
        for field in ("source", "each", "where"):
            if getattr(text, field) is not UNSET:
                key = "from" if field == "source" else field
                (place / key).key_error(
                    f'An item has no "{key}" of its own. Write it one level up.'
                )
    return values.value(place, text, role, names)


def plan(
    place: Place, text: str | list[str] | PlanText | UnsetType, terms: Terms
) -> AccountPlan | None:
    """Compile where the account's plan is named."""
    match text:
        case UnsetType():
            return None
        case PlanText():
            return AccountPlan(
                collector=terms.collector(place / "collector", text.collector),
                paths=leaves.paths(place / "path", text.path),
            )
        case _:
            return AccountPlan(
                collector=terms.collector(place, UNSET), paths=leaves.paths(place, text)
            )
