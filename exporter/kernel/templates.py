"""Texts with holes: ``/v1/{params.organization_id}/usage?start={month.start:date}``.

A closed language on purpose: variables, the dates that usage APIs ask for, an offset, a
format. No code, no strftime. A literal brace is doubled.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, NamedTuple, assert_never

import msgspec

from exporter.kernel.calendar import Cycle, format_rfc3339, parse_duration, span
from exporter.kernel.problems import did_you_mean, near_miss

_DAY_SECONDS = 86400


class Clock(msgspec.Struct, frozen=True, gc=False):
    """The instant (epoch seconds), zone and billing day that a template's dates refer to."""

    now: float
    zone: tzinfo = UTC
    anchor_day: int = 1


class _Stretch(NamedTuple):
    cycle: Cycle
    anchored: bool = False  # starts on the clock's anchor day
    back: int = 0


_STRETCHES = {
    "day": _Stretch(Cycle.DAY),
    "week": _Stretch(Cycle.WEEK),
    "month": _Stretch(Cycle.MONTH),
    "cycle": _Stretch(Cycle.MONTH, anchored=True),
    "year": _Stretch(Cycle.YEAR),
    "previous_month": _Stretch(Cycle.MONTH, back=1),
    "previous_cycle": _Stretch(Cycle.MONTH, anchored=True, back=1),
}
# `.end` is exclusive; `.last` is the last second before it, so that its date is the last day.
_EDGES = ("start", "end", "last")
DATE_WORDS: Final = (
    "now",
    "today",
    "yesterday",
    *(f"{stretch}.{edge}" for stretch in _STRETCHES for edge in _EDGES),
)

_FORMATS: dict[str, Callable[[datetime], str]] = {
    "date": lambda local: f"{local:%Y-%m-%d}",
    "datetime": lambda local: f"{local:%Y-%m-%dT%H:%M:%S}",
    "rfc3339": lambda local: format_rfc3339(int(local.timestamp())),
    "epoch": lambda local: str(int(local.timestamp())),
    "epoch_ms": lambda local: str(round(local.timestamp() * 1000)),
    "year": lambda local: str(local.year),
    "month": lambda local: str(local.month),
    "day": lambda local: str(local.day),
    "year_month": lambda local: f"{local:%Y-%m}",
    "date_hour": lambda local: f"{local:%Y-%m-%dT%H}",
}
FORMATS: Final = tuple(_FORMATS)
ROOTS: Final = ("params", "credentials", "account")  # of variables: "params.organization_id"
TOKEN: Final = "token"  # noqa: S105 - the name of a variable: what a log-in answered


class _Variable(msgspec.Struct, frozen=True):
    name: str


class _Moment(msgspec.Struct, frozen=True):
    word: str
    days: int  # civil days: "today-1d" is yesterday's midnight when the clocks change, too
    seconds: float
    form: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A compiled template; two of the same text are equal.

    `variables` are the names that `render` must be given, without the dates.
    """

    text: str
    variables: frozenset[str] = field(compare=False, repr=False)
    _parts: tuple[str | _Variable | _Moment, ...] = field(compare=False, repr=False)

    def render(self, values: Mapping[str, str], clock: Clock) -> str | None:
        """Fill the holes; None when a variable is not among `values`.

        None is how an optional part of a request says that it is to be left out.
        """
        if len(self._parts) == 1 and isinstance(hole := self._parts[0], _Variable):
            return values.get(hole.name)
        if not self.variables <= values.keys():
            return None
        return "".join(_render(part, values, clock) for part in self._parts)


class TemplateValues(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What templates may use: texts by name, and those parameters that have several values."""

    texts: Mapping[str, str]
    several: Mapping[str, tuple[str, ...]] = {}

    def with_texts(self, texts: Mapping[str, str]) -> "TemplateValues":
        """Return the values with more `texts`: ``account.id`` of a fan-out, credentials."""
        return TemplateValues(texts={**self.texts, **texts}, several=self.several)

    def render_each(self, templates: Iterable[Template], clock: Clock) -> list[str]:
        """Render each template, once for each value of a parameter that has several.

        A template that lacks a value gives no text.
        """
        found: list[str] = []
        for template in templates:
            several = next((name for name in self.several if name in template.variables), None)
            for one in self.several[several] if several else (None,):
                known = self.texts if one is None else {**self.texts, str(several): one}
                text = template.render(known, clock)
                if text is not None:
                    found.append(text)
        return found


def _render(part: str | _Variable | _Moment, values: Mapping[str, str], clock: Clock) -> str:
    match part:
        case str():
            return part
        case _Variable(name=name):
            return values[name]
        case _Moment():
            return _FORMATS[part.form](_moment(part, clock))
        case _:
            assert_never(part)


def _moment(moment: _Moment, clock: Clock) -> datetime:
    """Return the instant of `moment`, in the clock's zone."""
    instant = _instant(moment.word, clock)
    if moment.days:  # civil days: arithmetic on an aware datetime; it would lose a repeated hour
        local = datetime.fromtimestamp(instant, clock.zone)
        instant = (local + timedelta(days=moment.days)).timestamp()
    return datetime.fromtimestamp(instant + moment.seconds, clock.zone)


def _instant(word: str, clock: Clock) -> float:
    match word:
        case "now":
            return clock.now
        case "today":
            return span(Cycle.DAY, clock.now, zone=clock.zone).start
        case "yesterday":
            return span(Cycle.DAY, clock.now, zone=clock.zone, back=1).start
        case _:
            name, edge = word.split(".")
    stretch = _STRETCHES[name]
    anchor_day = clock.anchor_day if stretch.anchored else 1
    found = span(
        stretch.cycle, clock.now, zone=clock.zone, anchor_day=anchor_day, back=stretch.back
    )
    return {"start": found.start, "end": found.end, "last": found.end - 1}[edge]


_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_HOLE = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*)(?:([+-])([0-9a-z]+))?(?::([a-z0-9_]+))?")
_OFFSET = re.compile(r"((?:[0-9]+[ywd])*)(.*)")


@functools.lru_cache(maxsize=4096)
def compile_template(text: str) -> Template:
    """Compile `text`.

    Raises ValueError that names what is unknown, and what is known instead.
    """
    try:
        parts = tuple(_part(piece) for piece in _PIECE.finditer(text))
    except ValueError as error:
        raise ValueError(f'"{text}": {error}') from error
    variables = frozenset(part.name for part in parts if isinstance(part, _Variable))
    return Template(text=text, variables=variables, _parts=parts)


def _part(piece: re.Match[str]) -> str | _Variable | _Moment:
    text = piece.group()
    if text in ("{{", "}}"):
        return text[0]
    if text in ("{", "}"):
        raise ValueError(
            f'The "{text}" in column {piece.start() + 1} has no partner. '
            f'Write "{text * 2}" for the character itself.'
        )
    return text if piece[1] is None else _hole(piece[1])


def _hole(text: str) -> _Variable | _Moment:
    found = _HOLE.fullmatch(text)
    if found is None:
        raise ValueError(
            f'"{{{text}}}" is not a variable. Write {{name}}, {{name:format}} or '
            "{date+offset:format}: {params.organization_id}, {now-30d:date}."
        )
    name, sign, offset, form = found.groups()
    if name in DATE_WORDS:
        return _date(name, sign, offset, form)
    _check_variable(name)
    if offset is not None or form is not None:
        raise ValueError(f'"{name}" is not a date and takes no offset or format: {{{name}}}.')
    return _Variable(name)


def _date(word: str, sign: str | None, offset: str | None, form: str | None) -> _Moment:
    form = form or "rfc3339"
    if form not in _FORMATS:
        raise ValueError(f'There is no format "{form}".{did_you_mean(form, FORMATS)}')
    days, seconds = _split_offset(offset or "0")
    factor = -1 if sign == "-" else 1
    return _Moment(word, factor * days, factor * seconds, form)


def _split_offset(text: str) -> tuple[int, float]:
    """Return the civil days and the exact seconds of an offset such as ``30d`` or ``1d12h``."""
    parse_duration(text)  # the whole, so that its message names the whole
    found = _OFFSET.fullmatch(text)
    days, seconds = found.groups() if found else ("", text)
    return int(parse_duration(days or "0")) // _DAY_SECONDS, parse_duration(seconds or "0")


def _check_variable(name: str) -> None:
    root, *rest = name.split(".")
    if name == TOKEN or (root in ROOTS and len(rest) == 1 and rest[0]):
        return
    own = (f"{known}.{rest[0] if rest and rest[0] else 'NAME'}" for known in ROOTS)
    near = near_miss(name, (*DATE_WORDS, TOKEN, *own))
    roots = ", ".join(f"{known}.NAME" for known in ROOTS)
    hint = (
        f' Did you mean "{near}"?'
        if near
        else f" Known: {roots}, {TOKEN}, {', '.join(DATE_WORDS)}."
    )
    raise ValueError(f'"{name}" is unknown.{hint}')
