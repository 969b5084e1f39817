"""Billing periods: from the answer, from what was asked, or from the calendar.

Each side is found by the first of these that is written. Periods are half open: the start belongs
to them, the end does not. ``mapping.period`` works them out for each row.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from exporter.kernel.calendar import Cycle
from exporter.kernel.jmes import Selector
from exporter.kernel.problems import ErrorLocation
from exporter.kernel.templates import Template
from exporter.model.definition import parsers
from exporter.model.definition.parsers import (
    CodeFormat,
    PathStr,
    ScalarField,
    Strict,
    TemplateScope,
    TemplateStr,
    describe_paths,
)
from exporter.model.definition.rows import ScopeNames
from exporter.model.definition.values import Instant, InstantField, compile_instant


class PeriodText(Strict, kw_only=True, frozen=True):
    """The billing period: from the answer, from what was asked, or from the calendar."""

    start: Annotated[InstantField | UnsetType, Meta(description="Its start, in the answer.")] = (
        UNSET
    )
    end: Annotated[InstantField | UnsetType, Meta(description="Its end, in the answer.")] = UNSET
    asked_start: Annotated[
        TemplateStr | UnsetType, Meta(description="The start that the request asked for.")
    ] = UNSET
    asked_end: Annotated[
        TemplateStr | UnsetType, Meta(description="The end that the request asked for.")
    ] = UNSET
    inclusive_end: Annotated[
        bool, Meta(description="The end is the last day or second, not the first after it.")
    ] = False
    cycle: Annotated[
        Literal["day", "week", "month", "year"] | UnsetType,
        Meta(description="The calendar's cycle, for a side that nothing else tells."),
    ] = UNSET
    anchor_day: Annotated[
        ScalarField | UnsetType, Meta(description="The day of the month on which a cycle starts.")
    ] = UNSET
    zone: Annotated[
        str | UnsetType, Meta(description="The calendar's zone, if not the definition's.")
    ] = UNSET


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """The billing period: from the answer, from what was asked, or from the calendar.

    Each side is the first of: the instant in the answer (``start``, ``end``), the text that the
    request carried (``asked_start``, ``asked_end``: a date or a time), and the calendar's
    ``cycle``, which also finds the other side where only one is known. An answer that should tell
    and does not leaves the period unknown. ``inclusive_end`` makes the end exclusive: a date by a
    day, a time by a second. ``anchor_day`` renders to 1..31.
    """

    start: Instant | None = None
    end: Instant | None = None
    asked_start: Template | None = None
    asked_end: Template | None = None
    inclusive_end: bool = False
    cycle: Cycle | None = None
    anchor_day: Template | None = None
    zone: str = "UTC"

    def describe(self, code: CodeFormat = str) -> str:
        """Say where the two sides come from."""
        answered = [describe_paths(one.paths, code) for one in (self.start, self.end) if one]
        asked = [code(one.text) for one in (self.asked_start, self.asked_end) if one]
        texts = [" to ".join(sides) for sides in (answered, asked) if sides]
        if self.cycle is not None and not (self.start and self.end):
            anchor = "" if self.anchor_day is None else f" from day {code(self.anchor_day.text)}"
            texts.append(f"{self.cycle}{anchor}, {self.zone}")
        return (", else " if answered and asked else ", ").join(texts)


class AskedRangeText(Strict, kw_only=True, frozen=True):
    """The dates that were asked for: a row of another date fails the poll."""

    rows: Annotated[PathStr, Meta(description="The rows, on each page.")]
    date: Annotated[PathStr, Meta(description="In a row: its date or time. None is not checked.")]
    start: Annotated[
        TemplateStr | UnsetType, Meta(description="The start that the request asked for.")
    ] = UNSET
    end: Annotated[
        TemplateStr | UnsetType, Meta(description="The end that the request asked for.")
    ] = UNSET
    inclusive_end: Annotated[
        bool, Meta(description="The end is the last day or second, not the first after it.")
    ] = False


class AskedRange(msgspec.Struct, frozen=True, kw_only=True):
    """The dates that were asked for. A side that the target does not ask for has no bound."""

    rows: Selector
    date: Selector
    start: Template | None = None
    end: Template | None = None
    inclusive_end: bool = False


def compile_asked_range(
    place: ErrorLocation, text: AskedRangeText | UnsetType, scope: TemplateScope
) -> AskedRange | None:
    """Compile the dates that a collector asks for."""
    if isinstance(text, UnsetType):
        return None
    if text.start is UNSET and text.end is UNSET:
        place.error("Nothing is asked for. Write start, end or both, as in the request.")
    return AskedRange(
        rows=parsers.parse_path(place / "rows", text.rows),
        date=parsers.parse_path(place / "date", text.date),
        start=parsers.parse_optional_template(place / "start", text.start, scope),
        end=parsers.parse_optional_template(place / "end", text.end, scope),
        inclusive_end=text.inclusive_end,
    )


_SIDES: Final = ("start", "end", "asked_start", "asked_end", "cycle")


_LAST_DAY: Final = 31


def compile_period(
    place: ErrorLocation,
    text: PeriodText | UnsetType,
    names: ScopeNames,
    zone: str,
    scope: TemplateScope,
) -> Period | None:
    """Compile where a billing period comes from; `zone` is the definition's."""
    if isinstance(text, UnsetType):
        return None
    if all(getattr(text, side) is UNSET for side in _SIDES) and place.whole:
        place.error(f"Nothing tells the period. Write one of {', '.join(_SIDES)}.")
    own = parsers.parse_zone(place / "zone", text.zone, zone)
    return Period(
        start=compile_instant(place / "start", text.start, names, own),
        end=compile_instant(place / "end", text.end, names, own),
        asked_start=parsers.parse_optional_template(place / "asked_start", text.asked_start, scope),
        asked_end=parsers.parse_optional_template(place / "asked_end", text.asked_end, scope),
        inclusive_end=text.inclusive_end,
        cycle=None if isinstance(text.cycle, UnsetType) else Cycle(text.cycle),
        anchor_day=_anchor_day(place, text, scope),
        zone=own,
    )


def _anchor_day(place: ErrorLocation, text: PeriodText, scope: TemplateScope) -> Template | None:
    if isinstance(text.anchor_day, UnsetType):
        return None
    at = place / "anchor_day"
    if text.cycle not in ("month", "year"):
        at.key_error('Only a cycle of months or years has an "anchor_day". Write cycle: month.')
    day = parsers.parse_template(at, text.anchor_day, scope)
    fixed = "{" not in day.text
    if fixed and not (day.text.isdecimal() and 1 <= int(day.text) <= _LAST_DAY):
        at.error(f'"{day.text}" is not a day of the month. Write 1 to 31, or "{{params.NAME}}".')
    return day
