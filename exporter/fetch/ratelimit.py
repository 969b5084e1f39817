"""What one answer says of the API's own limits: one reading, for all vendors.

There is no standard that vendors keep. ``Retry-After`` comes as seconds, as a float, as any of
HTTP's dates, as ``2026-11-15 12:10:00 UTC`` and in a twin that counts milliseconds; resets come
as epoch seconds or milliseconds, as seconds from now, as dates and as Go durations; the IETF's
fields ``RateLimit`` and ``RateLimit-Policy`` have three forms (drafts 06 to 10 of
ietf-wg-httpapi/ratelimit-headers; structured fields are RFC 9651); and one header may hold several
windows (``QueriesPerHour:597,QueriesPerMin:57``). Some refusals give the wait in their body alone.
What cannot be read says nothing, and nothing here ever raises.

Instants are compared with the vendor's own clock, which nearly every answer shows (``Date``): ours
may be an hour off, and the wait is the vendor's.
"""

import contextlib
import functools
import itertools
import math
import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial

import msgspec

from exporter.fetch.http import Lines
from exporter.kernel.calendar import parse_timestamp
from exporter.model.definition.ratelimit import RateLimitRules, ResetKind
from exporter.model.reading import RateLimit

_RETRY_AFTER = re.compile(r"(?:.*[-_])?retry[-_]after(?:[-_](ms|milliseconds|seconds))?")
_LONGEST_NAME = 128  # letters of a header's name that is worth reading
_LONGEST_NUMBER = 128  # the same of a number
_LONGEST_FIELD = 1024  # the same of a structured field
_MANY_DIGITS = 16
_MOST_WINDOWS = 32  # of one header
_LARGEST_NUMBER = 10**15
_AGREE, _FARTHEST = 5.0, 43_200.0  # seconds by which the vendor's clock and ours may differ
_EPOCHS_FROM = 1e8  # three years as a wait, 1973 as an instant
_MILLISECONDS_FROM = 1e11
_NUMBER = re.compile(r"\+?(\d+(?:\.\d*)?(?:e\+?\d+)?)", re.ASCII | re.IGNORECASE)
_UNITS = (
    (r"ms|msecs?|millis|milliseconds?", 0.001),
    (r"s|secs?|seconds?", 1.0),
    (r"m|mins?|minutes?", 60.0),
    (r"h|hrs?|hours?", 3600.0),
    (r"d|days?", 86_400.0),
)
_UNIT = "|".join(words for words, _ in _UNITS)
_AMOUNT = rf"(?:\d{{1,15}}(?:\.\d{{1,15}})?|\ban?\b|\bone\b)\s*(?:{_UNIT})(?![a-z])"
_DURATION_TEXT = rf"{_AMOUNT}(?:(?:\s*,\s*|\s+and\s+|\s*){_AMOUNT})*"
_DURATION = re.compile(_DURATION_TEXT, re.ASCII | re.IGNORECASE)
_AMOUNTS = re.compile(rf"([\d.]+|\b(?:an?|one)\b)\s*({_UNIT})(?![a-z])", re.ASCII | re.IGNORECASE)


class RateLimitHeaders(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an answer says of the API's limits. Waits are seconds from the answer.

    ``rate`` is the limit that allows the fewest requests until its reset. ``retry_after`` is the
    longest ``Retry-After``: a floor, whatever the status. ``reset`` is the longest wait for a limit
    that is used up, or that does not say what is left; it counts where the request was throttled.
    Families of headers that the definition does not declare count where they are used up.
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
        if (("rate" in line[0] or "retry" in line[0]) and len(line[0]) <= _LONGEST_NAME)
        or line[0] in declared
    ]
    if not lines_of_limits:
        return _SILENT
    there = vendor_clock(lines, now)
    windows = (
        *_structured_windows(lines_of_limits, there),
        *_named_windows(lines_of_limits, there, rules),
    )
    waits = [one.wait for one in windows if one.wait is not None and one.may_be_used_up]
    known = [
        one
        for one in windows
        if (one.limit, one.remaining) != (None, None)
        and (one.is_declared or (one.remaining == 0 and one.wait is not None))
    ]
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

    Vendors' own names for it (``retry-after-ms``, ``x-ms-ratelimit-…-retry-after``) are forms of
    it. Negative and unreadable ones say nothing; an instant that has passed means 0.
    """
    waits: list[float] = []
    for name, text in lines:
        form = _RETRY_AFTER.fullmatch(name)
        if form is not None:
            waits += _retry_waits(text[:_LONGEST_FIELD], now, form[1] or "")
    return max(waits, default=None)


def _retry_waits(text: str, now: float, unit: str) -> Iterator[float]:
    """Yield the waits of one line. Proxies fold repeated lines into ``20, 40``, dates included."""
    if unit.startswith("m"):
        numbers = map(_number, text.split(","))
        yield from (number / 1000 for number in numbers if number is not None)
        return
    whole = _seconds(text, now)
    if whole is not None or "," not in text:
        yield from () if whole is None else (whole,)
        return
    parts = text.split(",")[:_MOST_WINDOWS]
    for at, part in enumerate(parts):
        wait = _seconds(part, now)
        if wait is None:  # a date has a comma of its own: ``Sun, 15 Nov 2026 12:01:30 GMT``
            wait = _until(",".join(parts[at : at + 2]).strip(), now)
        if wait is not None:
            yield wait


def vendor_clock(lines: Lines, ours: float) -> float:
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
    """One limit: requests allowed, requests left, seconds until it resets.

    ``is_declared``: the definition names its headers, or names none. Of other limits, and of those
    whose field has a name for each of its numbers, only a 0 says that nothing is left.
    """

    limit: float | None = None
    remaining: float | None = None
    wait: float | None = None
    is_declared: bool = True
    needs_zero: bool = False

    @property
    def may_be_used_up(self) -> bool:
        """Whether a refusal may be for this limit."""
        return self.remaining == 0 or (self.remaining is None and not self.needs_zero)


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


class _Family:
    """The headers of one family, such as ``x-ratelimit`` and ``x-organization-ratelimit``.

    Numbers are kept by the role of their header and by the window that they are for: "" where a
    header has one number only. Of repeated numbers the strictest counts.
    """

    def __init__(self) -> None:
        self.numbers: dict[_Role, dict[str, float]] = {role: {} for role in _Role}
        self.is_declared = False
        self._lines: set[_Role] = set()

    def add(self, role: _Role, numbers: dict[str, float]) -> None:
        """Add what one line says."""
        if role in self._lines:  # which number belongs to which line of the others is not known
            numbers = _without_positions(role, numbers)
            self.numbers[role] = _without_positions(role, self.numbers[role])
        self._lines.add(role)
        mine = self.numbers[role]
        for window, number in numbers.items():
            mine[window] = _STRICTER[role](mine.get(window, number), number)

    def windows(self) -> Iterator[_Window]:
        """Yield the windows that the headers tell of."""
        left, resets = self.numbers[_Role.REMAINING], self.numbers[_Role.RESET]
        limits = self.numbers[_Role.LIMIT]
        if _positions(left) != _positions(resets):
            left = _without_positions(_Role.REMAINING, left)
            resets = _without_positions(_Role.RESET, resets)
        names = [name for name in {**left, **resets} if name]
        if _positions(limits) != _positions(left):
            limits = _without_positions(_Role.LIMIT, limits)
        common = limits.get("") if len(names) <= 1 else None
        if not names and common is None:  # ``10;w=60`` beside a plain ``remaining``
            common = next(iter(limits.values()), None)
        for name in names:
            yield _Window(
                limit=limits.get(name, common),
                remaining=left.get(name, left.get("")),
                wait=resets.get(name, resets.get("", _length(name))),
                is_declared=self.is_declared,
                needs_zero=not self.is_declared,
            )
        if not names or "" in left:
            yield _Window(
                limit=common,
                remaining=left.get(""),
                wait=resets.get(""),
                is_declared=self.is_declared,
                needs_zero=not self.is_declared,
            )


def _named_windows(
    lines: list[tuple[str, str]], now: float, rules: RateLimitRules
) -> list[_Window]:
    """Gather the headers by family, and the windows of each."""
    families: dict[str, _Family] = {}
    for name, text in lines:
        found = _role(name, rules.limit_headers, rules.remaining_headers, rules.reset_headers)
        if found is None:
            continue
        role, family, is_declared = found
        headers = families.setdefault(family, _Family())
        headers.is_declared |= is_declared and role is not _Role.RETRY_AFTER
        match role:
            case _Role.LIMIT | _Role.REMAINING:
                headers.add(role, _numbers(text, _number))
            case _Role.RESET:
                kind = rules.reset_kind if is_declared else ResetKind.AUTO
                headers.add(role, _numbers(text, partial(_seconds, now=now, kind=kind)))
            case _Role.RETRY_AFTER:
                form = _RETRY_AFTER.fullmatch(name)
                unit = form[1] if form is not None else None
                waits = _retry_waits(text[:_LONGEST_FIELD], now, unit or "")
                wait = max(waits, default=None)
                headers.add(_Role.RESET, {} if wait is None else {"": wait})
    return [window for family in families.values() for window in family.windows()]


_NAMED_NUMBER = re.compile(r"\s*\"?([a-z*][\w ./*-]{0,63})\"?\s*[:=](.*)", re.ASCII | re.IGNORECASE)
_LENGTH = re.compile(rf".*per[-_ ]?(\d{{0,6}})[-_ ]?({_UNIT})", re.ASCII | re.IGNORECASE)


def _numbers(text: str, read: Callable[[str], float | None]) -> dict[str, float]:
    """Read the numbers of a header by their window.

    One number is that of "", several are those of their positions: "#0", "#1". Others have names:
    ``QueriesPerHour:597,QueriesPerMin:57``, ``minute=3; hour=50``, ``3;w=60, 50;w=3600``.
    """
    whole = read(text)
    if whole is not None:
        return {"": whole}
    found: dict[str, float] = {}
    plain: list[float] = []
    for member in text[:_LONGEST_FIELD].split(",")[:_MOST_WINDOWS]:
        for name, number in _named_numbers(member.split(";")[:_MOST_WINDOWS], read):
            if name:
                found[name] = number
            else:
                plain.append(number)
    if len(plain) == 1:
        found[""] = plain[0]
    else:
        found |= {f"#{at}": number for at, number in enumerate(plain)}
    return found


def _named_numbers(
    parts: list[str], read: Callable[[str], float | None]
) -> Iterator[tuple[str, float]]:
    """Yield window and number of ``minute=3; hour=50``, of ``3;w=60`` or ``HighCostGet3Min;107``.

    The window is "" where there is none.
    """
    name, first = "", read(parts[0])
    if first is not None:
        named = map(_NAMED_NUMBER.fullmatch, parts[1:])
        lengths = (one[2].strip() for one in named if one and one[1].lower() in ("w", "window"))
        yield next((f"window {length}" for length in lengths), ""), first
        return
    for part in parts:
        number = read(part)
        named_number = _NAMED_NUMBER.fullmatch(part)
        if number is not None:
            yield name, number
            return
        if named_number is None:
            name = name or part.strip().strip('"').lower()
            continue
        number = read(named_number[2])
        if number is not None:
            yield named_number[1].strip().lower(), number


def _positions(numbers: dict[str, float]) -> int:
    return sum(name.startswith("#") for name in numbers)


def _without_positions(role: _Role, numbers: dict[str, float]) -> dict[str, float]:
    """Return the numbers with the strictest in place of those that have a position only."""
    kept = {name: number for name, number in numbers.items() if not name.startswith("#")}
    rest = [number for name, number in numbers.items() if name.startswith("#") or not name]
    return {**kept, "": _STRICTER[role](rest)} if rest else kept


def _length(window: str) -> float | None:
    """Return the seconds of a window by its name: 10 of ``QueriesPer10Sec``.

    Without a reset that is the longest it can take.
    """
    found = _LENGTH.fullmatch(window)
    return _duration(f"{found[1] or 1}{found[2]}") if found else None


_STRICTER: dict[_Role, Callable[..., float]] = {
    _Role.LIMIT: min,
    _Role.REMAINING: min,
    _Role.RESET: max,
    _Role.RETRY_AFTER: max,
}
_ROLES = {
    "limit": _Role.LIMIT,
    "remaining": _Role.REMAINING,
    "reset": _Role.RESET,
    "next": _Role.RESET,
}
_FILLERS = frozenset(
    {"after", "at", "ms", "milliseconds", "seconds", "timestamp", "epoch", "retry"}
)


@functools.lru_cache(maxsize=1024)
def _role(
    name: str, limit: tuple[str, ...], remaining: tuple[str, ...], reset: tuple[str, ...]
) -> tuple[_Role, str, bool] | None:
    """Tell role and family of a header by its name, and whether the definition means it.

    ``x-ratelimit-remaining-tokens`` has the role ``remaining``. Where names are declared for a role
    the others are not meant; of a declared family they are not even read.
    """
    usual, family = _usual_role(name)
    for role, declared in (
        (_Role.LIMIT, limit),
        (_Role.REMAINING, remaining),
        (_Role.RESET, reset),
    ):
        if name in declared:
            return role, family, True
        if declared and usual is role:
            is_known = any(_usual_role(other)[1] == family for other in declared)
            return None if is_known else (role, family, False)
    return None if usual is None else (usual, family, True)


def _usual_role(name: str) -> tuple[_Role | None, str]:
    words = _words(name)
    usual = None
    if "ratelimit" in " ".join(words):
        usual = next((_ROLES[word] for word in words if word in _ROLES), None)
        if _RETRY_AFTER.fullmatch(name):
            usual = _Role.RETRY_AFTER
    if usual is None:
        return None, "declared"
    return usual, "-".join(word for word in words if word not in _ROLES and word not in _FILLERS)


def _words(name: str) -> list[str]:
    return re.sub(r"(?<![a-z])rate[-_]limit", "ratelimit", name).replace("_", "-").split("-")


# ------------------------------------------------------------- fields that tell all in their value

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_MEMBER = re.compile(rf'((?:{_QUOTED}|[^,"])*)(?:,|$)')
_PART = re.compile(rf'(?:{_QUOTED}|[^;"])+')
_PARAMETER = re.compile(r"\s*([a-z*][\w.*-]{0,63})\s*[=:]\s*(.*?)\s*", re.ASCII | re.IGNORECASE)
_PARAMETERS = {
    "q": _Role.LIMIT,
    "limit": _Role.LIMIT,
    "r": _Role.REMAINING,
    "remaining": _Role.REMAINING,
    "t": _Role.RESET,
    "reset": _Role.RESET,
}


def _structured_windows(lines: list[tuple[str, str]], now: float) -> list[_Window]:
    """Read ``RateLimit`` and its like, such as ``X-Rate-Limit: remaining=0;reset=55``.

    The limits of the items that ``RateLimit`` names may stand in ``RateLimit-Policy``. Items that
    are malformed are passed over, as the draft demands.
    """
    policies = {
        label: numbers[_Role.LIMIT]
        for name, text in lines
        if name == "ratelimit-policy"
        for label, numbers in _items(text, now)
        if _Role.LIMIT in numbers
    }
    return [
        _Window(
            limit=numbers.get(_Role.LIMIT, policies.get(label)),
            remaining=numbers.get(_Role.REMAINING),
            wait=numbers.get(_Role.RESET),
            needs_zero=True,
        )
        for name, text in lines
        if _words(name)[-1] == "ratelimit"
        for label, numbers in _items(text, now)
    ]


def _items(text: str, now: float) -> Iterator[tuple[str, dict[_Role, float]]]:
    """Yield label and numbers of each item; those without a label are joined until one repeats."""
    text = text[:_LONGEST_FIELD].strip()
    unlabelled: dict[str, dict[_Role, float]] = {}
    at = 0
    while at < len(text):
        member = _MEMBER.match(text, at)
        if member is None:
            at = (text.find(",", at) + 1) or len(text)
            continue
        at = member.end()
        parts = _PART.findall(member[1])
        is_labelled = bool(parts) and _PARAMETER.fullmatch(parts[0]) is None
        label = parts[0].strip().strip('"') if is_labelled else ""
        groups: dict[str, dict[_Role, float]] = {} if is_labelled else unlabelled
        for part in parts[is_labelled:]:
            pair = _PARAMETER.fullmatch(part)
            role, window = _parameter(pair[1]) if pair else (None, "")
            if pair is None or role is None:
                continue
            number = _seconds(pair[2], now, ResetKind.AUTO) if role is _Role.RESET else None
            number = _number(pair[2]) if number is None else number
            if number is None:
                continue
            if role in groups.get(window, {}):
                yield label or window, groups.pop(window)
            groups.setdefault(window, {})[role] = number
        if is_labelled:
            yield from ((label, numbers) for numbers in groups.values())
    yield from unlabelled.items()


def _parameter(name: str) -> tuple[_Role | None, str]:
    """Tell the role of a parameter, and of which window it is: ``minute-remaining``."""
    words = re.split(r"[-_.]", re.sub(r"([a-z])([A-Z])", r"\1-\2", name).lower())
    role = next((_PARAMETERS[word] for word in words if word in _PARAMETERS), None)
    skipped = _PARAMETERS.keys() | _FILLERS
    return role, "-".join(word for word in words if word not in skipped)


# ----------------------------------------------------------------------------- numbers and instants


def _seconds(text: str, now: float, kind: ResetKind | None = None) -> float | None:
    """Read how long to wait: a number, a duration, or a date.

    What a number means, `kind` says. Without it (Retry-After) a number is seconds; some send the
    instant against RFC 9110, and only one that lies ahead can be meant.
    """
    number = _number(text)
    if number is None:
        duration = _duration(text)
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


def _duration(text: str) -> float | None:
    """Read ``6m0s``, ``1.2s``, ``120ms``, ``30 seconds``, ``1 minute and 30 seconds``."""
    if len(text) > _LONGEST_NUMBER or _DURATION.fullmatch(text.strip()) is None:
        return None
    seconds = 0.0
    for amount, unit in _AMOUNTS.findall(text):
        factor = next(one for words, one in _UNITS if re.fullmatch(words, unit.lower()))
        seconds += (1.0 if amount[0].isalpha() else float(amount)) * factor
    return seconds


# ------------------------------------------------------------------- waits that stand in the body

_FIELDS = re.compile(
    r"(?:retryafter|retryin|retrydelay|tryagainin)(ms|millis|milliseconds)?(?:s|secs?|seconds)?"
)
_MOST_VALUES_READ = 500
_LONGEST_TEXT, _LONGEST_TEXTS = 2048, 16_384  # characters of one text, and of all together
_SENTENCE = re.compile(
    r"\b(?:"
    r"(?:re-?)?try(?:ing)?(?:\s+(?:again|(?:your|this|the)\s+(?:request|call)))?[-\s]+(?:in|after)"
    r"|(?:available|resets?)(?:\s+again)?\s+in"
    r"|wait(?:\s+for)?"
    r")(?:\s+(?:at\s+least|another|about))?:?\s+"
    rf"({_DURATION_TEXT})"
    r"|\b(?:(?:re-?)?try(?:\s+again)?[-\s]+(?:after|at)|wait\s+until|resets?\s+at):?\s+"
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?\s?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))",
    re.ASCII | re.IGNORECASE,
)


def read_body_wait(document: object, text: str, now: float) -> float | None:
    """Return the longest wait that the body of a throttled answer asks for, in seconds.

    `document` is the decoded body, None where it is no JSON; then `text` is what it begins with.
    Only what cannot mean anything else counts: a field whose name says it (``retry_after``,
    ``retryDelay: 34s``), and a sentence that names what to do and a number with its unit ("Please
    try again in 20s"). `now` is the vendor's time in epoch seconds.
    """
    waits: list[float] = []
    texts = [text[:_LONGEST_TEXT]] if document is None else []
    queue: list[tuple[object, object]] = [("", document)]
    for key, value in queue:  # it grows: the values nearest to the top come first
        waits += _field_wait(key, value, now)
        room = _MOST_VALUES_READ - len(queue)
        if isinstance(value, str):
            texts.append(value[:_LONGEST_TEXT])
        elif isinstance(value, dict):
            queue += itertools.islice(value.items(), room)
        elif isinstance(value, list):
            queue += (("", inner) for inner in value[:room])
    whole = "\n".join(texts)[:_LONGEST_TEXTS]
    for sentence in _SENTENCE.finditer(whole):
        wait = _duration(sentence[1]) if sentence[1] else _until(sentence[2], now)
        waits += [] if wait is None else [wait]
    return max(waits, default=None)


def _field_wait(name: object, value: object, now: float) -> Iterator[float]:
    plain = re.sub(r"[^a-z]", "", name[:_LONGEST_NAME].lower()) if isinstance(name, str) else ""
    field = _FIELDS.fullmatch(plain)
    if field is None:
        return
    if isinstance(value, dict):  # how Protocol Buffers may write a duration
        value = value.get("seconds")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return
    if isinstance(value, int) and abs(value) >= _LARGEST_NUMBER:
        return
    text = str(value)
    number = _number(text)
    if field[1]:
        wait = _duration(text) if number is None else number / 1000
    else:
        wait = _seconds(text, now)
    if wait is not None:
        yield wait
