"""The page of one provider and the index of all, made from the definitions.

A page has a target to copy, credentials and parameters, the requests as the fetch stage sends them
(at a fixed instant, with the names of what a target sets in capitals), the families that come out,
and the limits of the vendor's API.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC
from urllib.parse import unquote

from docs.generate.markdown import code, table
from exporter.fetch.paginate import Pager
from exporter.fetch.request import (
    FIRST_PAGE,
    Signature,
    draft_request,
    to_http_request,
)
from exporter.kernel.calendar import format_duration
from exporter.kernel.templates import Clock, Template
from exporter.kernel.units import Kind
from exporter.model.definition.auth import (
    NoAuth,
)
from exporter.model.definition.paging import (
    NoPaging,
    Paging,
)
from exporter.model.definition.params import Param
from exporter.model.definition.provider import Collector, Definition
from exporter.model.definition.ratelimit import RateLimitRules
from exporter.model.definition.request import Request
from exporter.model.definition.roles import Cost, Items, Resource
from exporter.model.definition.rows import name_pattern
from exporter.model.definition.values import Instant, Value
from exporter.model.families import COST_ROLES, RESOURCE_ROLES, read_roles
from exporter.model.target import Target

INSTANT = 1794744000.0  # 2026-11-15T12:00:00Z, as in the tests
_DAY = 86_400
_HOLE = re.compile(r"\bHOLE_(\w+?)_ELOH\b")


def asks(definition: Definition) -> Iterator[str]:
    """Yield the lines about collectors."""
    rows = []
    for one in definition.collectors.values():
        interval = definition.interval_of(one)
        calls = "off" if not one.enabled else f"{_DAY / interval:g}"
        rows.append(
            [code(one.name), one.title, format_duration(interval), _least(definition, one), calls]
        )
    head = ["collector", "asks for", "every", "never faster than", "calls a day"]
    yield from table(head, rows)
    yield ""
    yield from _sum_of_calls(definition)
    yield ""
    yield "The requests below are as they are sent at noon of 15 November 2026, UTC. Words in"
    yield "capitals stand for what a target sets; the signature is left out."
    for one in definition.collectors.values():
        yield ""
        yield f"### {one.name}"
        yield ""
        yield from _collector(definition, one)


def _sum_of_calls(definition: Definition) -> Iterator[str]:
    least = definition.calls_per_day()
    most = sum(
        _DAY / definition.interval_of(one) for one in definition.collectors.values() if one.enabled
    )
    few = f"**{least:g} calls a day** with these intervals, more where an answer has several pages"
    if most > least:
        few += f"; {most:g} with the collectors that a parameter switches on"
    yield f"{few}."
    if any(auth.token_auth for auth in definition.auth):
        yield "A log-in comes on top whenever the token has expired."
    if any(not one.enabled for one in definition.collectors.values()):
        yield "What is off is switched on by the target: `collectors: {NAME: true}`."


def _least(definition: Definition, collector: Collector) -> str:
    least = collector.min_interval or definition.min_interval
    return format_duration(least) if least else ""


def _collector(definition: Definition, collector: Collector) -> Iterator[str]:
    switches = sorted(
        name
        for name in definition.params
        if f"params.{name}" in collector.request.path.variables & definition.optional_params()
    )
    if switches:
        names = " and ".join(code(f"params.{name}") for name in switches)
        yield f"Polled only by targets that set {names}."
        yield ""
    yield "```http"
    yield from as_sent(definition, collector.request, collector.paging)
    yield "```"
    facts = [*_optional_arguments(definition, collector), *_meaning(collector)]
    if facts:
        yield ""
        yield from (f"- {fact}" for fact in facts)


def as_sent(
    definition: Definition,
    request: Request,
    paging: Paging = NoPaging(),  # noqa: B008 - frozen
) -> Iterator[str]:
    """Yield the request line and the headers, at INSTANT, with the names of what a target sets."""
    target = _example(definition, request)
    clock = Clock(INSTANT, UTC, 1)
    drafted = draft_request(request, target, target.values(clock), clock)
    sent = to_http_request(drafted, Signature(), Pager(paging).wanted or FIRST_PAGE)
    yield f"{sent.method} {_readable(sent.url)}"
    yield from (
        f"{name}: {_readable(text)}"
        for name, text in sent.headers.items()
        if name.lower() != "user-agent"
    )
    if sent.body:
        yield ""
        yield _readable(sent.body.decode())


def _example(definition: Definition, request: Request) -> Target:
    """Return a target that sets what this request needs, each to its own name."""
    needed = frozenset(name for one in request.templates for name in one.variables)
    params = {
        name: (f"HOLE_{name}_ELOH",)
        for name, param in definition.params.items()
        if f"params.{name}" in needed
        and (param.required or (param.default is None and _in_path(name, request)))
    }
    values = {f"params.{name}": value[0] for name, value in params.items()}
    defaults = {
        f"params.{name}": param.default.render({}, Clock(INSTANT)) or ""
        for name, param in definition.params.items()
        if param.default is not None
    }
    base = definition.base_url
    url = base.render(defaults | values, Clock(INSTANT)) if base else "https://YOUR_HOST"
    return Target(
        name="example",
        definition=definition,
        base_url=url or "",
        auth=NoAuth(),
        params=params,
        collectors={},
        poll_timeout=30,
        stale_after={},
        user_agent="",
        budget="",
    )


def _in_path(name: str, request: Request) -> bool:
    return f"params.{name}" in request.path.variables


def _readable(text: str) -> str:
    return _HOLE.sub(lambda found: found[1].upper(), unquote(text))


def _optional_arguments(definition: Definition, collector: Collector) -> Iterator[str]:
    """Tell the arguments and headers that are sent only where a target sets a parameter."""
    request = collector.request
    optional = definition.optional_params()
    named = [(f"`{one.name}=`", one.values) for one in request.query]
    named += [(f"the header `{name}`", (value,)) for name, value in request.headers.items()]
    for name, values in named:
        wanted = {variable for value in values for variable in value.variables & optional}
        if wanted:
            params = " and ".join(code(variable) for variable in sorted(wanted))
            yield f"{name} goes along where a target sets {params}."
    if request.item_query:
        texts = (f"`{one.name}={_value(one.values)}`" for one in request.item_query)
        yield f"With `items: true` also {', '.join(texts)}."


def _value(values: tuple[Template, ...]) -> str:
    return ",".join(value.text for value in values)


def _meaning(collector: Collector) -> Iterator[str]:
    verdict = collector.verdict
    yield from filter(None, (collector.paging.describe(code), collector.format.describe()))
    if collector.conditional:
        yield "The last ETag goes along; 304 keeps the values."
    yield from verdict.describe(code)


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


def _resources(definition: Definition) -> Iterator[str]:
    rows = []
    for one in definition.resources:
        rows.append(
            [
                code(name_pattern(one.name)),
                one.unit.describe(code),
                ", ".join(_families(one)),
                _period(definition, one),
                code(one.collector),
            ]
        )
        names = [code(kept) for kept in one.listed_names]
        if names:
            more = " and others" if one.only is None else ""
            rows[-1][0] += f": {', '.join(names)}{more}"
    yield from table(["`resource`", "unit", "families", "period", "from"], rows)
    if any(one.limit or one.remaining for one in definition.resources):
        yield ""
        yield "Where used and limit are known, `usage_remaining_*`, `usage_ratio` and"
        yield "`usage_percent` come on top, and for what has a period the projection and the time"
        yield "of exhaustion."


def _families(one: Resource) -> Iterator[str]:
    kind = _kind(one)
    for role in read_roles(RESOURCE_ROLES):
        value: Value | Instant | None = getattr(one, role.key)
        if value is None:
            continue
        if role.family:
            marks = _unlimited(value) if isinstance(value, Value) and role.is_limit else ""
            yield code(role.family.format(kind)) + marks
        if role.key == "remaining" and one.used is None:
            yield f"{code(f'usage_{kind}')} (the limit minus what remains)"


def _kind(one: Resource) -> str:
    unit = one.unit.unit
    return str(unit.kind) if unit is not None else "<kind>"


def _unlimited(value: Value) -> str:
    if not value.unlimited:
        return ""
    marks = ", ".join(code("null" if mark is None else str(mark)) for mark in value.unlimited)
    return f" (unlimited: {marks})"


def _period(definition: Definition, one: Resource) -> str:
    if one.period is None and one.level:
        return "none (level)"
    rule = one.period or definition.period
    text = "none" if rule is None else rule.describe(code)
    return f"{text} (level)" if one.level else text


def _cost(definition: Definition, one: Cost) -> Sequence[str]:
    families = []
    for role in read_roles(COST_ROLES):
        value: Value | None = getattr(one, role.key)
        if value is not None:
            minor = value.unit is not None and value.unit.unit is not None
            in_cents = " (from cents)" if minor and _is_small(value) else ""
            families.append(code(role.family) + in_cents)
    rule = one.period or definition.period
    period = "none" if rule is None else rule.describe(code)
    return [code(one.collector), _currency(one), ", ".join(families), period]


def _is_small(value: Value) -> bool:
    unit = value.unit.unit if value.unit is not None else None
    return unit is not None and unit.kind is Kind.MONEY and unit.factor < 1


def _currency(one: Cost | Items) -> str:
    names = [path.text for path in one.currency]
    if one.fixed_currency is not None:
        names.append(one.fixed_currency.text)
    return " or ".join(map(code, names))


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
        code(name_pattern(one.resource)),
        code(one.group),
        item,
        code(f"usage_item_{kind}"),
        code(one.collector),
    ]


def page(definition: Definition) -> str:
    """Return the Markdown of a shipped provider's page in the documentation."""
    file = f"exporter/providers/{definition.name}.yaml"
    made = f"<!-- Made from {file} by `make docs`: change that file, not this one. -->"
    return "\n".join([made, *lines(definition, file=f"[`{file}`](../../{file})")]) + "\n"


def lines(definition: Definition, *, file: str) -> Iterator[str]:
    """Yield the lines of a provider's page; `file` is how its definition is spoken of."""
    yield f"# {definition.title}"
    yield ""
    if definition.documentation:
        yield f"Provider `{definition.name}`, defined in {file}. The vendor's own"
        yield f"documentation: <{definition.documentation}>."
    else:
        yield f"Provider `{definition.name}`, defined in {file}."
    yield ""
    yield "```yaml"
    yield from _provider_example(definition)
    yield "```"
    for title, part in (
        ("Credentials and parameters", _needs(definition)),
        ("What it asks", asks(definition)),
        ("What it publishes", publishes(definition)),
        ("Limits of the API itself", _throttling(definition.throttling, definition)),
        ("Not confirmed", _unconfirmed(definition.unconfirmed)),
    ):
        yield ""
        yield f"## {title}"
        yield ""
        yield from part


def _provider_example(definition: Definition) -> Iterator[str]:
    """Yield a target that sets what it must."""
    yield "targets:"
    yield f"  - name: my-{definition.name.replace('_', '-')}"
    yield f"    provider: {definition.name}"
    if definition.base_url is None:
        yield "    base_url: https://api.example.com"
    needed = definition.auth[0].needs if definition.auth else frozenset()
    needs = [name for name in definition.credentials if name in needed]
    if needs:
        pairs = (f"{name}_file: secrets/{definition.name}-{name}" for name in needs)
        yield f"    credentials: {{{', '.join(pairs)}}}"
    required = [name for name, param in definition.params.items() if param.required]
    if required:
        yield f"    params: {{{', '.join(f'{name}: …' for name in required)}}}"


def _needs(definition: Definition) -> Iterator[str]:
    if definition.permission:
        yield f"Permission: {definition.permission}"
        yield ""
    ways = [auth.describe(code) for auth in definition.auth]
    if len(ways) == 1:
        yield f"Requests are signed {ways[0]}."
    else:
        yield "Requests are signed in the first of these ways that a target has the credentials of:"
        yield ""
        yield from (f"1. {way}" for way in ways)
    if definition.credentials:
        yield ""
        rows = [[code(one.name), one.description] for one in definition.credentials.values()]
        yield from table(["credential", "is"], rows)
        yield ""
        yield "Each is written as it is, or as `NAME_file` or `NAME_env`."
    if definition.params:
        yield ""
        rows = [
            [code(one.name), one.description, _default(one), _form(one)]
            for one in definition.params.values()
        ]
        yield from table(["parameter", "is", "default", "form"], rows)


def _default(param: Param) -> str:
    if param.required:
        return "**required**"
    if param.default is None:
        return ""
    unless = f", unless there is {', '.join(map(code, param.unless))}" if param.unless else ""
    return code(param.default.text) + unless


def _form(param: Param) -> str:
    form = ""
    if param.choices:
        form = ", ".join(code(choice) for choice in param.choices)
    elif param.pattern is not None:
        form = code(param.pattern.pattern)
    return f"one or several: {form}" if param.multiple else form


def _throttling(throttling: RateLimitRules, definition: Definition) -> Iterator[str]:
    facts = list(throttling.describe(code))
    if definition.min_interval:
        facts.append(
            f"No collector is polled faster than every {format_duration(definition.min_interval)}."
        )
    if definition.data_cadence is not None:
        facts.append(f"The vendor's data changes every {format_duration(definition.data_cadence)}.")
    yield from (f"- {fact}" for fact in facts)


def _unconfirmed(facts: Iterable[str]) -> Iterator[str]:
    found = [f"- {fact}" for fact in facts]
    yield from found or ["Nothing: all of this is documented by the vendor."]


def index(definitions: Iterable[Definition]) -> str:
    """Return the table of all providers."""
    rows = [_index_row(one) for one in definitions]
    head = ["provider", "vendor", "resources", "money", "every", "calls a day"]
    lines = [
        "<!-- Made from exporter/providers/*.yaml by `make docs`. -->",
        "# Providers",
        "",
        "What ships with usage-exporter. Your own definitions are files of the same grammar, that",
        "`providers: {files: [...]}` of the configuration lists: [writing one](writing.md) takes",
        "ten minutes.",
        "",
        *table(head, rows),
        "",
        "Calls a day are those of one target that sets nothing but what it must. What comes from",
        "the answer stands in pointed brackets.",
    ]
    return "\n".join(lines) + "\n"


def _index_row(definition: Definition) -> list[str]:
    names = dict.fromkeys(
        code(text)
        for one in definition.resources
        for text in one.listed_names or [name_pattern(one.name)]
    )
    every = min(
        definition.interval_of(one) for one in definition.collectors.values() if one.enabled
    )
    return [
        f"[`{definition.name}`]({definition.name}.md)",
        definition.title,
        ", ".join(names),
        "yes" if definition.costs else "",
        format_duration(every),
        f"{definition.calls_per_day():g}",
    ]
