"""What of a target is polled, how often, how long a poll may take, when its values are too old.

A collector whose path needs a parameter that the target does not set is left out: GitHub's billing
is read only where an organization is named. Of the intervals the most specific that is written
wins: the target's for the collector, the target's, the definition's for the collector, the global
one, the definition's.
"""

import math
from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

from exporter.config.compile import leaves
from exporter.config.findings import Place
from exporter.config.settings import CollectorSettingText, GlobalText, TargetText
from exporter.kernel.durations import format_duration
from exporter.kernel.problems import did_you_mean
from exporter.model.definition import Collector, Definition

Given: TypeAlias = Mapping[str, tuple[str, ...]]
"""The parameters that a target sets, as `config.params` returns them."""

_TIMEOUT: Final = 30.0
_STALE_INTERVALS: Final = 3
_STALE_LEAST: Final = 3600.0


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """The ``global`` section: seconds and fractions, None where nothing is written."""

    place: Place
    poll_interval: float | None
    poll_timeout: float | None
    stale_after: float | None
    reserve: float | None
    max_series: int
    adaptive: bool
    user_agent: str


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: the interval and the age of each collector that is polled, and the deadline."""

    intervals: dict[str, float]
    stale_after: dict[str, float]
    timeout: float


def pace(
    place: Place, text: TargetText, definition: Definition, given: Given, defaults: Defaults
) -> Pace:
    """Return the pace of a target, which sets the parameters `given`."""
    _check_collectors(place / "collectors", text, definition)
    own = leaves.positive_duration(place / "poll_interval", text.poll_interval)
    found = {
        name: _interval(_written(place, text, collector, own, defaults), definition, collector)
        for name, collector in definition.collectors.items()
        if _is_polled(place / "collectors" / name, text, collector, definition, given)
    }
    if not found:
        (place / "collectors").error(
            f"Nothing is polled. Switch on one of {', '.join(sorted(definition.collectors))}."
        )
    return Pace(
        intervals=found,
        timeout=_timeout(place, text, defaults, min(found.values(), default=math.inf)),
        stale_after=_stale_after(place, text, defaults, found),
    )


def _is_polled(
    place: Place, text: TargetText, collector: Collector, definition: Definition, given: Given
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


def _missing(collector: Collector, definition: Definition, given: Given) -> list[str]:
    """Return the parameters in a collector's path that have no value; "" counts as none."""
    wanted = (variable.partition("params.")[2] for variable in collector.request.path.variables)
    return [
        name
        for name in sorted(wanted)
        if (param := definition.params.get(name)) is not None
        and not param.required  # told already, where it is missing
        and not any(given.get(name, ("default",) if param.default else ()))
    ]


def _check_collectors(place: Place, text: TargetText, definition: Definition) -> None:
    for name in text.collectors.keys() - definition.collectors.keys():
        (place / name).key_error(
            f'{definition.name} has no collector "{name}".'
            f"{did_you_mean(name, definition.collectors)}"
        )


def _interval(
    written: tuple[Place | None, float | None], definition: Definition, collector: Collector
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
    place: Place, text: TargetText, collector: Collector, own: float | None, defaults: Defaults
) -> tuple[Place | None, float | None]:
    """Return the interval that is written, and where, if it is in the configuration."""
    setting = text.collectors.get(collector.name)
    if isinstance(setting, CollectorSettingText):
        at = place / "collectors" / collector.name / "poll_interval"
        return at, leaves.positive_duration(at, setting.poll_interval)
    if own is not None:
        return place / "poll_interval", own
    if collector.interval is not None:
        return None, collector.interval
    if defaults.poll_interval is not None:
        return defaults.place / "poll_interval", defaults.poll_interval
    return None, None


def _timeout(place: Place, text: TargetText, defaults: Defaults, shortest: float) -> float:
    own = leaves.positive_duration(place / "poll_timeout", text.poll_timeout)
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


def _written_interval(place: Place, text: TargetText, defaults: Defaults) -> Place:
    return place / "poll_interval" if text.poll_interval else defaults.place / "poll_timeout"


def _stale_after(
    place: Place, text: TargetText, defaults: Defaults, intervals: dict[str, float]
) -> dict[str, float]:
    own = leaves.duration(place / "stale_after", text.stale_after)
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


def defaults_of(place: Place, text: GlobalText, user_agent: str) -> Defaults:
    """Check the ``global`` section."""
    own = text.user_agent or user_agent
    if not own.isprintable() or not own.isascii():
        (place / "user_agent").error("A user agent has printable ASCII characters only.")
    return Defaults(
        place=place,
        poll_interval=leaves.positive_duration(place / "poll_interval", text.poll_interval),
        poll_timeout=leaves.positive_duration(place / "poll_timeout", text.poll_timeout),
        stale_after=leaves.duration(place / "stale_after", text.stale_after),
        reserve=leaves.share(place / "reserve", text.reserve),
        max_series=text.max_series,
        adaptive=text.adaptive,
        user_agent=own,
    )
