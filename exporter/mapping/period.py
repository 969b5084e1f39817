"""The billing period of a row: from the answer, from the request, from the calendar.

`RequestVariables` are what the request asked for, as templates of the mapping see it. Four
decisions that a reader may look for:

- Both sides are rounded to whole seconds. Vendors compute reset times with a jitter of
  milliseconds, and a jitter is no new period.
- A period that does not start before it ends is dropped and noted, not a failure: the values are
  good without it.
- Where the answer tells the period and says nothing today, the calendar does not answer for it: it
  finds a side that is missing, and never both.
- A vendor that still names last month's period is believed: the values are those of that period,
  and the join notes it. Stretching the old period to today would be an invention.
"""

import functools
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from typing import NamedTuple, assert_never

from exporter.kernel.calendar import Cycle, Span, add_months, find_zone, format_rfc3339, span
from exporter.kernel.jmes import quoted
from exporter.kernel.secrets import clip
from exporter.kernel.templates import Clock, Template
from exporter.mapping.values import MappingError, epoch
from exporter.model.definition.period import AskedRange, Period
from exporter.model.definition.values import Instant
from exporter.model.reading import Note
from exporter.model.target import Target

_DAYS = frozenset(str(day) for day in range(1, 32))


class RequestVariables:
    """The variables of one payload's request. They are worked out when a template wants them.

    `at` must be the instant that the request was rendered for: a request sent just before midnight
    asked for the old month, whenever its answer came.
    """

    def __init__(self, target: Target, account: str, at: float) -> None:
        self.target = target
        self.account = account
        self.at = at

    @cached_property
    def values(self) -> Mapping[str, str]:
        """What the request's templates saw: parameters, their defaults, the account."""
        texts = self.target.values(self.target.clock(self.at)).texts
        return {**texts, "account.id": self.account} if self.account else texts

    def text(self, template: Template | None, zone: str = "UTC", anchor_day: int = 1) -> str | None:
        """Return what `template` says here; None where it needs what the target does not set."""
        if template is None:
            return None
        if template.variables or "{" in template.text:
            return template.render(self.values, Clock(self.at, find_zone(zone), anchor_day))
        return template.text

    def chose(self, template: Template | None) -> bool:
        """Tell whether the target's own parameters, not defaults or the date, make `template`."""
        names = () if template is None else template.variables
        return any(name.removeprefix("params.") in self.target.params for name in names)

    def anchor_day(self, template: Template | None) -> int | None:
        """Return the billing day, 1 to 31. Raises MappingError for anything else."""
        if template is None:
            return None
        text = template.render(self.values, Clock(self.at))
        if text is None:
            return None
        if text.strip() not in _DAYS:
            raise MappingError("", f'the anchor day is "{text}", not a day of the month: 1 to 31.')
        return int(text)


_zone = functools.lru_cache(maxsize=256)(find_zone)
_DATE = re.compile(r"\s*\d{4}-\d{2}-\d{2}\s*", re.ASCII)
_EARLIEST = 1e8  # 1973 as an instant, three years as seconds that are left
_MONTH = re.compile(r"\s*\d{4}-\d{2}\s*", re.ASCII)


class Billing(NamedTuple):
    """The period of a row. `closed`: the target chose one that was over when it asked."""

    period: Span | None
    closed: bool = False


class _Side(NamedTuple):
    epoch: float
    raw: object
    zone: tzinfo


NO_PERIOD = Billing(None)


def billing_period(
    rule: Period, view: object, asked: RequestVariables, *, seen: set[str], notes: list[Note]
) -> Billing:
    """Return the period that `rule` finds for the row `view`.

    Raises MappingError for a time in the answer that cannot be read. A side that nobody gives
    leaves the period unknown.
    """
    start = _answered(rule.start, view, seen) or _requested(rule, asked, "start", notes)
    wanted = _requested(rule, asked, "end", notes)
    try:
        period = _completed(rule, start, _answered(rule.end, view, seen) or wanted, asked)
        closed = wanted is not None and asked.chose(rule.asked_end) and _over(rule, wanted, asked)
    except (ValueError, OverflowError):  # the year 9999 has no next month
        notes.append(Note(reason="bad_period", detail="the period leaves the calendar."))
        return NO_PERIOD
    if period is not None and period.start >= period.end:
        notes.append(Note(reason="bad_period", detail=_backwards(period)))
        return NO_PERIOD
    return Billing(period, closed=closed and period is not None)


def instant_of(rule: Instant, view: object, seen: set[str]) -> float | None:
    """Return the epoch seconds of the first path that gives a time. Raises MappingError."""
    side = _answered(rule, view, seen)
    return None if side is None else side.epoch


def _answered(rule: Instant | None, view: object, seen: set[str]) -> _Side | None:
    if rule is None:
        return None
    zone = _zone(rule.zone)
    for path in rule.paths:
        found = path(view)
        when = epoch(found, path.text, zone)
        if when is not None:
            _refuse_duration(when, found, path.text)
            seen.add(path.text)
            return _Side(when, found, zone)
    return None


def _refuse_duration(when: float, found: object, path: str) -> None:
    """Raise MappingError for seconds that are left where an instant should be: 3600 is no date.

    Dates that are written as such may be as early as they like.
    """
    if when >= _EARLIEST:
        return
    if isinstance(found, int | float) or str(found).strip().replace(".", "", 1).isdigit():
        year = datetime.fromtimestamp(when, UTC).year
        detail = f"{quoted(found)} would be in {year}: these are seconds from now, and no instant."
        raise MappingError(path, detail)


def _requested(rule: Period, asked: RequestVariables, side: str, notes: list[Note]) -> _Side | None:
    template = rule.asked_start if side == "start" else rule.asked_end
    if template is None:
        return None
    text = asked.text(template, rule.zone, asked.anchor_day(rule.anchor_day) or 1)
    zone = _zone(rule.zone)
    try:
        when = epoch(text, template.text, zone)
    except MappingError:
        # A vendor's own relative form, such as "-30days": asked for, but not told when.
        detail = f'the asked {side} of the period, "{clip(text or "", 40)}", is no date.'
        notes.append(Note(reason="bad_period", detail=detail))
        return None
    return None if when is None else _Side(when, text, zone)


def check_dates(rule: AskedRange, documents: Sequence[object], asked: RequestVariables) -> None:
    """Raise MappingError for a row of a date that was not asked for.

    A vendor may ignore the range of a request, or a link to the next page may lose it: the rows
    of another month would be summed into this one. The row of a month bears its first day, also
    where the range starts within the month.
    """
    zone = _zone(asked.target.definition.zone)
    sides = [
        _bound(template, asked, zone, inclusive=is_end and rule.inclusive_end)
        for template, is_end in ((rule.start, False), (rule.end, True))
    ]
    start, end = sides
    if start is None and end is None:
        return
    months = None if start is None else span(Cycle.MONTH, start, zone=zone).start
    for document in documents:
        rows = rule.rows(document)
        for row in rows if isinstance(rows, list) else ():
            found = rule.date(row)
            when = epoch(found, rule.date.text, zone)
            if when is None:
                continue
            early = start is not None and when < start and when != months
            if early or (end is not None and when >= end):
                limits = [
                    f"{word} {format_rfc3339(side)}"
                    for word, side in (("from", start), ("before", end))
                    if side is not None
                ]
                raise MappingError(
                    f"{rule.rows.text} {rule.date.text}",
                    f"there is a row of {quoted(found)}, and what was asked for is "
                    f"{' and '.join(limits)}: the vendor ignored the dates, or a page lost them.",
                )


def _bound(
    template: Template | None, asked: RequestVariables, zone: tzinfo, *, inclusive: bool
) -> float | None:
    """Return a side of what was asked for; None where it is no date, or was not asked for."""
    if template is None:
        return None
    text = asked.text(template, asked.target.definition.zone)
    try:
        when = epoch(text, template.text, zone)
    except MappingError:  # a vendor's own relative form, such as "-30days"
        return None
    return None if when is None else _exclusive(_Side(when, text, zone), inclusive=inclusive)


def _exclusive(end: _Side, *, inclusive: bool) -> float:
    """Return the first second after the period."""
    if not inclusive:
        return float(math.floor(end.epoch + 0.5))
    if isinstance(end.raw, str):
        if _DATE.fullmatch(end.raw):
            # From the date and not from its first instant: some days do not begin at midnight.
            day = datetime.fromisoformat(end.raw.strip()) + timedelta(days=1)
            return day.replace(tzinfo=end.zone).timestamp()
        if _MONTH.fullmatch(end.raw):
            return add_months(end.epoch, 1, zone=end.zone)
    return math.floor(end.epoch) + 1.0  # 23:59:59 and 23:59:59.999 are both the last second


def _over(rule: Period, end: _Side, asked: RequestVariables) -> bool:
    return _exclusive(end, inclusive=rule.inclusive_end) <= asked.at


def _completed(
    rule: Period, start: _Side | None, end: _Side | None, asked: RequestVariables
) -> Span | None:
    first = None if start is None else float(math.floor(start.epoch + 0.5))
    last = None if end is None else _exclusive(end, inclusive=rule.inclusive_end)
    if first is not None and last is not None:
        return Span(first, last)
    answers = rule.start is not None or rule.end is not None
    if rule.cycle is None or (answers and first is None and last is None):
        return None
    zone = _zone(rule.zone)
    anchor = asked.anchor_day(rule.anchor_day)
    if first is not None:
        return Span(first, _moved(first, rule.cycle, 1, zone, anchor))
    if last is not None:
        return Span(_moved(last, rule.cycle, -1, zone, anchor), last)
    return span(rule.cycle, asked.at, zone=zone, anchor_day=anchor or 1)


def _moved(when: float, cycle: Cycle, by: int, zone: tzinfo, anchor: int | None) -> float:
    """Return `when` one cycle on or back, at the same time of the day in `zone`."""
    match cycle:
        case Cycle.DAY:
            return _add_days(when, by, zone)
        case Cycle.WEEK:
            return _add_days(when, 7 * by, zone)
        case Cycle.MONTH:
            return add_months(when, by, zone=zone, anchor_day=anchor)
        case Cycle.YEAR:
            return add_months(when, 12 * by, zone=zone, anchor_day=anchor)
        case _:
            assert_never(cycle)


def _add_days(when: float, days: int, zone: tzinfo) -> float:
    return (datetime.fromtimestamp(when, zone) + timedelta(days=days)).timestamp()


def _backwards(period: Span) -> str:
    start, end = format_rfc3339(period.start), format_rfc3339(period.end)
    return f"the period does not start ({start}) before it ends ({end})."


def rolled_over(periods: Sequence[Span | None], pages: Sequence[int]) -> tuple[float, float] | None:
    """Tell when one page's period ends and where another page's begins, if it is later.

    `pages` says which page each row is of. Where the rows of a page have periods of their own,
    such as days, nothing follows from that of another page.
    """
    of_pages: dict[int, Span] = {}
    for period, page in zip(periods, pages, strict=True):
        if period is not None and of_pages.setdefault(page, period) != period:
            return None
    spans = sorted(of_pages.values(), key=lambda one: one.start)
    for earlier, later in itertools.pairwise(spans):
        if earlier.end <= later.start:
            return earlier.end, later.start
    return None
