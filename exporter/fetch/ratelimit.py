"""The IETF's fields for rate limits: ``RateLimit`` and ``RateLimit-Policy``, drafts 06 to 10.

(ietf-wg-httpapi/ratelimit-headers; structured fields are RFC 9651.)

When to come again, and how much is left: the throttling headers of all vendors.

There is no standard that vendors keep. ``Retry-After`` comes as seconds, as a float, as any of
HTTP's dates, as ``2026-11-15 12:10:00 UTC`` and in a twin that counts milliseconds; resets come
as epoch seconds or milliseconds, as seconds from now, as dates and as Go durations; the IETF's
drafts have three forms. What cannot be read says nothing, and nothing here ever raises.

Instants are compared with the vendor's own clock, which nearly every answer shows (``Date``): ours
may be an hour off, and the wait is the vendor's.
"""

import contextlib
import functools
import math
import re
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from exporter.fetch.http import Lines
from exporter.kernel.calendar import parse_timestamp
from exporter.model.definition.ratelimit import RateLimitRules, ResetKind
from exporter.model.reading import RateLimit

_LONGEST = 1024  # letters of a header that are worth reading
_ITEM = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([A-Za-z*][\w:/*.-]*))\s*((?:;[^,;"]*)*)(?:,|$)')
_OLD_DRAFT = re.compile(r"\b(limit|remaining|reset)\s*=\s*(\d{1,15})\b", re.ASCII)
_PARAMETER = re.compile(r"\s*([a-z*][\w.*-]*)\s*=\s*(\d{1,15})\s*", re.ASCII)


class HeaderWindow(msgspec.Struct):
    """One limit of the API's: what its family of headers says."""

    limit: float | None = None
    remaining: float | None = None
    wait: float | None = None


def structured_windows(lines: Lines) -> dict[str, HeaderWindow]:
    """Return what the fields say, by the names of their items.

    Items that are malformed are passed over, as the draft demands. ``wait`` is in seconds.
    """
    windows: dict[str, HeaderWindow] = {}
    for text in (value for name, value in lines if name == "ratelimit"):
        old = dict(_OLD_DRAFT.findall(text[:_LONGEST]))
        if old:
            windows["old draft"] = HeaderWindow(**_floats(old, reset="wait"))
            continue
        for name, parameters in _items(text):
            values = _floats(parameters, r="remaining", t="wait")
            windows[name] = HeaderWindow(**values)
    if not windows:
        return windows
    for text in (value for name, value in lines if name == "ratelimit-policy"):
        for name, parameters in _items(text):
            if name in windows and "q" in parameters:
                windows[name].limit = float(parameters["q"])
    return windows


def _floats(texts: dict[str, str], **renamed: str) -> dict[str, float]:
    names = {"limit": "limit", "remaining": "remaining", **renamed}
    return {names[key]: float(text) for key, text in texts.items() if key in names}


def _items(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    text = text[:_LONGEST].strip()
    at = 0
    while at < len(text):
        found = _ITEM.match(text, at)
        if found is None:
            at = (text.find(",", at) + 1) or len(text)
            continue
        at = found.end()
        pairs = (_PARAMETER.fullmatch(part) for part in found[3].split(";"))
        yield found[1] or found[2] or "", {pair[1]: pair[2] for pair in pairs if pair}


_MANY_DIGITS = 16
_WAITS_LONGEST = 128  # letters of a header, and of its name, that are worth reading
_AGREE, _FARTHEST = 5.0, 43_200.0  # seconds by which the vendor's clock and ours may differ
_EPOCHS_FROM = 1e8  # three years as a wait, 1973 as an instant
_MILLISECONDS_FROM = 1e11
_NUMBER = re.compile(r"\+?(\d+(?:\.\d*)?(?:e\+?\d+)?)", re.ASCII | re.IGNORECASE)
_LEADING = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:[,;]|$)", re.ASCII)
_GO_DURATION = re.compile(
    r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII
)
_GO_UNITS = (3600.0, 60.0, 1.0, 0.001)


class _Role(StrEnum):
    LIMIT = "limit"
    REMAINING = "remaining"
    RESET = "reset"
    AGAIN = "again"  # a Retry-After under another name: seconds, whatever the reset kind


def retry_after(lines: Lines, now: float) -> float | None:
    """Return the seconds that ``Retry-After`` (or ``retry-after-ms``) asks for.

    Of several lines the longest wait counts. Negative and unreadable ones say nothing; an instant
    that has passed means 0. (RFC 9110 10.2.3; the millisecond form is OpenAI's and Stainless'.)
    """
    if not any(name.startswith(("retry-", "x-retry-")) for name, _ in lines):
        return None
    now = _their_clock(lines, now)
    exact = [_number(text) for text in _values(lines, "retry-after-ms")]
    milliseconds = max((number for number in exact if number is not None), default=None)
    if milliseconds is not None:
        return milliseconds / 1000
    texts = [*_values(lines, "retry-after"), *_values(lines, "x-retry-after")]
    return max((seconds for text in texts for seconds in _spans(text, now)), default=None)


def wait_of(lines: Lines, now: float, throttling: RateLimitRules) -> float | None:
    """Return the seconds until a throttled request may be repeated, None when nothing says so.

    ``Retry-After`` wins over everything; then the IETF's ``RateLimit`` items that are used up; then
    the latest reset of all families of headers that do not say that something is left.
    """
    asked = retry_after(lines, now)
    if asked is not None:
        return asked
    told = _telling(lines, throttling)
    used_up = [
        window.wait
        for window in structured_windows(told).values()
        if window.remaining == 0 and window.wait is not None
    ]
    if used_up:
        return max(used_up)
    windows = _windows(told, _their_clock(lines, now), throttling).values()
    waits = [window.wait for window in windows if window.wait is not None and not window.remaining]
    return max(waits, default=None)


def rate_limit_of(lines: Lines, now: float, throttling: RateLimitRules) -> RateLimit | None:
    """Return the API's own limit, what is left of it and when it resets; None if nothing says so.

    `now` and the reset are our time, whatever the vendor's clock shows.

    Where an answer tells of several limits, it is the one that allows the fewest requests until
    its reset.
    """
    telling = _telling(lines, throttling)
    if not telling:
        return None
    there = _their_clock(lines, now)
    windows = [
        *structured_windows(telling).values(),
        *_windows(telling, there, throttling).values(),
    ]
    told = [window for window in windows if (window.limit, window.remaining) != (None, None)]
    if not told:
        return None
    tight = max(told, key=_tightness)
    reset_at = None if tight.wait is None else now + tight.wait
    return RateLimit(limit=tight.limit, remaining=tight.remaining, reset_at=reset_at)


def _their_clock(lines: Lines, ours: float) -> float:
    """Return the time at the vendor's when it answered; ours where it does not show another.

    ``Date`` is RFC 9110 6.6.1; ``Age`` (RFC 9111 5.1) are the seconds that a cache has kept it. It
    is told in whole seconds, so that ours is better where both are right; and a clock that is days
    off is none.
    """
    shown = next(_values(lines, "date"), "")
    with contextlib.suppress(ValueError):
        instant = parse_timestamp(shown)
        if instant is not None:
            theirs = instant + (_number(next(_values(lines, "age"), "")) or 0.0)
            return theirs if _AGREE < abs(theirs - ours) < _FARTHEST else ours
    return ours


def _tightness(window: HeaderWindow) -> tuple[float, float]:
    """Return seconds per request, then (for those without a reset) how little is left."""
    if window.remaining is None:
        return -1.0, 0.0
    pace = (window.wait or 0.0) / window.remaining if window.remaining else math.inf
    return pace, window.wait or 0.0 if pace == math.inf else -window.remaining


def _values(lines: Lines, name: str) -> Iterator[str]:
    return (value for key, value in lines if key == name)


def _number(text: str) -> float | None:
    """Read a number that is not negative; None for everything else, infinity included."""
    if len(text) < _MANY_DIGITS and text.isascii() and text.isdigit():
        return float(text)
    found = _NUMBER.fullmatch(text.strip()) if len(text) <= _WAITS_LONGEST else None
    if found is None:
        return None
    number = float(found[1])
    return number if math.isfinite(number) else None


def _spans(text: str, now: float) -> Iterator[float]:
    """Read the waits in one ``Retry-After``; proxies fold repeated ones into ``20, 40``."""
    whole = _span(text, now)
    if whole is not None:
        yield whole
    elif "," in text:
        numbers = map(_number, text[:_WAITS_LONGEST].split(","))
        yield from (number for number in numbers if number is not None)


def _span(text: str, now: float) -> float | None:
    number = _number(text)
    if number is None:
        spelled = _go_duration(text)
        return _until(text, now) if spelled is None else spelled
    # Not RFC 9110, but some send the instant. Only one that lies ahead can be meant.
    ahead = number > _EPOCHS_FROM and 0 < number - now < _EPOCHS_FROM
    return number - now if ahead else number


def _until(value: str | float, now: float) -> float | None:
    """Return the seconds until an instant, 0 when it has passed, None when it is none."""
    try:
        instant = parse_timestamp(value.strip() if isinstance(value, str) else value)
    except ValueError:
        return None
    return None if instant is None else max(instant - now, 0.0)


def _reset(text: str, now: float, kind: ResetKind) -> float | None:
    """Return the seconds that a reset header means."""
    number = _number(text)
    if number is None:
        number = _go_duration(text)
        return _until(text, now) if number is None else number
    match kind:
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


def _go_duration(text: str) -> float | None:
    """Read ``6m0s``, ``1.2s`` or ``120ms``, as OpenAI's and Groq's resets are written."""
    found = _GO_DURATION.fullmatch(text.strip()) if len(text) <= _WAITS_LONGEST else None
    if found is None or not any(found.groups()):
        return None
    parts = zip(found.groups(), _GO_UNITS, strict=True)
    seconds = sum(float(part) * unit for part, unit in parts if part)
    return seconds if math.isfinite(seconds) else None


def _telling(lines: Lines, throttling: RateLimitRules) -> Lines:
    """Return the lines that may tell of a limit; of most answers there is none."""
    declared = throttling.limit_headers + throttling.remaining_headers + throttling.reset_headers
    return tuple(
        [
            line
            for line in lines
            if ("rate" in line[0] and len(line[0]) <= _WAITS_LONGEST) or line[0] in declared
        ]
    )


def _windows(lines: Lines, now: float, throttling: RateLimitRules) -> dict[str, HeaderWindow]:
    """Gather the headers by family, such as ``x-ratelimit`` and ``x-organization-ratelimit``."""
    windows: dict[str, HeaderWindow] = {}
    declared = throttling.limit_headers, throttling.remaining_headers, throttling.reset_headers
    for name, text in lines:
        found = _role(name, *declared)
        if found is None:
            continue
        role, family = found
        window = windows.setdefault(family, HeaderWindow())
        match role:
            case _Role.LIMIT:
                window.limit = _least(window.limit, _leading(text))
            case _Role.REMAINING:
                window.remaining = _least(window.remaining, _leading(text))
            case _Role.RESET:
                window.wait = _most(window.wait, _reset(text, now, throttling.reset_kind))
            case _Role.AGAIN:
                window.wait = _most(window.wait, _span(text, now))
    return windows


def _leading(text: str) -> float | None:
    """Read the number that a limit begins with: ``100;w=21600``, ``10, 10;w=1``."""
    number = _number(text)
    if number is not None:
        return number
    found = _LEADING.match(text[:_WAITS_LONGEST])
    return float(found[1]) if found else None


def _least(old: float | None, new: float | None) -> float | None:
    return new if old is None else old if new is None else min(old, new)


def _most(old: float | None, new: float | None) -> float | None:
    return new if old is None else old if new is None else max(old, new)


@functools.lru_cache(maxsize=1024)
def _role(
    name: str, limit: tuple[str, ...], remaining: tuple[str, ...], reset: tuple[str, ...]
) -> tuple[_Role, str] | None:
    """Tell role and family of a header; a role for which names are declared has only those."""
    usual = _classify(name)
    roles = ((_Role.LIMIT, limit), (_Role.REMAINING, remaining), (_Role.RESET, reset))
    for role, declared in roles:
        if name in declared:
            return role, usual[1] if usual else "declared"
        if declared and usual is not None and usual[0] is role:
            return None
    return usual


_ROLES = {
    "limit": _Role.LIMIT,
    "remaining": _Role.REMAINING,
    "reset": _Role.RESET,
    "next": _Role.RESET,
}
_FILLERS = frozenset({"after", "at", "ms", "timestamp", "epoch", "retry"})


def _classify(name: str) -> tuple[_Role, str] | None:
    """Tell role and family of a header by its name: ``x-ratelimit-remaining-tokens``."""
    words = re.sub(r"(?<![a-z])rate[-_]limit", "ratelimit", name).replace("_", "-").split("-")
    if "ratelimit" not in " ".join(words):
        return None
    family = "-".join(word for word in words if word not in _ROLES and word not in _FILLERS)
    if name.endswith("retry-after"):
        return _Role.AGAIN, family
    role = next((_ROLES[word] for word in words if word in _ROLES), None)
    return None if role is None else (role, family)
