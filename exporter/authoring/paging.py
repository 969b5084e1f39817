"""Paging, guessed: where vendors put the way to the next page."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from exporter.authoring.words import path_of

Rule: TypeAlias = dict[str, Any]

_WRAPPERS: Final = tuple(tuple(one.split(".")) if one else () for one in (
    "", "meta", "pagination", "paging", "page", "pageInfo", "page_info", "links", "_links", "_meta",
    "metadata", "data", "response_metadata", "meta.pagination", "meta.page", "links.pages",
    "paging.cursors", "pagination.links", "data.pagination", "data.pageInfo", "meta.links",
))  # fmt: skip
"""The maps in which answers describe their pages."""
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


def infer_paging(document: object, rows: str) -> Rule:
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
        means_pages = key not in ("next", "next_page", "nextPage") or bool(company & place.keys())
        means_pages = means_pages or bool(keys and keys[-1] in ("links", "_links"))
        if is_url or (value is None and means_pages):
            return {"kind": "next_url", "next": path_of((*keys, key))}
    return {}


def _cursor(keys: tuple[str, ...], place: Mapping[str, Any], rows: str) -> Rule:
    more = _first(place, _MORE, bool)
    for key, param in _CURSORS.items():
        known = type(place.get(key)) in (str, int)
        absent = bool(more) and key in place and place[key] is None
        if not (known or absent) or (not more and key in ("cursor", "after", "last_id", "next_id")):
            continue
        rule = {"kind": "cursor", "cursor": path_of((*keys, key)), "param": param}
        return rule | ({"more": path_of((*keys, more))} if more else {})
    return {}


def _numbered(keys: tuple[str, ...], place: Mapping[str, Any], rows: str) -> Rule:
    """Return paging by numbers of pages, or of rows to skip."""
    size = _first(place, _SIZE, int)
    if size and not 0 < place[size] <= 100_000:  # noqa: PLR2004 - rows a page
        size = ""
    pages, total = _first(place, _LAST, int), _first(place, _ALL, int)
    rows_rule = {"rows": rows} if rows else {}
    all_rows = {"total_rows": path_of((*keys, total))} if total and rows else {}
    if pages or (_first(place, _PAGE, int) and all_rows and size):
        sized = {"size_param": size, "size": place[size]} if size else {}
        end = {"total_pages": path_of((*keys, pages))} if pages else rows_rule | all_rows
        return {"kind": "page_number", "param": "page"} | sized | end
    offset = _first(place, _SKIPPED, int)
    if offset and size and rows:
        sized = {"limit_param": size, "limit": place[size]}
        return {"kind": "offset", "param": offset} | sized | rows_rule | all_rows
    return {}
