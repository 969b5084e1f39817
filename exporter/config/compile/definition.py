"""A whole definition, and what its parts must be to each other."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import UNSET, UnsetType

from exporter.config.compile import leaves, rules
from exporter.config.compile.auth import auths
from exporter.config.compile.leaves import Scope
from exporter.config.compile.parts import Terms
from exporter.config.compile.periods import period
from exporter.config.compile.requests import collector
from exporter.config.compile.rows import rows
from exporter.config.compile.throttling import throttling
from exporter.config.compile.values import scoped_path
from exporter.config.findings import Place
from exporter.config.grammar.definition import AccountsText, DefinitionText, ParamText
from exporter.config.shape import describe, keys_of, read
from exporter.kernel.problems import did_you_mean
from exporter.kernel.templates import Clock, Template
from exporter.model.definition import (
    Accounts,
    Collector,
    Credential,
    Definition,
    Param,
    Resource,
)

_INTERVAL: Final = 300.0
_THEN: Final = Clock(0.0)
_LATER: Final = Clock(1e9)
_ACCOUNTS: Final = "accounts"
_SOURCES: Final = ("_file", "_env")  # endings that say where a secret comes from


def compile_definition(place: Place, tree: object, *, name: str, origin: str) -> Definition | None:
    """Compile the tree of a file. None when it is so broken that there is nothing to compile.

    The result is only good when nothing was told to `place`.
    """
    text = read(place, tree, DefinitionText)
    if text is None:
        return None
    scope = _scope(tree, text)
    terms = Terms(
        collectors=tuple(keys_of(tree, "collectors")),
        scope=_only(scope, account=False),
        zone=leaves.zone(place / "zone", text.zone),
    )
    definition = _definition(place, text, scope, terms, name=name, origin=origin)
    _check_whole(place, text, definition)
    if not place.findings.left_out:
        _warn_unused(place, definition, scope.seen, terms.read)
    return definition


def _scope(tree: object, text: DefinitionText) -> Scope:
    return Scope(
        params=frozenset(keys_of(tree, "params")),
        multiple=frozenset(name for name, param in text.params.items() if param.multiple),
        credentials=frozenset(keys_of(tree, "credentials")),
        account=not isinstance(text.accounts, UnsetType),
    )


def _only(scope: Scope, *, params: bool = True, account: bool = True) -> Scope:
    """Return a narrower scope that notes what is used in the same set."""
    return Scope(
        params=scope.params if params else frozenset(),
        multiple=scope.multiple,
        credentials=scope.credentials,
        account=scope.account and account,
        seen=scope.seen,
    )


def _definition(
    place: Place, text: DefinitionText, scope: Scope, terms: Terms, *, name: str, origin: str
) -> Definition:
    no_account = terms.scope
    interval, min_interval = _pace(place, text)
    _check_unless(place / "params", text.params)
    return Definition(
        name=name,
        title=text.title,
        documentation=text.documentation,
        origin=origin,
        base_url=_base_url(place / "base_url", text.base_url, no_account),
        params={key: _param(place / "params" / key, key, one) for key, one in text.params.items()},
        credentials={
            key: Credential(
                name=_credential_name(place / "credentials" / key, key),
                description=one.description,
            )
            for key, one in text.credentials.items()
        },
        auth=auths(place / "auth", text.auth, no_account),
        throttling=throttling(place / "throttling", text.throttling),
        interval=interval,
        min_interval=min_interval,
        data_cadence=leaves.positive_duration(place / "data_cadence", text.data_cadence),
        zone=terms.zone,
        collectors={
            key: _collector(place / "collectors" / key, key, text, scope) for key in text.collectors
        },
        accounts=_accounts(place / "accounts", text.accounts, no_account),
        resources=tuple(
            part
            for index, one in enumerate(text.resources)
            for part in rules.resource(place / "resources" / index, one, terms)
        ),
        costs=tuple(
            part
            for index, one in enumerate(text.costs)
            for part in rules.cost(place / "costs" / index, one, terms)
        ),
        items=tuple(
            rules.items(place / "items" / index, one, terms) for index, one in enumerate(text.items)
        ),
        plan=rules.plan(place / "plan", text.plan, terms),
        period=period(place / "period", text.period, None, terms.zone, no_account),
        permission=text.permission,
        unconfirmed=tuple(text.unconfirmed),
    )


def _pace(place: Place, text: DefinitionText) -> tuple[float, float]:
    """Return the interval between polls and the shortest one."""
    least = leaves.duration(place / "min_interval", text.min_interval) or 0.0
    interval = leaves.positive_duration(place / "interval", text.interval)
    leaves.check_not_faster(place / "interval", interval, least)
    return interval or max(_INTERVAL, least), least


def _base_url(place: Place, text: str | UnsetType, scope: Scope) -> Template | None:
    if isinstance(text, UnsetType):
        return None
    if not text.startswith(("http://", "https://", "{")):
        place.error(f'{describe(text)} is not an address. Write "https://…".')
    compiled = leaves.template(place, text, scope)
    if compiled.render(dict.fromkeys(compiled.variables, ""), _THEN) != compiled.render(
        dict.fromkeys(compiled.variables, ""), _LATER
    ):
        place.error("An address cannot change with time. Write dates in the path or the query.")
    return compiled


def _param(place: Place, name: str, text: ParamText) -> Param:
    leaves.name(place, name, at_key=True)
    default = None
    if not isinstance(text.default, UnsetType):
        nothing = Scope(params=frozenset())
        default = leaves.template(place / "default", text.default, nothing)
        if text.required:
            (place / "default").key_error("What is required has no default. Delete one of them.")
        _check_default(place / "default", default.text, text)
    return Param(
        name=name,
        description=text.description,
        required=text.required,
        default=default,
        pattern=leaves.pattern(place / "pattern", text.pattern),
        choices=tuple(text.choices),
        multiple=text.multiple,
        unless=tuple(text.unless),
    )


def _check_unless(place: Place, params: Mapping[str, ParamText]) -> None:
    for name, text in params.items():
        if text.unless and isinstance(text.default, UnsetType):
            (place / name / "unless").key_error('There is no default here. Delete "unless".')
        for index, other in enumerate(text.unless):
            if other not in params or other == name:
                hint = did_you_mean(other, params.keys() - {name})
                (place / name / "unless" / index).error(f'There is no parameter "{other}".{hint}')


def _check_default(place: Place, default: str, text: ParamText) -> None:
    if text.choices and default not in text.choices:
        place.error(f"{describe(default)} is not among the choices.")
    fixed = "{" not in default
    if fixed and not isinstance(text.pattern, UnsetType):
        try:
            fits = re.fullmatch(text.pattern, default)
        except re.error:
            return  # told where the pattern stands
        if not fits:
            place.error(f"{describe(default)} does not match the pattern.")


def _credential_name(place: Place, name: str) -> str:
    leaves.name(place, name, at_key=True)
    if name.endswith(_SOURCES):
        place.key_error(
            f'The ending "{name[name.rindex("_") :]}" says where a target\'s secret comes from. '
            "Write another name."
        )
    return name


def _collector(place: Place, name: str, text: DefinitionText, scope: Scope) -> Collector:
    leaves.name(place, name, at_key=True)
    if name == _ACCOUNTS and scope.account:
        place.key_error('"accounts" is the collector that finds the accounts. Write another name.')
    return collector(place, name, text.collectors[name], scope)


def _accounts(place: Place, text: AccountsText | UnsetType, scope: Scope) -> Accounts | None:
    if isinstance(text, UnsetType):
        return None
    found, names = rows(place, text.each, text.where, [])
    return Accounts(
        collector=collector(place / "collector", _ACCOUNTS, text.collector, scope),
        rows=found,
        id=scoped_path(place / "id", text.id, names),
        label=None
        if isinstance(text.label, UnsetType)
        else scoped_path(place / "label", text.label, names),
    )


# ---------------------------------------------------------------------------- across the parts


def _check_whole(place: Place, text: DefinitionText, definition: Definition) -> None:
    if not text.collectors and (place / "collectors").whole:
        (place / "collectors").error("There is no collector. Write at least one request.")
    if not (text.resources or text.costs or text.items) and place.whole:
        place.error("Nothing is published. Write resources, costs or items.")
    _check_once(place, definition.resources, text)
    for name, one in text.collectors.items():
        own = leaves.duration(place / "collectors" / name / "interval", one.interval)
        if isinstance(one.min_interval, UnsetType):
            leaves.check_not_faster(
                place / "collectors" / name / "interval", own, definition.min_interval
            )


def _check_once(place: Place, resources: tuple[Resource, ...], text: DefinitionText) -> None:
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
    place: Place, definition: Definition, seen: Iterable[str], read_by: Iterable[str]
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
