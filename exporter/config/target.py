"""Limits from the configuration, where the API gives none.

What of a target is polled, how often, how long a poll may take, when its values are too old.

A collector whose path needs a parameter that the target does not set is left out: GitHub's billing
is read only where an organization is named. Of the intervals the most specific that is written
wins: the target's for the collector, the target's, the definition's for the collector, the global
one, the definition's.

The parameters and the fan-out accounts of a target.

One target: what its text says, checked against its definition.
"""

import functools
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import UnsetType

from exporter.config import connection
from exporter.config.files import SecretReader
from exporter.config.settings import CollectorSettingText, GlobalText, ParamValue, TargetText
from exporter.kernel.calendar import format_duration
from exporter.kernel.problems import ErrorLocation, describe, did_you_mean, near_miss, yaml_word
from exporter.kernel.templates import Template, compile_template
from exporter.kernel.units import Kind, find_unit, is_currency, minor_factor, parse_amount
from exporter.model.definition import parsers
from exporter.model.definition.params import Param
from exporter.model.definition.provider import Collector, Definition
from exporter.model.definition.roles import Resource
from exporter.model.families import FAMILY, MEASURED, SPEND
from exporter.model.target import Http, Limit, Target

_UNLIKELY: Final = frozenset({Kind.RATIO, Kind.MONEY})


class KnownResource(msgspec.Struct, frozen=True):
    """The resources of a definition: what they count, where that is fixed."""

    kinds: dict[str, Kind | None]
    open: bool  # names come from the answers too
    spend: bool


def known_resources(definition: Definition) -> KnownResource:
    """Return what is known of the resources before any answer."""
    kinds: dict[str, Kind | None] = {}
    is_open = False
    for resource in definition.resources:
        kind = resource.unit.unit.kind if resource.unit.unit is not None else None
        names = _names(resource)
        is_open = is_open or (not _is_fixed(resource) and resource.only is None)
        kinds |= {name: kind if kinds.get(name, kind) is kind else None for name in names}
    spend = bool(definition.costs) or any(one.cost is not None for one in definition.items)
    return KnownResource(kinds, is_open, spend)


def _is_fixed(resource: Resource) -> bool:
    return all(isinstance(part, str) for part in resource.name)


def _names(resource: Resource) -> frozenset[str]:
    if _is_fixed(resource):
        name = "".join(str(part) for part in resource.name)
        return frozenset({resource.rename.get(name, name)})
    return resource.only if resource.only is not None else resource.known


def target_limits(
    place: ErrorLocation, text: TargetText, provider: str, resources: KnownResource
) -> dict[str, Limit]:
    """Return the limits of a target, in base units."""
    found = {}
    for name, amount in text.limits.items():
        at = place / "limits" / name
        if _is_known(at, name, provider, resources):
            limit = _spend(at, amount) if name == SPEND else _limit(at, name, amount, resources)
            if limit is not None:
                found[name] = limit
    return found


def _is_known(place: ErrorLocation, name: str, provider: str, resources: KnownResource) -> bool:
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


@functools.lru_cache(maxsize=1024)
def _amount(text: str | float) -> tuple[float, str]:
    return parse_amount(text)


def _spend(place: ErrorLocation, text: str | float) -> Limit | None:
    try:
        value, currency = _amount(text)
    except ValueError as error:
        place.error(str(error))
        return None
    if not currency:
        place.error(f'A budget needs its currency. Write "{text} USD".')
        return None
    if not is_currency(currency):
        _say_no_currency(place, currency)
        return None
    return Limit(value=value, kind=Kind.MONEY, currency=currency)


def _say_no_currency(place: ErrorLocation, code: str) -> None:
    try:
        minor_factor(code)
    except ValueError as error:
        place.error(str(error))


def _limit(
    place: ErrorLocation, name: str, text: str | float, resources: KnownResource
) -> Limit | None:
    try:
        value, word = _amount(text)
        unit = find_unit(word) if word else None
    except ValueError as error:
        place.error(str(error))
        return None
    if unit is None:
        return Limit(value=value, kind=None)
    if unit.name.endswith("bit") and word.endswith("b"):
        place.warn(
            f'"{text}" counts bits, an eighth of bytes. Write "{word[:-1]}B" for bytes, or '
            f'"{unit.name}" if bits are meant.'
        )
    kind = resources.kinds.get(name)
    if unit.kind in _UNLIKELY or (kind is not None and unit.kind is not kind):
        wanted = kind.value if kind is not None else ", ".join(one.value for one in MEASURED)
        place.error(
            f'"{text}" counts {unit.kind.value}, "{name}" {wanted}. '
            "Write a unit of that, or the bare number."
        )
        return None
    return Limit(value=value * unit.factor, kind=unit.kind)


PollingText: TypeAlias = Mapping[str, tuple[str, ...]]
"""The parameters that a target sets, as `config.params` returns them."""
_TIMEOUT: Final = 30.0
_STALE_INTERVALS: Final = 3
_STALE_LEAST: Final = 3600.0


class PollingDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """The ``global`` section: seconds and fractions, None where nothing is written."""

    place: ErrorLocation
    poll_interval: float | None
    poll_timeout: float | None
    stale_after: float | None
    reserve: float | None
    max_series: int
    adaptive: bool
    user_agent: str


class Polling(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: the interval and the age of each collector that is polled, and the deadline."""

    intervals: dict[str, float]
    stale_after: dict[str, float]
    timeout: float


def target_polling(
    place: ErrorLocation,
    text: TargetText,
    definition: Definition,
    given: PollingText,
    defaults: PollingDefaults,
) -> Polling:
    """Return the pace of a target, which sets the parameters `given`."""
    _check_collectors(place / "collectors", text, definition)
    own = parsers.parse_positive_interval(place / "poll_interval", text.poll_interval)
    found = {
        name: _interval(_written(place, text, collector, own, defaults), definition, collector)
        for name, collector in definition.collectors.items()
        if _is_polled(place / "collectors" / name, text, collector, definition, given)
    }
    if not found:
        (place / "collectors").error(
            f"Nothing is polled. Switch on one of {', '.join(sorted(definition.collectors))}."
        )
    return Polling(
        intervals=found,
        timeout=_timeout(place, text, defaults, min(found.values(), default=math.inf)),
        stale_after=_stale_after(place, text, defaults, found),
    )


def _is_polled(
    place: ErrorLocation,
    text: TargetText,
    collector: Collector,
    definition: Definition,
    given: PollingText,
) -> bool:
    setting = text.collectors.get(collector.name)
    if setting is False or (setting is None and not collector.enabled):
        return False
    missing = _missing(collector, definition, given)
    if missing and setting is not None:
        names = ", ".join(f'"{name}"' for name in missing)
        place.error(
            f'The collector "{collector.name}" needs the parameter {names}, which is not set. '
            "Set it under params."
        )
    return not missing


def _missing(collector: Collector, definition: Definition, given: PollingText) -> list[str]:
    """Return the parameters in a collector's path that have no value; "" counts as none."""
    wanted = (variable.partition("params.")[2] for variable in collector.request.path.variables)
    return [
        name
        for name in sorted(wanted)
        if (param := definition.params.get(name)) is not None
        and not param.required  # told already, where it is missing
        and not any(given.get(name, ("default",) if param.default else ()))
    ]


def _check_collectors(place: ErrorLocation, text: TargetText, definition: Definition) -> None:
    for name in text.collectors.keys() - definition.collectors.keys():
        (place / name).key_error(
            f'{definition.name} has no collector "{name}".'
            f"{did_you_mean(name, definition.collectors)}"
        )


def _interval(
    written: tuple[ErrorLocation | None, float | None], definition: Definition, collector: Collector
) -> float:
    at, wanted = written
    least = collector.min_interval
    if least is None:
        least = definition.min_interval
    if at is None or wanted is None:
        return max(wanted or definition.interval, least)
    if wanted < least:
        at.warn(
            f"{format_duration(wanted)} is shorter than {definition.name} allows for "
            f'"{collector.name}". It is polled every {format_duration(least)}; write that or more.'
        )
    return max(wanted, least)


def _written(
    place: ErrorLocation,
    text: TargetText,
    collector: Collector,
    own: float | None,
    defaults: PollingDefaults,
) -> tuple[ErrorLocation | None, float | None]:
    """Return the interval that is written, and where, if it is in the configuration."""
    setting = text.collectors.get(collector.name)
    if isinstance(setting, CollectorSettingText):
        at = place / "collectors" / collector.name / "poll_interval"
        return at, parsers.parse_positive_interval(at, setting.poll_interval)
    if own is not None:
        return place / "poll_interval", own
    if collector.interval is not None:
        return None, collector.interval
    if defaults.poll_interval is not None:
        return defaults.place / "poll_interval", defaults.poll_interval
    return None, None


def _timeout(
    place: ErrorLocation, text: TargetText, defaults: PollingDefaults, shortest: float
) -> float:
    own = parsers.parse_positive_interval(place / "poll_timeout", text.poll_timeout)
    seconds = defaults.poll_timeout if own is None else own
    if seconds is None:
        return min(_TIMEOUT, shortest)
    if seconds > shortest:
        at = place / "poll_timeout" if own is not None else _written_interval(place, text, defaults)
        at.error(
            f"A poll may take {format_duration(seconds)} and comes every "
            f"{format_duration(shortest)}. Write a poll_timeout of at most the interval."
        )
    return seconds


def _written_interval(
    place: ErrorLocation, text: TargetText, defaults: PollingDefaults
) -> ErrorLocation:
    return place / "poll_interval" if text.poll_interval else defaults.place / "poll_timeout"


def _stale_after(
    place: ErrorLocation, text: TargetText, defaults: PollingDefaults, intervals: dict[str, float]
) -> dict[str, float]:
    own = parsers.parse_interval(place / "stale_after", text.stale_after)
    seconds = defaults.stale_after if own is None else own
    if seconds is None:
        return {
            name: max(_STALE_INTERVALS * interval, _STALE_LEAST)
            for name, interval in intervals.items()
        }
    longest = max(intervals.values(), default=0.0)
    if 0 < seconds <= longest:
        at = (place if own is not None else defaults.place) / "stale_after"
        at.error(
            f"Values would go after {format_duration(seconds)}, before the next poll ends: it "
            f"comes after {format_duration(longest)}. Write more than that, or 0s for never."
        )
    return dict.fromkeys(intervals, seconds)


def defaults_of(place: ErrorLocation, text: GlobalText, user_agent: str) -> PollingDefaults:
    """Check the ``global`` section."""
    own = text.user_agent or user_agent
    if not own.isprintable() or not own.isascii():
        (place / "user_agent").error("A user agent has printable ASCII characters only.")
    return PollingDefaults(
        place=place,
        poll_interval=parsers.parse_positive_interval(place / "poll_interval", text.poll_interval),
        poll_timeout=parsers.parse_positive_interval(place / "poll_timeout", text.poll_timeout),
        stale_after=parsers.parse_interval(place / "stale_after", text.stale_after),
        reserve=parsers.parse_share(place / "reserve", text.reserve),
        max_series=text.max_series,
        adaptive=text.adaptive,
        user_agent=own,
    )


_LAST_DAY = 31


def target_params(
    place: ErrorLocation, text: TargetText, definition: Definition
) -> dict[str, tuple[str, ...]]:
    """Return what a target sets, as texts. A single "" leaves a parameter out of requests."""
    given: dict[str, tuple[str, ...]] = {}
    for name, value in text.params.items():
        param = definition.params.get(name)
        if param is None:
            hint = did_you_mean(name, definition.params) or " It has none."
            (place / "params" / name).key_error(
                f'{definition.name} has no parameter "{name}".{hint}'
            )
            continue
        given[name] = _values(place / "params" / name, value, param)
    for name, param in definition.params.items():
        if param.required and name not in text.params and place.whole:
            at = place / "params" if text.params else place
            at.error(f'The parameter "{name}" is missing. {param.description}'.rstrip())
        elif name not in given and any(given.get(other, ("",)) != ("",) for other in param.unless):
            given[name] = ("",)
    if given:
        _check_currencies(place / "params", given, definition)
        _check_anchor_days(place / "params", given, definition)
    return given


def _check_currencies(
    place: ErrorLocation, given: Mapping[str, tuple[str, ...]], definition: Definition
) -> None:
    """Tell now what each poll would fail of: money in what is no currency."""
    codes = [cost.fixed_currency for cost in definition.costs]
    codes += [item.fixed_currency for item in definition.items]
    for name in _named(given, codes):
        for code in _fitting(given[name], definition.params[name]):
            try:
                minor_factor(code)
            except ValueError as error:
                (place / name).error(str(error))


def _check_anchor_days(
    place: ErrorLocation, given: Mapping[str, tuple[str, ...]], definition: Definition
) -> None:
    periods = [definition.period, *(resource.period for resource in definition.resources)]
    periods += [cost.period for cost in definition.costs]
    for name in _named(given, (period.anchor_day for period in periods if period is not None)):
        for day in _fitting(given[name], definition.params[name]):
            if not (day.isascii() and day.isdigit() and 1 <= int(day) <= _LAST_DAY):
                (place / name).error(f"{describe(day)} is not a day of the month. Write 1 to 31.")


def _named(
    given: Mapping[str, tuple[str, ...]], templates: Iterable[Template | None]
) -> frozenset[str]:
    """Return the parameters that are the whole of a template, and that the target sets."""
    texts = {template.text for template in templates if template is not None}
    return frozenset(name for name in given if f"{{params.{name}}}" in texts)


def _fitting(texts: tuple[str, ...], param: Param) -> list[str]:
    """Return those of a parameter's texts that nothing was said about yet."""
    pattern = param.pattern
    return [text for text in texts if text and (pattern is None or pattern.fullmatch(text))]


def _values(
    place: ErrorLocation, value: ParamValue | list[ParamValue], param: Param
) -> tuple[str, ...]:
    if not isinstance(value, list):
        _check(place, value, param)
        return (yaml_word(value),)
    if not param.multiple:
        place.error(f'"{param.name}" takes one value, not a list.')
    for index, one in enumerate(value):
        _check(place / index, one, param)
    return tuple(yaml_word(one) for one in value)


def _check(place: ErrorLocation, value: ParamValue, param: Param) -> None:
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
    elif "{" in text:
        _warn_of_template(place, text)


def _warn_of_template(place: ErrorLocation, text: str) -> None:
    """Warn of "{month.start:date}", as a definition writes it: here it is a text like another."""
    try:
        compile_template(text)
    except ValueError:
        return
    place.warn(
        f"{describe(text)} goes to the vendor as it is: only definitions are filled with dates. "
        "Write the value, or leave the parameter out for its default."
    )


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


_LONGEST_NAME: Final = 128  # label values are cut there
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_USUAL_HTTP: Final = Http()
_Value = TypeVar("_Value")
_TAKEN: Final = frozenset(FAMILY["usage_account_info"].labels)


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
    resources: KnownResource,
    around: Surroundings,
) -> Target | None:
    """Compile a target. None when it cannot authenticate; good only if nothing was told."""
    _check_name(place / "name", text.name)
    given = target_params(place, text, definition)
    sources = connection.secret_sources(place / "credentials", text, definition, around.directory)
    digests, complete = connection.secret_digest(
        place / "credentials", sources, around.reader, required=around.secrets_required
    )
    if not complete:
        around.without_secret.add(text.name)
    auth = connection.choose_auth(place, definition, sources)
    url = connection.base_url(place, text, definition, given)
    its_pace = target_polling(place, text, definition, given, around.defaults)
    its_limits = target_limits(place, text, definition.name, resources)
    its_accounts = target_accounts(place, text, definition)
    _check_labels(place / "labels", text.labels)
    http = _http(place / "http", text, url, around)
    reserve = _reserve(place / "reserve", text, definition, around.defaults)
    if auth is None:
        return None
    return Target(
        name=text.name,
        definition=definition,
        base_url=url,
        auth=auth,
        params=around.same(given),
        credentials=sources,
        accounts=its_accounts,
        limits=around.same(its_limits),
        labels=around.same(text.labels),
        items=text.items,
        collectors=around.same(its_pace.intervals),
        poll_timeout=its_pace.timeout,
        stale_after=around.same(its_pace.stale_after),
        max_series=text.max_series or around.defaults.max_series,
        reserve=reserve,
        adaptive=around.defaults.adaptive
        if isinstance(text.adaptive, UnsetType)
        else text.adaptive,
        http=http,
        user_agent=around.defaults.user_agent,
        budget=connection.budget_key(
            text.name, connection.origin(url), definition.throttling.scope, auth, digests
        ),
    )


def _check_name(place: ErrorLocation, name: str) -> None:
    if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
        place.error(
            f"{describe(name)} cannot be a name. Write 1 to {_LONGEST_NAME} printable characters."
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


def _http(place: ErrorLocation, text: TargetText, url: str, around: Surroundings) -> Http:
    if isinstance(text.http, UnsetType):
        return _USUAL_HTTP
    return connection.http_settings(
        place, text.http, url, directory=around.directory, environ=around.environ
    )


def _reserve(
    place: ErrorLocation, text: TargetText, definition: Definition, defaults: PollingDefaults
) -> float:
    own = parsers.parse_share(place, text.reserve)
    if own is None:
        own = defaults.reserve
    return definition.throttling.reserve if own is None else own
