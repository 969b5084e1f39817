"""The page of one provider, made from its definition."""

from collections.abc import Iterable, Iterator

from exporter.app.pages.asks import asks, auth_in_words, calls_a_day, interval_of
from exporter.app.pages.markdown import code, duration, table
from exporter.app.pages.publishes import kept_names, name, publishes
from exporter.kernel.durations import format_duration
from exporter.model.definition import BudgetScope, Definition, Param, Throttling


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
    yield from _example(definition)
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


def _example(definition: Definition) -> Iterator[str]:
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
    ways = [auth_in_words(auth) for auth in definition.auth]
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


def _throttling(throttling: Throttling, definition: Definition) -> Iterator[str]:
    facts = []
    if throttling.rate is not None:
        facts.append(f"{_per(throttling.rate)}, {throttling.burst} at once.")
    shared = {
        BudgetScope.CREDENTIAL: "All targets with the same host and credential share them.",
        BudgetScope.HOST: "All targets with the same host share them.",
        BudgetScope.TARGET: "Each target has its own.",
    }[throttling.scope]
    facts.append(shared)
    facts.append(f"{throttling.reserve:.0%} of what is left stays with the key's other users.")
    named = (*throttling.limit_headers, *throttling.remaining_headers, *throttling.reset_headers)
    if named:
        headers = ", ".join(code(header) for header in named)
        facts.append(f"Read from {headers} (reset: {throttling.reset_kind}).")
    else:
        facts.append("Read from `Retry-After` and the usual `X-RateLimit-*`, where they are sent.")
    facts.append(f"A wait is at most {format_duration(throttling.max_wait)} long.")
    if definition.min_interval:
        facts.append(
            f"No collector is polled faster than every {duration(definition.min_interval)}."
        )
    if definition.data_cadence is not None:
        facts.append(f"The vendor's data changes every {duration(definition.data_cadence)}.")
    yield from (f"- {fact}" for fact in facts)


def _per(rate: float) -> str:
    """Return a rate in the largest unit of time that makes it a small whole number."""
    for word, seconds in (("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400)):
        count = rate * seconds
        if count >= 1 and abs(count - round(count)) < 1e-6:  # noqa: PLR2004 - floats
            return f"{round(count)} requests a {word}"
    return f"{rate:g} requests a second"


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
        code(text) for one in definition.resources for text in kept_names(one) or [name(one.name)]
    )
    every = min(
        interval_of(definition, one) for one in definition.collectors.values() if one.enabled
    )
    return [
        f"[`{definition.name}`]({definition.name}.md)",
        definition.title,
        ", ".join(names),
        "yes" if definition.costs else "",
        duration(every),
        f"{calls_a_day(definition):g}",
    ]
