"""A definition is compiled, and its parts are checked against each other.

Each part checks itself (``model.definition``). Here is what needs several: names that templates may
use, collectors that rules name, two rules for one series, parameters and collectors without use.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from exporter.config.convert import keys_of, to_struct
from exporter.kernel.problems import ErrorLocation, describe
from exporter.kernel.templates import Clock, Template
from exporter.model.definition import parsers, roles
from exporter.model.definition.auth import compile_auths
from exporter.model.definition.params import compile_credentials, compile_params
from exporter.model.definition.parsers import TemplateScope
from exporter.model.definition.period import compile_period
from exporter.model.definition.provider import (
    ACCOUNTS,
    Definition,
    DefinitionText,
    compile_accounts,
    compile_collector,
)
from exporter.model.definition.ratelimit import compile_ratelimit
from exporter.model.definition.roles import Cost, Resource, ResourceText, RuleContext
from exporter.model.families import COST_ROLES, RESOURCE_ROLES, Role, read_roles

_INTERVAL: Final = 300.0
_THEN: Final = Clock(0.0)
_LATER: Final = Clock(1e9)


def compile_definition(
    place: ErrorLocation, tree: object, *, name: str, origin: str
) -> Definition | None:
    """Compile the tree of a file. None when it is so broken that there is nothing to compile.

    The result is only good when nothing was told to `place`.
    """
    text = to_struct(place, tree, DefinitionText)
    if text is None:
        return None
    # Names are those of the document: what is broken below them is told there, and once.
    of_definition = TemplateScope(
        params=frozenset(keys_of(tree, "params")),
        multiple=frozenset(key for key, param in text.params.items() if param.multiple),
        credentials=frozenset(keys_of(tree, "credentials")),
    )
    of_collectors = msgspec.structs.replace(
        of_definition, account=not isinstance(text.accounts, UnsetType)
    )
    rules = RuleContext(
        collectors=tuple(keys_of(tree, "collectors")),
        scope=of_definition,
        zone=parsers.parse_zone(place / "zone", text.zone),
    )
    least = parsers.parse_interval(place / "min_interval", text.min_interval) or 0.0
    interval = parsers.parse_positive_interval(place / "interval", text.interval)
    parsers.check_not_faster(place / "interval", interval, least)
    resources = [
        roles.compile_resource(place / "resources" / index, one, rules)
        for index, one in enumerate(text.resources)
    ]
    costs = [
        roles.compile_cost(place / "costs" / index, one, rules)
        for index, one in enumerate(text.costs)
    ]
    definition = Definition(
        name=name,
        title=text.title,
        documentation=text.documentation,
        origin=origin,
        base_url=_base_url(place / "base_url", text.base_url, of_definition),
        params=compile_params(place / "params", text.params),
        credentials=compile_credentials(place / "credentials", text.credentials),
        auth=compile_auths(place / "auth", text.auth, of_definition),
        throttling=compile_ratelimit(place / "throttling", text.throttling),
        interval=interval or max(_INTERVAL, least),
        min_interval=least,
        data_cadence=parsers.parse_positive_interval(place / "data_cadence", text.data_cadence),
        zone=rules.zone,
        collectors={
            key: compile_collector(place / "collectors" / key, key, one, of_collectors)
            for key, one in text.collectors.items()
        },
        accounts=compile_accounts(place / "accounts", text.accounts, of_definition),
        resources=tuple(itertools.chain(*resources)),
        costs=tuple(itertools.chain(*costs)),
        items=tuple(
            roles.compile_items(place / "items" / index, one, rules)
            for index, one in enumerate(text.items)
        ),
        plan=roles.compile_plan(place / "plan", text.plan, rules),
        period=compile_period(place / "period", text.period, None, rules.zone, of_definition),
        permission=text.permission,
        unconfirmed=tuple(text.unconfirmed),
    )
    if not text.collectors and (place / "collectors").whole:
        (place / "collectors").error("There is no collector. Write at least one request.")
    if not (text.resources or text.costs or text.items) and place.whole:
        place.error("Nothing is published. Write resources, costs or items.")
    _check_names_of_rules(place / "resources", text.resources)
    _check_series(place / "resources", "resources", resources, RESOURCE_ROLES)
    _check_series(place / "costs", "costs", costs, COST_ROLES)
    _check_collectors(place / "collectors", text, definition)
    if not place.findings.left_out:
        _warn_unused(place, definition, of_definition.seen, rules.read)
    return definition


def _base_url(place: ErrorLocation, text: str | UnsetType, scope: TemplateScope) -> Template | None:
    if isinstance(text, UnsetType):
        return None
    if not text.startswith(("http://", "https://", "{")):
        place.error(f'{describe(text)} is not an address. Write "https://…".')
    compiled = parsers.parse_template(place, text, scope)
    if compiled.render(dict.fromkeys(compiled.variables, ""), _THEN) != compiled.render(
        dict.fromkeys(compiled.variables, ""), _LATER
    ):
        place.error("An address cannot change with time. Write dates in the path or the query.")
    return compiled


def _check_names_of_rules(place: ErrorLocation, rules: Sequence[ResourceText]) -> None:
    """Refuse a name without holes that two rules have: both would fill the same series.

    Rules with conditions may share it: which of them speaks depends on the answer.
    """
    first: dict[tuple[str, object], int] = {}
    for index, one in enumerate(rules):
        key = (one.name, one.collector)
        if "{" not in one.name and key in first:
            other = rules[first[key]]
            if one.where is UNSET or other.where is UNSET:
                (place / index / "name").error(
                    f'"{one.name}" is read by resources[{first[key]}] already. '
                    "Write all its numbers in one entry, or a condition (where) at both."
                )
        first.setdefault(key, index)


def _check_series(
    place: ErrorLocation,
    section: str,
    rules: Sequence[Sequence[Resource | Cost]],
    all_roles: tuple[Role, ...],
) -> None:
    """Refuse two rules that read one role of one series, also from different collectors.

    Rules with conditions may: which of them speaks depends on the answer, and where both do, the
    poll fails. So it does for names and currencies that the answer gives.
    """
    first: dict[tuple[str, str], tuple[int, Resource | Cost]] = {}
    for index, parts in enumerate(rules):
        for rule in parts:
            series = _fixed_series(rule)
            for role in read_roles(all_roles):
                if not series or not role.kinds or getattr(rule, role.key) is None:
                    continue
                number, other = first.setdefault((series, role.key), (index, rule))
                if number == index or None not in (rule.rows.where, other.rows.where):
                    continue
                same_collector = parts[0].collector == rules[number][0].collector
                if isinstance(rule, Resource) and same_collector:
                    continue  # refused by its name
                (place / index).error(
                    f'"{role.key}" of {series} is read by {section}[{number}] already, and two '
                    "numbers are not added. Write one entry, with `add` for several numbers of "
                    "one answer, or a condition (where) at both."
                )
                return


def _fixed_series(rule: Resource | Cost) -> str | None:
    """Return the name or the currency of a rule where no answer decides about it."""
    if isinstance(rule, Resource):
        return rule.fixed_name
    return None if rule.currency or rule.fixed_currency is None else rule.fixed_currency.text


def _check_collectors(place: ErrorLocation, text: DefinitionText, definition: Definition) -> None:
    for name, one in definition.collectors.items():
        here = place / name
        parsers.check_name(here, name, at_key=True)
        if name == ACCOUNTS and not isinstance(text.accounts, UnsetType):
            here.key_error(
                '"accounts" is the collector that finds the accounts. Write another name.'
            )
        if one.min_interval is None:
            parsers.check_not_faster(here / "interval", one.interval, definition.min_interval)


def _warn_unused(
    place: ErrorLocation, definition: Definition, seen: Iterable[str], read_by: Iterable[str]
) -> None:
    used = set(seen)
    for section, names in (
        ("params", definition.params),
        ("credentials", definition.credentials),
    ):
        for name in names:
            if f"{section}.{name}" not in used:
                (place / section / name).key_warn(
                    f'"{name}" is used nowhere. Write "{{{section}.{name}}}" where it goes, '
                    "or delete it."
                )
    for name in definition.collectors.keys() - set(read_by):
        (place / "collectors" / name).key_warn(
            f'Nothing is read from "{name}". Write collector: {name} at a rule, or delete it.'
        )
