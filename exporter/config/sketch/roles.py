"""Numbers that belong together: used, limit and the rest of one thing, wherever they stand.

``character_count`` goes with ``character_limit``, ``bandwidth.used`` with ``bandwidth.max``,
``usage.seats`` with ``limits.seats``: the words of roles are taken out of the keys, and what is
left says what the number is about.
"""

import re
from collections.abc import Iterable, Sequence

import msgspec

from exporter.config.sketch import words
from exporter.config.sketch.draft import Number, Words
from exporter.config.sketch.levels import Spot
from exporter.config.sketch.numbers import is_column, numbers, sentinels
from exporter.kernel.units import Kind, snake

_AMOUNT = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]{1,12})\s*", re.ASCII)
_AMOUNT_REGEX = r"(\d+(?:\.\d+)?)"
_ROLES = ("used", "limit", "remaining", "percent", "ratio", "projected", "next_period", "overage")
_SHARES = ("percent", "ratio")
_COUNT = "count"  # a number of something; what for, its neighbours tell
_MOST = 2.0  # a share above 200 % is a percentage
_BIG = 1_000_000  # bytes: less than that is hardly a month's bandwidth
_NEAR = 2  # levels of maps above a number whose keys may still name its role
_LONGEST_WORD = 40
_WHOLES = frozenset({"total", "size", "sum"})


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A number of an answer, understood. ``thing`` is what it counts, "" for the row itself."""

    spot: Spot
    role: str
    thing: str
    about: tuple[str, ...]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of one thing. ``unit`` is "quantity" where nothing names one; ``remark`` a doubt.

    ``bare``: a lonely count of nobody knows what, such as the number of rows.
    """

    thing: str
    numbers: dict[str, Number]
    spots: dict[str, Spot]
    unit: str | Words
    remark: str = ""
    bare: bool = False


def figure(spot: Spot) -> Figure | None:
    """Understand a number by its keys; None for what is no usage."""
    leaf = spot.keys[-1]
    if words.is_ignored(leaf) and not words.role_of(leaf):
        return None
    if any(snake(key) in words.PAGES for key in spot.keys[:-1]):
        return None
    role = _role(spot)
    counts = is_column(spot.values, endless=role == "limit")
    if not role or not (counts or (role not in _SHARES and amount_unit(spot.values))):
        return None
    things = (words.thing_of(key) for key in spot.keys)
    about = tuple(thing for thing in things if thing and thing not in words.PLAN)
    named = [thing for thing in about if thing not in words.CONTAINERS]
    return Figure(spot=spot, role=role, thing=named[-1] if named else "", about=about)


def _role(spot: Spot) -> str:
    leaf = spot.keys[-1]
    own = words.role_of(leaf)
    if own:
        return own
    above = [words.role_of(key) for key in reversed(spot.keys[:-1])][:_NEAR]
    found = next(filter(None, above), "")
    if found:
        return found
    counts = any(word in words.WEAK for word in words.tokens(leaf)) or words.is_thing(leaf)
    return _COUNT if counts else ""


def groups(spots: Iterable[Spot], units: Sequence[Spot] = (), title: str = "") -> list[Group]:
    """Return the numbers of a level by what they are about.

    `units` are texts that name units; `title` is what the level is called: in a list of limits a
    bare count is a limit.
    """
    found: dict[tuple[str, ...], list[Figure]] = {}
    told = words.about(title)
    for spot in spots:
        known = figure(spot)
        if known is not None and known.role == _COUNT and told:
            known = msgspec.structs.replace(known, role=told)
        if known is not None and (known.role not in _SHARES or is_column(spot.values)):
            found.setdefault(known.about, []).append(known)
    _pair_leftovers(found)
    made = [_group(figures, units) for figures in found.values()]
    return [group for group in made if group is not None]


def _pair_leftovers(found: dict[tuple[str, ...], list[Figure]]) -> None:
    """Give a lonely limit to what is used of a thing that its words are a part of.

    ``voice_limit`` goes with ``voice_slots_used``, but with two that fit equally well with none.
    """
    for about, figures in list(found.items()):
        if {one.role for one in figures} - {"limit", "remaining"}:
            continue
        mine = set("_".join(about).split("_"))
        fitting = sorted(
            (len(set("_".join(other).split("_"))), other)
            for other, theirs in found.items()
            if mine < set("_".join(other).split("_"))
            and not {one.role for one in theirs} & {"limit", "remaining"}
            and other[:-1] == about[:-1]
        )
        if mine and fitting and (len(fitting) == 1 or fitting[0][0] < fitting[1][0]):
            found[fitting[0][1]] += found.pop(about)


def _group(figures: Sequence[Figure], units: Sequence[Spot]) -> Group | None:
    spots: dict[str, Spot] = {}
    for one in figures:
        if one.role != _COUNT:
            spots.setdefault(one.role, one.spot)
    for one in figures:
        if one.role == _COUNT:
            spots.setdefault(_counted(one.spot, spots), one.spot)
    if "percent" in spots:
        spots.pop("ratio", None)
    elif "ratio" in spots and max(numbers(spots["ratio"].values), default=0.0) > _MOST:
        spots["percent"] = spots.pop("ratio")
    if not spots.keys() - {"limit"}:
        return None
    unit, remark = _unit(figures, spots, units)
    read = {
        role: made
        for role in _ROLES
        if role in spots and (made := _number(role, spots[role], unit))
    }
    thing = snake(figures[0].thing) if figures[0].thing else ""
    if thing and set(thing.split("_")) <= words.CYCLE_WORDS:
        thing = f"usage_{thing}"
    bare = not thing and len(spots) == 1 and figures[0].role == _COUNT
    return Group(thing=thing, numbers=read, spots=spots, unit=unit, remark=remark, bare=bare)


def _counted(spot: Spot, spots: dict[str, Spot]) -> str:
    """Say what a bare count is by its company: a total beside what is used is a limit."""
    whole = bool(_WHOLES & set(words.tokens(spot.keys[-1])))
    if "used" in spots or (whole and "remaining" in spots):
        return "limit" if whole else "used"
    return "used"


def _number(role: str, spot: Spot, unit: str | Words) -> Number | None:
    """Return how a role is read; None where it counts something else than its group."""
    if role in _SHARES:
        return Number(path=spot.path)
    own = amount_unit(spot.values)
    regex = _AMOUNT_REGEX if own else ""
    own = own or words.unit_of(spot.keys[-1:])
    if own and isinstance(unit, str) and words.kind_of(own) is not words.kind_of(unit):
        return None
    differs = own if own and own != unit and isinstance(unit, str) else ""
    in_bytes = isinstance(unit, str) and words.kind_of(unit) is Kind.BYTES
    endless = sentinels(spot.values, in_bytes=in_bytes) if role == "limit" else []
    return Number(path=spot.path, unit=differs, regex=regex, unlimited=tuple(endless))


def _unit(
    figures: Sequence[Figure], spots: dict[str, Spot], units: Sequence[Spot]
) -> tuple[str | Words, str]:
    """Return the unit of a group, and what is doubtful about it."""
    measured = [spot for role, spot in spots.items() if role not in _SHARES]
    for spot in measured:
        named = amount_unit(spot.values) or words.unit_of(reversed(spot.keys))
        if named:
            return named, ""
    for spot in units:
        if measured and spot.keys[:-1] == measured[0].keys[:-1]:
            return unit_words(spot), ""
    if set(figures[0].thing.split("_")) & words.BULK and measured:
        given = [amount for one in measured for amount in numbers(one.values)]
        if max(map(abs, given), default=0.0) >= _BIG:
            return "B", "bytes, by its size"
        return "GB", "GB, by its size"
    return "quantity", ""


def unit_words(spot: Spot) -> Words:
    """Return a text that names units, with what each of its words means."""
    seen = dict.fromkeys(
        value
        for value in spot.values
        if isinstance(value, str) and value.isprintable() and 0 < len(value) <= _LONGEST_WORD
    )
    return Words(path=spot.path, words={word: words.known_unit(word) for word in seen})


def amount_unit(values: Iterable[object]) -> str:
    """Return the unit of texts such as "5 GB"; "" if they are not, or not all in one."""
    units = set()
    for value in values:
        if value is None:
            continue
        found = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
        unit = words.known_unit(found[2]) if found else "quantity"
        units.add(unit)
    return units.pop() if len(units) == 1 and "quantity" not in units else ""
