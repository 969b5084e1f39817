"""One target: what its text says, checked against its definition.

The parts that are concepts of their own have modules of their own: ``credentials``, ``connection``,
``polling``. Here are parameters, accounts, limits and names. A target of a large configuration
costs memory again and again, so that equal maps of targets are one object (`Surroundings.same`).
"""

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UnsetType

from exporter.config import connection
from exporter.config.credentials import (
    SecretReader,
    budget_key,
    choose_auth,
    secret_digests,
    secret_sources,
)
from exporter.config.polling import PollingDefaults, target_polling
from exporter.config.settings import ParamValue, TargetText
from exporter.kernel.problems import ErrorLocation, describe, did_you_mean, near_miss, yaml_word
from exporter.kernel.templates import Template, compile_template
from exporter.kernel.units import Kind, find_unit, minor_factor, parse_amount
from exporter.model.definition import parsers
from exporter.model.definition.params import Param
from exporter.model.definition.provider import Definition
from exporter.model.families import FAMILY, MEASURED, SPEND
from exporter.model.target import Http, Limit, Target

_LAST_DAY: Final = 31
_LONGEST_NAME: Final = 128  # label values are cut there
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_USUAL_HTTP: Final = Http()
_TAKEN: Final = frozenset(FAMILY["usage_account_info"].labels)
_Value = TypeVar("_Value")


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What all targets of a configuration share."""

    directory: str  # where relative paths begin
    environ: Mapping[str, str]
    reader: SecretReader
    defaults: PollingDefaults
    secrets_required: bool = True
    without_secret: set[str] = msgspec.field(default_factory=set)  # names of targets
    _same: dict[tuple[object, ...], Mapping[str, Any]] = msgspec.field(default_factory=dict)

    def same(self, mapping: Mapping[str, _Value]) -> Mapping[str, _Value]:
        """Return one object for all equal maps: most targets of a provider have the same ones."""
        return self._same.setdefault(tuple(mapping.items()), mapping)


def build_target(
    place: ErrorLocation,
    text: TargetText,
    definition: Definition,
    resources: "KnownResources",
    around: Surroundings,
) -> Target | None:
    """Compile a target. None when it cannot authenticate; good only if nothing was told."""
    if not text.name.strip() or not text.name.isprintable() or len(text.name) > _LONGEST_NAME:
        (place / "name").error(
            f"{describe(text.name)} cannot be a name. Write 1 to {_LONGEST_NAME} printable "
            "characters."
        )
    given = target_params(place, text, definition)
    sources = secret_sources(place / "credentials", text, definition, around.directory)
    digests, complete = secret_digests(
        place / "credentials", sources, around.reader, required=around.secrets_required
    )
    if not complete:
        around.without_secret.add(text.name)
    auth = choose_auth(place, definition, sources)
    url = connection.base_url(place, text, definition, given)
    polling = target_polling(place, text, definition, given, around.defaults)
    limits = target_limits(place / "limits", text, definition.name, resources)
    accounts = target_accounts(place, text, definition)
    _check_labels(place / "labels", text.labels)
    http = _USUAL_HTTP
    if not isinstance(text.http, UnsetType):
        http = connection.http_settings(
            place / "http", text.http, url, directory=around.directory, environ=around.environ
        )
    defaults = around.defaults
    shares = (
        parsers.parse_share(place / "reserve", text.reserve),
        defaults.reserve,
        definition.throttling.reserve,
    )
    if auth is None:
        return None
    return Target(
        name=text.name,
        definition=definition,
        base_url=url,
        auth=auth,
        params=around.same(given),
        credentials=sources,
        accounts=accounts,
        limits=around.same(limits),
        labels=around.same(text.labels),
        items=text.items,
        collectors=around.same(polling.intervals),
        poll_timeout=polling.timeout,
        stale_after=around.same(polling.stale_after),
        max_series=text.max_series or defaults.max_series,
        reserve=next(share for share in shares if share is not None),
        adaptive=defaults.adaptive if isinstance(text.adaptive, UnsetType) else text.adaptive,
        http=http,
        user_agent=defaults.user_agent,
        budget=budget_key(text.name, url, definition.throttling.scope, auth, digests),
    )


def _check_labels(place: ErrorLocation, labels: Mapping[str, str]) -> None:
    for name, text in labels.items():
        if not text.isprintable() or len(text) > _LONGEST_NAME:
            (place / name).error(
                f"{describe(text)} cannot be the value of a label. Write at most "
                f"{_LONGEST_NAME} printable characters."
            )
        if not _LABEL.fullmatch(name) or name.startswith("__"):
            (place / name).key_error(
                f"{describe(name)} is not the name of a label. Write letters, digits and "
                "underscores: cost_centre."
            )
        elif name in _TAKEN:
            (place / name).key_error(
                f'"{name}" is a label of usage_account_info itself. Write another name.'
            )


# ------------------------------------------------------------------------ parameters, accounts


def target_params(
    place: ErrorLocation, text: TargetText, definition: Definition
) -> dict[str, tuple[str, ...]]:
    """Return what a target sets, as texts. A single "" leaves a parameter out of requests."""
    given: dict[str, tuple[str, ...]] = {}
    for name, value in text.params.items():
        param = definition.params.get(name)
        here = place / "params" / name
        if param is None:
            hint = did_you_mean(name, definition.params) or " It has none."
            here.key_error(f'{definition.name} has no parameter "{name}".{hint}')
            continue
        if isinstance(value, list):
            if not param.multiple:
                here.error(f'"{name}" takes one value, not a list.')
            for index, one in enumerate(value):
                _check_param(here / index, one, param)
            given[name] = tuple(yaml_word(one) for one in value)
        else:
            _check_param(here, value, param)
            given[name] = (yaml_word(value),)
    for name, param in definition.params.items():
        if param.required and name not in text.params and place.whole:
            at = place / "params" if text.params else place
            at.error(f'The parameter "{name}" is missing. {param.description}'.rstrip())
        elif name not in given and any(given.get(other, ("",)) != ("",) for other in param.unless):
            given[name] = ("",)
    if given:
        _check_uses(place / "params", given, definition)
    return given


def _check_param(place: ErrorLocation, value: ParamValue, param: Param) -> None:
    text = yaml_word(value)
    if not text:
        if param.required:
            place.error(f'"{param.name}" is empty. {param.description}'.rstrip())
        return
    if param.choices and text not in param.choices:
        place.error(f"{describe(value)} is not possible here.{did_you_mean(text, param.choices)}")
    if param.pattern is not None and not param.pattern.fullmatch(text):
        place.error(
            f"{describe(value)} does not match {param.pattern.pattern}. "
            f"{param.description}".rstrip()
        )
    elif "{" in text:  # perhaps "{month.start:date}", as a definition writes it
        try:
            compile_template(text)
        except ValueError:
            return
        place.warn(
            f"{describe(text)} goes to the vendor as it is: only definitions are filled with "
            "dates. Write the value, or leave the parameter out for its default."
        )


def _check_uses(
    place: ErrorLocation, given: Mapping[str, tuple[str, ...]], definition: Definition
) -> None:
    """Check parameters that are a currency or a billing day, of which each poll would fail."""
    currencies = [cost.fixed_currency for cost in definition.costs]
    currencies += [item.fixed_currency for item in definition.items]
    periods = [definition.period, *(resource.period for resource in definition.resources)]
    periods += [cost.period for cost in definition.costs]
    days = [period.anchor_day for period in periods if period is not None]
    for name, code in _filling(currencies, given, definition):
        try:
            minor_factor(code)
        except ValueError as error:
            (place / name).error(str(error))
    for name, day in _filling(days, given, definition):
        if not (day.isascii() and day.isdigit() and 1 <= int(day) <= _LAST_DAY):
            (place / name).error(f"{describe(day)} is not a day of the month. Write 1 to 31.")


def _filling(
    templates: Iterable[Template | None],
    given: Mapping[str, tuple[str, ...]],
    definition: Definition,
) -> list[tuple[str, str]]:
    """Return the parameters that are the whole of a template, with each text that fits so far."""
    wholes = {template.text for template in templates if template is not None}
    return [
        (name, text)
        for name in sorted(given)
        if f"{{params.{name}}}" in wholes
        for text in given[name]
        if text
        and ((pattern := definition.params[name].pattern) is None or pattern.fullmatch(text))
    ]


def target_accounts(
    place: ErrorLocation, text: TargetText, definition: Definition
) -> tuple[str, ...]:
    """Return the ids of the accounts to ask for; none: all that are found."""
    ids = tuple(str(one) for one in text.accounts)
    if ids and definition.accounts is None:
        (place / "accounts").key_error(
            f"{definition.name} does not ask account by account. Delete it."
        )
    for index, one in enumerate(ids):
        if not one or one in ids[:index]:
            what = "is empty" if not one else f'"{one}" is listed twice'
            (place / "accounts" / index).error(f"This account {what}. Delete it.")
    return ids


# ------------------------------------------------------------------------------------- limits


class KnownResources(msgspec.Struct, frozen=True):
    """The resources of a definition: what they count, None where the answer says."""

    kinds: dict[str, Kind | None]
    open: bool  # names come from the answers too
    spend: bool


def known_resources(definition: Definition) -> KnownResources:
    """Return what is known of the resources before any answer."""
    kinds: dict[str, Kind | None] = {}
    is_open = False
    for resource in definition.resources:
        kind = resource.unit.unit.kind if resource.unit.unit is not None else None
        names = resource.only if resource.only is not None else resource.known
        if resource.fixed_name is not None:
            names = frozenset({resource.fixed_name})
        elif resource.only is None:
            is_open = True
        kinds |= {name: kind if kinds.get(name, kind) is kind else None for name in names}
    spend = bool(definition.costs) or any(one.cost is not None for one in definition.items)
    return KnownResources(kinds, is_open, spend)


def target_limits(
    place: ErrorLocation, text: TargetText, provider: str, resources: KnownResources
) -> dict[str, Limit]:
    """Return the limits of a target, in base units; `place` is that of ``limits``."""
    found = {}
    for name, amount in text.limits.items():
        here = place / name
        if not _is_known(here, name, provider, resources):
            continue
        try:
            value, word = _amount(amount)
            if name == SPEND:
                if not word:
                    here.error(f'A budget needs its currency. Write "{amount} USD".')
                    continue
                minor_factor(word)
                found[name] = Limit(value=value, kind=Kind.MONEY, currency=word)
                continue
            unit = find_unit(word) if word else None
        except ValueError as error:
            here.error(str(error))
            continue
        if unit is None:
            found[name] = Limit(value=value, kind=None)
            continue
        if unit.name.endswith("bit") and word.endswith("b"):
            here.warn(
                f'"{amount}" counts bits, an eighth of bytes. Write "{word[:-1]}B" for bytes, or '
                f'"{unit.name}" if bits are meant.'
            )
        kind = resources.kinds.get(name)
        if unit.kind not in (MEASURED if kind is None else (kind,)):
            wanted = kind.value if kind is not None else ", ".join(one.value for one in MEASURED)
            here.error(
                f'"{amount}" counts {unit.kind.value}, "{name}" {wanted}. '
                "Write a unit of that, or the bare number."
            )
            continue
        found[name] = Limit(value=value * unit.factor, kind=unit.kind)
    return found


_amount = functools.lru_cache(maxsize=1024)(parse_amount)


def _is_known(place: ErrorLocation, name: str, provider: str, resources: KnownResources) -> bool:
    if name in resources.kinds or (name == SPEND and resources.spend):
        return True
    names = [*resources.kinds, *([SPEND] if resources.spend else [])]
    if name == SPEND:
        place.key_error(f"{provider} reports no costs to compare it with. Delete it.")
        return False
    if not resources.open:
        place.key_error(f'{provider} has no resource "{name}".{did_you_mean(name, names)}')
        return False
    near = near_miss(name, names, cutoff=0.8)
    if near is not None:
        place.key_warn(
            f'{provider} is not known to have a resource "{name}". Did you mean "{near}"?'
        )
    return True
