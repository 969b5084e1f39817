"""Limits from the configuration, where the API gives none."""

import functools
from typing import Final

import msgspec

from exporter.config.compile.rules import SPEND
from exporter.config.findings import Place
from exporter.config.settings import TargetText
from exporter.kernel.problems import did_you_mean, near_miss
from exporter.kernel.units import Kind, find_unit, is_currency, minor_factor, parse_amount
from exporter.model.definition import Definition, Resource
from exporter.model.sample import MEASURED
from exporter.model.target import Limit

_UNLIKELY: Final = frozenset({Kind.RATIO, Kind.MONEY})


class Known(msgspec.Struct, frozen=True):
    """The resources of a definition: what they count, where that is fixed."""

    kinds: dict[str, Kind | None]
    open: bool  # names come from the answers too
    spend: bool


def known(definition: Definition) -> Known:
    """Return what is known of the resources before any answer."""
    kinds: dict[str, Kind | None] = {}
    is_open = False
    for resource in definition.resources:
        kind = resource.unit.unit.kind if resource.unit.unit is not None else None
        names = _names(resource)
        is_open = is_open or (not _is_fixed(resource) and resource.only is None)
        kinds |= {name: kind if kinds.get(name, kind) is kind else None for name in names}
    spend = bool(definition.costs) or any(one.cost is not None for one in definition.items)
    return Known(kinds, is_open, spend)


def _is_fixed(resource: Resource) -> bool:
    return all(isinstance(part, str) for part in resource.name)


def _names(resource: Resource) -> frozenset[str]:
    if _is_fixed(resource):
        name = "".join(str(part) for part in resource.name)
        return frozenset({resource.rename.get(name, name)})
    return resource.only if resource.only is not None else resource.known


def limits(place: Place, text: TargetText, provider: str, resources: Known) -> dict[str, Limit]:
    """Return the limits of a target, in base units."""
    found = {}
    for name, amount in text.limits.items():
        at = place / "limits" / name
        if _is_known(at, name, provider, resources):
            limit = _spend(at, amount) if name == SPEND else _limit(at, name, amount, resources)
            if limit is not None:
                found[name] = limit
    return found


def _is_known(place: Place, name: str, provider: str, resources: Known) -> bool:
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


def _spend(place: Place, text: str | float) -> Limit | None:
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


def _say_no_currency(place: Place, code: str) -> None:
    try:
        minor_factor(code)
    except ValueError as error:
        place.error(str(error))


def _limit(place: Place, name: str, text: str | float, resources: Known) -> Limit | None:
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
