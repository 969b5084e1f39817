"""What a definition publishes, for its page: resources, families, units, roles, breakdowns."""

from collections.abc import Iterator, Sequence

from exporter.app.pages.markdown import code, table
from exporter.kernel.templates import Template
from exporter.kernel.units import Kind
from exporter.model.definition import (
    Cost,
    Definition,
    Instant,
    Items,
    NameParts,
    Period,
    Resource,
    UnitRule,
    Value,
)

_ROLES = {  # role: what it is published as, {} for the kind
    "used": "usage_{}",
    "limit": "usage_limit_{}",
    "remaining": "",
    "ratio": "usage_ratio",
    "projected": "usage_projected_{}",
    "next_period": "usage_next_period_{}",
    "overage": "usage_overage_{}",
}
_MONEY = {
    "cost": "usage_cost",
    "base": "usage_cost_base",
    "overage": "usage_cost_overage",
    "limit": "usage_cost_limit",
    "remaining": "",
    "projected": "usage_cost_projected",
}


def publishes(definition: Definition) -> Iterator[str]:
    """Yield the lines about resources, money and breakdowns."""
    if definition.resources:
        yield from _resources(definition)
    if definition.costs:
        yield ""
        yield "Money:"
        yield ""
        yield from table(
            ["from", "currency", "families", "period"],
            [_cost(definition, one) for one in definition.costs],
        )
    if definition.items:
        yield ""
        yield "Breakdowns, with `items: true`:"
        yield ""
        head = ["`resource`", "`group`", "`item`", "family", "from"]
        yield from table(head, [_item(one) for one in definition.items])
    if definition.plan is not None:
        places = " or ".join(code(path.text) for path in definition.plan.paths)
        yield ""
        yield f"The `plan` of `usage_account_info` is {places}."


def name(parts: NameParts) -> str:
    """Return the name of a resource; what comes from the answer stands in pointed brackets."""
    return "".join(part if isinstance(part, str) else f"<{part.text}>" for part in parts)


def kept_names(one: Resource) -> list[str]:
    """Return the names that a rule with an open name keeps, or is known to give."""
    return sorted(one.only or one.known)


def _resources(definition: Definition) -> Iterator[str]:
    rows = []
    for one in definition.resources:
        rows.append(
            [
                code(name(one.name)),
                _unit(one.unit),
                ", ".join(_families(one)),
                _period(definition, one),
                code(one.collector),
            ]
        )
        names = [code(kept) for kept in kept_names(one)]
        if names:
            more = " and others" if one.only is None else ""
            rows[-1][0] += f": {', '.join(names)}{more}"
    yield from table(["`resource`", "unit", "families", "period", "from"], rows)
    if any(one.limit or one.remaining for one in definition.resources):
        yield ""
        yield "Where used and limit are known, `usage_ratio` and `usage_percent` come on top, and"
        yield "for what has a period the projection and the time of exhaustion."


def _families(one: Resource) -> Iterator[str]:
    kind = _kind(one)
    for role, family in _ROLES.items():
        value: Value | None = getattr(one, role)
        if value is None:
            continue
        if role == "remaining":
            if one.used is None:
                yield f"{code(f'usage_{kind}')} (the limit minus what remains)"
        else:
            yield code(family.format(kind)) + (_unlimited(value) if role == "limit" else "")
    if one.as_of is not None:
        yield code("usage_data_timestamp_seconds")


def _kind(one: Resource) -> str:
    unit = one.unit.unit
    return str(unit.kind) if unit is not None else "<kind>"


def _unlimited(value: Value) -> str:
    if not value.unlimited:
        return ""
    marks = ", ".join(code("null" if mark is None else str(mark)) for mark in value.unlimited)
    return f" (unlimited: {marks})"


def _unit(rule: UnitRule) -> str:
    if rule.unit is not None:
        return rule.unit.name
    place = code(rule.path.text) if rule.path is not None else "?"
    spellings: dict[str, list[str]] = {}
    for word, unit in rule.words.items():
        spellings.setdefault(unit.name, []).append(code(word) if word else '""')
    words = "; ".join(f"{unit}: {', '.join(found)}" for unit, found in spellings.items())
    other = f"; any other word: {rule.otherwise.name}" if rule.otherwise is not None else ""
    return f"{place} tells, in units such as GB or its own words. {words}{other}"


def _period(definition: Definition, one: Resource) -> str:
    if one.period is None and one.level:
        return "none (level)"
    rule = one.period or definition.period
    text = "none" if rule is None else period_in_words(rule)
    return f"{text} (level)" if one.level else text


def period_in_words(rule: Period) -> str:
    """Say where a period comes from."""
    told = [*_places(rule.start), *_places(rule.end)]
    asked = [one.text for one in (rule.asked_start, rule.asked_end) if isinstance(one, Template)]
    texts = []
    if told:
        texts.append(" to ".join(told))
    if asked:
        texts.append(" to ".join(code(text) for text in asked))
    if rule.cycle is not None and not (rule.start and rule.end):
        anchor = f" from day {code(rule.anchor_day.text)}" if rule.anchor_day is not None else ""
        texts.append(f"{rule.cycle}{anchor}, {rule.zone}")
    return ", else ".join(texts) if told and asked else ", ".join(texts)


def _places(instant: Instant | None) -> list[str]:
    return [] if instant is None else [" or ".join(code(path.text) for path in instant.paths)]


def _cost(definition: Definition, one: Cost) -> Sequence[str]:
    families = []
    for role, family in _MONEY.items():
        value: Value | None = getattr(one, role)
        if value is not None:
            minor = value.unit is not None and value.unit.unit is not None
            in_cents = " (from cents)" if minor and _is_small(value) else ""
            families.append((code(family) if family else "what remains") + in_cents)
    rule = one.period or definition.period
    period = "none" if rule is None else period_in_words(rule)
    return [code(one.collector), _currency(one), ", ".join(families), period]


def _is_small(value: Value) -> bool:
    unit = value.unit.unit if value.unit is not None else None
    return unit is not None and unit.kind is Kind.MONEY and unit.factor < 1


def _currency(one: Cost | Items) -> str:
    if one.currency:
        return " or ".join(code(path.text) for path in one.currency)
    return "" if one.fixed_currency is None else code(one.fixed_currency.text)


def _item(one: Items) -> Sequence[str]:
    kind = "cost" if one.cost is not None else "<kind>"
    rule = one.used.unit if one.used is not None and one.used.unit is not None else one.unit
    if one.cost is None and rule.unit is not None:
        kind = str(rule.unit.kind)
    item = " or ".join(code(path.text) for path in one.item)
    if one.top is not None:
        item += f", the {one.top} largest and `other`"
    if one.always:
        item += "; always published"
    return [
        code(name(one.resource)),
        code(one.group),
        item,
        code(f"usage_item_{kind}"),
        code(one.collector),
    ]
