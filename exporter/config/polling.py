"""What of a target is polled, how often, how long a poll may take, when its values are too old.

A collector whose path needs a parameter that the target does not set is left out: GitHub's billing
is read only where an organization is named. Of the intervals the most specific that is written
wins: the target's for the collector, the target's, the definition's for the collector, the global
one, the definition's. None is shorter than the definition allows. All durations are seconds.
"""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from exporter.config.settings import CollectorSettingText, GlobalText, TargetText
from exporter.kernel.calendar import format_duration
from exporter.kernel.problems import ErrorLocation, did_you_mean
from exporter.model.definition import parsers
from exporter.model.definition.provider import Collector, Definition

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


def polling_defaults(place: ErrorLocation, text: GlobalText, user_agent: str) -> PollingDefaults:
    """Check the ``global`` section; `user_agent` is used where it names none."""
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


class Polling(msgspec.Struct, frozen=True, kw_only=True):
    """The interval and the age of each collector that is polled, and the deadline of a poll."""

    intervals: dict[str, float]
    stale_after: dict[str, float]
    timeout: float


def target_polling(
    place: ErrorLocation,
    text: TargetText,
    definition: Definition,
    given: Mapping[str, tuple[str, ...]],
    defaults: PollingDefaults,
) -> Polling:
    """Return how a target is polled that sets the parameters `given`."""
    for name in text.collectors.keys() - definition.collectors.keys():
        (place / "collectors" / name).key_error(
            f'{definition.name} has no collector "{name}".'
            f"{did_you_mean(name, definition.collectors)}"
        )
    intervals = {
        name: _interval(place, text, definition, collector, defaults)
        for name, collector in definition.collectors.items()
        if _is_polled(place / "collectors" / name, text, collector, definition, given)
    }
    if not intervals:
        (place / "collectors").error(
            f"Nothing is polled. Switch on one of {', '.join(sorted(definition.collectors))}."
        )
    shortest = min(intervals.values(), default=math.inf)
    return Polling(
        intervals=intervals,
        timeout=_timeout(place, text, defaults, shortest),
        stale_after=_stale_after(place, text, defaults, intervals),
    )


def _is_polled(
    place: ErrorLocation,
    text: TargetText,
    collector: Collector,
    definition: Definition,
    given: Mapping[str, tuple[str, ...]],
) -> bool:
    setting = text.collectors.get(collector.name)
    if setting is False or (setting is None and not collector.enabled):
        return False
    in_path = (name.partition("params.")[2] for name in collector.request.path.variables)
    missing = [
        name
        for name in sorted(in_path)
        if (param := definition.params.get(name)) is not None
        and not param.required  # told already, where it is missing
        and not any(given.get(name, ("default",) if param.default else ()))
    ]
    if missing and setting is not None:
        names = ", ".join(f'"{name}"' for name in missing)
        place.error(
            f'The collector "{collector.name}" needs the parameter {names}, which is not set. '
            "Set it under params."
        )
    return not missing


def _interval(
    place: ErrorLocation,
    text: TargetText,
    definition: Definition,
    collector: Collector,
    defaults: PollingDefaults,
) -> float:
    own = parsers.parse_positive_interval(place / "poll_interval", text.poll_interval)
    setting = text.collectors.get(collector.name)
    at: ErrorLocation | None = None  # where in the configuration the interval is written
    wanted: float | None
    if isinstance(setting, CollectorSettingText):
        at = place / "collectors" / collector.name / "poll_interval"
        wanted = parsers.parse_positive_interval(at, setting.poll_interval)
    elif own is not None:
        at, wanted = place / "poll_interval", own
    elif collector.interval is not None:
        wanted = collector.interval
    else:
        wanted = defaults.poll_interval
        at = None if wanted is None else defaults.place / "poll_interval"
    least = collector.min_interval
    if least is None:
        least = definition.min_interval
    if at is not None and wanted is not None and wanted < least:
        at.warn(
            f"{format_duration(wanted)} is shorter than {definition.name} allows for "
            f'"{collector.name}". It is polled every {format_duration(least)}; write that or more.'
        )
    return max(wanted or definition.interval, least)


def _timeout(
    place: ErrorLocation, text: TargetText, defaults: PollingDefaults, shortest: float
) -> float:
    own = parsers.parse_positive_interval(place / "poll_timeout", text.poll_timeout)
    seconds = defaults.poll_timeout if own is None else own
    if seconds is None:
        return min(_TIMEOUT, shortest)
    if seconds > shortest:
        if own is not None:
            at = place / "poll_timeout"
        elif text.poll_interval:
            at = place / "poll_interval"
        else:
            at = defaults.place / "poll_timeout"
        at.error(
            f"A poll may take {format_duration(seconds)} and comes every "
            f"{format_duration(shortest)}. Write a poll_timeout of at most the interval."
        )
    return seconds


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
