"""Which values are numbers, which stand for "no limit", and which are times."""

import re
from collections.abc import Iterable

from exporter.kernel.calendar import parse_timestamp

_NUMBER = re.compile(r"\s*[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})\s*", re.ASCII)
_LARGEST = 1e24
_ENDLESS_WORDS = frozenset(
    {"unlimited", "infinite", "infinity", "unmetered", "no limit", "none", "∞"}
)
_ENDLESS = frozenset({-1.0, 2.0**31 - 1, 2.0**53 - 1, 2.0**63 - 1, 2.0**63, 2.0**64 - 1, 2.0**64})
_HUGE = 1e12  # more than anyone is allowed, but for bytes
_RECENT = 978_307_200.0  # 2001: a smaller number is no epoch
_LATE = 4_102_444_800.0  # 2100


def is_number(value: object) -> bool:
    """Tell whether the mapping would read a value as a number of sensible size."""
    match value:
        case bool():
            return False
        case int() | float():
            return -_LARGEST < value < _LARGEST
        case str():
            return _NUMBER.fullmatch(value) is not None
        case _:
            return False


def number(value: object) -> float:
    """Return a value for which `is_number` holds."""
    return float(value) if isinstance(value, int | float | str) else 0.0


def numbers(values: Iterable[object]) -> list[float]:
    """Return the numbers among some values."""
    return [number(value) for value in values if is_number(value)]


def is_column(values: Iterable[object], *, endless: bool = False) -> bool:
    """Tell whether there are numbers and nothing else; `endless` words for no limit count too."""
    given = [value for value in values if value is not None and value != ""]
    return bool(given) and all(is_number(one) or (endless and is_word(one)) for one in given)


def is_word(value: object) -> bool:
    """Tell whether a text says that there is no limit."""
    return isinstance(value, str) and value.strip().casefold() in _ENDLESS_WORDS


def sentinels(values: Iterable[object], *, in_bytes: bool) -> list[object]:
    """Return what stands for "no limit" among the values of a limit: -1, 1e12, "unlimited"."""
    found: dict[object, object] = {}
    for value in values:
        if is_word(value):
            word = str(value).strip()
            found.setdefault(word.casefold(), word)
        elif is_number(value) and _is_endless(number(value), in_bytes=in_bytes):
            found.setdefault(number(value), value if not isinstance(value, str) else number(value))
    return list(found.values())


def _is_endless(amount: float, *, in_bytes: bool) -> bool:
    if amount in _ENDLESS:
        return True
    digits = f"{amount:.0f}"
    is_round = digits.strip("0") in ("1", "9") or not digits.strip("9")
    return amount >= _HUGE and is_round and not in_bytes


def are_times(values: Iterable[object]) -> bool:
    """Tell whether there are instants and nothing else: texts, or epochs of this century."""
    given = [value for value in values if value is not None and value != ""]
    return bool(given) and all(map(_is_time, given))


def _is_time(value: object) -> bool:
    if isinstance(value, bool):
        return False
    try:
        epoch = parse_timestamp(value)
    except ValueError:
        return False
    if epoch is None:
        return False
    return not is_number(value) or _RECENT < epoch < _LATE
