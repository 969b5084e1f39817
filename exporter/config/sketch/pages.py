"""Paging: where vendors put the way to the next page."""

from collections.abc import Iterator, Mapping

import msgspec

from exporter.config.sketch.paths import path, yaml

_WRAPPERS = (
    (), ("meta",), ("pagination",), ("paging",), ("page",), ("pageInfo",), ("page_info",),
    ("links",), ("_links",), ("_meta",), ("metadata",), ("data",), ("response_metadata",),
    ("meta", "pagination"), ("meta", "page"), ("links", "pages"), ("paging", "cursors"),
    ("pagination", "links"), ("data", "pagination"), ("data", "pageInfo"), ("meta", "links"),
)  # fmt: skip
"""The maps in which an answer speaks of its pages."""

_URLS = (
    "next", "next_url", "nextUrl", "next_page_url", "next_page_uri", "nextPageUrl", "next_link",
    "nextLink", "@odata.nextLink", "@nextLink", "next_page", "nextPage",
)  # fmt: skip
_CURSORS = {
    "next_cursor": "cursor", "nextCursor": "cursor", "cursor": "cursor", "endCursor": "after",
    "end_cursor": "after", "next_page_token": "page_token", "nextPageToken": "pageToken",
    "next_token": "next_token", "nextToken": "nextToken", "NextToken": "NextToken",
    "continuation_token": "continuation_token", "continuationToken": "continuationToken",
    "last_id": "after", "after": "after", "next_page": "page", "nextPage": "page",
    "next": "cursor", "next_id": "after",
}  # fmt: skip
"""Where a cursor stands, and the argument that most vendors of that word take it in."""
_MORE = ("has_more", "hasMore", "has_next", "hasNext", "hasNextPage", "has_next_page", "more")
_PAGE = ("page", "current_page", "currentPage", "page_number", "pageNumber", "number")
_SIZE = ("per_page", "perPage", "page_size", "pageSize", "limit", "size")
_PAGES = ("total_pages", "totalPages", "pages", "page_count", "pageCount", "last_page", "lastPage")
_ROWS = ("total", "total_count", "totalCount", "total_entries", "total_results", "count")
_OFFSET = ("offset", "skip", "start")


class _Place(msgspec.Struct, frozen=True):
    keys: tuple[str, ...]
    entries: Mapping[str, object]

    def path(self, key: str) -> str:
        return yaml(path((*self.keys, key)))

    def first(self, known: tuple[str, ...], kind: type) -> str:
        """Return the first of some keys that is there, and of a kind; "" for none."""
        for key in known:
            value = self.entries.get(key)
            if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
                return key
        return ""


def paging(document: object, rows: str) -> str:
    """Return the paging of an answer as a line of YAML, "" where nothing speaks of pages.

    `rows` is the path of its first list, "" when it has none.
    """
    places = list(_places(document))
    for guess in (_next_url, _cursor, _page_number, _offset):
        for place in places:
            found = guess(place, rows)
            if found:
                return found
    return ""


def _places(document: object) -> Iterator[_Place]:
    for keys in _WRAPPERS:
        value = document
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, dict):
            yield _Place(keys, value)


def _next_url(place: _Place, rows: str) -> str:
    for key in _URLS:
        value = place.entries.get(key)
        if isinstance(value, dict):
            value = value.get("href")
        is_address = isinstance(value, str) and value.startswith(("http://", "https://", "/", "?"))
        speaks = key in place.entries and value is None and _is_about_pages(place, key)
        if is_address or speaks:
            return f"{{kind: next_url, next: {place.path(key)}}}"
    return ""


def _is_about_pages(place: _Place, key: str) -> bool:
    """Tell whether a key without a value means pages: it has the words, or company that has."""
    alone = key not in ("next", "next_page", "nextPage")
    company = {"previous", "prev", "count", "first", "last", "self", "previous_page"}
    return (
        alone
        or bool(place.keys and place.keys[-1] in ("links", "_links"))
        or bool(company & place.entries.keys())
    )


def _cursor(place: _Place, rows: str) -> str:
    more = place.first(_MORE, bool)
    for key, param in _CURSORS.items():
        value = place.entries.get(key)
        known = isinstance(value, str | int) and not isinstance(value, bool)
        if not known and not (more and key in place.entries and value is None):
            continue
        if key in ("cursor", "after", "last_id", "next_id") and not more:
            continue
        ends = f", more: {place.path(more)}" if more else ""
        return f"{{kind: cursor, cursor: {place.path(key)}, param: {param}{ends}}}"
    return ""


def _page_number(place: _Place, rows: str) -> str:
    page = place.first(_PAGE, int)
    size = place.first(_SIZE, int)
    many = _positive(place, size)
    pages, total = place.first(_PAGES, int), place.first(_ROWS, int)
    if not pages and not (page and total and many):
        return ""
    parts = ["kind: page_number", "param: page"]
    if many:
        parts += [f"size_param: {size}", f"size: {many}"]
    if pages:
        parts.append(f"total_pages: {place.path(pages)}")
    else:
        parts += [f"rows: {yaml(rows)}"] * bool(rows) + [f"total_rows: {place.path(total)}"]
    return f"{{{', '.join(parts)}}}"


def _offset(place: _Place, rows: str) -> str:
    offset, size = place.first(_OFFSET, int), place.first(_SIZE, int)
    many = _positive(place, size)
    if not (offset and many and rows):
        return ""
    total = place.first(_ROWS, int)
    parts = [f"kind: offset, param: {offset}, limit_param: {size}, limit: {many}"]
    parts += [f"rows: {yaml(rows)}"]
    parts += [f"total_rows: {place.path(total)}"] * bool(total)
    return f"{{{', '.join(parts)}}}"


def _positive(place: _Place, key: str) -> int:
    value = place.entries.get(key) if key else None
    return value if isinstance(value, int) and 0 < value <= 100_000 else 0  # noqa: PLR2004 - rows
