"""One number: found in a row, understood, converted to its base unit.

Vendors write numbers as numbers, as texts, with exponents, as words; unlimited as -1, null,
"unlimited" or a trillion. Whatever is not clearly a finite number is refused: a wrong guess would
be published as a fact.
"""

import functools
import re
from collections.abc import Sequence
from math import fsum, inf, isfinite
from typing import NamedTuple, TypeAlias

from exporter.kernel.secrets import clip
from exporter.kernel.select import Selector
from exporter.kernel.units import Unit, find_unit
from exporter.mapping.misfit import Misfit, told
from exporter.mapping.scope import Row
from exporter.model.definition import Missing, UnitRule, Value, Zero
from exporter.model.reading import Known, LimitFact, Unlimited

UNLIMITED = Unlimited()
Amount: TypeAlias = float | Unlimited
"""A number, or the vendor's word that there is no end to it."""

_NUMBERS = {int, float}
_LONGEST_WORD = 128  # characters of a unit
_LONGEST_TEXT = 1024
"""Characters of a text in which a number is looked for: patterns may take long for long texts."""
_clip = functools.lru_cache(maxsize=256)(functools.partial(clip, length=40))
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:[,'_\s]\d{3})+(?:[.,]\d*)?|\d+,\d+", re.ASCII)


class Measure(NamedTuple):
    """What one row's numbers are in: `word` is the vendor's own, for people."""

    unit: Unit
    word: str


def measure(rule: UnitRule, view: object, seen: set[str]) -> Measure:
    """Return the unit of a row. Raises Misfit for a word that the definition does not know."""
    if rule.unit is not None:
        return Measure(rule.unit, rule.unit.name)
    word = None if rule.path is None else rule.path(view)
    if rule.pattern is not None and isinstance(word, str):
        match = rule.pattern.search(word[:_LONGEST_TEXT])
        word = word if match is None else match[1 if rule.pattern.groups else 0] or ""
    unit = _unit(rule, word) or rule.otherwise
    path = "" if rule.path is None else rule.path.text
    if unit is None:
        known = ", ".join(sorted(rule.words)) or "none"
        raise Misfit(path, f"{told(word)} is not a unit of this definition. Known: {known}.")
    if word is not None:
        seen.add(path)
    return Measure(
        unit, _clip(word[:_LONGEST_WORD]) if isinstance(word, str) and word else unit.name
    )


def _unit(rule: UnitRule, word: object) -> Unit | None:
    if not isinstance(word, str) or len(word) > _LONGEST_WORD:  # it would be kept in the caches
        return None
    unit = rule.words.get(word)
    if unit is None and rule.kinds:
        common = _common(word)
        unit = common if common is not None and common.kind in rule.kinds else None
    return unit


@functools.lru_cache(maxsize=1024)
def _common(word: str) -> Unit | None:
    try:
        return find_unit(word)
    except ValueError:
        return None


def measures(rule: UnitRule, rows: Sequence[Row], seen: set[str]) -> list[Measure]:
    """Return the unit of each row. Raises Misfit where they are not of one kind."""
    if rule.unit is not None:
        return [Measure(rule.unit, rule.unit.name)] * len(rows)
    found = [measure(rule, row[0], seen) for row in rows]
    for other in found:
        agreed(found[0], other)
    return found


def agreed(one: Measure, other: Measure) -> None:
    """Raise Misfit where bytes meet requests in one series."""
    if one.unit.kind is not other.unit.kind:
        words = f"{one.unit.kind} ({one.word}) and {other.unit.kind} ({other.word})"
        raise Misfit("", f"one series cannot be measured in {words}.")


def amount(value: Value, view: object, seen: set[str]) -> Amount | None:
    """Return the number of a row as the vendor gives it, before its unit; None: nothing there.

    With `add` one missing part is treated as `missing` says, and where it says to skip there is
    no sum: a smaller sum would be a wrong sum.
    """
    if value.add:
        return _added(value, view, seen)
    for path in value.paths:
        found = path(view)
        if found is not None and found != "":
            seen.add(path.text)
            if (type(found) is int or type(found) is float) and not value.unlimited:
                return found  # the usual case; `converted` looks whether it is finite
            return _understood(value, found, path)
    return _absent(value)


def plain_amounts(
    value: Value, rows: Sequence[Row], units: Sequence[Measure], seen: set[str]
) -> list[float] | None:
    """Return what `amount` and `converted` give for many rows, all at once.

    None where that is not possible: each row then has to be looked at by itself. Most answers have
    a plain number in each row, under one key.
    """
    path = value.paths[0]
    if path.plain is None or len(value.paths) > 1 or value.add or value.unlimited:
        return None
    found = [path(view) for view, _ in rows]
    factor = units[0].unit.factor
    if not _NUMBERS.issuperset(map(type, found)) or len({id(one) for one in units}) > 1:
        return None
    try:
        numbers = [number * factor + 0.0 for number in found]  # type: ignore[operator]
    except OverflowError:
        return None
    if not all(map(isfinite, numbers)):
        return None
    seen.add(path.text)
    return numbers


def first(paths: tuple[Selector, ...], view: object, seen: set[str]) -> object:
    """Return what the first path that gives something gives; None where none does."""
    for path in paths:
        found = path(view)
        if found is not None:
            seen.add(path.text)
            return found
    return None


def converted(found: Amount | None, factor: float) -> Amount | None:
    """Return the number in its base unit. Raises Misfit where that is not finite."""
    if found is None or isinstance(found, Unlimited):
        return found
    try:
        number = found * factor + 0.0  # -0.0 + 0.0 is 0.0
    except OverflowError:  # an integer of more than 308 digits
        number = inf
    if not isfinite(number):
        raise Misfit("", f"{told(found)} is not finite, or not in its base unit.")
    return number


def limit_fact(found: Amount | None, zero: Zero) -> LimitFact | None:
    """Return what a limit means. Unlimited, unknown (None) and zero are three things."""
    if found is None or isinstance(found, Unlimited):
        return found
    if found == 0 and zero is not Zero.LIMIT:
        return UNLIMITED if zero is Zero.UNLIMITED else None
    return Known(found)


def _added(value: Value, view: object, seen: set[str]) -> Amount | None:
    parts: list[float] = []
    for path in value.paths:
        found = path(view)
        if found is None or found == "":
            part = _absent(value)
        else:
            seen.add(path.text)
            part = _understood(value, found, path)
        if part is None or isinstance(part, Unlimited):
            return part
        parts.append(part)
    return total(parts)


def total(numbers: Sequence[float]) -> float:
    """Return the exact sum. Raises Misfit where it leaves the floats."""
    try:
        return fsum(numbers)
    except OverflowError as error:
        raise Misfit("", "the sum is not a finite number.") from error


def _absent(value: Value) -> Amount | None:
    if None in value.unlimited:
        return UNLIMITED
    match value.missing:
        case Missing.SKIP:
            return None
        case Missing.ZERO:
            return 0.0
        case Missing.FAIL:
            texts = " or ".join(path.text for path in value.paths)
            raise Misfit(texts, "there is nothing here, and the definition says `missing: fail`.")


def _understood(value: Value, found: object, path: Selector) -> Amount:
    if type(found) is int or type(found) is float:
        number = _finite(found, path)
    else:
        if value.unlimited and _is_word_for_unlimited(value, found):
            return UNLIMITED
        if isinstance(found, str) and value.pattern is not None:
            found = _captured(value.pattern, found, path)
        number = _number(value, found, path)
        if isinstance(found, bool):  # true is 1 here, but no sentinel that says 1
            return number
    if value.unlimited and _is_number_for_unlimited(value, number):
        return UNLIMITED
    return number


def _captured(pattern: re.Pattern[str], text: str, path: Selector) -> str:
    match = pattern.search(text[:_LONGEST_TEXT])
    part = None if match is None else match[1 if pattern.groups else 0]
    if part is None:
        raise Misfit(path.text, f"{told(text)} does not match the regex {pattern.pattern}.")
    return part


def _is_word_for_unlimited(value: Value, found: object) -> bool:
    if isinstance(found, bool):
        return any(mark is found for mark in value.unlimited)
    if not isinstance(found, str):
        return False
    word = found.strip().casefold()
    return any(isinstance(mark, str) and mark.casefold() == word for mark in value.unlimited)


def _is_number_for_unlimited(value: Value, number: float) -> bool:
    """By value: the integer 1000000000000 is 1e12, and the text "-1" is -1."""
    for mark in value.unlimited:
        if (type(mark) is float or type(mark) is int) and float(mark) == number:
            return True
    return False


def _number(value: Value, found: object, path: Selector) -> float:
    match found:
        case str():
            text = found.strip()
            number = _from_words(value, text)
            return _from_text(text, value, path) if number is None else number
        case bool() if value.words:
            number = _from_words(value, "true" if found else "false")
            return float(found) if number is None else number
        case _:
            raise Misfit(path.text, f"found {told(found)} in the place of a number.")


def _from_words(value: Value, word: str) -> float | None:
    if not value.words:
        return None
    if word in value.words:
        return value.words[word]
    folded = word[:_LONGEST_TEXT].casefold()
    return next((number for text, number in value.words.items() if text.casefold() == folded), None)


def _from_text(text: str, value: Value, path: Selector) -> float:
    is_short = len(text) <= _LONGEST_TEXT
    if is_short and _NUMBER.fullmatch(text):
        return _finite(float(text), path)
    if is_short and _GROUPED.fullmatch(text):
        raise Misfit(
            path.text,
            f"{told(text)} has separators of thousands or a decimal comma; nobody can tell which.",
        )
    known = f" Known words: {', '.join(sorted(value.words))}." if value.words else ""
    raise Misfit(path.text, f"{told(text)} is not a finite number.{known}")


def _finite(number: float, path: Selector) -> float:
    try:
        finite = float(number)
    except OverflowError:  # an integer of more than 308 digits
        finite = inf
    if not isfinite(finite):
        raise Misfit(path.text, f"{told(number)} is not a finite number.")
    return finite
