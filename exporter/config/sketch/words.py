"""What the words in vendors' keys mean."""

import itertools
import re
from collections.abc import Iterable
from typing import Final

from exporter.kernel.units import Kind, find_unit, snake
from exporter.model.families import MEASURED


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ROLES: Final = {
    "remaining": "remaining left free unused leftover available",
    "percent": "percent percentage pct",
    "ratio": "ratio fraction utilization utilisation",
    "projected": "projected projection forecast forecasted predicted expected",
    "overage": "overage overages excess exceeded overused",
    "limit": "limit limits quota quotas included allowed max maximum capacity allowance cap"
    " entitlement entitled granted allotment allocation purchased",
    "used": "used usage current currently consumed consumption actual utilized spent accumulated",
}
ROLES: Final = {word: role for role, words in _ROLES.items() for word in words.split()}

WEAK: Final = _set("total count value amount quantity number num sum")
"""Words that say that something is counted, and not whether it is used or allowed."""

MONEY: Final = _set(
    "cost costs charge charges spend spending bill billed invoice invoiced fee fees due"
    " payable subtotal balance budget revenue"
)
MONEY_ROLES: Final = {
    "base": "base subscription fixed recurring flat",
    "overage": "overage overages excess",
    "projected": "projected projection forecast forecasted predicted expected",
    "remaining": "remaining left balance",
    "limit": "limit budget cap max maximum threshold",
}
MONEY_WORDS: Final = {word: role for role, words in MONEY_ROLES.items() for word in words.split()}

START: Final = _set("start starts started begin begins beginning from since")
END: Final = _set("end ends ending until to reset resets renewal renews renew")
AS_OF: Final = _set("updated asof generated refreshed retrieved calculated collected")
PAGES: Final = _set("pagination paging page_info pageinfo links")
"""Maps that speak of the answer itself."""
CYCLES: Final = {
    "day": "day daily",
    "week": "week weekly",
    "month": "month monthly",
    "year": "year yearly annual",
}
CYCLE_WORDS: Final = frozenset(word for known in CYCLES.values() for word in known.split())
EPOCH: Final = _set("unix at on utc timestamp")
DATE: Final = _set("date day time timestamp month hour week bucket start from")
PLAN: Final = _set("plan tier edition package")
NAME: Final = (
    "name", "key", "metric", "resource", "type", "product", "service", "sku", "dimension",
    "feature", "category", "item", "meter", "label", "title", "model", "project", "region",
    "id", "slug", "code", "uuid",
)  # fmt: skip
"""Columns that tell rows apart, best first."""

_UNITS: Final = {
    "byte": "B", "bytes": "B", "kb": "kB", "mb": "MB", "gb": "GB", "tb": "TB", "kib": "KiB",
    "mib": "MiB", "gib": "GiB", "tib": "TiB", "seconds": "seconds", "secs": "seconds",
    "ms": "ms", "millis": "ms", "milliseconds": "ms", "minutes": "minutes", "mins": "minutes",
    "hours": "hours", "requests": "requests", "calls": "requests", "queries": "requests",
}  # fmt: skip
UNIT_KEYS: Final = _set("unit units uom measure")
"""Keys under which a text names the unit of what stands beside it."""
_MERE_UNITS: Final = _set(
    "byte bytes kb mb gb tb kib mib gib tib seconds secs ms millis milliseconds usd eur"
)
"""Units that name nothing: of ``storage_gb`` the storage is counted."""
BULK: Final = _set(
    "bandwidth traffic transfer storage disk egress ingress volume download downloads upload"
    " uploads memory data"
)
CONTAINERS: Final = _set(
    "data result results response attributes payload body object summary details stats statistics"
    " account organization org team billing period info subscription root entry item metric"
)
"""Keys that say nothing of what is counted below them."""
LEVELS: Final = _set(
    "storage disk seats seat members users projects domains servers instances databases memory"
    " stored active size"
)
"""Things of which there is an amount now, rather than an amount used up."""
THINGS: Final = (
    BULK
    | LEVELS
    | _set(
        "requests calls queries emails messages tokens characters minutes credits builds images"
        " events logs webhooks sms pulls jobs searches operations invocations executions records"
        " rows contacts subscribers units views impressions transcriptions"
    )
)
_IGNORED: Final = _set(
    "id ids page pages per offset index version port code status year day hour minute date time"
    " timestamp ttl retry cursor rate order position rank score latitude longitude unit priority"
    " error errors interval duration window epoch sequence entries pricing contracted list"
)
_TAKEN: Final = _set("root row null true false")
_NEXT: Final = _set("period cycle month billing")
_FILLERS: Final = _set("so far this of in the my and")


def tokens(key: str) -> list[str]:
    """Return the words of a key: ``apiCallsUsed`` is api, calls, used."""
    return [word for word in snake(key).split("_") if word]


def role_of(key: str) -> str:
    """Return the role that a key names, "" for none; the last word that names one decides."""
    said = tokens(key)
    if "next" in said and _NEXT & set(said):
        return "next_period"
    return next((ROLES[word] for word in reversed(said) if word in ROLES), "")


def about(title: str) -> str:
    """Return the role that the name of a list gives to what is counted in it, "" for none."""
    found = [ROLES[word] for word in tokens(title) if word in ROLES]
    return next((role for role in found if role != "used"), found[0] if found else "")


def is_ignored(key: str) -> bool:
    """Tell whether a number of this name is certainly no usage: a page, an id, a status."""
    words = tokens(key)
    return bool(words) and any(word in _IGNORED for word in words)


def thing_of(key: str) -> str:
    """Return what a key counts, without the words of roles and units; "" if it is only those."""
    said = tokens(key)
    if role_of(key) == "next_period":
        said = [word for word in said if word not in _NEXT and word != "next"]
    kept = [
        word for word in said if word not in ROLES and word not in WEAK and word not in _FILLERS
    ]
    if any(word not in _MERE_UNITS for word in kept):
        kept = [word for word in kept if word not in _MERE_UNITS]
    else:
        kept = []
    if kept and f"{kept[-1]}s" in THINGS:  # character_count counts characters
        kept[-1] += "s"
    return "_".join(kept)


def is_thing(key: str) -> bool:
    """Tell whether a key names something that vendors count."""
    return any(word in THINGS for word in tokens(key))


def counts_bytes(key: str) -> bool:
    """Tell whether a key names a unit, or something that is measured in bytes."""
    return bool(unit_of([key])) or any(word in BULK for word in tokens(key))


def unit_of(keys: Iterable[str]) -> str:
    """Return the unit that the first of some keys to name one names, "" where none does."""
    for key in keys:
        words = tokens(key)
        for size, held in itertools.pairwise(words):
            if f"{size}-{held}" in ("gb-hours", "gb-hour", "gb-seconds", "byte-seconds"):
                return f"{_UNITS.get(size, size)}-{held}"
        found = next((_UNITS[word] for word in reversed(words) if word in _UNITS), "")
        if found:
            return found
    return ""


def known_unit(word: str) -> str:
    """Return a vendor's word for a unit as a definition writes it; "quantity" for any other."""
    for spelling in (word, snake(word).replace("_", " ")):  # GigabyteHours: gigabyte hours
        try:
            unit = find_unit(spelling)
        except ValueError:
            continue
        return unit.name if unit.kind in MEASURED else "quantity"
    return "quantity"


def kind_of(unit: str) -> Kind:
    """Return what a unit of a definition counts."""
    return find_unit(unit).kind


def singular(key: str, otherwise: str) -> str:
    """Return a name for one row of a list: ``results`` has the row ``result``."""
    word = snake(key)
    if word.endswith("ies") and len(word) > len("ties"):
        word = f"{word[:-3]}y"
    elif word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    fits = re.fullmatch(r"[a-z][a-z0-9_]{0,30}", word)
    return word if fits and word not in _TAKEN else otherwise
