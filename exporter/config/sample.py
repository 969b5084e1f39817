"""What a captured answer looks like it means: guesses, for ``providers new --from-sample``.

Only that command guesses; each guess is written down as one, for its author to confirm.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from exporter.kernel.snake import snake

Path: TypeAlias = tuple[str, ...]

PAGING: Final = (
    (("next",), "{kind: next_url, next: next}"),
    (("next_page_uri",), "{kind: next_url, next: next_page_uri}"),
    (("_links", "next", "href"), "{kind: next_url, next: _links.next.href}"),
    (("links", "pages", "next"), "{kind: next_url, next: links.pages.next}"),
    (("links", "next"), "{kind: next_url, next: links.next}"),
    (("next_page",), "{kind: cursor, cursor: next_page, param: page}"),
    (("next_cursor",), "{kind: cursor, cursor: next_cursor, param: cursor}"),
    (("nextPageToken",), "{kind: cursor, cursor: nextPageToken, param: pageToken}"),
    (("next_page_token",), "{kind: cursor, cursor: next_page_token, param: page_token}"),
    (("last_id",), "{kind: cursor, cursor: last_id, param: after, more: has_more}"),
    (
        ("meta", "pagination", "next_page"),
        "{kind: page_number, param: page, next_page: meta.pagination.next_page}",
    ),
    (("total_pages",), "{kind: page_number, param: page, total_pages: total_pages}"),
)
"""Where vendors put the way to the next page, and the paging that it would be."""

_USED: Final = re.compile(r"used|usage|current|consumed|count$|spent")
_LIMIT: Final = re.compile(r"limit|quota|included|allowed|max|total$|capacity|allowance")
_REMAINING: Final = re.compile(r"remain|left|available")
_PERCENT: Final = re.compile(r"percent|pct")
_COST: Final = re.compile(r"cost|price|amount|charge|spend|balance")
_START: Final = re.compile(r"(period|cycle|billing|month).*start|start_?(date|time|at)?$")
_END: Final = re.compile(r"(period|cycle|billing|month).*end|end_?(date|time|at)?$|reset")
_NOISE: Final = re.compile(
    r"used|usage|limit|quota|included|current|remaining|max|total|count|allowed"
)
_UNITS: Final = (
    ("bytes", "B"), ("_kb", "kB"), ("_mb", "MB"), ("_gb", "GB"), ("_tb", "TB"),
    ("minutes", "minutes"), ("hours", "hours"), ("seconds", "seconds"), ("_ms", "ms"),
    ("requests", "requests"), ("calls", "requests"), ("bandwidth", "B"), ("storage", "B"),
)  # fmt: skip
_ROLES: Final = (
    ("remaining", _REMAINING),
    ("percent", _PERCENT),
    ("limit", _LIMIT),
    ("used", _USED),
)


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A guessed resource: the paths of its roles, relative to ``each`` ("" is the answer)."""

    name: str
    unit: str
    each: str = ""
    roles: Mapping[str, str] = {}


class Sketch(msgspec.Struct, frozen=True, kw_only=True):
    """All guesses. ``paging`` is a line of YAML, ``costs`` and ``period`` paths."""

    paging: str = ""
    resources: tuple[Resource, ...] = ()
    costs: tuple[str, ...] = ()
    currency: str = ""
    period_start: str = ""
    period_end: str = ""


def sketch(document: object) -> Sketch:
    """Return what the answer looks like it means."""
    leaves = dict(_leaves(document))
    rows = _rows(document)
    resources = _resources("", {path: value for path, value in leaves.items() if "[]" not in path})
    if rows is not None:
        place, row = rows
        resources += _resources(place, dict(_leaves(row)))
    texts = [path for path, value in leaves.items() if isinstance(value, str)]
    return Sketch(
        paging=_paging(document),
        resources=tuple(resources),
        costs=tuple(
            _joined(path)
            for path, value in leaves.items()
            if "[]" not in path and _COST.search(_key(path)) and _is_number(value)
        ),
        currency=next((_joined(path) for path in texts if "currency" in _key(path)), ""),
        period_start=next((_joined(path) for path in leaves if _START.search(_key(path))), ""),
        period_end=next((_joined(path) for path in leaves if _END.search(_key(path))), ""),
    )


def _leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    match value:
        case dict():
            for key, inner in value.items():
                yield from _leaves(inner, (*path, str(key)))
        case list():
            if value:
                yield from _leaves(value[0], (*path, "[]"))
        case _:
            yield path, value


def _rows(document: object) -> tuple[str, object] | None:
    """Return where the first list of maps is, and its first row."""
    if isinstance(document, list):
        return ("@", document[0]) if document and isinstance(document[0], dict) else None
    if not isinstance(document, dict):
        return None
    for key, value in document.items():
        inner = _rows(value)
        if inner is not None:
            name = _quoted(str(key))
            return (name if inner[0] == "@" else f"{name}.{inner[0]}"), inner[1]
    return None


def _resources(each: str, leaves: Mapping[Path, object]) -> list[Resource]:
    """Group the numbers that name one thing: ``character_count`` with ``character_limit``."""
    groups: dict[tuple[Path, str], dict[str, str]] = {}
    for path, value in leaves.items():
        if "[]" in path or not _is_number(value) or _COST.search(_key(path)):
            continue
        role = next((role for role, words in _ROLES if words.search(_key(path))), "")
        if role:
            thing = _thing(path)
            groups.setdefault((path[:-1], thing), {}).setdefault(role, _joined(path))
    return [
        Resource(name=thing, unit=_unit(thing, roles), each=each, roles=roles)
        for (_, thing), roles in groups.items()
        if roles.keys() & {"used", "remaining", "percent"}
    ]


def _thing(path: Path) -> str:
    """Return the name of what is counted: the key without the words of its role, or its parent."""
    rest = "_".join(part for part in _key(path).split("_") if part and not _NOISE.search(part))
    return rest or (snake(path[-2]) if len(path) > 1 else "usage")


def _unit(thing: str, roles: Mapping[str, str]) -> str:
    text = f"{thing} {' '.join(snake(path) for path in roles.values())}"
    return next((unit for word, unit in _UNITS if word in text), "quantity")


def _paging(document: object) -> str:
    for path, line in PAGING:
        value = document
        for key in path:
            if not isinstance(value, dict) or key not in value:
                break
            value = value[key]
        else:
            return line
    return ""


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return re.fullmatch(r"-?\d+(\.\d+)?", value) is not None
    return isinstance(value, int | float)


def _key(path: Path) -> str:
    return snake(path[-1]) if path else ""


def _joined(path: Path) -> str:
    return ".".join(_quoted(part) for part in path)


def _quoted(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key) else f'"{key}"'
