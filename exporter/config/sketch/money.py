"""Costs: which numbers are money, what for, and in which currency."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from exporter.config.sketch import words
from exporter.config.sketch.draft import Number
from exporter.config.sketch.levels import Level, Spot
from exporter.config.sketch.numbers import is_column
from exporter.kernel.units import is_currency

_CENTS = frozenset({"cents", "cent", "minor"})
_A_PIECE = frozenset({"per", "unit", "rate", "each", "price", "prices", "tariff", "hourly"})
_SUMS = frozenset({"amount", "total", "subtotal"})
_OF_A_BILL = frozenset({"net", "gross", "discount", "tax", "due", "credit"})
_TAKEN_OFF = frozenset({"discount", "tax", "credit", "refund"})
_BEST = ("net", "due", "billed", "cost", "costs", "total", "amount", "subtotal", "gross")
_ABOVE = 2  # levels of maps above a number whose keys may still say that it is money
_PLAIN = ("total", "amount", "value", "current", "cost", "usage", "net", "sum")


class Currency(msgspec.Struct, frozen=True):
    """A code, or with ``told`` the path where it stands; ``sure``: somebody said so."""

    text: str
    told: bool
    sure: bool


def amounts(level: Level) -> list[Spot]:
    """Return the spots of a level that hold money."""
    beside = {spot.keys[:-1] for spot in _codes(level) if len(spot.keys) > 1}
    return [spot for spot in level.spots if _is_money(spot, near_a_code=spot.keys[:-1] in beside)]


def _is_money(spot: Spot, *, near_a_code: bool) -> bool:
    """Tell whether a spot holds amounts of money. The price of a piece is none."""
    near = [words.tokens(key) for key in spot.keys[-1 - _ABOVE :]]
    leaf = set(near[-1])
    above = {word for said in near[:-1] for word in said}
    if (leaf | above) & _A_PIECE or not is_column(spot.values):
        return False
    if any(_code(word) for word in leaf) or leaf & (words.MONEY | _CENTS):
        return True
    if leaf & _SUMS and leaf & _OF_A_BILL:
        return True
    roles = leaf & (words.MONEY_WORDS.keys() | set(_PLAIN))
    return bool(roles) and (near_a_code or bool(above & words.MONEY))


def roles(spots: Iterable[Spot]) -> dict[str, Spot]:
    """Return what each amount of money of one place is for; of several the most telling."""
    found: dict[str, Spot] = {}
    for spot in sorted(spots, key=_rank):
        if not set(words.tokens(spot.keys[-1])) & _TAKEN_OFF:
            found.setdefault(_role(spot), spot)
    return found


def _rank(spot: Spot) -> int:
    said = words.tokens(spot.keys[-1])
    return min((_BEST.index(word) for word in said if word in _BEST), default=len(_BEST))


def _role(spot: Spot) -> str:
    said = words.tokens(spot.keys[-1])
    return next((words.MONEY_WORDS[word] for word in said if word in words.MONEY_WORDS), "cost")


def numbers(found: Mapping[str, Spot]) -> dict[str, Number]:
    """Return how each role is read: cents where the key says so."""
    return {
        role: Number(path=spot.path, unit="cents" if _in_cents(spot) else "")
        for role, spot in found.items()
    }


def _in_cents(spot: Spot) -> bool:
    return bool(set(words.tokens(" ".join(spot.keys))) & _CENTS)


def places(level: Level) -> list[list[Spot]]:
    """Return the amounts of money by the map that they stand in, fullest first."""
    found: dict[tuple[str, ...], list[Spot]] = {}
    for spot in amounts(level):
        found.setdefault(spot.keys[:-1], []).append(spot)
    useful = [one for one in found.values() if roles(one)]
    return sorted(useful, key=lambda one: (-("cost" in roles(one)), -len(one)))


def currency(spots: Sequence[Spot], level: Level) -> Currency:
    """Return the currency of amounts: told beside them or above, or in a key; else dollars."""
    place = spots[0].keys[:-1]
    at: Level | None = level
    while at is not None:
        near = sorted(_codes(at), key=lambda spot: -_shared(spot.keys, place))
        if near:
            return Currency(near[0].path, told=True, sure=True)
        at = at.above
    for spot in spots:
        code = next((word.upper() for word in words.tokens(spot.keys[-1]) if _code(word)), "")
        if code:
            return Currency(code, told=False, sure=True)
    return Currency("USD", told=False, sure=False)


def _codes(level: Level) -> list[Spot]:
    """Return where a level has currencies, and in each row one."""
    return [
        spot
        for spot in level.spots
        if set(words.tokens(spot.keys[-1])) & {"currency", "unit", "code"}
        and all(
            isinstance(value, str) and is_currency(value.strip().upper()) for value in spot.values
        )
    ]


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    return sum(a == b for a, b in zip(one, other, strict=False))


def _code(word: str) -> bool:
    return word in ("usd", "eur", "gbp", "chf", "jpy", "inr", "cad", "aud")
