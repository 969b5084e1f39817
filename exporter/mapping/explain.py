"""What each rule of a definition finds in an answer, and what becomes of it, for people.

`extract` gives the numbers; `trace` says where they come from, with every conversion on the way, by
the same rows, units and conversions. A rule that does not fit is told with the exact place, and the
others are told all the same.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from exporter.kernel.calendar import find_zone, format_rfc3339
from exporter.kernel.jmes import SelectError, Selector, number_text, quoted
from exporter.kernel.units import Kind, is_currency
from exporter.mapping.extract import NUMBERS, Rule, minor_units, numbers_of
from exporter.mapping.values import (
    MappingError,
    Measure,
    amount_of,
    clean_label,
    converted,
    epoch,
    first_found,
    fixed,
    label_at,
    limit_fact,
    measure,
    resource_name,
)
from exporter.model.definition.provider import Definition
from exporter.model.definition.roles import Cost, Items, Resource
from exporter.model.definition.rows import NameParts, Row, Rows, RowsError, row_scope
from exporter.model.definition.values import Instant, UnitRule, Value
from exporter.model.families import MONEY, Role
from exporter.model.outcome import Payload
from exporter.model.reading import Unlimited

NO_LIMIT = "no limit"
_BASES = {
    Kind.MONEY: "",
    Kind.QUANTITY: "(quantity)",
    Kind.BYTE_SECONDS: "byte-seconds",
    Kind.RATIO: "(ratio)",
}
_UNKNOWN = "an unknown limit, which is not published"


def _in_base(found: float, known: Measure, number: float) -> str:
    """Write a conversion: ``42.5 GB = 42500000000 bytes``."""
    base = _BASES.get(known.unit.kind, known.unit.kind.value)
    told = f"{number_text(number)} {base}".rstrip()
    if known.unit.factor == 1:
        return told
    return f"{number_text(found)} {known.word} = {told}"


SHOWN = 3
"""Values of a path that are shown: those that do not fit first, then the first ones."""
PERIOD = "period"
"""The rule's name of the definition's own period; every collector's answer may tell it."""
_WHOLE = Rows()


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A value: whose it is ("" where a rule has one series), as it stands there, what it means."""

    whose: str = ""
    raw: str
    meaning: str = ""
    fits: bool = True


class RowMatch(msgspec.Struct, frozen=True, kw_only=True):
    """What one path of a rule found.

    ``rule`` is the rule's name, ``role`` what the path is for, ``place`` where its rows are ("" is
    the answer itself). ``found`` of ``rows`` rows have something there, ``misfits`` of these cannot
    be read. ``conversion`` says how several become one. ``problem`` is why the rule's rows or the
    path cannot be searched at all. ``explained``: the definition says what nothing means.
    """

    rule: str
    role: str = ""
    place: str = ""
    path: str = ""
    rows: int = 0
    found: int = 0
    misfits: int = 0
    values: tuple[Found, ...] = ()
    conversion: str = ""
    problem: str = ""
    explained: bool = False

    @property
    def label(self) -> str:
        """Its rule and role, for people."""
        return f"{self.rule} {self.role}".rstrip()

    @property
    def where(self) -> str:
        """The place of its rows and the path, for people."""
        return " / ".join(filter(None, (self.place, self.path)))


class _Search(msgspec.Struct, frozen=True, kw_only=True):
    """One path to search in rows, and what is known of it. ``meant`` says what a value becomes."""

    rule: str
    role: str
    paths: tuple[Selector, ...]
    meant: Callable[[Selector, object, object], str]
    whose: Callable[[object], str] = lambda _: ""
    conversion: str = ""
    explained: bool = False


def trace(
    definition: Definition, collector: str, payloads: Iterable[Payload], *, items: bool
) -> tuple[RowMatch, ...]:
    """Return what the rules of ``collector`` find in the answers, in the definition's order."""
    documents = [page.document for payload in payloads for page in payload.pages]
    found: list[RowMatch] = []
    for rule in _rules(definition, items=items):
        if rule.collector == collector:
            found += _matched(_named(rule), rule.rows, documents, _searches(rule))
    plan = definition.plan
    if plan is not None and plan.collector == collector:
        search = _Search(rule="plan", role="", paths=plan.paths, meant=_label, explained=True)
        found += _matched("plan", _WHOLE, documents[:1], [search])
    if found and definition.period is not None:
        period = definition.period
        sides = [*_instant(PERIOD, "start", period.start), *_instant(PERIOD, "end", period.end)]
        found += _matched(PERIOD, _WHOLE, documents[-1:], sides)
    return tuple(found)


def _rules(definition: Definition, *, items: bool) -> Iterator[Rule]:
    yield from definition.resources
    yield from definition.costs
    yield from (rule for rule in definition.items if items or rule.always)


def _named(rule: Rule) -> str:
    match rule:
        case Resource():
            return _text(rule.name)
        case Cost():
            return "cost"
        case Items():
            return f"{_text(rule.resource)} by {rule.group}"


def _text(parts: NameParts) -> str:
    return "".join(part if isinstance(part, str) else f"{{{part.text}}}" for part in parts)


def _searches(rule: Rule) -> Iterator[_Search]:
    if isinstance(rule, Items):
        yield _Search(rule=_named(rule), role="item", paths=rule.item, meant=_label, explained=True)
    if isinstance(rule, Cost | Items) and rule.currency:
        yield _Search(rule=_named(rule), role="currency", paths=rule.currency, meant=_currency)
    for role, value, unit in numbers_of(rule, NUMBERS[type(rule)]):
        yield _number(rule, role, value, unit)
    if isinstance(rule, Resource):
        yield from _instant(_named(rule), "as_of", rule.as_of)
    period = None if isinstance(rule, Items) else rule.period
    if period is not None:
        yield from _instant(_named(rule), "period start", period.start)
        yield from _instant(_named(rule), "period end", period.end)


def _number(rule: Rule, role: Role, value: Value, unit: UnitRule) -> _Search:
    def meant(path: Selector, view: object, _: object) -> str:
        single = msgspec.structs.replace(value, paths=(path,), add=False)
        found = amount_of(single, view, set())
        if found is None:
            return _UNKNOWN if value.is_limit and path(view) not in (None, "") else ""
        if isinstance(found, Unlimited):
            return NO_LIMIT
        known = measure(unit, view, set())
        if isinstance(rule, Cost | Items) and role.kinds is MONEY:
            (known,) = minor_units([known], _code(rule, view))
        number = converted(found, known.unit.factor)
        fact = limit_fact(number, value.zero) if role.is_limit else number
        if fact is None:
            return _UNKNOWN
        if isinstance(fact, Unlimited) or not isinstance(number, float):
            return NO_LIMIT
        return _in_base(found, known, number)

    return _Search(
        rule=_named(rule),
        role=role.key,
        paths=value.paths,
        meant=meant,
        whose=_whose(rule),
        conversion=_conversion(rule, value),
        explained=value.absence_has_meaning,
    )


def _code(rule: Cost | Items, view: object) -> str:
    """Return the currency of a row, "" where only the target's parameters tell."""
    found = first_found(rule.currency, view, set())
    if found is None and rule.fixed_currency is not None and not rule.fixed_currency.variables:
        found = rule.fixed_currency.text
    code = found.strip().upper() if isinstance(found, str) else ""
    return code if is_currency(code) else ""


def _whose(rule: Rule) -> Callable[[object], str]:
    """Return what says which series a row belongs to; "" where all rows make one."""
    if isinstance(rule, Resource) and not fixed(rule.name):

        def series(view: object) -> str:
            key = resource_name(rule.name, view, set())
            return rule.rename.get(key, key)

        return series
    if isinstance(rule, Items):
        return lambda view: label_at(rule.item, view, set())[0]
    return lambda _: ""


def _conversion(rule: Rule, value: Value) -> str:
    """Say how the numbers become one: the parts of a sum, the reduction of rows."""
    steps = []
    if value.add:
        steps.append("added to the other paths of this role")
    reduce = value.reduce or rule.reduce
    if reduce is not None:
        by = f" by {reduce.by.text}" if reduce.by else ""
        per = ", ".join(path.text for path in reduce.per)
        if value.above is not None and reduce.adds_numbers:
            steps.append("counted once for all rows that share it")
        else:
            steps.append(f"{reduce.how}{by}" + (f" of each {per}, summed" if per else ""))
    return ", ".join(steps)


def _instant(rule: str, role: str, where: Instant | None) -> Iterator[_Search]:
    if where is not None:
        zone = where.zone
        yield _Search(
            rule=rule,
            role=role,
            paths=where.paths,
            meant=lambda path, _, given: _instant_meant(given, path.text, zone),
        )


def _instant_meant(found: object, path: str, zone: str) -> str:
    when = epoch(found, path, find_zone(zone))
    return "no time" if when is None else format_rfc3339(when)


def _label(_path: Selector, _view: object, given: object) -> str:
    return clean_label(given, "")[0]


def _currency(_path: Selector, _view: object, given: object) -> str:
    return given.strip().upper() if isinstance(given, str) else ""


def _matched(
    rule: str, wanted: Rows, documents: Sequence[object], searches: Iterable[_Search]
) -> Iterator[RowMatch]:
    place = wanted.place
    try:
        rows = list(row_scope(wanted, documents).rows)
    except (RowsError, SelectError) as error:
        yield RowMatch(rule=rule, place=place, problem=str(error))
        return
    for search in searches:
        for path in search.paths:
            yield _match(search, path, place, rows)


def _match(search: _Search, path: Selector, place: str, rows: list[Row]) -> RowMatch:
    empty = RowMatch(
        rule=search.rule,
        role=search.role,
        place=place,
        path=path.text,
        rows=len(rows),
        conversion=search.conversion,
        explained=search.explained,
    )
    try:
        given = [(view, value) for view, _ in rows if (value := path(view)) not in (None, "")]
    except SelectError as error:
        return msgspec.structs.replace(empty, problem=str(error))
    values = [_found(search, path, view, value) for view, value in given]
    misfits = [one for one in values if not one.fits]
    shown = (misfits + [one for one in values if one.fits])[:SHOWN]
    return msgspec.structs.replace(
        empty, found=len(values), misfits=len(misfits), values=tuple(shown)
    )


def _found(search: _Search, path: Selector, view: object, value: object) -> Found:
    whose = ""
    try:
        whose = search.whose(view)
        meaning = search.meant(path, view, value)
    except (MappingError, SelectError) as error:
        what = error.what if isinstance(error, MappingError) else str(error)
        return Found(whose=whose, raw=quoted(value), meaning=what, fits=False)
    return Found(whose=whose, raw=quoted(value), meaning=meaning)
