"""What a definition asks, for its page: requests as they are sent, credentials, calls a day."""

import re
from collections.abc import Iterator
from datetime import UTC
from typing import assert_never
from urllib.parse import quote, unquote

from exporter.app.pages.markdown import code, duration, table
from exporter.fetch.paging import first
from exporter.fetch.request import Signature, draft, templates_of, wire
from exporter.fetch.values import known_values
from exporter.kernel.templates import Clock, Template
from exporter.model.definition import (
    Auth,
    BasicAuth,
    Collector,
    Cursor,
    Definition,
    DigestAuth,
    Format,
    HeaderAuth,
    LinkHeader,
    Match,
    NextUrl,
    NoAuth,
    NoPaging,
    Offset,
    PageNumber,
    Paging,
    Param,
    QueryAuth,
    Request,
    TokenAuth,
)
from exporter.model.target import Target

INSTANT = 1794744000.0  # 2026-11-15T12:00:00Z, as in the tests
_DAY = 86_400
_HOLE = re.compile(r"\bHOLE_(\w+?)_ELOH\b")


def asks(definition: Definition) -> Iterator[str]:
    """Yield the lines about collectors."""
    rows = []
    for one in definition.collectors.values():
        interval = interval_of(definition, one)
        calls = "off" if not one.enabled else f"{_DAY / interval:g}"
        rows.append([code(one.name), one.title, duration(interval), _least(definition, one), calls])
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


def interval_of(definition: Definition, collector: Collector) -> float:
    """Return the seconds between two polls of a collector where nothing is configured."""
    least = collector.min_interval or definition.min_interval
    return max(collector.interval or definition.interval, least)


def calls_a_day(definition: Definition) -> float:
    """Return the requests a day of a target that sets nothing but what it must; pages are one."""
    optional = {f"params.{name}" for name, one in definition.params.items() if _is_optional(one)}
    return sum(
        _DAY / interval_of(definition, one)
        for one in definition.collectors.values()
        if one.enabled and not one.request.path.variables & optional
    )


def _is_optional(param: Param) -> bool:
    return not param.required and param.default is None


def _sum_of_calls(definition: Definition) -> Iterator[str]:
    least = calls_a_day(definition)
    most = sum(
        _DAY / interval_of(definition, one) for one in definition.collectors.values() if one.enabled
    )
    few = f"**{least:g} calls a day** with these intervals, more where an answer has several pages"
    if most > least:
        few += f"; {most:g} with the collectors that a parameter switches on"
    yield f"{few}."
    if any(isinstance(auth, TokenAuth) for auth in definition.auth):
        yield "A log-in comes on top whenever the token has expired."
    if any(not one.enabled for one in definition.collectors.values()):
        yield "What is off is switched on by the target: `collectors: {NAME: true}`."


def _least(definition: Definition, collector: Collector) -> str:
    least = collector.min_interval or definition.min_interval
    return duration(least) if least else ""


def _collector(definition: Definition, collector: Collector) -> Iterator[str]:
    switches = sorted(
        name
        for name, param in definition.params.items()
        if f"params.{name}" in collector.request.path.variables and _is_optional(param)
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
    drafted = draft(request, target, known_values(target, clock), clock)
    page = first(paging)
    sent = wire(drafted, Signature(), page=page.query, body=page.body)
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
    needed = frozenset(name for one in templates_of(request) for name in one.variables)
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
    optional = {f"params.{name}" for name, one in definition.params.items() if _is_optional(one)}
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
    pages = paging_in_words(collector.paging)
    if pages:
        yield pages
    if collector.format is Format.JSONL:
        yield "The answer is JSON Lines: one row a line."
    if collector.format is Format.HEADERS:
        yield "The answer is read from its headers."
    if collector.conditional:
        yield "The last ETag goes along; 304 keeps the values."
    for words, matches in (
        ("means that there is none: no samples, and no failure", verdict.absent),
        ("is throttling (`rate_limited`)", verdict.throttled),
        ("is a used-up quota (`quota_exhausted`)", verdict.quota_exhausted),
        ("is a lack of permission (`forbidden`)", verdict.forbidden),
    ):
        yield from (f"{_match(one)} {words}." for one in matches)
    if verdict.accepted != {200}:
        statuses = ", ".join(str(status) for status in sorted(verdict.accepted))
        yield f"Good answers have the status {statuses}."
    if verdict.guard is not None:
        yield f"A good answer fulfils {code(verdict.guard.text)}."


def _match(match: Match) -> str:
    text = "Status " + ", ".join(str(status) for status in sorted(match.statuses))
    for place, selector in (("headers", match.headers), ("body", match.body)):
        if selector is not None:
            text += f" with {code(selector.text)} in the {place}"
    return text


def paging_in_words(paging: Paging) -> str:
    """Say how the further pages are found; "" for a single one."""
    match paging:
        case NoPaging():
            return ""
        case NextUrl():
            places = " or ".join(code(path.text) for path in paging.next)
            words = f"The next page's address stands at {places}"
        case Cursor():
            places = " or ".join(code(path.text) for path in paging.cursor)
            words = f"The cursor at {places} goes into {code(paging.param)} for the next page"
        case PageNumber():
            words = f"Pages are counted in {code(paging.param)}"
        case Offset():
            words = f"Rows are skipped by {code(paging.param)}, {paging.limit} a page"
        case LinkHeader():
            words = f'The next page\'s address stands in the `Link` header (`rel="{paging.rel}"`)'
        case _:
            assert_never(paging)
    return f"{words}; at most {paging.max_pages} pages."


def auth_in_words(auth: Auth) -> str:
    """Say how requests are signed."""
    match auth:
        case NoAuth():
            return "without credentials"
        case HeaderAuth():
            lines = (f"`{name}: {value.text}`" for name, value in auth.headers.items())
            return f"with {', '.join(lines)}"
        case QueryAuth():
            lines = (f"`{quote(name)}={value.text}`" for name, value in auth.query.items())
            return f"with {', '.join(lines)} in the query"
        case BasicAuth() | DigestAuth():
            kind = "basic" if isinstance(auth, BasicAuth) else "digest"
            return f"with {kind} authentication: `{auth.username.text}` : `{auth.password.text}`"
        case TokenAuth():
            signed = (
                "" if isinstance(auth.login, NoAuth) else f", itself {auth_in_words(auth.login)}"
            )
            address = f"`{auth.request.method} {auth.request.path.text}`"
            return f"{auth_in_words(auth.apply)}, a token from {address}{signed}"
