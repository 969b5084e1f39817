"""Durations as Prometheus writes them: ``30s``, ``5m``, ``1h30m``, ``250ms``.

The grammar, its order and the length of a year (365 days) are those of Prometheus'
``model.ParseDuration``, so that a duration means the same here and in an alerting rule.
"""

import math
import re

_MILLISECONDS = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_CALENDAR_UNITS = ("y", "w", "d")
_GRAMMAR = re.compile("".join(f"(?:([0-9]+){unit})?" for unit in _MILLISECONDS))
_MOST_LETTERS = 64
_LONGEST = 2**63 // 1_000_000  # Prometheus counts in int64 nanoseconds: 292 years


def parse_duration(text: str) -> float:
    """Return the seconds that `text` stands for.

    Raises ValueError with a sentence for the user when it is not a duration.
    """
    if text == "0":
        return 0.0
    match = _GRAMMAR.fullmatch(text)
    if match is None or not text or len(text) > _MOST_LETTERS:
        raise ValueError(
            f'"{text[:_MOST_LETTERS]}" is not a duration. '
            "Write a number and a unit: 30s, 5m, 1h30m."
        )
    counts = zip(match.groups(), _MILLISECONDS.values(), strict=True)
    total = sum(int(count) * size for count, size in counts if count)
    if total > _LONGEST:
        raise ValueError(f'"{text}" is too long for a duration. Write at most 292y.')
    return total / 1000


def format_duration(seconds: float) -> str:
    """Write `seconds` so that `parse_duration` reads it back, to the millisecond.

    Years, weeks and days are used only where they are exact: 36 hours is ``36h``. What is
    below half a millisecond is ``0s``; a negative span, which is no duration, has a minus.
    """
    if not math.isfinite(seconds):
        raise ValueError(f"{seconds} seconds cannot be written as a duration.")
    rest = round(abs(seconds) * 1000)
    if rest == 0:
        return "0s"
    parts = ["-"] if seconds < 0 else []
    for unit, size in _MILLISECONDS.items():
        if rest < size or (unit in _CALENDAR_UNITS and rest % size):
            continue
        count, rest = divmod(rest, size)
        parts.append(f"{count}{unit}")
    return "".join(parts)
