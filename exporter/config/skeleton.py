"""The text of a new definition: a commented skeleton, or one filled with guesses."""

from collections.abc import Iterator, Mapping

from exporter.config.sketch.draft import Cost, Item, Number, Period, Resource, Rows, Sketch, Words
from exporter.config.sketch.levels import Step
from exporter.config.sketch.paths import yaml

_HEAD = """\
# yaml-language-server: $schema={schema}
#
# What every key means: docs/providers/writing.md, and your editor, by the schema above. Try it:
#   usage-exporter providers test {file} --answers DIR
# and, with a target that uses it (providers.files in the configuration):
#   usage-exporter explain --config.file=config.yaml TARGET

title: {title}
documentation: https://example.com/docs/api
base_url: https://api.example.com
interval: 15m # how often to ask; vendors' numbers rarely change faster
min_interval: 1m # never faster, whatever a target says
permission: "" # what the key must be allowed to do

# What a target must say, for {{params.account}} in the request:
# params:
#   account: {{description: Whose usage., required: true}}

credentials:
  token: {{description: API key.}}

auth: {{kind: bearer}} # or header, query, basic, login, oauth2_client_credentials, none

collectors:
  usage:
    request:
      path: /v1/usage
      # query: {{start: "{{month.start:date}}", end: "{{month.last:date}}"}}
{paging}    success:
      error: [error.message, message, detail] # where the vendor says what is wrong

"""

_EXAMPLE = """\
resources:
  - name: bandwidth # snake_case, and the same for all vendors where the thing is the same
    unit: GB # of the vendor's numbers; published in base units
    used: data.used
    limit: {path: data.limit, unlimited: [-1, null]} # what means "no limit"
    # each: data.rows         one row a day, say
    # reduce: sum             and how they become one number: sum, max, {how: last, by: date}
    # level: true             for what there is now (storage, seats), not what was used

# costs:
#   - {currency: USD, cost: data.cost}

period: {cycle: month} # or {start: data.period.start, end: data.period.end, inclusive_end: true}
"""
_DOUBTS = "# Everything below is guessed from the sample: check each line, above all the units."
_NOTHING = """\
# Nothing in the sample looks like usage. The numbers in it, if any, are named at the end.
"""


def skeleton(name: str, *, file: str, schema: str, sketch: Sketch | None = None) -> str:
    """Return the text of ``file``. ``schema`` is where the JSON Schema is, for editors."""
    collector = list(_collector(sketch)) if sketch else []
    head = _HEAD.format(
        title=yaml(name),
        file=file,
        schema=schema,
        paging="".join(f"    {one}\n" for one in collector),
    )
    if sketch is None:
        return head + _EXAMPLE
    if not (sketch.resources or sketch.costs or sketch.items):
        return head + _NOTHING + _EXAMPLE + "\n".join(["", *_unread(sketch)]) + "\n"
    return head + "\n".join(_guesses(sketch)) + "\n"


def _collector(sketch: Sketch) -> Iterator[str]:
    if sketch.lines:
        yield "format: jsonl"
    if sketch.paging:
        yield f"paging: {sketch.paging} # guess"


def _guesses(sketch: Sketch) -> Iterator[str]:
    yield _DOUBTS
    if sketch.resources:
        yield "resources:"
        for resource in sketch.resources:
            yield from _resource(resource)
    if sketch.costs:
        yield ""
        yield "costs:"
        for cost in sketch.costs:
            yield from _cost(cost)
    if sketch.items:
        yield ""
        yield "items: # breakdowns, for targets with `items: true`"
        for item in sketch.items:
            yield from _item(item)
    if sketch.plan:
        yield ""
        yield f"plan: {yaml(sketch.plan)} # guess"
    yield ""
    yield f"period: {_period(sketch.period)} # guess"
    yield from _unread(sketch)


def _resource(resource: Resource) -> Iterator[str]:
    doubt = f" # guess: {resource.remark}" if resource.remark else " # guess"
    yield f"  - name: {yaml(resource.name)} # guess"
    yield f"    unit: {_unit(resource.unit)}{doubt}"
    yield from _rows(resource.rows)
    if resource.level:
        yield "    level: true # guess: what there is now, not what was used"
    if resource.levels:
        yield f"    levels: [{', '.join(map(yaml, resource.levels))}] # guess"
    yield from _roles(resource.roles)
    if resource.as_of:
        yield f"    as_of: {yaml(resource.as_of)} # guess"
    if resource.period is not None:
        yield f"    period: {_period(resource.period)} # guess"


def _cost(cost: Cost) -> Iterator[str]:
    doubt = "" if cost.told else ": the answer names no currency"
    yield f"  - currency: {_currency(cost.currency, told=cost.told)} # guess{doubt}"
    yield from _rows(cost.rows)
    yield from _roles(cost.roles)


def _item(item: Item) -> Iterator[str]:
    yield f"  - resource: {yaml(item.resource)} # guess"
    yield f"    group: {item.group}"
    yield from _rows(item.rows)
    yield f"    item: {yaml(item.item)} # guess"
    if item.currency:
        yield f"    currency: {_currency(item.currency, told=item.told)} # guess"
        yield f"    cost: {_number(item.number)} # guess"
    else:
        yield f"    unit: {_unit(item.unit)} # guess"
        yield f"    used: {_number(item.number)} # guess"


def _roles(roles: Mapping[str, Number]) -> Iterator[str]:
    for role, number in roles.items():
        yield f"    {role}: {_number(number)} # guess"


def _rows(rows: Rows) -> Iterator[str]:
    if len(rows.steps) == 1:
        yield f"    each: {_step(rows.steps[0])} # guess"
    elif rows.steps:
        yield "    each: # guess"
        yield from (f"      - {_step(step)}" for step in rows.steps)
    if rows.where:
        yield f"    where: {yaml(rows.where)} # guess"
    if rows.join:
        yield f"    join: [{rows.join}] # guess"
    if rows.reduce:
        doubt = ": a flow; a level is {how: last, by: date}" if rows.reduce == "sum" else ""
        yield f"    reduce: {rows.reduce} # guess{doubt}"


def _step(step: Step) -> str:
    optional = ", optional: true" if step.optional else ""
    return f"{{path: {yaml(step.path)}, as: {step.name}{optional}}}"


def _number(number: Number) -> str:
    parts = [f"path: {yaml(number.path)}"]
    if number.regex:
        parts.append(f"regex: {yaml(number.regex)}")
    if number.unit:
        parts.append(f"unit: {number.unit}")
    if number.unlimited:
        marks = ", ".join(_mark(mark) for mark in number.unlimited)
        parts.append(f"unlimited: [{marks}]")
    if number.reduce:
        parts.append(f"reduce: {number.reduce}")
    return yaml(number.path) if len(parts) == 1 else f"{{{', '.join(parts)}}}"


def _mark(mark: object) -> str:
    if isinstance(mark, str):
        return yaml(mark)
    return f"{mark:.0f}" if isinstance(mark, int | float) else "null"


def _unit(unit: str | Words) -> str:
    if isinstance(unit, str):
        return unit
    words = ", ".join(f"{yaml(word)}: {meaning}" for word, meaning in unit.words.items())
    return f"{{from: {yaml(unit.path)}, words: {{{words}}}, otherwise: quantity}}"


def _currency(currency: str, *, told: bool) -> str:
    return f"{{path: {yaml(currency)}}}" if told else currency


def _period(period: Period | None) -> str:
    if period is None:
        return "{cycle: month}"
    parts = [f"start: {yaml(period.start)}"] * bool(period.start)
    parts += [f"end: {yaml(period.end)}"] * bool(period.end)
    parts += ["inclusive_end: true"] * period.inclusive
    parts += [f"cycle: {period.cycle}"] * bool(period.cycle)
    return f"{{{', '.join(parts)}}}"


def _unread(sketch: Sketch) -> Iterator[str]:
    if sketch.unread:
        yield ""
        yield "# Numbers of the sample that nothing above reads:"
        yield from (f"#   {path}" for path in sketch.unread)
