"""Single values of an answer: numbers, units, labels, names, times; and many rows to one number.

Vendors write numbers as numbers, as texts, with exponents, as words; unlimited as -1, null,
"unlimited" or a trillion. Whatever is not clearly a finite number is refused: a wrong guess would
be published as a fact. `seen` collects the paths that gave something. Texts that become labels are
cleaned and cut, those that become names are snake-cased. The same few units, names and times come
with every poll: they are kept in bounded caches.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, tzinfo
from math import fsum, inf, isfinite
from typing import NamedTuple, TypeAlias

from exporter.kernel.calendar import parse_timestamp
from exporter.kernel.jmes import Selector, number_text, quoted
from exporter.kernel.override import override
from exporter.kernel.secrets import clip
from exporter.kernel.units import Unit, find_unit, snake
from exporter.model.definition.rows import NameParts, Row, RowsError
from exporter.model.definition.values import How, Missing, Reduce, UnitRule, Value, Zero
from exporter.model.reading import Known, LimitFact, Note, Unlimited


class MappingError(RowsError):
    """The answer does not fit the definition. `read_payload` turns it into a failure of the poll.

    `place` is the rule and the role, added by the caller that knows them.
    """

    def __init__(self, path: str, what: str) -> None:
        super().__init__(path, what)
        self.place = ""

    def at(self, place: str) -> "MappingError":
        """Put `place` in front of what is known of the place already."""
        self.place = f"{place}.{self.place}" if self.place else place
        return self

    @override
    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, super().__str__()) if part)


UNLIMITED = Unlimited()
Amount: TypeAlias = float | Unlimited
"""A number, or the vendor's word that there is no end to it."""
_NUMBERS = {int, float}
_LONGEST_WORD = 128  # characters of a unit
_LONGEST_TEXT = 1024
"""Characters of a text in which a number is looked for: patterns may take long for long texts."""
_NOTHING = frozenset({"-", "--", "---", "\u2013", "\u2014", "n/a", "n.a.", "na", "#n/a", "null"})
"""Texts in the place of a number that say that there is none; the longer dashes too."""
_clip = functools.lru_cache(maxsize=256)(functools.partial(clip, length=40))
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:[,'_\s]\d{3})+(?:[.,]\d*)?|\d+,\d+", re.ASCII)


class Measure(NamedTuple):
    """What one row's numbers are in: `word` is the vendor's own, for people."""

    unit: Unit
    word: str


def measure(rule: UnitRule, view: object, seen: set[str]) -> Measure:
    """Return the unit of a row. Raises MappingError for a word that the definition has not."""
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
        raise MappingError(
            path, f"{quoted(word)} is not a unit of this definition. Known: {known}."
        )
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
    """Return the unit of each row. Raises MappingError where they are not of one kind."""
    if rule.unit is not None:
        return [Measure(rule.unit, rule.unit.name)] * len(rows)
    found = [measure(rule, row[0], seen) for row in rows]
    for other in found:
        agreed(found[0], other)
    return found


def agreed(one: Measure, other: Measure) -> None:
    """Raise MappingError where bytes meet requests in one series."""
    if one.unit.kind is not other.unit.kind:
        words = f"{one.unit.kind} ({one.word}) and {other.unit.kind} ({other.word})"
        raise MappingError("", f"one series cannot be measured in {words}.")


def amount_of(
    value: Value, view: object, seen: set[str], notes: list[Note] | None = None
) -> Amount | None:
    """Return the number of a row as the vendor gives it, before its unit; None: nothing there.

    With `add` one missing part is treated as `missing` says, and where it says to skip there is
    no sum: a smaller sum would be a wrong sum. A dash or "N/A" says that there is nothing, and is
    noted, unless the definition gives it a meaning.
    """
    if value.add:
        return _added(value, view, seen)
    for path in value.paths:
        found = path(view)
        if found is not None and found != "":
            seen.add(path.text)
            if type(found) is str and _says_nothing(value, found):
                if notes is not None:
                    detail = f"{path.text}: {quoted(found)} is taken for no value."
                    notes.append(Note(reason="no_value", detail=detail))
                continue
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


def first_found(paths: tuple[Selector, ...], view: object, seen: set[str]) -> object:
    """Return what the first path that gives something gives; None where none does."""
    for path in paths:
        found = path(view)
        if found is not None:
            seen.add(path.text)
            return found
    return None


def converted(found: Amount | None, factor: float) -> Amount | None:
    """Return the number in its base unit. Raises MappingError where that is not finite."""
    if found is None or isinstance(found, Unlimited):
        return found
    try:
        number = found * factor + 0.0  # -0.0 + 0.0 is 0.0
    except OverflowError:  # an integer of more than 308 digits
        number = inf
    if not isfinite(number):
        raise MappingError("", f"{quoted(found)} is not finite, or not in its base unit.")
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
    return total_of(parts)


def total_of(numbers: Sequence[float]) -> float:
    """Return the exact sum. Raises MappingError where it leaves the floats."""
    try:
        return fsum(numbers)
    except OverflowError as error:
        raise MappingError("", "the sum is not a finite number.") from error


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
            raise MappingError(
                texts, "there is nothing here, and the definition says `missing: fail`."
            )


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


def _says_nothing(value: Value, text: str) -> bool:
    word = text.strip() if len(text) <= _LONGEST_WORD else text
    if word.casefold() not in _NOTHING or _is_word_for_unlimited(value, word):
        return False
    return _from_words(value, word) is None and value.pattern is None


def _captured(pattern: re.Pattern[str], text: str, path: Selector) -> str:
    match = pattern.search(text[:_LONGEST_TEXT])
    part = None if match is None else match[1 if pattern.groups else 0]
    if part is None:
        raise MappingError(path.text, f"{quoted(text)} does not match the regex {pattern.pattern}.")
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
            raise MappingError(path.text, f"found {quoted(found)} in the place of a number.")


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
        raise MappingError(
            path.text,
            f"{quoted(text)} has separators of thousands or a decimal comma; "
            "nobody can tell which.",
        )
    known = f" Known words: {', '.join(sorted(value.words))}." if value.words else ""
    raise MappingError(path.text, f"{quoted(text)} is not a finite number.{known}")


def _finite(number: float, path: Selector) -> float:
    try:
        finite = float(number)
    except OverflowError:  # an integer of more than 308 digits
        finite = inf
    if not isfinite(finite):
        raise MappingError(path.text, f"{quoted(number)} is not a finite number.")
    return finite


_snake = functools.lru_cache(maxsize=4096)(snake)  # the same names come with every poll
MAX_LABEL = 128
"""Characters of a label value; the rest is cut and noted."""


def clean_label(found: object, path: str) -> tuple[str, bool]:
    """Return the text of a label, and whether it had to be cut. Null is "".

    Control characters become blanks and halves of surrogate pairs ``�``: what stands in a label
    can never break a line of the exposition. Raises MappingError for a map or a list.
    """
    text = _text(found)
    if text is None:
        raise MappingError(path, f"found {quoted(found)} in the place of a text.")
    cut = len(text) > MAX_LABEL
    if cut:
        text = text[:MAX_LABEL]
    if text.isprintable():
        return text, cut
    return "".join(_printable(letter) for letter in text), cut


def label_at(paths: tuple[Selector, ...], view: object, seen: set[str]) -> tuple[str, bool]:
    """Return the label at the first of `paths` that gives something; "" where none does."""
    return clean_label(first_found(paths, view, seen), paths[0].text if paths else "")


class UnnamedError(MappingError):
    """A row whose name is empty."""


def resource_name(parts: NameParts, view: object, seen: set[str]) -> str:
    """Return the snake-cased name of a row.

    Raises UnnamedError where a part is not there, MappingError where it is no text.
    """
    if len(parts) == 1 and isinstance(parts[0], str):
        return _snake(parts[0])
    return _snake("".join(_part(part, view, seen) for part in parts)[:MAX_LABEL])


def fixed(parts: NameParts) -> bool:
    """Tell whether a name is the same for every row."""
    return (len(parts) == 1 and isinstance(parts[0], str)) or all(
        isinstance(part, str) for part in parts
    )


def _part(part: str | Selector, view: object, seen: set[str]) -> str:
    if isinstance(part, str):
        return part
    text = _text(part(view))
    if not text or not text.strip():
        refused = MappingError if text is None else UnnamedError
        raise refused(part.text, f"found {quoted(part(view))} in the place of a resource's name.")
    seen.add(part.text)
    return text


def _text(found: object) -> str | None:
    match found:
        case None:
            return ""
        case str():
            return found
        case bool():
            return "true" if found else "false"
        case int() | float():
            return number_text(found)
        case _:
            return None


def _printable(letter: str) -> str:
    if letter.isprintable():
        return letter
    code = ord(letter)
    if 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004 - the surrogates of UTF-16
        return "�"
    # C0, DEL and C1, the line and paragraph separators; other unprintables harm nobody.
    return " " if code < 0xA0 or code in (0x2028, 0x2029) else letter  # noqa: PLR2004


def reduced(
    rule: Reduce | None,
    rows: Sequence[Row],
    amounts: Sequence[Amount | None],
    told: Sequence[bool] | None = None,
) -> Amount | None:
    """Return the one number of `rows`, whose numbers `amounts` are; None: not known.

    `told` are the rows in which any role of the series has a number, so that all its roles are
    reduced over the same rows; by default those in which this one has. A sum with an unknown part
    is unknown. Of the others, rows of which nothing is told are passed. A sum or a maximum with an
    unlimited part is unlimited. Raises MappingError for several rows without a rule, for a time
    that cannot be read, and for several rows of the first or last time.
    """
    if rule is None:
        if len(rows) > 1:
            raise MappingError("", _AMBIGUOUS.format(len(rows)))
        return amounts[0] if amounts else None
    if rule.per:
        return _summed(_per_thing(rule, rows, amounts, told))
    if rule.how is How.COUNT:
        return float(sum(amount is not None for amount in amounts))
    if rule.how is How.SUM:
        return _summed(amounts)
    if told is None:
        told = [amount is not None for amount in amounts]
    if rule.how is How.FIRST or rule.how is How.LAST:
        return _by_time(rule, rows, amounts, told)
    numbers = [amount for amount in amounts if isinstance(amount, float)]
    endless = any(isinstance(amount, Unlimited) for amount in amounts)
    if endless and (rule.how is not How.MIN or not numbers):
        return UNLIMITED
    unknown = any(is_told and one is None for is_told, one in zip(told, amounts, strict=True))
    fold = max if rule.how is How.MAX else min
    return fold(numbers) if numbers and not unknown else None


def shared(
    above: Sequence[str], rows: Sequence[Row], amounts: Sequence[Amount | None]
) -> Amount | None:
    """Return the sum of a number that `rows` share: once for each of the entries `above` them.

    Without names it stands in the answer itself, and counts once. None where rows that share an
    entry disagree, such as the pages of one answer.
    """
    found: dict[tuple[int, ...], Amount | None] = {}
    for (view, _), amount in zip(rows, amounts, strict=True):
        key = tuple(id(view[name]) for name in above) if isinstance(view, dict) else ()
        if found.setdefault(key, amount) != amount:
            return None
    return _summed(list(found.values()))


def _summed(amounts: Sequence[Amount | None]) -> Amount | None:
    if any(isinstance(amount, Unlimited) for amount in amounts):
        return UNLIMITED
    numbers = [amount for amount in amounts if isinstance(amount, float)]
    return total_of(numbers) if numbers and len(numbers) == len(amounts) else None


def _per_thing(
    rule: Reduce,
    rows: Sequence[Row],
    amounts: Sequence[Amount | None],
    told: Sequence[bool] | None,
) -> list[Amount | None]:
    """Return the number of each thing that the rows are of."""
    things: dict[tuple[str, ...], list[int]] = {}
    for index, (view, _) in enumerate(rows):
        things.setdefault(tuple(_thing(path, view) for path in rule.per), []).append(index)
    simple = Reduce(how=rule.how, by=rule.by)
    return [
        reduced(
            simple,
            [rows[index] for index in one],
            [amounts[index] for index in one],
            None if told is None else [told[index] for index in one],
        )
        for one in things.values()
    ]


def _thing(path: Selector, view: object) -> str:
    text = _text(path(view))
    if not text:
        found = quoted(path(view))
        raise MappingError(path.text, f"found {found} in the place of what tells the rows apart.")
    return text


def empty_total(rule: Reduce | None) -> float | None:
    """Return what no rows at all come to, where the list itself was there: a sum is 0."""
    return 0.0 if rule is not None and rule.sums else None


def adds(rule: Reduce | None, values: Iterable[Value]) -> bool:
    """Tell whether a number is a sum of all rows, so that all must be of one period."""
    rules = [rule, *(value.reduce for value in values)]
    return any(one is not None and one.sums for one in rules)


_AMBIGUOUS = (
    "{} rows give this series a value. The definition says `reduce: sum` (or max, min, first, "
    "last), or names the series apart."
)
_TIES = (
    "{} rows have the {} time, {}. For rows of different things write `per:` with what tells them "
    "apart (the {} row of each, then the sum); else say with `where` which row counts."
)


def _by_time(
    rule: Reduce, rows: Sequence[Row], amounts: Sequence[Amount | None], told: Sequence[bool]
) -> Amount | None:
    given = [index for index, is_told in enumerate(told) if is_told]
    if not given:
        return None
    is_first = rule.how is How.FIRST
    if rule.by is None:
        return amounts[given[0 if is_first else -1]]
    by = rule.by
    times = epochs([by(rows[index][0]) for index in given], by.text)
    wanted = min(times) if is_first else max(times)
    if (count := times.count(wanted)) > 1:
        found = quoted(by(rows[given[times.index(wanted)]][0]))
        how = "first" if is_first else "last"
        raise MappingError(by.text, _TIES.format(count, how, found, how))
    return amounts[given[times.index(wanted)]]


_LONG = 128  # characters of a text that is kept: blanks around a time are no error


# Typed, because to a dictionary True is 1, and 1 is a time.
@functools.lru_cache(maxsize=4096, typed=True)
def _known(found: str | float, zone: tzinfo) -> float | None:
    return parse_timestamp(found, zone=zone)


def epochs(found: Sequence[object], path: str) -> list[float]:
    """Return the epoch seconds of what was found at `path` in many rows.

    Raises MappingError for what is no time, or none.
    """
    try:
        # Mostly texts that are known: without a call of ours for each of them.
        times = [
            _known(one, UTC) if type(one) is str and len(one) <= _LONG else epoch(one, path)
            for one in found
        ]
    except ValueError as error:
        raise MappingError(path, str(error)) from error
    known = [time for time in times if time is not None]
    if len(known) < len(times):
        nothing = quoted(found[times.index(None)])
        raise MappingError(path, f"found {nothing} in the place of the time that orders the rows.")
    return known


def epoch(found: object, path: str, zone: tzinfo = UTC) -> float | None:
    """Return the epoch seconds of what was found at `path`; None for "no time".

    Raises MappingError for what is no time.
    """
    try:
        if isinstance(found, int | float) or (isinstance(found, str) and len(found) <= _LONG):
            return _known(found, zone)
        return parse_timestamp(found, zone=zone)
    except ValueError as error:
        raise MappingError(path, str(error)) from error
