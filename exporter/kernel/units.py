"""Units as vendors write them, and the one factor that leads to the base unit.

GB is decimal and GiB binary; only the last letter's case matters: ``B`` is a byte, ``b`` a
bit. The all-small ``kb`` to ``eb`` are refused: vendors mean bytes, the standard says bits,
and the difference is eightfold. The currencies are the active codes of ISO 4217, 2026.

`snake` writes vendors' names as Prometheus does: ``apiCalls`` becomes ``api_calls``.
"""

import functools
import math
import re
import unicodedata
from enum import StrEnum

import msgspec

from exporter.kernel.problems import near_miss


class Kind(StrEnum):
    """What is counted; each kind has one base unit."""

    BYTES = "bytes"
    REQUESTS = "requests"
    SECONDS = "seconds"
    BYTE_SECONDS = "byte_seconds"
    QUANTITY = "quantity"
    RATIO = "ratio"
    MONEY = "money"


class Unit(msgspec.Struct, frozen=True):
    """A vendor's number times `factor` is in the base unit of `kind`.

    The base of MONEY is the major unit (the dollar), of RATIO the whole (1 = 100 %). `name` is
    the canonical spelling, the same for all aliases.
    """

    name: str
    kind: Kind
    factor: float


_PREFIXES = {  # symbol: (decimal word, decimal power, binary word, binary power)
    "k": ("kilo", 1e3, "kibi", 2.0**10),
    "M": ("mega", 1e6, "mebi", 2.0**20),
    "G": ("giga", 1e9, "gibi", 2.0**30),
    "T": ("tera", 1e12, "tebi", 2.0**40),
    "P": ("peta", 1e15, "pebi", 2.0**50),
    "E": ("exa", 1e18, "exbi", 2.0**60),
}
_WORDS = (  # kind, factor, canonical name, aliases (parted by commas, singular is derived)
    (Kind.SECONDS, 1e-9, "nanoseconds", "ns"),
    (Kind.SECONDS, 1e-6, "microseconds", "us, µs, \u03bcs, usec"),
    (Kind.SECONDS, 1e-3, "milliseconds", "ms, msec, millis"),
    (Kind.SECONDS, 1.0, "seconds", "s, sec, secs"),
    (Kind.SECONDS, 60.0, "minutes", "min, mins"),
    (Kind.SECONDS, 3600.0, "hours", "h, hr, hrs"),
    (Kind.SECONDS, 86400.0, "days", "d"),
    (Kind.SECONDS, 604800.0, "weeks", "w, wk"),
    (Kind.REQUESTS, 1.0, "requests", ""),
    (Kind.REQUESTS, 1e3, "thousand requests", "k requests"),
    (Kind.REQUESTS, 1e6, "million requests", ""),
    (Kind.QUANTITY, 1.0, "quantity", "count, 1"),
    (Kind.QUANTITY, 1e3, "thousand", "thousands, k"),
    (Kind.QUANTITY, 1e6, "million", "millions"),
    (Kind.QUANTITY, 1e9, "billion", "billions"),
    (Kind.RATIO, 1.0, "ratio", "fraction"),
    (Kind.RATIO, 0.01, "percent", "%, percentage"),
    (Kind.MONEY, 1.0, "major", ""),
    (Kind.MONEY, 0.01, "cents", ""),
    (Kind.MONEY, 0.01, "minor", ""),  # of a two-digit currency: see minor_factor
)
_SYMBOL = re.compile(r"([kmgtpe]?)(i?)b", re.IGNORECASE)
_BYTE_TIME = re.compile(r"(.*?(?:b|bytes?|bits?)) ?([a-z]+)", re.IGNORECASE)
_LONGEST_NAME = 64


def _table() -> dict[str, Unit]:
    units: dict[str, Unit] = {}
    for kind, factor, name, aliases in _WORDS:
        unit = Unit(name, kind, factor)
        for alias in filter(None, (name, name.removesuffix("s"), *aliases.split(", "))):
            units.setdefault(alias, unit)
    for word, bytes_in_it in (("byte", 1.0), ("bit", 0.125)):
        units[word] = units[f"{word}s"] = Unit(f"{word}s", Kind.BYTES, bytes_in_it)
        for symbol, (decimal, thousands, binary, powers_of_two) in _PREFIXES.items():
            short = "B" if word == "byte" else "bit"
            large = Unit(f"{symbol}{short}", Kind.BYTES, thousands * bytes_in_it)
            exact = Unit(f"{symbol.upper()}i{short}", Kind.BYTES, powers_of_two * bytes_in_it)
            for plural in ("", "s"):
                units[f"{decimal}{word}{plural}"] = units[f"{symbol.lower()}{word}{plural}"] = large
                units[f"{binary}{word}{plural}"] = units[f"{symbol.lower()}i{word}{plural}"] = exact
    return units


_UNITS = _table()
_SUGGESTED = frozenset(
    {
        *(unit.name for unit in _UNITS.values()),
        *(f"{prefix}bytes" for row in _PREFIXES.values() for prefix in (row[0], row[2])),
        "byte_seconds",
        "GB-hours",
    }
)
_COMMON = ("GB", "GiB", "bytes", "requests", "seconds", "GB-hours", "quantity", "percent", "cents")


@functools.lru_cache(maxsize=1024)
def find_unit(name: str) -> Unit:
    """Return the unit called `name`, singular or plural, word or symbol.

    Raises ValueError, with what was probably meant, for a word that is no unit.
    """
    plain = " ".join(re.split(r"[\s_-]+", name.strip())) if len(name) <= _LONGEST_NAME else ""
    unit = _symbol(plain) or _UNITS.get(plain.lower()) or _byte_time(plain)
    if unit is None:
        shown = name[:_LONGEST_NAME]
        raise ValueError(f'"{shown}" is not a unit.{_hint(shown)}')
    return unit


def _hint(name: str) -> str:
    if is_currency(name.upper()):
        return ' It is a currency; the units of money are "major", "minor" and "cents".'
    near = near_miss(name, _SUGGESTED, cutoff=0.85)  # "users" shall not become "hours"
    return f' Did you mean "{near}"?' if near else f" Known: {', '.join(_COMMON)}, …"


def _symbol(name: str) -> Unit | None:
    """Return the unit of a symbol such as ``GB``, ``kB``, ``GiB``, ``Mb``."""
    match = _SYMBOL.fullmatch(name)
    if match is None or (match[2] and not match[1]):
        return None
    if name.endswith("B"):
        return _UNITS[f"{match[1]}{match[2]}byte".lower()]
    if not match[1].isupper():
        byte, bit = (_UNITS[f"{name[:-1]}{word}".lower()] for word in ("byte", "bit"))
        raise ValueError(f'"{name}" may be bits or bytes. Write "{byte.name}" or "{bit.name}".')
    return _UNITS[f"{match[1]}{match[2]}bit".lower()]


def _byte_time(name: str) -> Unit | None:
    """Return the unit of bytes held for a time: ``GB hours``, ``GBh``, ``byte seconds``."""
    match = _BYTE_TIME.fullmatch(name)
    if match is None or name.endswith("Bs"):  # the plural of a symbol is no time
        return None
    held = _UNITS.get(match[2].lower())
    if held is None or held.kind is not Kind.SECONDS:
        return None
    size = _symbol(match[1]) or _UNITS.get(match[1].lower())
    if size is None or size.kind is not Kind.BYTES:
        return None
    return Unit(
        f"{size.name.removesuffix('s')}-{held.name}", Kind.BYTE_SECONDS, size.factor * held.factor
    )


_AMOUNT = re.compile(
    r"((?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*([^\W\d_](?:[^\d]*[^\d\s])?|%)?"
)


def parse_amount(text: str | float) -> tuple[float, str]:
    """Split ``"5 TB"`` into 5.0 and ``"TB"``; a bare number has the unit ``""``.

    The unit may be a currency and is not looked up here. Raises ValueError for anything else:
    a sign, separators of thousands, two numbers, a number that is not finite.
    """
    match = None if isinstance(text, bool) else _AMOUNT.fullmatch(str(text).strip())
    number = float(match[1]) if match else math.inf
    if match is None or not math.isfinite(number):
        raise ValueError(
            f'"{str(text)[:_LONGEST_NAME]}" is not an amount. Write a number of 0 or more, '
            "without separators, and its unit: 1000, 5 TB, 2.5 GiB, 200 USD."
        )
    return number, match[2] or ""


_ACTIVE = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
    CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP
    GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR
    KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN
    MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
    SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX
    USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XCD XCG XDR XOF XPF XSU XUA YER ZAR ZMW ZWG
"""
_MINOR_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}  # all others: 2
_MINOR_FACTORS = dict.fromkeys(_ACTIVE.split(), 0.01) | {
    code: 10.0**-digits for digits, codes in _MINOR_DIGITS.items() for code in codes.split()
}


def is_currency(code: str) -> bool:
    """Tell whether `code` is an active currency of ISO 4217, in capitals."""
    return code in _MINOR_FACTORS


def minor_factor(currency: str) -> float:
    """Return how much of the major unit one minor unit is: 0.01 for USD, 1.0 for JPY.

    Raises ValueError when `currency` is no active code.
    """
    if not is_currency(currency):
        shown = currency[:_LONGEST_NAME]
        near = near_miss(shown, _MINOR_FACTORS)
        hint = f' Did you mean "{near}"?' if near else " Write three capitals: USD, EUR, JPY."
        raise ValueError(f'"{shown}" is not a currency of ISO 4217.{hint}')
    return _MINOR_FACTORS[currency]


# Before a capital that follows a small letter or digit (api|Calls, gpt4|Turbo), and before
# the last capital of a run that starts a word (GB|Hours), but not inside a plural (CPUs).
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z](?!s(?![a-z]))[a-z])")
_NOT_A_WORD = re.compile(r"[^a-z0-9]+")


def snake(text: str) -> str:
    """Return `text` in snake_case, of ``[a-z0-9_]`` alone and fit for a label or metric name.

    Accents go (``Crédits`` is ``credits``); a leading digit gets an underscore; a text without
    a letter or digit of ASCII is ``_``.
    """
    plain = "".join(
        letter
        for letter in unicodedata.normalize("NFKD", text)
        if not unicodedata.combining(letter)
    )
    words = _NOT_A_WORD.sub("_", _WORD_START.sub("_", plain).lower()).strip("_")
    return f"_{words}" if not words or words[0].isdigit() else words
