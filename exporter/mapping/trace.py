"""What each rule of a definition finds in an answer, rule by rule: for people, not for polls.

`read` gives the numbers; this tells where they come from. A rule that does not fit is told with the
exact place, and the others are told all the same.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from exporter.kernel.select import SelectError, Selector
from exporter.mapping.misfit import Misfit, told
from exporter.mapping.scope import Row, scope, trail
from exporter.model.definition import Cost, Definition, Items, NameParts, Resource, Rows, Value
from exporter.model.outcome import Payload

SHOWN = 3
"""Values of a path that are shown."""

_RESOURCE_ROLES = (
    "used", "limit", "remaining", "ratio", "projected", "next_period", "overage",
)  # fmt: skip
_COST_ROLES = ("cost", "base", "overage", "limit", "remaining", "projected")
_ITEM_ROLES = ("used", "cost")


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """What one path of a rule found.

    ``rule`` is the rule's name, ``role`` what the path is for, ``place`` where its rows are ("" is
    the answer itself). ``found`` of ``rows`` rows have something there; ``values`` are the first.
    ``conversion`` says what is done with it. ``problem`` is why the rule cannot be read at all.
    """

    rule: str
    role: str = ""
    place: str = ""
    path: str = ""
    rows: int = 0
    found: int = 0
    values: tuple[str, ...] = ()
    conversion: str = ""
    problem: str = ""


def trace(
    definition: Definition, collector: str, payloads: Iterable[Payload], *, items: bool
) -> tuple[Match, ...]:
    """Return what the rules of ``collector`` find in the answers, in the definition's order."""
    documents = [page.document for payload in payloads for page in payload.pages]
    rules: list[tuple[str, Resource | Cost | Items, Sequence[str]]] = [
        (_text(rule.name), rule, _RESOURCE_ROLES) for rule in definition.resources
    ]
    rules += [("cost", rule, _COST_ROLES) for rule in definition.costs]
    rules += [
        (f"{_text(rule.resource)} by {rule.group}", rule, _ITEM_ROLES)
        for rule in definition.items
        if items or rule.always
    ]
    return tuple(
        match
        for name, rule, roles in rules
        if rule.collector == collector
        for match in _matches(name, rule, roles, documents)
    )


def _matches(
    name: str, rule: Resource | Cost | Items, roles: Sequence[str], documents: Sequence[object]
) -> Iterator[Match]:
    place = trail(rule.rows)
    try:
        rows = _rows(rule.rows, documents)
    except (Misfit, SelectError) as error:
        yield Match(rule=name, place=place, problem=str(error))
        return
    for role in roles:
        value: Value | None = getattr(rule, role)
        if value is None:
            continue
        for path in value.paths:
            yield _match(Match(rule=name, role=role, place=place, rows=len(rows)), path, rule, rows)


def _match(empty: Match, path: Selector, rule: Resource | Cost | Items, rows: list[Row]) -> Match:
    value: Value = getattr(rule, empty.role)
    try:
        found = [given for view, _ in rows if (given := path(view)) is not None]
    except SelectError as error:
        return msgspec.structs.replace(empty, path=path.text, problem=str(error))
    return msgspec.structs.replace(
        empty,
        path=path.text,
        found=len(found),
        values=tuple(told(given) for given in found[:SHOWN]),
        conversion=_conversion(rule, value),
    )


def _rows(rows: Rows, documents: Sequence[object]) -> list[Row]:
    return list(scope(rows, documents).rows)


def _conversion(rule: Resource | Cost | Items, value: Value) -> str:
    """Say what is done with the values: the parts of them together, the unit, the reduction."""
    steps = []
    if value.add:
        steps.append("added to the other paths of this role")
    if value.pattern is not None:
        steps.append(f"the text that {value.pattern.pattern} captures")
    unit = value.unit or (None if isinstance(rule, Cost) else rule.unit)
    if unit is not None and unit.unit is not None and unit.unit.factor != 1:
        steps.append(f"times {unit.unit.factor:g} ({unit.unit.name})")
    if unit is not None and unit.path is not None:
        steps.append(f"in the unit that {unit.path.text} names")
    reduce = value.reduce or rule.reduce
    if reduce is not None:
        steps.append(reduce.how.value + (f" by {reduce.by.text}" if reduce.by else ""))
    return ", ".join(steps)


def _text(parts: NameParts) -> str:
    return "".join(part if isinstance(part, str) else f"{{{part.text}}}" for part in parts)
