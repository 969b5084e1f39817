"""What the headers of one answer say of the API's own limits: one reading, for all vendors.

There is no standard that vendors keep. ``Retry-After`` comes as seconds, as a float, as any of
HTTP's dates, as ``2026-11-15 12:10:00 UTC`` and in a twin that counts milliseconds; resets come
as epoch seconds or milliseconds, as seconds from now, as dates and as Go durations; the IETF's
fields ``RateLimit`` and ``RateLimit-Policy`` have three forms (drafts 06 to 10 of
ietf-wg-httpapi/ratelimit-headers; structured fields are RFC 9651). What cannot be read says
nothing, and nothing here ever raises.

Instants are compared with the vendor's own clock, which nearly every answer shows (``Date``): ours
may be an hour off, and the wait is the vendor's.
"""

import contextlib
import functools
import math
import re
from collections.abc import Callable, Iterator
from enum import StrEnum

import msgspec

from exporter.fetch.http import Lines
from exporter.kernel.calendar import parse_timestamp
from exporter.model.definition.ratelimit import RateLimitRules, ResetKind
from exporter.model.reading import RateLimit

_RETRY_AFTER = ("retry-after", "x-retry-after", "retry-after-ms")  # the last is OpenAI's
_LONGEST_NAME = 128  # letters of a header's name that is worth reading
_LONGEST_NUMBER = 128  # the same of a number
_LONGEST_FIELD = 1024  # the same of a structured field
_MANY_DIGITS = 16
_AGREE, _FARTHEST = 5.0, 43_200.0  # seconds by which the vendor's clock and ours may differ
_EPOCHS_FROM = 1e8  # three years as a wait, 1973 as an instant
_MILLISECONDS_FROM = 1e11
_NUMBER = re.compile(r"\+?(\d+(?:\.\d*)?(?:e\+?\d+)?)", re.ASCII | re.IGNORECASE)
_LEADING = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:[,;]|$)", re.ASCII)
_GO_DURATION = re.compile(
    r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII
)
_GO_UNITS = (3600.0, 60.0, 1.0, 0.001)


class RateLimitHeaders(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an answer says of the API's limits. Waits are seconds from the answer.

    ``rate`` is the limit that allows the fewest requests until its reset. ``retry_after`` is the
    longest ``Retry-After``: a floor, whatever the status. ``reset`` is the longest wait for a limit
    that is used up, or that does not say what is left; it counts where the request was throttled.
    """

    rate: RateLimit | None = None
    retry_after: float | None = None
    reset: float | None = None

    @property
    def wait(self) -> float | None:
        """Seconds until a throttled request may be repeated, None when nothing says so."""
        return self.reset if self.retry_after is None else self.retry_after


_SILENT = RateLimitHeaders()


def read_rate_limit(lines: Lines, now: float, rules: RateLimitRules) -> RateLimitHeaders:
    """Read all that the headers say of limits.

    `now` (epoch seconds) and ``rate.reset_at`` are our time, whatever the vendor's clock shows.
    """
    declared = rules.limit_headers + rules.remaining_headers + rules.reset_headers
    lines_of_limits = [
        line
        for line in lines
        if ("rate" in line[0] and len(line[0]) <= _LONGEST_NAME)
        or line[0] in declared
        or line[0] in _RETRY_AFTER
    ]
    if not lines_of_limits:
        return _SILENT
    there = _vendor_clock(lines, now)
    structured = _structured_windows(lines_of_limits)
    named = _named_windows(lines_of_limits, there, rules)
    waits = [one.wait for one in structured if one.wait is not None and one.remaining == 0] or [
        one.wait for one in named if one.wait is not None and not one.remaining
    ]
    known = [one for one in (*structured, *named) if (one.limit, one.remaining) != (None, None)]
    tightest = max(known, key=_tightness, default=None)
    rate = None
    if tightest is not None:
        reset_at = None if tightest.wait is None else now + tightest.wait
        rate = RateLimit(limit=tightest.limit, remaining=tightest.remaining, reset_at=reset_at)
    return RateLimitHeaders(
        rate=rate,
        retry_after=_retry_after(lines_of_limits, there),
        reset=max(waits, default=None),
    )


def _retry_after(lines: list[tuple[str, str]], now: float) -> float | None:
    """Return the longest wait of all ``Retry-After`` lines (RFC 9110 10.2.3).

    Milliseconds are exacter. Negative and unreadable ones say nothing; an instant that has passed
    means 0.
    """
    exact = [_number(text) for name, text in lines if name == "retry-after-ms"]
    waits = [number / 1000 for number in exact if number is not None]
    if not waits:
        for text in (text for name, text in lines if name in ("retry-after", "x-retry-after")):
            whole = _seconds(text, now)
            # Proxies fold repeated lines into ``20, 40``.
            folded = whole is None and "," in text
            parts = map(_number, text[:_LONGEST_NUMBER].split(",")) if folded else (whole,)
            waits += [wait for wait in parts if wait is not None]
    return max(waits, default=None)


def _vendor_clock(lines: Lines, ours: float) -> float:
    """Return the time at the vendor's when it answered; ours where it does not show another.

    ``Date`` is RFC 9110 6.6.1; ``Age`` (RFC 9111 5.1) are the seconds that a cache has kept it. It
    is told in whole seconds, so that ours is better where both are right; and a clock that is days
    off is none.
    """
    shown = next((value for name, value in lines if name == "date"), "")
    with contextlib.suppress(ValueError):
        instant = parse_timestamp(shown)
        if instant is not None:
            age = next((value for name, value in lines if name == "age"), "")
            theirs = instant + (_number(age) or 0.0)
            return theirs if _AGREE < abs(theirs - ours) < _FARTHEST else ours
    return ours


class _Window(msgspec.Struct):
    """One limit: requests allowed, requests left, seconds until it resets."""

    limit: float | None = None
    remaining: float | None = None
    wait: float | None = None


def _tightness(window: _Window) -> tuple[float, float]:
    """Return seconds per request, then (for those without a reset) how little is left."""
    if window.remaining is None:
        return -1.0, 0.0
    pace = (window.wait or 0.0) / window.remaining if window.remaining else math.inf
    return pace, window.wait or 0.0 if pace == math.inf else -window.remaining


# ------------------------------------------------------- headers whose names say what they mean


class _Role(StrEnum):
    LIMIT = "limit"
    REMAINING = "remaining"
    RESET = "reset"
    RETRY_AFTER = "retry-after"  # under another name: seconds, whatever the reset kind


def _named_windows(
    lines: list[tuple[str, str]], now: float, rules: RateLimitRules
) -> list[_Window]:
    """Gather the headers by family, such as ``x-ratelimit`` and ``x-organization-ratelimit``.

    Of repeated headers the strictest counts.
    """
    windows: dict[str, _Window] = {}
    for name, text in lines:
        found = _role(name, rules.limit_headers, rules.remaining_headers, rules.reset_headers)
        if found is None:
            continue
        role, family = found
        window = windows.setdefault(family, _Window())
        match role:
            case _Role.LIMIT:
                window.limit = _pick(min, window.limit, _leading_number(text))
            case _Role.REMAINING:
                window.remaining = _pick(min, window.remaining, _leading_number(text))
            case _Role.RESET:
                window.wait = _pick(max, window.wait, _seconds(text, now, rules.reset_kind))
            case _Role.RETRY_AFTER:
                window.wait = _pick(max, window.wait, _seconds(text, now))
    return list(windows.values())


def _pick(
    choose: Callable[[float, float], float], old: float | None, new: float | None
) -> float | None:
    return new if old is None else old if new is None else choose(old, new)


_ROLES = {
    "limit": _Role.LIMIT,
    "remaining": _Role.REMAINING,
    "reset": _Role.RESET,
    "next": _Role.RESET,
}
_FILLERS = frozenset({"after", "at", "ms", "timestamp", "epoch", "retry"})


@functools.lru_cache(maxsize=1024)
def _role(
    name: str, limit: tuple[str, ...], remaining: tuple[str, ...], reset: tuple[str, ...]
) -> tuple[_Role, str] | None:
    """Tell role and family of a header by its name: ``x-ratelimit-remaining-tokens``.

    A role for which names are declared has only those.
    """
    words = re.sub(r"(?<![a-z])rate[-_]limit", "ratelimit", name).replace("_", "-").split("-")
    family, usual = "declared", None
    if "ratelimit" in " ".join(words):
        usual = next((_ROLES[word] for word in words if word in _ROLES), None)
        if name.endswith("retry-after"):
            usual = _Role.RETRY_AFTER
        if usual is not None:
            family = "-".join(word for word in words if word not in _ROLES and word not in _FILLERS)
    for role, declared in (
        (_Role.LIMIT, limit),
        (_Role.REMAINING, remaining),
        (_Role.RESET, reset),
    ):
        if name in declared:
            return role, family
        if declared and usual is role:
            return None
    return None if usual is None else (usual, family)


# -------------------------------------------------------------------------------- the IETF's fields

_ITEM = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([A-Za-z*][\w:/*.-]*))\s*((?:;[^,;"]*)*)(?:,|$)')
_OLD_DRAFT = re.compile(r"\b(limit|remaining|reset)\s*=\s*(\d{1,15})\b", re.ASCII)
_PARAMETER = re.compile(r"\s*([a-z*][\w.*-]*)\s*=\s*(\d{1,15})\s*", re.ASCII)


def _structured_windows(lines: list[tuple[str, str]]) -> list[_Window]:
    """Read ``RateLimit``, and the limits in ``RateLimit-Policy`` of the items that it names.

    Items that are malformed are passed over, as the draft demands.
    """
    windows: dict[str, _Window] = {}
    for text in (value for name, value in lines if name == "ratelimit"):
        old = {name: float(value) for name, value in _OLD_DRAFT.findall(text[:_LONGEST_FIELD])}
        if old:
            windows["old draft"] = _Window(
                limit=old.get("limit"), remaining=old.get("remaining"), wait=old.get("reset")
            )
            continue
        for name, values in _items(text):
            windows[name] = _Window(remaining=values.get("r"), wait=values.get("t"))
    for text in (value for name, value in lines if name == "ratelimit-policy"):
        for name, values in _items(text):
            if name in windows and "q" in values:
                windows[name].limit = values["q"]
    return list(windows.values())


def _items(text: str) -> Iterator[tuple[str, dict[str, float]]]:
    text = text[:_LONGEST_FIELD].strip()
    at = 0
    while at < len(text):
        found = _ITEM.match(text, at)
        if found is None:
            at = (text.find(",", at) + 1) or len(text)
            continue
        at = found.end()
        pairs = (_PARAMETER.fullmatch(part) for part in found[3].split(";"))
        yield found[1] or found[2] or "", {pair[1]: float(pair[2]) for pair in pairs if pair}


# ----------------------------------------------------------------------------- numbers and instants


def _seconds(text: str, now: float, kind: ResetKind | None = None) -> float | None:
    """Read how long to wait: a number, a duration as Go writes it, or a date.

    What a number means, `kind` says. Without it (Retry-After) a number is seconds; some send the
    instant against RFC 9110, and only one that lies ahead can be meant.
    """
    number = _number(text)
    if number is None:
        duration = _go_duration(text)
        return _until(text.strip(), now) if duration is None else duration
    match kind:
        case None:
            ahead = number > _EPOCHS_FROM and 0 < number - now < _EPOCHS_FROM
            return number - now if ahead else number
        case ResetKind.DELTA:
            return number
        case ResetKind.EPOCH:
            return max(number - now, 0.0)
        case ResetKind.EPOCH_MS:
            return max(number / 1000 - now, 0.0)
        case ResetKind.AUTO | ResetKind.DATE:
            if number <= _EPOCHS_FROM:
                return number
            return max(number - now, 0.0) if number <= _MILLISECONDS_FROM else _until(number, now)


def _until(value: str | float, now: float) -> float | None:
    """Return the seconds until an instant, 0 when it has passed, None when it is none."""
    try:
        instant = parse_timestamp(value)
    except ValueError:
        return None
    return None if instant is None else max(instant - now, 0.0)


def _number(text: str) -> float | None:
    """Read a number that is not negative; None for everything else, infinity included."""
    if len(text) < _MANY_DIGITS and text.isascii() and text.isdigit():
        return float(text)
    found = _NUMBER.fullmatch(text.strip()) if len(text) <= _LONGEST_NUMBER else None
    number = float(found[1]) if found else math.inf
    return number if math.isfinite(number) else None


def _leading_number(text: str) -> float | None:
    """Read the number that a limit begins with: ``100;w=21600``, ``10, 10;w=1``."""
    number = _number(text)
    if number is not None:
        return number
    found = _LEADING.match(text[:_LONGEST_NUMBER])
    return float(found[1]) if found else None


def _go_duration(text: str) -> float | None:
    """Read ``6m0s``, ``1.2s`` or ``120ms``, as OpenAI's and Groq's resets are written."""
    found = _GO_DURATION.fullmatch(text.strip()) if len(text) <= _LONGEST_NUMBER else None
    if found is None or not any(found.groups()):
        return None
    parts = zip(found.groups(), _GO_UNITS, strict=True)
    seconds = sum(float(part) * unit for part, unit in parts if part)
    return seconds if math.isfinite(seconds) else None
