"""From a captured answer to the beginning of a definition.

The words of a number's keys say what it is for (used, limit, cost), what it counts, and in which
unit; what distinguishes the rows of its table says whether they are resources, parts or days.

Rules are maps as a definition has them, ready to be written; a comment on a key stands under
``#key``. What is not understood is left out and listed as unread: no guess is better than a wrong
one.
"""

import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from exporter.authoring import words
from exporter.authoring.paging import Rule, infer_paging
from exporter.authoring.sample import (
    Column,
    Sample,
    Table,
    is_no_limit,
    is_number,
    is_time_value,
    is_usable,
    numbers,
    tables_of,
)
from exporter.kernel.calendar import parse_timestamp
from exporter.kernel.units import Kind, find_unit, is_currency, snake

_MOST_RULES = 40
_MOST_UNREAD = 12


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


def infer(sample: Sample) -> Draft:
    """Return what an answer looks like it means."""
    tables = list(tables_of(sample.document))
    resources: list[Rule] = []
    costs: list[Rule] = []
    items: list[Rule] = []
    names: set[str] = set()  # resources that are read already: parts of them are only items
    for table in tables:
        for rule in _measured(table, names):
            if "item" in rule:
                items.append(rule)
                continue
            holes = "{" in rule["name"]  # the same name in another list is another resource
            name = f"{rule['name']} {table.steps[-1]['path']}" if holes else rule["name"]
            if name not in names:
                resources.append(rule)
                names.add(name)
        for rule in _charged(table, known=bool(costs)):
            (items if "item" in rule else costs).append(rule)
        names |= {snake(key) for key in table.keys}
    kept = resources[:_MOST_RULES], costs[:1], items[:_MOST_RULES]
    read = {path for rules in kept for rule in rules for path in _paths(rule)}
    top = tables[0].columns if tables and not tables[0].steps else ()
    lists = (one.steps[0]["path"] for one in tables if len(one.steps) == 1 and not one.key)
    return Draft(
        lines=sample.lines,
        paging=infer_paging(sample.document, next(lists, "")),
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
            and not one.words & words.IGNORED
            and not one.is_time
            if not (table.steps and one in _amounts(table))
        ][:_MOST_UNREAD],
    )


def _paths(rule: Rule) -> Iterator[str]:
    for value in rule.values():
        yield value["path"] if isinstance(value, dict) and "path" in value else str(value)


def _is_plan(column: Column) -> bool:
    above = set(words.split(column.keys[-2])) if len(column.keys) > 1 else set()
    named = column.words & words.PLAN or (column.words == {"name"} and above & words.PLAN)
    return bool(named) and "id" not in column.words and isinstance(column.values[0], str)


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
    if table.key and all(map(is_time_value, table.keys)):
        return _Naming(date=table.key)
    dates = [
        one
        for one in table.columns
        if one.holds_times and len(one.given) == len(one.values) and one.words & words.DATE
    ]
    date = min(dates, key=lambda one: len(one.keys)).path if dates else ""
    if table.key:
        unique = len({snake(key) for key in table.keys}) == len(table.keys)
        return _Naming(name=table.key, texts=table.keys, unique=unique, date=date)
    fitting = [
        ((not _is_unique(one), rank), one)
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


def _rank(column: Column) -> tuple[bool, int, int] | None:
    """Return how well a key says that it names the row: in one word, by a good word, at the top."""
    ranks = [words.NAME.index(word) for word in column.words if word in words.NAME]
    if not ranks or column.words & words.UNIT_KEYS:
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
    return [one for one in table.columns if one.words & words.UNIT_KEYS and one.holds_texts]


# -------------------------------------------------------------------------------- resources

_COUNT = "count"  # a number of something; its role follows from the numbers beside it
_APART = frozenset({"limit", "remaining", *words.SHARES})
"""Roles of which a sum over all rows says little: such rows are resources of their own."""
_WHOLES = frozenset({"total", "size", "sum"})
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
    if any(words.role_of(text) for text in naming.texts) and not table.key:
        return  # names and values of a map in disguise: no row is a thing
    if table.key and _title_role(table) == "projected" and not _units(table):
        return  # its units stand elsewhere
    for group in _groups(table):
        apart = not group.thing or (not naming.date and bool(group.roles.keys() & _APART))
        if naming.name and apart:
            hole = f"{{{naming.name}}}"
            yield _resource(table, naming, group, f"{group.thing}_{hole}" if group.thing else hole)
            continue
        row = table.steps[-1]["as"] if table.steps else ""
        thing = group.thing or ("usage" if row in ("", "entry", "row_of_it") else row)
        thing = "spending" if thing == "spend" else thing
        thing = thing if thing[0].isalpha() else f"n{thing}"
        if thing not in known:  # else the sum stands in the answer, and these are its parts
            yield _resource(table, naming, group, thing)
        label = _label(table, naming) if table.steps else ""
        if label and "used" in group.roles:
            yield {
                "resource": thing,
                "group": row,
                **_iteration(table),
                "item": label,
                "unit": _unit_of_rows(group.unit),
                "used": _number("used", group.roles["used"], group.unit, summed=True),
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
    is_level = bool(set(words.split(group.thing)) & words.LEVELS)
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
    levels = dict.fromkeys(
        snake(text) for text in naming.texts if set(words.split(text)) & words.LEVELS
    )
    if is_named and levels:
        rule["levels"] = list(levels)
    for role, column in group.roles.items():
        own: str | Rule = ""
        if reduce == "sum" and role in words.SHARES:
            own = "max"
        elif reduce == "sum" and naming.date and role in ("limit", "remaining", "projected"):
            own = last
        rule[role] = _number(role, column, group.unit, own, summed=reduce == "sum" and not own)
    as_of = [one.path for one in table.columns if one.holds_times and _is_as_of(one)]
    if as_of and not table.steps:
        rule["as_of"] = as_of[0]
    return rule


def _title_role(table: Table) -> str:
    """Return the role that the name of a list gives to what is counted in it, "" for none."""
    named = [words.ROLES[word] for word in words.split(table.title) if word in words.ROLES]
    return next((role for role in named if role != "used"), next(iter(named), ""))


def _is_as_of(column: Column) -> bool:
    return bool(column.words & words.AS_OF) or column.words == {"as", "of"}


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
        limits = [one for one in column.given if not (role == "limit" and is_no_limit(one))]
        if not role or column in amounts or column.is_time or not all(map(is_number, limits)):
            continue
        if not column.given:
            continue
        things = (words.thing_of(key) for key in column.keys)
        about = tuple(one for one in things if one and one not in words.PLAN)
        found.setdefault(about, []).append((title if title and role == _COUNT else role, column))
    for about, figures in found.items():
        group = _group(about, figures, table)
        if title == "projected":  # a percentage beside a projection is that of the projection
            for share in words.SHARES:
                group.roles.pop(share, None)
        is_bare = not group.thing and not table.steps and [role for role, _ in figures] == [_COUNT]
        if group.roles.keys() - {"limit"} and not is_bare:
            yield group


def _role(column: Column) -> str:
    """Say what a number is for by its keys; "" for what is no usage."""
    leaf = column.keys[-1]
    own = words.role_of(leaf)
    if "next" in column.words or (column.words & words.IGNORED and not own):
        return ""
    if any(snake(key) in words.PAGES for key in column.keys[:-1]):
        return ""
    near = [own, *(words.role_of(key) for key in reversed(column.keys[:-1]))][: _NEAR + 1]
    counts = column.words & (words.COUNTS | words.THINGS)
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
    elif "ratio" in roles and max(numbers(roles["ratio"]), default=0.0) > _MOST_SHARE:
        roles["percent"] = roles.pop("ratio")
    named = [thing for thing in about if thing not in words.CONTAINERS]
    thing = snake(named[-1]) if named else ""
    if thing and set(thing.split("_")) <= words.CYCLES.keys():
        thing = f"usage_{thing}"
    measured = [column for role, column in roles.items() if role not in words.SHARES]
    unit, remark = _unit(thing, measured, table)
    fitting = {role: one for role, one in roles.items() if role in words.SHARES or _fits(one, unit)}
    return _Group(thing=thing, roles=fitting, unit=unit, remark=remark)


def _fits(column: Column, unit: str | Rule) -> bool:
    """Tell whether a number counts what its group counts."""
    own = words.unit_of(column.keys[-1:])
    return not own or not isinstance(unit, str) or find_unit(own).kind is find_unit(unit).kind


def _unit(thing: str, measured: Sequence[Column], table: Table) -> tuple[str | Rule, str]:
    """Return the unit of the numbers of one thing, and what is doubtful about it."""
    for column in measured:
        named = words.unit_of(reversed(column.keys))
        if named:
            return named, ""
    for column in _units(table):
        if measured and column.keys[:-1] == measured[0].keys[:-1]:
            seen = dict.fromkeys(str(value) for value in column.values if is_usable(value))
            meant = {word: words.known_unit(word) for word in seen}
            return {"from": column.path, "words": meant, "otherwise": "quantity"}, ""
    if set(thing.split("_")) & words.BULK and measured:
        largest = max((abs(amount) for one in measured for amount in numbers(one)), default=0.0)
        return ("B", "bytes, by its size") if largest >= _BIG else ("GB", "GB, by its size")
    return "quantity", ""


def _number(
    role: str, column: Column, unit: str | Rule, reduce: str | Rule = "", *, summed: bool
) -> str | Rule:
    """Return how a number is read: its path, or more where that does not say all.

    A sum with an unknown part is unknown: what is `summed` counts rows without a number as zero.
    """
    rule: Rule = {"path": column.path}
    if role not in words.SHARES and isinstance(unit, str):
        own = words.unit_of(column.keys[-1:])
        if own and own != unit:
            rule["unit"] = own
    if role == "limit":
        in_bytes = isinstance(unit, str) and find_unit(unit).kind is Kind.BYTES
        rule["unlimited"] = _sentinels(column, in_bytes=in_bytes)
    if summed and column.has_gaps:
        rule["missing"] = "zero"
    rule["reduce"] = reduce
    kept = {key: value for key, value in rule.items() if value}
    return kept if len(kept) > 1 else column.path


_ENDLESS = frozenset({-1.0, 2.0**31 - 1, 2.0**53 - 1, 2.0**63 - 1, 2.0**63, 2.0**64 - 1, 2.0**64})
_HUGE = 1e12  # more than anyone is allowed, but for bytes


def _sentinels(column: Column, *, in_bytes: bool) -> list[object]:
    """Return what stands for "no limit" among the values of a limit: -1, 1e12, "unlimited"."""
    found: dict[object, object] = {}
    for value in column.values:
        if is_no_limit(value):
            found.setdefault(str(value).strip().casefold(), str(value).strip())
        elif is_number(value):
            amount = float(value)  # type: ignore[arg-type]
            digits = f"{amount:.0f}"
            is_round = digits.strip("0") in ("1", "9") or not digits.strip("9")
            if amount in _ENDLESS or (amount >= _HUGE and is_round and not in_bytes):
                found.setdefault(amount, round(amount))
    return list(found.values())


# ------------------------------------------------------------------------------------ money


def _charged(table: Table, *, known: bool) -> Iterator[Rule]:
    """Yield the cost of a table and its breakdown; `known`: the total is read already."""
    places: dict[tuple[str, ...], dict[str, Column]] = {}
    for column in sorted(_amounts(table), key=_telling):
        if not column.words & words.TAKEN_OFF:
            word = next(
                (word for word in words.split(column.keys[-1]) if word in words.MONEY_ROLES), ""
            )
            role = words.MONEY_ROLES.get(word, "cost")
            places.setdefault(column.keys[:-1], {}).setdefault(role, column)
    if not places:
        return
    roles = max(places.values(), key=lambda one: ("cost" in one, len(one)))
    numbers: Rule = {}
    for role, column in roles.items():
        in_cents = bool(set(words.split(" ".join(column.keys))) & words.CENTS)
        rule: Rule = {"path": column.path}
        if in_cents:
            rule["unit"] = "cents"
        if table.steps and column.has_gaps:
            rule["missing"] = "zero"  # a sum with an unknown part would be unknown
        numbers[role] = rule if len(rule) > 1 else column.path
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
    above = {word for key in column.keys[-1 - _NEAR : -1] for word in words.split(key)}
    if (leaf | above) & words.A_PIECE or not column.is_number:
        return False
    if leaf & (words.CURRENCIES | words.MONEY | words.CENTS):
        return True
    if leaf & {"amount", "total", "subtotal"} and leaf & words.OF_A_BILL:
        return True
    plain = {"total", "amount", "value", "current", "cost", "usage", "net", "sum"}
    return bool(leaf & (words.MONEY_ROLES.keys() | plain)) and (
        near_a_code or bool(above & words.MONEY)
    )


def _telling(column: Column) -> int:
    return min(
        (words.BEST.index(word) for word in column.words if word in words.BEST),
        default=len(words.BEST),
    )


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
    named = [
        word for one in columns for word in words.split(one.keys[-1]) if word in words.CURRENCIES
    ]
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
    starts = [one for one in times if one.words & words.START]
    ends = [one for one in times if one.words & words.END]
    for start, end in itertools.product(starts, ends):
        if start.keys[:-1] == end.keys[:-1]:
            rule: Rule = {"start": start.path, "end": end.path}
            if _is_inclusive(start.values[0], end.values[0]):
                rule["inclusive_end"] = True
            return rule
    for side, found in (("end", ends), ("start", starts)):
        if found:
            said = words.split(" ".join(found[0].keys))
            cycle = next((words.CYCLES[word] for word in said if word in words.CYCLES), "month")
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
