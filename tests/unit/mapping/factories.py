"""Small definitions, targets and payloads: only what a test is about has to be said."""

from collections.abc import Mapping, Sequence

from exporter.kernel.jmes import Selector, compile_path
from exporter.kernel.templates import compile_template
from exporter.kernel.units import find_unit
from exporter.mapping.read import read_payload
from exporter.model.definition.auth import NoAuth
from exporter.model.definition.params import Param
from exporter.model.definition.period import Period
from exporter.model.definition.provider import Collector, Definition, Format
from exporter.model.definition.request import Request
from exporter.model.definition.roles import Cost, Items, Resource
from exporter.model.definition.rows import Join, Rows, Step
from exporter.model.definition.values import How, Instant, Reduce, UnitRule, Value
from exporter.model.families import MEASURED
from exporter.model.outcome import Failure, Page, Payload
from exporter.model.reading import Item, Money, Reading, Usage
from exporter.model.target import Limit, Target

NOW = 1794744000.0
"""2026-11-15T12:00:00Z."""
NOVEMBER = (1793491200.0, 1796083200.0)


def paths(*texts: str) -> tuple[Selector, ...]:
    return tuple(compile_path(text) for text in texts)


def unit(text: str) -> UnitRule:
    return UnitRule(unit=find_unit(text))


def unit_at(path: str, words: Mapping[str, str], otherwise: str | None = None) -> UnitRule:
    return UnitRule(
        path=compile_path(path),
        words={word: find_unit(name) for word, name in words.items()},
        otherwise=None if otherwise is None else find_unit(otherwise),
        kinds=frozenset(MEASURED),
    )


def value(*texts: str, **more: object) -> Value:
    return Value(paths=paths(*texts), **more)  # type: ignore[arg-type]


def instant(*texts: str, zone: str = "UTC") -> Instant:
    return Instant(paths=paths(*texts), zone=zone)


def reduce(how: str, by: str | None = None, per: Sequence[str] = ()) -> Reduce:
    return Reduce(how=How(how), by=None if by is None else compile_path(by), per=paths(*per))


def rows(
    *steps: str | tuple[str, str] | Step, joins: Sequence[Join] = (), where: str | None = None
) -> Rows:
    return Rows(
        steps=tuple(map(_step, steps)),
        joins=tuple(joins),
        where=None if where is None else compile_path(where),
    )


def _step(step: str | tuple[str, str] | Step) -> Step:
    match step:
        case Step():
            return step
        case str():
            return Step(path=compile_path(step))
        case (path, name):
            return Step(path=compile_path(path), name=name)


def optional(path: str, name: str | None = None) -> Step:
    return Step(path=compile_path(path), name=name, optional=True)


def join(name: str, table: str, key: str, on: str | None = None) -> Join:
    return Join(
        name=name,
        table=compile_path(table),
        key=compile_path(key),
        on=None if on is None else compile_path(on),
    )


def name_parts(text: str) -> tuple[str | Selector, ...]:
    """Split ``units_{g.aid}`` as the grammar does."""
    parts: list[str | Selector] = []
    for number, piece in enumerate(text.replace("}", "{").split("{")):
        if piece:
            parts.append(compile_path(piece) if number % 2 else piece)
    return tuple(parts)


def resource(name: str, each: Rows | None = None, **more: object) -> Resource:
    more = {"collector": "usage", "unit": unit("quantity"), **more}
    return Resource(name=name_parts(name), rows=each or Rows(), **more)  # type: ignore[arg-type]


def cost(each: Rows | None = None, *, code: str | None = "USD", **more: object) -> Cost:
    more = {"collector": "usage", **more}
    fixed = None if code is None else compile_template(code)
    return Cost(rows=each or Rows(), fixed_currency=fixed, **more)  # type: ignore[arg-type]


def items(resource: str, each: Rows, item: str, **more: object) -> Items:
    more = {"collector": "usage", "group": "part", "unit": unit("quantity"), **more}
    return Items(
        resource=name_parts(resource),
        rows=each,
        item=paths(item),
        **more,  # type: ignore[arg-type]
    )


def period(**more: object) -> Period:
    for side in ("asked_start", "asked_end", "anchor_day"):
        if isinstance(more.get(side), str):
            more[side] = compile_template(str(more[side]))
    return Period(**more)  # type: ignore[arg-type]


def collector(name: str = "usage", form: str = "json") -> Collector:
    return Collector(
        name=name, request=Request(path=compile_template("/usage")), format=Format(form)
    )


def definition(*rules: Resource | Cost | Items, **more: object) -> Definition:
    more = {
        "collectors": {"usage": collector()},
        "params": {},
        **more,
    }
    return Definition(
        name="acme",
        title="Acme",
        documentation="https://example.com",
        origin="acme.yaml",
        base_url=None,
        auth=(NoAuth(),),
        resources=tuple(rule for rule in rules if isinstance(rule, Resource)),
        costs=tuple(rule for rule in rules if isinstance(rule, Cost)),
        items=tuple(rule for rule in rules if isinstance(rule, Items)),
        **more,  # type: ignore[arg-type]
    )


def param(name: str, default: str | None = None) -> Param:
    return Param(
        name=name,
        description=name,
        default=None if default is None else compile_template(default),
    )


def target(*rules: Resource | Cost | Items, **more: object) -> Target:
    """Make a target. `definition` takes the definition's own fields; what is set is declared."""
    own = more.pop("definition", {})
    assert isinstance(own, dict)
    params = more.get("params", {})
    assert isinstance(params, dict)
    own = {**own, "params": {name: param(name) for name in params} | own.get("params", {})}
    more = {"name": "main", "items": True, **more}
    return Target(
        definition=definition(*rules, **own),
        base_url="https://example.com",
        auth=NoAuth(),
        collectors={"usage": 300.0},
        poll_timeout=30.0,
        stale_after={"usage": 3600.0},
        user_agent="test",
        budget="test",
        **more,  # type: ignore[arg-type]
    )


def payload(*documents: object, account: str = "") -> Payload:
    pages = tuple(Page(document=document, headers={}) for document in documents)
    return Payload(pages=pages, account=account)


def reading(of: Target, *documents: object, collector: str = "usage", at: float = NOW) -> Reading:
    """Read `documents` as the pages of one answer; a failure fails the test."""
    found = read_payload(of, collector, (payload(*documents),), at)
    assert isinstance(found, Reading), found
    return found


def failure(of: Target, *documents: object, at: float = NOW) -> Failure:
    found = read_payload(of, "usage", (payload(*documents),), at)
    assert isinstance(found, Failure), found
    return found


def usage(*rules: Resource, of: object) -> Usage:
    """Read the document `of` and return its only usage."""
    (found,) = reading(target(*rules), of).usages
    return found


def money(*rules: Cost, of: object) -> Money:
    (found,) = reading(target(*rules), of).money
    return found


def parts(rule: Items, of: object) -> tuple[Item, ...]:
    return reading(target(rule), of).items


def config_limit(number: float, kind: object = None, currency: str = "") -> Limit:
    return Limit(value=number, kind=kind, currency=currency)  # type: ignore[arg-type]
