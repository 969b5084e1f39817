"""What the words in vendors' keys mean: roles, money, units, times, and what is counted."""

import itertools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

from exporter.kernel.units import find_unit, snake
from exporter.model.families import MEASURED


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _by_word(words: Mapping[str, str]) -> dict[str, str]:
    return {word: meaning for meaning, known in words.items() for word in known.split()}


ROLES: Final = _by_word({
    "remaining": "remaining left free unused leftover available",
    "percent": "percent percentage pct",
    "ratio": "ratio fraction utilization utilisation",
    "projected": "projected projection forecast forecasted predicted expected",
    "overage": "overage overages excess exceeded overused",
    "limit": "limit limits quota quotas included allowed max maximum capacity allowance cap"
    " entitlement entitled granted allotment allocation purchased",
    "used": "used usage current currently consumed consumption actual utilized spent accumulated",
})  # fmt: skip
PROJECTED: Final = {word for word, role in ROLES.items() if role == "projected"}
SHARES: Final = ("percent", "ratio")
MONEY_ROLES: Final = _by_word({
    "base": "base subscription fixed recurring flat",
    "overage": "overage overages excess",
    "projected": "projected projection forecast forecasted predicted expected",
    "remaining": "remaining left",
    "balance": "balance",
    "limit": "limit budget cap max maximum threshold",
})  # fmt: skip
CYCLES: Final = _by_word({
    "day": "day daily", "week": "week weekly", "month": "month monthly",
    "year": "year yearly annual",
})  # fmt: skip
UNITS: Final = _by_word({
    "B": "byte bytes", "kB": "kb", "MB": "mb", "GB": "gb", "TB": "tb", "KiB": "kib", "MiB": "mib",
    "GiB": "gib", "TiB": "tib", "seconds": "seconds secs", "ms": "ms millis milliseconds",
    "minutes": "minutes mins", "hours": "hours", "requests": "requests calls queries",
})  # fmt: skip
COUNTS: Final = _set("total count value amount quantity number num sum")
"""Words that say that something is counted, and not whether it is used or allowed."""
MONEY: Final = _set(
    "cost costs charge charges spend spending bill billed invoice invoiced fee fees due"
    " payable subtotal balance budget revenue"
)
CENTS: Final = _set("cents cent minor")
A_PIECE: Final = _set("per unit rate each price prices tariff hourly")
OF_A_BILL: Final = _set("net gross discount tax due credit")
TAKEN_OFF: Final = _set("discount tax credit refund")
BEST: Final = ("net", "due", "billed", "cost", "costs", "total", "amount", "subtotal", "gross")
"""Words of amounts of one bill, the most telling first."""
CURRENCIES: Final = _set("usd eur gbp chf jpy inr cad aud")
START: Final = _set("start starts started begin begins beginning from since")
END: Final = _set("end ends ending until to reset resets renewal renews renew")
AS_OF: Final = _set("updated asof generated refreshed retrieved calculated collected")
DATE: Final = _set("date day time timestamp month hour week bucket start from")
TIMES: Final = START | END | AS_OF | DATE | _set("unix at on utc")
PAGES: Final = _set("pagination paging page_info pageinfo links")
PLAN: Final = _set("plan tier edition package")
NAME: Final = (
    "name", "key", "metric", "resource", "type", "product", "service", "sku", "dimension",
    "feature", "category", "item", "meter", "label", "title", "model", "project", "region",
    "id", "slug", "code", "uuid",
)  # fmt: skip
"""Columns that tell rows apart, best first."""
UNIT_KEYS: Final = _set("unit units uom measure")
MERE_UNITS: Final = _set(
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
THINGS: Final = BULK | LEVELS | _set(
    "requests calls queries emails messages tokens characters minutes credits builds images"
    " events logs webhooks sms pulls jobs searches operations invocations executions records"
    " rows contacts subscribers units views impressions transcriptions"
)  # fmt: skip
IGNORED: Final = _set(
    "id ids page pages per offset index version port code status year day hour minute date time"
    " timestamp ttl retry cursor rate order position rank score latitude longitude unit priority"
    " error errors interval duration window epoch sequence entries pricing contracted list next"
)
FILLERS: Final = _set("so far this of in the my and")


def split(key: str) -> list[str]:
    """Return the words of a key: ``apiCallsUsed`` is api, calls, used."""
    return [word for word in snake(key).split("_") if word]


def role_of(key: str) -> str:
    """Return the role that a key names, "" for none; the last word that names one decides."""
    return next((ROLES[word] for word in reversed(split(key)) if word in ROLES), "")


def thing_of(key: str) -> str:
    """Return what a key counts, without the words of roles and units; "" if it is only those."""
    kept = [word for word in split(key) if word not in ROLES.keys() | COUNTS | FILLERS]
    if set(kept) <= MERE_UNITS:
        return ""
    kept = [word for word in kept if word not in MERE_UNITS]
    if f"{kept[-1]}s" in THINGS:  # character_count counts characters
        kept[-1] += "s"
    return "_".join(kept)


def unit_of(keys: Iterable[str]) -> str:
    """Return the unit that the first of some keys to name one names, "" where none does."""
    for key in keys:
        words = split(key)
        for size, held in itertools.pairwise(words):
            if f"{size}-{held}" in ("gb-hours", "gb-hour", "gb-seconds", "byte-seconds"):
                return f"{UNITS.get(size, size)}-{held}"
        found = next((UNITS[word] for word in reversed(words) if word in UNITS), "")
        if found:
            return found
    return ""


def counts_bytes(key: str) -> bool:
    return bool(unit_of([key])) or bool(set(split(key)) & BULK)


def known_unit(word: str) -> str:
    """Return a vendor's word for a unit as a definition writes it; "quantity" for any other."""
    for spelling in (word, snake(word).replace("_", " ")):  # GigabyteHours: gigabyte hours
        try:
            unit = find_unit(spelling)
        except ValueError:
            continue
        return unit.name if unit.kind in MEASURED else "quantity"
    return "quantity"


def singular(key: str, otherwise: str) -> str:
    """Return a name for one row of a list: ``results`` has the row ``result``."""
    word = snake(key)
    if word.endswith("ies") and len(word) > len("ties"):
        word = f"{word[:-3]}y"
    elif word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    fits = re.fullmatch(r"[a-z][a-z0-9_]{0,30}", word)
    return word if fits and word not in ("root", "row", "null", "true", "false") else otherwise


_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def path_of(keys: Iterable[str], above: str = "") -> str:
    """Return the JMESPath of some keys below another path; "" is the document."""
    parts = (
        key if _IDENTIFIER.fullmatch(key) else json.dumps(key, ensure_ascii=False) for key in keys
    )
    return ".".join(filter(None, (above, *parts)))
