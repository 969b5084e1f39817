"""From a captured answer to the beginning of a definition.

The answer is walked once. A table is a set of rows that are alike: the answer itself (one row),
each list of maps in it, and each open map, whose keys are data and whose entries look alike. A
column is a scalar that the rows of a table have in the same place. The words of its keys say what
a number is for (used, limit, cost), what it counts, and in which unit.

Rules are maps as a definition has them, ready to be written; a comment on a key stands under
``#key``. What is not understood is left out and listed as unread: no guess is better than a wrong
one.
"""

import codecs
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec

from exporter.kernel.calendar import parse_timestamp
from exporter.kernel.secrets import clip
from exporter.kernel.units import Kind, find_unit, is_currency, snake
from exporter.model.families import MEASURED

Rule: TypeAlias = dict[str, Any]

_DEEPEST = 10  # levels of maps and lists; nothing that is used so far down is guessed
_MOST_ROWS = 1_000
_MOST_KEYS = 1_000
_LONGEST_KEY = 80
_MOST_RULES = 40
_MOST_UNREAD = 12


class Unusable(ValueError):  # noqa: N818 - told to the user as it is
    """A file holds nothing that can be guessed from. The text says why."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded answer; ``lines``: it was JSON Lines, and is a list of them."""

    document: object
    lines: bool = False


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """All guesses. ``unread`` are the paths of numbers that no rule reads."""

    lines: bool = False
    paging: Rule = {}
    resources: list[Rule] = []
    costs: list[Rule] = []
    items: list[Rule] = []
    plan: str = ""
    period: Rule
    unread: list[str] = []


def read_sample(content: bytes) -> Sample:
    """Decode an answer. Raises Unusable."""
    content = content.removeprefix(codecs.BOM_UTF8)
    if not content.strip():
        raise Unusable("the file is empty; save the body of an answer there.")
    try:
        content.decode()  # msgspec's versions say differently what is not UTF-8
    except UnicodeDecodeError as error:
        raise Unusable(f"it is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    try:
        return Sample(document=msgspec.json.decode(content))
    except RecursionError:
        raise Unusable("it is nested too deeply.") from None
    except msgspec.DecodeError as error:
        try:
            lines = msgspec.json.Decoder().decode_lines(content)
        except (msgspec.DecodeError, RecursionError):
            lines = []
        if len(lines) > 1 and all(isinstance(one, dict | list) for one in lines):
            return Sample(document=lines, lines=True)
        hint = ""
        if content.lstrip()[:1] == b"<":
            hint = " It looks like a web page; is the address the API's, and is the key sent along?"
        if content.lstrip()[:5].upper() == b"HTTP/":
            hint = " It begins with headers; save the body alone (curl without -i)."
        raise Unusable(f"it is no JSON: {clip(str(error)).rstrip('.')}.{hint}") from error


def infer(sample: Sample) -> Draft:
    """Return what an answer looks like it means."""
    tables = list(_tables(sample.document))
    resources: list[Rule] = []
    costs: list[Rule] = []
    items: list[Rule] = []
    names: set[str] = set()  # resources that are read already: parts of them are only items
    for table in tables:
        for rule in _measured(table, names):
            (items if "item" in rule else resources).append(rule)
        for rule in _charged(table, known=bool(costs)):
            (items if "item" in rule else costs).append(rule)
        names |= {rule["name"] for rule in resources} | {snake(key) for key in table.keys}
    kept = resources[:_MOST_RULES], costs[:1], items[:_MOST_RULES]
    read = {path for rules in kept for rule in rules for path in _paths(rule)}
    top = tables[0].columns if tables and not tables[0].steps else ()
    lists = (one.steps[0]["path"] for one in tables if len(one.steps) == 1 and not one.key)
    return Draft(
        lines=sample.lines,
        paging=_paging(sample.document, next(lists, "")),
        resources=kept[0],
        costs=kept[1],
        items=kept[2],
        plan=next((one.path for one in top if _is_plan(one)), ""),
        period=_period(top) or {"cycle": "month"},
        unread=[
            one.path
            for table in tables
            for one in table.columns
            if one.path not in read
            and one.is_number
            and not one.words & _IGNORED
            and not one.is_time
            if not (table.steps and one in _amounts(table))
        ][:_MOST_UNREAD],
    )


def _paths(rule: Rule) -> Iterator[str]:
    for value in rule.values():
        yield value["path"] if isinstance(value, dict) and "path" in value else str(value)


def _is_plan(column: "Column") -> bool:
    above = set(_words(column.keys[-2])) if len(column.keys) > 1 else set()
    named = column.words & _PLAN or (column.words == {"name"} and above & _PLAN)
    return bool(named) and "id" not in column.words and isinstance(column.values[0], str)


# ----------------------------------------------------------------------- tables and columns


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A scalar of each row: the keys to it, its path in the scope, and each row's value or None."""

    keys: tuple[str, ...]
    path: str
    values: tuple[object, ...]

    @property
    def words(self) -> set[str]:
        """The words of its own key."""
        return set(_words(self.keys[-1]))

    @property
    def given(self) -> list[object]:
        """The values that are there."""
        return [value for value in self.values if value is not None and value != ""]

    @property
    def is_number(self) -> bool:
        """There are numbers and nothing else."""
        return bool(self.given) and all(map(_is_number, self.given))

    @property
    def is_time(self) -> bool:
        """There are times and nothing else, and some key on the way says so."""
        return bool(set(_words(" ".join(self.keys))) & _TIMES) and self.holds_times

    @property
    def holds_times(self) -> bool:
        """There are texts that are times, or epochs of this century, and nothing else."""
        return bool(self.given) and all(map(_is_time, self.given))

    @property
    def holds_texts(self) -> bool:
        """Each row has a text."""
        return all(isinstance(value, str) and value for value in self.values)


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are alike. ``steps`` are the iterations (``each``) that lead to them.

    Of an open map ``key`` is the path of its keys and ``keys`` are those that were seen.
    """

    steps: tuple[Rule, ...] = ()
    title: str = ""
    where: str = ""
    key: str = ""
    keys: tuple[str, ...] = ()
    count: int = 1
    columns: tuple[Column, ...] = ()
    above: "Table | None" = None


def _tables(document: object) -> Iterator[Table]:
    """Yield the tables of an answer, each before those below it."""
    if isinstance(document, dict):
        if _is_open([document], ""):
            yield from _rows([document], "root", "", Table(), optional=False, depth=0)
        else:
            yield from _table([document], "", Table(), 0)
    elif isinstance(document, list) and document and _are(document, dict):
        yield from _rows([document], "@", "", Table(), optional=False, depth=0)


def _table(rows: Sequence[Any], prefix: str, table: Table, depth: int) -> Iterator[Table]:
    """Yield `table` with its columns, then the tables below it. `prefix` is a row in the scope."""
    columns: list[Column] = []
    below: list[tuple[tuple[str, ...], list[Any]]] = []
    pending: list[tuple[tuple[str, ...], Sequence[Any]]] = [((), rows)]
    while pending:
        keys, maps = pending.pop()
        deeper = []
        for key in dict.fromkeys(key for one in maps if one is not None for key in one):
            values = [None if one is None else one.get(key) for one in maps]
            given = [value for value in values if value is not None]
            here = (*keys, key)
            if not _is_usable(key) or depth + len(here) > _DEEPEST:
                continue
            if given and _are(given, dict) and not _is_open(given, key):
                deeper.append((here, values))
            elif given and (_are(given, dict) or _are(given, list)):
                below.append((here, values))
            elif not any(isinstance(value, dict | list) for value in given):
                path = _below(prefix, here)
                columns.append(Column(keys=here, path=path, values=tuple(values)))
        pending += reversed(deeper)
    table = msgspec.structs.replace(table, columns=tuple(columns[:_MOST_KEYS]))
    yield table
    for keys, values in below:
        given = [value for value in values if value is not None]
        optional = len(given) < len(values)
        place = _below(prefix, keys)
        yield from _rows(given, place, keys[-1], table, optional=optional, depth=depth + len(keys))


def _rows(
    given: Sequence[Any], place: str, title: str, above: Table, *, optional: bool, depth: int
) -> Iterator[Table]:
    """Yield the table of lists of maps, or of open maps, and those below it."""
    name = _singular(title, "row_of_it") if title else "entry"
    while name in {step["as"] for step in above.steps}:
        name += "_too"
    where, key, keys = above.where, "", ()
    if isinstance(given[0], list):
        prefix = name
        rows = [row for one in given for row in one][:_MOST_ROWS]
        if not rows or not _are(rows, dict):
            return
    else:
        place, prefix, key = f"items({place})", f"{name}.value", f"{name}.key"
        entries = [(key, row) for one in given for key, row in one.items()]
        rows = [row for _, row in entries if isinstance(row, dict)]
        keys = tuple(key for key, row in entries if isinstance(row, dict))
        if len(rows) < len(entries):  # scalars among the entries are passed over
            where = " && ".join(filter(None, (where, f"type({prefix}) == 'object'")))
    step: Rule = {"path": place, "as": name}
    if optional or above.where:
        step["optional"] = True
    table = Table(
        steps=(*above.steps, step),
        title=title,
        where=where,
        key=key,
        keys=keys,
        count=len(rows),
        above=above,
    )
    yield from _table(rows, prefix, table, depth + 1)


_FEW = 12  # entries that a definition would rather name one by one
_ALIKE = 0.5  # the share of keys that the entries of an open map have in common


def _is_open(maps: Sequence[Any], title: str) -> bool:
    """Tell whether the keys of a map are data: its entries are maps that look alike."""
    entries = [(key, row) for one in maps for key, row in one.items() if isinstance(row, dict)]
    keys = {key for key, _ in entries}
    if len(keys) < 2 or not all(_is_usable(key) for one in maps for key in one):  # noqa: PLR2004
        return False
    if all(_role_of(key) or key.lower() in _MONEY_ROLES for key in keys):
        return False
    columns = [set(row) for _, row in entries]
    common = set.intersection(*columns)
    tells_units = any(set(_words(key)) & _UNIT_KEYS for key in common if isinstance(key, str))
    few = len(keys) <= _FEW and not set(_words(title)) & _PROJECTED
    if few and not tells_units and any(map(_counts_bytes, keys)):
        return False  # each entry has a unit of its own, and only its key tells which
    numbers = any(_is_number(row[key]) for _, row in entries for key in common)
    return numbers and len(common) >= _ALIKE * len(set.union(*columns))


def _are(values: Iterable[object], kind: type) -> bool:
    return all(isinstance(value, kind) for value in values)


def _is_usable(key: object) -> bool:
    return (
        isinstance(key, str)
        and 0 < len(key) <= _LONGEST_KEY
        and key.isprintable()
        and not key.isspace()
    )


_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _below(above: str, keys: Iterable[str]) -> str:
    """Return the JMESPath of some keys below another path; "" is the document."""
    parts = (
        key if _IDENTIFIER.fullmatch(key) else json.dumps(key, ensure_ascii=False) for key in keys
    )
    return ".".join(filter(None, (above, *parts)))


def _singular(key: str, otherwise: str) -> str:
    """Return a name for one row of a list: ``results`` has the row ``result``."""
    word = snake(key)
    if word.endswith("ies") and len(word) > len("ties"):
        word = f"{word[:-3]}y"
    elif word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    fits = re.fullmatch(r"[a-z][a-z0-9_]{0,30}", word)
    return word if fits and word not in ("root", "row", "null", "true", "false") else otherwise


# ----------------------------------------------------------------------------------- values

_NUMBER = re.compile(r"\s*[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})\s*", re.ASCII)
_LARGEST = 1e24
_NO_LIMIT = frozenset({"unlimited", "infinite", "infinity", "unmetered", "no limit", "none", "∞"})
_ENDLESS = frozenset({-1.0, 2.0**31 - 1, 2.0**53 - 1, 2.0**63 - 1, 2.0**63, 2.0**64 - 1, 2.0**64})
_HUGE = 1e12  # more than anyone is allowed, but for bytes
_RECENT, _LATE = 978_307_200.0, 4_102_444_800.0  # 2001 and 2100: other numbers are no epochs


def _is_number(value: object) -> bool:
    """Tell whether the mapping would read a value as a number of sensible size."""
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, int | float) and type(value) is not bool and abs(value) < _LARGEST


def _numbers(column: Column) -> list[float]:
    return [float(value) for value in column.values if _is_number(value)]  # type: ignore[arg-type]


def _is_time(value: object) -> bool:
    try:
        epoch = None if isinstance(value, bool) else parse_timestamp(value)
    except ValueError:
        return False
    return epoch is not None and (not _is_number(value) or _RECENT < epoch < _LATE)


def _is_no_limit(value: object) -> bool:
    return isinstance(value, str) and value.strip().casefold() in _NO_LIMIT


def _sentinels(column: Column, *, in_bytes: bool) -> list[object]:
    """Return what stands for "no limit" among the values of a limit: -1, 1e12, "unlimited"."""
    found: dict[object, object] = {}
    for value in column.values:
        if _is_no_limit(value):
            found.setdefault(str(value).strip().casefold(), str(value).strip())
        elif _is_number(value):
            amount = float(value)  # type: ignore[arg-type]
            digits = f"{amount:.0f}"
            is_round = digits.strip("0") in ("1", "9") or not digits.strip("9")
            if amount in _ENDLESS or (amount >= _HUGE and is_round and not in_bytes):
                found.setdefault(amount, round(amount))
    return list(found.values())


# ------------------------------------------------------------------------------------ words


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _by_word(words: Mapping[str, str]) -> dict[str, str]:
    return {word: meaning for meaning, known in words.items() for word in known.split()}


_ROLES: Final = _by_word({
    "remaining": "remaining left free unused leftover available",
    "percent": "percent percentage pct",
    "ratio": "ratio fraction utilization utilisation",
    "projected": "projected projection forecast forecasted predicted expected",
    "overage": "overage overages excess exceeded overused",
    "limit": "limit limits quota quotas included allowed max maximum capacity allowance cap"
    " entitlement entitled granted allotment allocation purchased",
    "used": "used usage current currently consumed consumption actual utilized spent accumulated",
})  # fmt: skip
_PROJECTED: Final = {word for word, role in _ROLES.items() if role == "projected"}
_SHARES: Final = ("percent", "ratio")
_MONEY_ROLES: Final = _by_word({
    "base": "base subscription fixed recurring flat",
    "overage": "overage overages excess",
    "projected": "projected projection forecast forecasted predicted expected",
    "remaining": "remaining left balance",
    "limit": "limit budget cap max maximum threshold",
})  # fmt: skip
_CYCLES: Final = _by_word({
    "day": "day daily", "week": "week weekly", "month": "month monthly",
    "year": "year yearly annual",
})  # fmt: skip
_UNITS: Final = _by_word({
    "B": "byte bytes", "kB": "kb", "MB": "mb", "GB": "gb", "TB": "tb", "KiB": "kib", "MiB": "mib",
    "GiB": "gib", "TiB": "tib", "seconds": "seconds secs", "ms": "ms millis milliseconds",
    "minutes": "minutes mins", "hours": "hours", "requests": "requests calls queries",
})  # fmt: skip
_COUNTS: Final = _set("total count value amount quantity number num sum")
"""Words that say that something is counted, and not whether it is used or allowed."""
_MONEY: Final = _set(
    "cost costs charge charges spend spending bill billed invoice invoiced fee fees due"
    " payable subtotal balance budget revenue"
)
_CENTS: Final = _set("cents cent minor")
_A_PIECE: Final = _set("per unit rate each price prices tariff hourly")
_OF_A_BILL: Final = _set("net gross discount tax due credit")
_TAKEN_OFF: Final = _set("discount tax credit refund")
_BEST: Final = ("net", "due", "billed", "cost", "costs", "total", "amount", "subtotal", "gross")
"""Words of amounts of one bill, the most telling first."""
_CURRENCIES: Final = _set("usd eur gbp chf jpy inr cad aud")
_START: Final = _set("start starts started begin begins beginning from since")
_END: Final = _set("end ends ending until to reset resets renewal renews renew")
_AS_OF: Final = _set("updated asof generated refreshed retrieved calculated collected")
_DATE: Final = _set("date day time timestamp month hour week bucket start from")
_TIMES: Final = _START | _END | _AS_OF | _DATE | _set("unix at on utc")
_PAGES: Final = _set("pagination paging page_info pageinfo links")
_PLAN: Final = _set("plan tier edition package")
_NAME: Final = (
    "name", "key", "metric", "resource", "type", "product", "service", "sku", "dimension",
    "feature", "category", "item", "meter", "label", "title", "model", "project", "region",
    "id", "slug", "code", "uuid",
)  # fmt: skip
"""Columns that tell rows apart, best first."""
_UNIT_KEYS: Final = _set("unit units uom measure")
_MERE_UNITS: Final = _set(
    "byte bytes kb mb gb tb kib mib gib tib seconds secs ms millis milliseconds usd eur"
)
"""Units that name nothing: of ``storage_gb`` the storage is counted."""
_BULK: Final = _set(
    "bandwidth traffic transfer storage disk egress ingress volume download downloads upload"
    " uploads memory data"
)
_CONTAINERS: Final = _set(
    "data result results response attributes payload body object summary details stats statistics"
    " account organization org team billing period info subscription root entry item metric"
)
"""Keys that say nothing of what is counted below them."""
_LEVELS: Final = _set(
    "storage disk seats seat members users projects domains servers instances databases memory"
    " stored active size"
)
"""Things of which there is an amount now, rather than an amount used up."""
_THINGS: Final = _BULK | _LEVELS | _set(
    "requests calls queries emails messages tokens characters minutes credits builds images"
    " events logs webhooks sms pulls jobs searches operations invocations executions records"
    " rows contacts subscribers units views impressions transcriptions"
)  # fmt: skip
_IGNORED: Final = _set(
    "id ids page pages per offset index version port code status year day hour minute date time"
    " timestamp ttl retry cursor rate order position rank score latitude longitude unit priority"
    " error errors interval duration window epoch sequence entries pricing contracted list next"
)
_FILLERS: Final = _set("so far this of in the my and")


def _words(key: str) -> list[str]:
    """Return the words of a key: ``apiCallsUsed`` is api, calls, used."""
    return [word for word in snake(key).split("_") if word]


def _role_of(key: str) -> str:
    """Return the role that a key names, "" for none; the last word that names one decides."""
    return next((_ROLES[word] for word in reversed(_words(key)) if word in _ROLES), "")


def _thing_of(key: str) -> str:
    """Return what a key counts, without the words of roles and units; "" if it is only those."""
    kept = [word for word in _words(key) if word not in _ROLES.keys() | _COUNTS | _FILLERS]
    if set(kept) <= _MERE_UNITS:
        return ""
    kept = [word for word in kept if word not in _MERE_UNITS]
    if f"{kept[-1]}s" in _THINGS:  # character_count counts characters
        kept[-1] += "s"
    return "_".join(kept)


def _unit_of(keys: Iterable[str]) -> str:
    """Return the unit that the first of some keys to name one names, "" where none does."""
    for key in keys:
        words = _words(key)
        for size, held in itertools.pairwise(words):
            if f"{size}-{held}" in ("gb-hours", "gb-hour", "gb-seconds", "byte-seconds"):
                return f"{_UNITS.get(size, size)}-{held}"
        found = next((_UNITS[word] for word in reversed(words) if word in _UNITS), "")
        if found:
            return found
    return ""


def _counts_bytes(key: str) -> bool:
    return bool(_unit_of([key])) or bool(set(_words(key)) & _BULK)


def _known_unit(word: str) -> str:
    """Return a vendor's word for a unit as a definition writes it; "quantity" for any other."""
    for spelling in (word, snake(word).replace("_", " ")):  # GigabyteHours: gigabyte hours
        try:
            unit = find_unit(spelling)
        except ValueError:
            continue
        return unit.name if unit.kind in MEASURED else "quantity"
    return "quantity"


# ----------------------------------------------------------------- what tells the rows apart


class _Naming(msgspec.Struct, frozen=True, kw_only=True):
    """``name`` is the path of each row's name and ``texts`` are those seen, ``date`` of its day.

    ``unique``: the names tell the rows apart.
    """

    name: str = ""
    texts: tuple[str, ...] = ()
    unique: bool = False
    date: str = ""


def _naming(table: Table) -> _Naming:
    """Return what tells rows apart; where a table has no names of its own, those above it."""
    if not table.steps:
        return _Naming()
    if table.key and all(map(_is_time, table.keys)):
        return _Naming(date=table.key)
    dates = [
        one
        for one in table.columns
        if one.holds_times and len(one.given) == len(one.values) and one.words & _DATE
    ]
    date = min(dates, key=lambda one: len(one.keys)).path if dates else ""
    if table.key:
        unique = len({snake(key) for key in table.keys}) == len(table.keys)
        return _Naming(name=table.key, texts=table.keys, unique=unique, date=date)
    fitting = [
        ((not _is_unique(one), not _is_of_one_kind(one, table), rank), one)
        for one in table.columns
        if (rank := _rank(one)) is not None
        and one.holds_texts
        and all(snake(str(value)).strip("_") for value in one.values)
        and (table.count == 1 or len(set(one.values)) > 1)
        and not one.is_time
        and not {"{", "}"} & set(one.path)
    ]
    if fitting:
        own = min(fitting, key=lambda one: one[0])[1]
        texts = tuple(map(str, own.values))
        return _Naming(name=own.path, texts=texts, unique=_is_unique(own), date=date)
    above = _Naming() if table.above is None else _naming(table.above)
    return _Naming(name=above.name, texts=above.texts, date=date)


def _is_unique(column: Column) -> bool:
    return len({snake(str(value)) for value in column.values}) == len(column.values)


def _is_of_one_kind(column: Column, table: Table) -> bool:
    """Tell whether all rows of each name are measured in one kind of unit."""
    for unit in _units(table):
        kinds: dict[str, set[Kind]] = {}
        for value, word in zip(column.values, unit.values, strict=True):
            kind = find_unit(_known_unit(str(word))).kind
            kinds.setdefault(snake(str(value)), set()).add(kind)
        if any(len(seen) > 1 for seen in kinds.values()):
            return False
    return True


def _rank(column: Column) -> tuple[bool, int, int] | None:
    """Return how well a key says that it names the row: in one word, by a good word, at the top."""
    ranks = [_NAME.index(word) for word in column.words if word in _NAME]
    if not ranks or column.words & _UNIT_KEYS:
        return None
    return len(column.words) > 1, min(ranks), len(column.keys)


def _label(table: Table, naming: _Naming) -> str:
    """Return the path that names the items of a breakdown: the rows' names, or any ids."""
    if naming.name or naming.date:
        return naming.name
    ids = (
        one.path
        for one in table.columns
        if _rank(one) is not None and all(type(value) in (str, int) for value in one.values)
    )
    return next(ids, "")


def _units(table: Table) -> list[Column]:
    """Return the columns that name the units of what stands beside them."""
    return [one for one in table.columns if one.words & _UNIT_KEYS and one.holds_texts]


# -------------------------------------------------------------------------------- resources

_COUNT = "count"  # a number of something; what for, its neighbours tell
_WHOLES = _set("total size sum")
_NEAR = 2  # levels of maps above a number whose keys may still name its role
_MOST_SHARE = 2.0  # a share above 200 % is a percentage
_BIG = 1_000_000  # bytes: less than that is hardly a month's bandwidth


class _Group(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of one thing by their roles; ``unit`` as a definition has it."""

    thing: str
    roles: dict[str, Column]
    unit: str | Rule
    remark: str = ""


def _measured(table: Table, known: set[str]) -> Iterator[Rule]:
    """Yield resources and breakdowns; `known` are the resources that are read already.

    A list of metrics (name, used, limit) gives a resource for each row; a list of days gives sums,
    or the last of a level; a list of projects gives a sum and a breakdown.
    """
    naming = _naming(table)
    if any(_role_of(text) for text in naming.texts) and not table.key:
        return  # names and values of a map in disguise: no row is a thing
    if table.key and _title_role(table) == "projected" and not _units(table):
        return  # its units stand elsewhere
    for group in _groups(table):
        named = bool(naming.name) and (
            not group.thing
            or (not naming.date and bool(group.roles.keys() & {"limit", "remaining", *_SHARES}))
        )
        if named:
            hole = f"{{{naming.name}}}"
            yield _resource(table, naming, group, f"{group.thing}_{hole}" if group.thing else hole)
            continue
        row = table.steps[-1]["as"] if table.steps else ""
        thing = group.thing or ("usage" if row in ("", "entry", "row_of_it") else row)
        thing = "spending" if thing == "spend" else thing
        thing = thing if thing[0].isalpha() else f"n{thing}"
        if thing not in known:
            yield _resource(table, naming, group, thing)
        label = _label(table, naming) if table.steps else ""
        if label and "used" in group.roles:
            yield {
                "resource": thing,
                "group": row,
                **_iteration(table),
                "item": label,
                "unit": _unit_of_rows(group.unit),
                "used": _number("used", group.roles["used"], group.unit),
            }


def _iteration(table: Table, reduce: str | Rule = "") -> Rule:
    rule: Rule = {}
    if table.steps:
        rule["each"] = table.steps[0] if len(table.steps) == 1 else list(table.steps)
    if table.where:
        rule["where"] = table.where
    if reduce:
        rule["reduce"] = reduce
        if reduce == "sum":
            rule["#reduce"] = "a flow; a level is {how: last, by: date}"
    return rule


def _unit_of_rows(unit: str | Rule) -> str | Rule:
    """Return the unit of a sum: the words of the answer only where all rows have one unit."""
    if isinstance(unit, str):
        return unit
    meant = set(unit["words"].values())
    return str(meant.pop()) if len(meant) == 1 else "quantity"


def _resource(table: Table, naming: _Naming, group: _Group, name: str) -> Rule:
    is_named = "{" in name
    is_level = bool(set(_words(group.thing)) & _LEVELS)
    last = {"how": "last", "by": naming.date}
    reduce: str | Rule = ""
    if table.steps and not (
        is_named and naming.unique and not naming.date and len(table.steps) == 1
    ):
        reduce = last if naming.date and is_level else "sum"
    unit = group.unit if is_named or not table.steps else _unit_of_rows(group.unit)
    rule: Rule = {"name": name, "unit": unit}
    if group.remark:
        rule["#unit"] = group.remark
    rule |= _iteration(table, reduce)
    if is_level and not is_named:
        rule |= {"level": True, "#level": "what there is now, not what was used"}
    levels = dict.fromkeys(snake(text) for text in naming.texts if set(_words(text)) & _LEVELS)
    if is_named and levels:
        rule["levels"] = list(levels)
    for role, column in group.roles.items():
        own: str | Rule = ""
        if reduce == "sum" and role in _SHARES:
            own = "max"
        elif reduce == "sum" and naming.date and role in ("limit", "remaining", "projected"):
            own = last
        rule[role] = _number(role, column, group.unit, own)
    as_of = [one.path for one in table.columns if one.holds_times and _is_as_of(one)]
    if as_of and not table.steps:
        rule["as_of"] = as_of[0]
    return rule


def _title_role(table: Table) -> str:
    """Return the role that the name of a list gives to what is counted in it, "" for none."""
    named = [_ROLES[word] for word in _words(table.title) if word in _ROLES]
    return next((role for role in named if role != "used"), next(iter(named), ""))


def _is_as_of(column: Column) -> bool:
    return bool(column.words & _AS_OF) or column.words == {"as", "of"}


def _groups(table: Table) -> Iterator[_Group]:
    """Yield the numbers that belong together, wherever they stand.

    ``character_count`` goes with ``character_limit``, ``bandwidth.used`` with ``bandwidth.max``,
    ``usage.seats`` with ``limits.seats``: without the words of roles their keys are the same.
    """
    title = _title_role(table)
    found: dict[tuple[str, ...], list[tuple[str, Column]]] = {}
    amounts = _amounts(table)
    for column in table.columns:
        role = _role(column)
        numbers = [one for one in column.given if not (role == "limit" and _is_no_limit(one))]
        if not role or column in amounts or column.is_time or not all(map(_is_number, numbers)):
            continue
        if not column.given or (not numbers and role in _SHARES):
            continue
        things = (_thing_of(key) for key in column.keys)
        about = tuple(one for one in things if one and one not in _PLAN)
        found.setdefault(about, []).append((title if title and role == _COUNT else role, column))
    for about, figures in found.items():
        group = _group(about, figures, table)
        if title == "projected":  # a percentage beside a projection is that of the projection
            for share in _SHARES:
                group.roles.pop(share, None)
        is_bare = not group.thing and not table.steps and [role for role, _ in figures] == [_COUNT]
        if group.roles.keys() - {"limit"} and not is_bare:
            yield group


def _role(column: Column) -> str:
    """Say what a number is for by its keys; "" for what is no usage."""
    leaf = column.keys[-1]
    own = _role_of(leaf)
    if "next" in column.words or (column.words & _IGNORED and not own):
        return ""
    if any(snake(key) in _PAGES for key in column.keys[:-1]):
        return ""
    near = [own, *(_role_of(key) for key in reversed(column.keys[:-1]))][: _NEAR + 1]
    counts = column.words & (_COUNTS | _THINGS)
    return next(filter(None, near), _COUNT if counts else "")


def _group(about: tuple[str, ...], figures: list[tuple[str, Column]], table: Table) -> _Group:
    roles: dict[str, Column] = {}
    for role, column in sorted(figures, key=lambda one: one[0] == _COUNT):
        if role == _COUNT:  # beside what is used a total is a limit, else it is what is used
            whole = bool(_WHOLES & column.words)
            is_limit = whole and bool({"used", "remaining"} & roles.keys())
            roles.setdefault("limit" if is_limit else "used", column)
        else:
            roles.setdefault(role, column)
    if "percent" in roles:
        roles.pop("ratio", None)
    elif "ratio" in roles and max(_numbers(roles["ratio"]), default=0.0) > _MOST_SHARE:
        roles["percent"] = roles.pop("ratio")
    named = [thing for thing in about if thing not in _CONTAINERS]
    thing = snake(named[-1]) if named else ""
    if thing and set(thing.split("_")) <= _CYCLES.keys():
        thing = f"usage_{thing}"
    measured = [column for role, column in roles.items() if role not in _SHARES]
    unit, remark = _unit(thing, measured, table)
    fitting = {role: one for role, one in roles.items() if role in _SHARES or _fits(one, unit)}
    return _Group(thing=thing, roles=fitting, unit=unit, remark=remark)


def _fits(column: Column, unit: str | Rule) -> bool:
    """Tell whether a number counts what its group counts."""
    own = _unit_of(column.keys[-1:])
    return not own or not isinstance(unit, str) or find_unit(own).kind is find_unit(unit).kind


def _unit(thing: str, measured: Sequence[Column], table: Table) -> tuple[str | Rule, str]:
    """Return the unit of the numbers of one thing, and what is doubtful about it."""
    for column in measured:
        named = _unit_of(reversed(column.keys))
        if named:
            return named, ""
    for column in _units(table):
        if measured and column.keys[:-1] == measured[0].keys[:-1]:
            seen = dict.fromkeys(str(value) for value in column.values if _is_usable(value))
            words = {word: _known_unit(word) for word in seen}
            return {"from": column.path, "words": words, "otherwise": "quantity"}, ""
    if set(thing.split("_")) & _BULK and measured:
        largest = max((abs(amount) for one in measured for amount in _numbers(one)), default=0.0)
        return ("B", "bytes, by its size") if largest >= _BIG else ("GB", "GB, by its size")
    return "quantity", ""


def _number(role: str, column: Column, unit: str | Rule, reduce: str | Rule = "") -> str | Rule:
    """Return how a number is read: its path, or more where that does not say all."""
    rule: Rule = {"path": column.path}
    if role not in _SHARES and isinstance(unit, str):
        own = _unit_of(column.keys[-1:])
        if own and own != unit:
            rule["unit"] = own
    if role == "limit":
        in_bytes = isinstance(unit, str) and find_unit(unit).kind is Kind.BYTES
        rule["unlimited"] = _sentinels(column, in_bytes=in_bytes)
    rule["reduce"] = reduce
    kept = {key: value for key, value in rule.items() if value}
    return kept if len(kept) > 1 else column.path


# ------------------------------------------------------------------------------------ money


def _charged(table: Table, *, known: bool) -> Iterator[Rule]:
    """Yield the cost of a table and its breakdown; `known`: the total is read already."""
    places: dict[tuple[str, ...], dict[str, Column]] = {}
    for column in sorted(_amounts(table), key=_telling):
        if not column.words & _TAKEN_OFF:
            word = next((word for word in _words(column.keys[-1]) if word in _MONEY_ROLES), "")
            role = _MONEY_ROLES.get(word, "cost")
            places.setdefault(column.keys[:-1], {}).setdefault(role, column)
    if not places:
        return
    roles = max(places.values(), key=lambda one: ("cost" in one, len(one)))
    numbers: Rule = {}
    for role, column in roles.items():
        in_cents = bool(set(_words(" ".join(column.keys))) & _CENTS)
        numbers[role] = {"path": column.path, "unit": "cents"} if in_cents else column.path
    currency = _currency(list(roles.values()), table)
    if not known:
        yield currency | _iteration(table, "sum" if table.steps else "") | numbers
    label = _label(table, _naming(table)) if table.steps else ""
    if label and "cost" in roles:
        row = table.steps[-1]["as"]
        head = {"resource": "spend", "group": row, **_iteration(table), "item": label}
        yield head | currency | {"cost": numbers["cost"]}


def _amounts(table: Table) -> list[Column]:
    """Return the columns that hold amounts of money. The price of a piece is none."""
    beside = {one.keys[:-1] for one in _codes(table) if len(one.keys) > 1}
    return [one for one in table.columns if _is_money(one, near_a_code=one.keys[:-1] in beside)]


def _is_money(column: Column, *, near_a_code: bool) -> bool:
    leaf = column.words
    above = {word for key in column.keys[-1 - _NEAR : -1] for word in _words(key)}
    if (leaf | above) & _A_PIECE or not column.is_number:
        return False
    if leaf & (_CURRENCIES | _MONEY | _CENTS):
        return True
    if leaf & {"amount", "total", "subtotal"} and leaf & _OF_A_BILL:
        return True
    plain = {"total", "amount", "value", "current", "cost", "usage", "net", "sum"}
    return bool(leaf & (_MONEY_ROLES.keys() | plain)) and (near_a_code or bool(above & _MONEY))


def _telling(column: Column) -> int:
    return min((_BEST.index(word) for word in column.words if word in _BEST), default=len(_BEST))


def _currency(columns: Sequence[Column], table: Table) -> Rule:
    """Return the currency of amounts: named beside them or above, or in a key; else dollars."""
    place = columns[0].keys[:-1]
    at: Table | None = table
    while at is not None:
        codes = _codes(at)
        if codes:
            near = max(
                codes,
                key=lambda one: sum(a == b for a, b in zip(one.keys, place, strict=False)),
            )
            return {"currency": {"path": near.path}}
        at = at.above
    named = [word for one in columns for word in _words(one.keys[-1]) if word in _CURRENCIES]
    if named:
        return {"currency": named[0].upper()}
    return {"currency": "USD", "#currency": "the answer names no currency"}


def _codes(table: Table) -> list[Column]:
    """Return the columns that name a currency in each row."""
    return [
        one
        for one in table.columns
        if one.words & {"currency", "unit", "code"}
        and one.holds_texts
        and all(is_currency(str(value).strip().upper()) for value in one.values)
    ]


# ---------------------------------------------------------------------------------- periods


def _period(columns: Sequence[Column]) -> Rule:
    """Return the period that an answer names, {} where it does not."""
    times = [one for one in columns if one.holds_times]
    starts = [one for one in times if one.words & _START]
    ends = [one for one in times if one.words & _END]
    for start, end in itertools.product(starts, ends):
        if start.keys[:-1] == end.keys[:-1]:
            rule: Rule = {"start": start.path, "end": end.path}
            if _is_inclusive(start.values[0], end.values[0]):
                rule["inclusive_end"] = True
            return rule
    for side, found in (("end", ends), ("start", starts)):
        if found:
            words = _words(" ".join(found[0].keys))
            cycle = next((_CYCLES[word] for word in words if word in _CYCLES), "month")
            return {side: found[0].path, "cycle": cycle}
    return {}


def _is_inclusive(start: object, end: object) -> bool:
    """Tell whether a period ends with its last day or second: 1 to 30 November is November."""
    if not isinstance(end, str) or not isinstance(start, str):
        return False
    if "23:59" in end:
        return True
    first, last = parse_timestamp(start), parse_timestamp(end)
    if len(end) != len("2026-11-30") or first is None or last is None:
        return False
    after = datetime.fromtimestamp(last + 86_400, UTC)
    return after.day == datetime.fromtimestamp(first, UTC).day and last > first


# ----------------------------------------------------------------------------------- paging

_WRAPPERS: Final = tuple(tuple(one.split(".")) if one else () for one in (
    "", "meta", "pagination", "paging", "page", "pageInfo", "page_info", "links", "_links", "_meta",
    "metadata", "data", "response_metadata", "meta.pagination", "meta.page", "links.pages",
    "paging.cursors", "pagination.links", "data.pagination", "data.pageInfo", "meta.links",
))  # fmt: skip
"""The maps in which an answer speaks of its pages."""
_URLS: Final = (
    "next", "next_url", "nextUrl", "next_page_url", "next_page_uri", "nextPageUrl", "next_link",
    "nextLink", "@odata.nextLink", "@nextLink", "next_page", "nextPage",
)  # fmt: skip
_CURSORS: Final = {
    "next_cursor": "cursor", "nextCursor": "cursor", "cursor": "cursor", "endCursor": "after",
    "end_cursor": "after", "next_page_token": "page_token", "nextPageToken": "pageToken",
    "next_token": "next_token", "nextToken": "nextToken", "NextToken": "NextToken",
    "continuation_token": "continuation_token", "continuationToken": "continuationToken",
    "last_id": "after", "after": "after", "next_page": "page", "nextPage": "page",
    "next": "cursor", "next_id": "after",
}  # fmt: skip
"""Where a cursor stands, and the argument that most vendors of that word take it in."""
_MORE: Final = (
    "has_more",
    "hasMore",
    "has_next",
    "hasNext",
    "hasNextPage",
    "has_next_page",
    "more",
)
_PAGE: Final = ("page", "current_page", "currentPage", "page_number", "pageNumber", "number")
_SIZE: Final = ("per_page", "perPage", "page_size", "pageSize", "limit", "size")
_LAST: Final = (
    "total_pages", "totalPages", "pages", "page_count", "pageCount", "last_page", "lastPage",
)  # fmt: skip
_ALL: Final = ("total", "total_count", "totalCount", "total_entries", "total_results", "count")
_SKIPPED: Final = ("offset", "skip", "start")


def _paging(document: object, rows: str) -> Rule:
    """Return the paging of an answer, {} where it has none; `rows` is its first list."""
    places = []
    for keys in _WRAPPERS:
        value = document
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, dict):
            places.append((keys, value))
    for guess in (_next_url, _cursor, _numbered):
        for keys, place in places:
            found = guess(keys, place, rows)
            if found:
                return found
    return {}


def _first(place: Mapping[str, Any], known: Iterable[str], kind: type) -> str:
    """Return the first of some keys that has a value of a kind; "" for none."""
    return next((key for key in known if type(place.get(key)) is kind), "")


def _next_url(keys: tuple[str, ...], place: Mapping[str, Any], rows: str) -> Rule:
    company = {"previous", "prev", "count", "first", "last", "self", "previous_page"}
    for key in (one for one in _URLS if one in place):
        value = place[key].get("href") if isinstance(place[key], dict) else place[key]
        is_url = isinstance(value, str) and value.startswith(("http://", "https://", "/", "?"))
        # Without a value the key must mean pages by itself or by its company.
        speaks = key not in ("next", "next_page", "nextPage") or bool(company & place.keys())
        speaks = speaks or bool(keys and keys[-1] in ("links", "_links"))
        if is_url or (value is None and speaks):
            return {"kind": "next_url", "next": _below("", (*keys, key))}
    return {}


def _cursor(keys: tuple[str, ...], place: Mapping[str, Any], rows: str) -> Rule:
    more = _first(place, _MORE, bool)
    for key, param in _CURSORS.items():
        known = type(place.get(key)) in (str, int)
        absent = bool(more) and key in place and place[key] is None
        if not (known or absent) or (not more and key in ("cursor", "after", "last_id", "next_id")):
            continue
        rule = {"kind": "cursor", "cursor": _below("", (*keys, key)), "param": param}
        return rule | ({"more": _below("", (*keys, more))} if more else {})
    return {}


def _numbered(keys: tuple[str, ...], place: Mapping[str, Any], rows: str) -> Rule:
    """Return paging by numbers of pages, or of rows to skip."""
    size = _first(place, _SIZE, int)
    if size and not 0 < place[size] <= 100_000:  # noqa: PLR2004 - rows a page
        size = ""
    pages, total = _first(place, _LAST, int), _first(place, _ALL, int)
    all_rows = {"total_rows": _below("", (*keys, total))} if total else {}
    rows_rule = {"rows": rows} if rows else {}
    if pages or (_first(place, _PAGE, int) and total and size):
        sized = {"size_param": size, "size": place[size]} if size else {}
        end = {"total_pages": _below("", (*keys, pages))} if pages else rows_rule | all_rows
        return {"kind": "page_number", "param": "page"} | sized | end
    offset = _first(place, _SKIPPED, int)
    if offset and size and rows:
        sized = {"limit_param": size, "limit": place[size]}
        return {"kind": "offset", "param": offset} | sized | rows_rule | all_rows
    return {}
