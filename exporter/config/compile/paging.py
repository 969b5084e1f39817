"""Paging: six kinds, each with a way to tell its end."""

from typing import assert_never

from msgspec import UNSET, UnsetType

from exporter.config.compile import leaves
from exporter.config.findings import Place
from exporter.config.grammar.requests import (
    CursorText,
    LinkHeaderText,
    NextUrlText,
    OffsetText,
    PageNumberText,
    PagingText,
)
from exporter.model.definition import (
    Cursor,
    LinkHeader,
    NextUrl,
    NoPaging,
    Offset,
    PageNumber,
    Paging,
)


def paging(place: Place, text: PagingText | UnsetType) -> Paging:
    """Compile a collector's paging."""
    match text:
        case UnsetType():
            return NoPaging()
        case NextUrlText():
            return NextUrl(next=leaves.paths(place / "next", text.next), max_pages=text.max_pages)
        case CursorText():
            return _cursor(place, text)
        case PageNumberText():
            return _page_number(place, text)
        case OffsetText():
            return _offset(place, text)
        case LinkHeaderText():
            return LinkHeader(rel=text.rel, unless=text.unless, max_pages=text.max_pages)
        case _:
            assert_never(text)


def _cursor(place: Place, text: CursorText) -> Cursor:
    return Cursor(
        cursor=leaves.paths(place / "cursor", text.cursor),
        param=text.param,
        more=leaves.optional_path(place / "more", text.more),
        rows=leaves.optional_path(place / "rows", text.rows),
        body=text.body,
        max_pages=text.max_pages,
    )


def _page_number(place: Place, text: PageNumberText) -> PageNumber:
    ends = (text.rows, text.next_page, text.total_pages, text.total_rows, text.more)
    if all(end is UNSET for end in ends):
        place.error(
            "Nothing tells the last page. Write one of rows, next_page, total_pages, total_rows, "
            "more."
        )
    for field in ("size_param", "total_rows"):
        if getattr(text, field) is not UNSET and text.size is UNSET:
            (place / field).key_error(f'"{field}" needs "size". Write the rows of a full page.')
    return PageNumber(
        param=text.param,
        start=text.start,
        size_param=text.size_param or None,
        size=text.size or None,
        rows=leaves.optional_path(place / "rows", text.rows),
        next_page=leaves.optional_path(place / "next_page", text.next_page),
        total_pages=leaves.optional_path(place / "total_pages", text.total_pages),
        total_rows=leaves.optional_path(place / "total_rows", text.total_rows),
        more=leaves.optional_path(place / "more", text.more),
        body=text.body,
        max_pages=text.max_pages,
    )


def _offset(place: Place, text: OffsetText) -> Offset:
    return Offset(
        param=text.param,
        limit_param=text.limit_param or None,
        limit=text.limit,
        rows=leaves.path(place / "rows", text.rows),
        total_rows=leaves.optional_path(place / "total_rows", text.total_rows),
        more=leaves.optional_path(place / "more", text.more),
        body=text.body,
        max_pages=text.max_pages,
    )
