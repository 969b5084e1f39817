"""Billing periods."""

from typing import Final

from msgspec import UNSET, UnsetType

from exporter.config.compile import leaves
from exporter.config.compile.leaves import Scope
from exporter.config.compile.rows import Names
from exporter.config.compile.values import instant
from exporter.config.findings import Place
from exporter.config.grammar.rules import PeriodText
from exporter.kernel.cycles import Cycle
from exporter.kernel.templates import Template
from exporter.model.definition import Period

_SIDES: Final = ("start", "end", "asked_start", "asked_end", "cycle")
_LAST_DAY: Final = 31


def period(
    place: Place, text: PeriodText | UnsetType, names: Names, zone: str, scope: Scope
) -> Period | None:
    """Compile where a billing period comes from; `zone` is the definition's."""
    if isinstance(text, UnsetType):
        return None
    if all(getattr(text, side) is UNSET for side in _SIDES) and place.whole:
        place.error(f"Nothing tells the period. Write one of {', '.join(_SIDES)}.")
    own = leaves.zone(place / "zone", text.zone, zone)
    return Period(
        start=instant(place / "start", text.start, names, own),
        end=instant(place / "end", text.end, names, own),
        asked_start=_asked(place / "asked_start", text.asked_start, scope),
        asked_end=_asked(place / "asked_end", text.asked_end, scope),
        inclusive_end=text.inclusive_end,
        cycle=None if isinstance(text.cycle, UnsetType) else Cycle(text.cycle),
        anchor_day=_anchor_day(place, text, scope),
        zone=own,
    )


def _asked(place: Place, text: str | UnsetType, scope: Scope) -> Template | None:
    return None if isinstance(text, UnsetType) else leaves.template(place, text, scope)


def _anchor_day(place: Place, text: PeriodText, scope: Scope) -> Template | None:
    if isinstance(text.anchor_day, UnsetType):
        return None
    at = place / "anchor_day"
    if text.cycle not in ("month", "year"):
        at.key_error('Only a cycle of months or years has an "anchor_day". Write cycle: month.')
    day = leaves.template(at, text.anchor_day, scope)
    fixed = "{" not in day.text
    if fixed and not (day.text.isdecimal() and 1 <= int(day.text) <= _LAST_DAY):
        at.error(f'"{day.text}" is not a day of the month. Write 1 to 31, or "{{params.NAME}}".')
    return day
