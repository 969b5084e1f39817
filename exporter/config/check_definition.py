"""A whole definition, and what its parts must be to each other."""

from collections.abc import Iterable
from typing import Final

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
    Accounts,
    AccountsText,
    Collector,
    Definition,
    DefinitionText,
    compile_collector,
)
from exporter.model.definition.ratelimit import compile_ratelimit
from exporter.model.definition.roles import Resource, RuleContext
from exporter.model.definition.rows import compile_rows
from exporter.model.definition.values import compile_scoped_path

_INTERVAL: Final = 300.0
_THEN: Final = Clock(0.0)
_LATER: Final = Clock(1e9)
_ACCOUNTS: Final = "accounts"


def compile_definition(
    place: ErrorLocation, tree: object, *, name: str, origin: str
) -> Definition | None:
    """Compile the tree of a file. None when it is so broken that there is nothing to compile.

    The result is only good when nothing was told to `place`.
    """
    text = to_struct(place, tree, DefinitionText)
    if text is None:
        return None
    scope = _scope(tree, text)
    terms = RuleContext(
        collectors=tuple(keys_of(tree, "collectors")),
        scope=_only(scope, account=False),
        zone=parsers.parse_zone(place / "zone", text.zone),
    )
    definition = _definition(place, text, scope, terms, name=name, origin=origin)
    _check_whole(place, text, definition)
    if not place.findings.left_out:
        _warn_unused(place, definition, scope.seen, terms.read)
    return definition


def _scope(tree: object, text: DefinitionText) -> TemplateScope:
    return TemplateScope(
        params=frozenset(keys_of(tree, "params")),
        multiple=frozenset(name for name, param in text.params.items() if param.multiple),
        credentials=frozenset(keys_of(tree, "credentials")),
        account=not isinstance(text.accounts, UnsetType),
    )


def _only(scope: TemplateScope, *, params: bool = True, account: bool = True) -> TemplateScope:
    """Return a narrower scope that notes what is used in the same set."""
    return TemplateScope(
        params=scope.params if params else frozenset(),
        multiple=scope.multiple,
        credentials=scope.credentials,
        account=scope.account and account,
        seen=scope.seen,
    )


def _definition(
    place: ErrorLocation,
    text: DefinitionText,
    scope: TemplateScope,
    terms: RuleContext,
    *,
    name: str,
    origin: str,
) -> Definition:
    no_account = terms.scope
    interval, min_interval = _pace(place, text)
    return Definition(
        name=name,
        title=text.title,
        documentation=text.documentation,
        origin=origin,
        base_url=_base_url(place / "base_url", text.base_url, no_account),
        params=compile_params(place / "params", text.params),
        credentials=compile_credentials(place / "credentials", text.credentials),
        auth=compile_auths(place / "auth", text.auth, no_account),
        throttling=compile_ratelimit(place / "throttling", text.throttling),
        interval=interval,
        min_interval=min_interval,
        data_cadence=parsers.parse_positive_interval(place / "data_cadence", text.data_cadence),
        zone=terms.zone,
        collectors={
            key: _collector(place / "collectors" / key, key, text, scope) for key in text.collectors
        },
        accounts=_accounts(place / "accounts", text.accounts, no_account),
        resources=tuple(
            part
            for index, one in enumerate(text.resources)
            for part in roles.compile_resource(place / "resources" / index, one, terms)
        ),
        costs=tuple(
            part
            for index, one in enumerate(text.costs)
            for part in roles.compile_cost(place / "costs" / index, one, terms)
        ),
        items=tuple(
            roles.compile_items(place / "items" / index, one, terms)
            for index, one in enumerate(text.items)
        ),
        plan=roles.compile_plan(place / "plan", text.plan, terms),
        period=compile_period(place / "period", text.period, None, terms.zone, no_account),
        permission=text.permission,
        unconfirmed=tuple(text.unconfirmed),
    )


def _pace(place: ErrorLocation, text: DefinitionText) -> tuple[float, float]:
    """Return the interval between polls and the shortest one."""
    least = parsers.parse_interval(place / "min_interval", text.min_interval) or 0.0
    interval = parsers.parse_positive_interval(place / "interval", text.interval)
    parsers.check_not_faster(place / "interval", interval, least)
    return interval or max(_INTERVAL, least), least


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


def _collector(
    place: ErrorLocation, name: str, text: DefinitionText, scope: TemplateScope
) -> Collector:
    parsers.check_name(place, name, at_key=True)
    if name == _ACCOUNTS and scope.account:
        place.key_error('"accounts" is the collector that finds the accounts. Write another name.')
    return compile_collector(place, name, text.collectors[name], scope)


def _accounts(
    place: ErrorLocation, text: AccountsText | UnsetType, scope: TemplateScope
) -> Accounts | None:
    if isinstance(text, UnsetType):
        return None
    found, names = compile_rows(place, text.each, text.where, [])
    return Accounts(
        collector=compile_collector(place / "collector", _ACCOUNTS, text.collector, scope),
        rows=found,
        id=compile_scoped_path(place / "id", text.id, names),
        label=None
        if isinstance(text.label, UnsetType)
        else compile_scoped_path(place / "label", text.label, names),
    )


def _check_whole(place: ErrorLocation, text: DefinitionText, definition: Definition) -> None:
    if not text.collectors and (place / "collectors").whole:
        (place / "collectors").error("There is no collector. Write at least one request.")
    if not (text.resources or text.costs or text.items) and place.whole:
        place.error("Nothing is published. Write resources, costs or items.")
    _check_once(place, definition.resources, text)
    for name, one in text.collectors.items():
        own = parsers.parse_interval(place / "collectors" / name / "interval", one.interval)
        if isinstance(one.min_interval, UnsetType):
            parsers.check_not_faster(
                place / "collectors" / name / "interval", own, definition.min_interval
            )


def _check_once(
    place: ErrorLocation, resources: tuple[Resource, ...], text: DefinitionText
) -> None:
    """Refuse a name without holes that two rules have: both would fill the same series.

    Rules with conditions may share it: which of them speaks depends on the answer.
    """
    first: dict[tuple[str, object], int] = {}
    for index, one in enumerate(text.resources):
        key = (one.name, one.collector)
        if "{" not in one.name and key in first:
            other = text.resources[first[key]]
            if one.where is UNSET or other.where is UNSET:
                (place / "resources" / index / "name").error(
                    f'"{one.name}" is read by resources[{first[key]}] already. '
                    "Write all its numbers in one entry, or a condition (where) at both."
                )
        first.setdefault(key, index)


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
