"""How one page leads to the next; the words are the field's.

Requests, paging and success rules of collectors, as text.

Paging: six kinds, each with a way to tell its end.
"""

from collections.abc import Mapping
from typing import Annotated, TypeAlias, assert_never

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from exporter.kernel.jmes import Selector
from exporter.kernel.problems import ErrorLocation
from exporter.model.definition import parsers
from exporter.model.definition.parsers import PathOrPaths, PathStr, PositiveInt, Strict


class NoPaging(msgspec.Struct, frozen=True, kw_only=True):
    """One request, one answer."""


class NextUrl(msgspec.Struct, frozen=True, kw_only=True):
    """The next page's address stands in the body: absolute, relative, or a HAL link."""

    next: tuple[Selector, ...]
    max_pages: int


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """A cursor from the body (the id of the last row counts) goes into an argument.

    Ends when the cursor is null, absent or empty, when ``more`` is there and false, or when
    ``rows`` is there and empty. ``body`` puts the cursor into the JSON or form body.
    """

    cursor: tuple[Selector, ...]
    param: str
    more: Selector | None = None
    rows: Selector | None = None
    body: bool = False
    max_pages: int


class PageNumber(msgspec.Struct, frozen=True, kw_only=True):
    """Pages are numbered from ``start``.

    The end is told by whichever of these is set: ``next_page`` (null or absent), ``total_pages``,
    ``total_rows`` (with ``size``), ``more`` (false), and else by a page with fewer than ``size``
    rows, or none at all. ``body`` puts the numbers into the JSON or form body.
    """

    param: str
    start: int = 1
    size_param: str | None = None
    size: int | None = None
    rows: Selector | None = None
    next_page: Selector | None = None
    total_pages: Selector | None = None
    total_rows: Selector | None = None
    more: Selector | None = None
    body: bool = False
    max_pages: int


class Offset(msgspec.Struct, frozen=True, kw_only=True):
    """Rows are skipped: ``param`` counts rows, ``limit_param`` asks for ``limit`` of them.

    ``body`` puts both into the JSON or form body.
    """

    param: str
    limit_param: str | None = None
    limit: int
    rows: Selector
    total_rows: Selector | None = None
    more: Selector | None = None
    body: bool = False
    max_pages: int


class LinkHeader(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 8288: ``Link: <…>; rel="next"``.

    ``unless`` names attributes that end the paging although the link is there, such as
    ``{"results": "false"}``.
    """

    rel: str = "next"
    unless: Mapping[str, str] = {}
    max_pages: int


Paging: TypeAlias = NoPaging | NextUrl | Cursor | PageNumber | Offset | LinkHeader
MaxPages: TypeAlias = Annotated[int, Meta(ge=1, le=100_000)]
_PAGES = 100


class NextUrlText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="next_url"):
    """The next page's address stands in the answer."""

    next: Annotated[PathOrPaths, Meta(description="Where the next page's address stands.")]
    max_pages: Annotated[MaxPages, Meta(description="More pages than this are a failure.")] = _PAGES


class CursorText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="cursor"):
    """A cursor from the answer goes into the next request."""

    cursor: Annotated[
        PathOrPaths, Meta(description="Where the cursor stands; nothing there: the end.")
    ]
    param: Annotated[str, Meta(description="The argument that takes the cursor.")]
    more: Annotated[PathStr | UnsetType, Meta(description="False here ends the paging.")] = UNSET
    rows: Annotated[
        PathStr | UnsetType, Meta(description="An empty list here ends the paging.")
    ] = UNSET
    body: Annotated[bool, Meta(description="The cursor goes into the body, not the query.")] = False
    max_pages: Annotated[MaxPages, Meta(description="More pages than this are a failure.")] = _PAGES


class PageNumberText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="page_number"):
    """Pages are numbered."""

    param: Annotated[str, Meta(description="The argument that takes the number.")]
    start: Annotated[int, Meta(ge=0, description="The first page's number.")] = 1
    size_param: Annotated[
        str | UnsetType, Meta(description="The argument that asks for `size` rows a page.")
    ] = UNSET
    size: Annotated[PositiveInt | UnsetType, Meta(description="Rows of a full page.")] = UNSET
    rows: Annotated[
        PathStr | UnsetType, Meta(description="The rows: fewer than `size` are the last page.")
    ] = UNSET
    next_page: Annotated[
        PathStr | UnsetType, Meta(description="The next page's number; null ends the paging.")
    ] = UNSET
    total_pages: Annotated[PathStr | UnsetType, Meta(description="How many pages there are.")] = (
        UNSET
    )
    total_rows: Annotated[
        PathStr | UnsetType, Meta(description="How many rows there are; needs `size`.")
    ] = UNSET
    more: Annotated[PathStr | UnsetType, Meta(description="False here ends the paging.")] = UNSET
    body: Annotated[bool, Meta(description="The numbers go into the body, not the query.")] = False
    max_pages: Annotated[MaxPages, Meta(description="More pages than this are a failure.")] = _PAGES


class OffsetText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="offset"):
    """Rows are skipped."""

    param: Annotated[str, Meta(description="The argument that says how many rows to skip.")]
    limit_param: Annotated[
        str | UnsetType, Meta(description="The argument that asks for `limit` rows.")
    ] = UNSET
    limit: Annotated[PositiveInt, Meta(description="Rows of a full page.")]
    rows: Annotated[PathStr, Meta(description="The rows: fewer than `limit` are the last page.")]
    total_rows: Annotated[PathStr | UnsetType, Meta(description="How many rows there are.")] = UNSET
    more: Annotated[PathStr | UnsetType, Meta(description="False here ends the paging.")] = UNSET
    body: Annotated[bool, Meta(description="The numbers go into the body, not the query.")] = False
    max_pages: Annotated[MaxPages, Meta(description="More pages than this are a failure.")] = _PAGES


class LinkHeaderText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="link_header"):
    """The next page's address stands in the Link header (RFC 8288)."""

    rel: Annotated[str, Meta(description="The relation to follow.")] = "next"
    unless: Annotated[
        dict[str, str],
        Meta(description='Attributes of the link that end the paging: {results: "false"}.'),
    ] = field(default_factory=dict)
    max_pages: Annotated[MaxPages, Meta(description="More pages than this are a failure.")] = _PAGES


PagingText: TypeAlias = NextUrlText | CursorText | PageNumberText | OffsetText | LinkHeaderText


def compile_paging(place: ErrorLocation, text: PagingText | UnsetType) -> Paging:
    """Compile a collector's paging."""
    match text:
        case UnsetType():
            return NoPaging()
        case NextUrlText():
            return NextUrl(
                next=parsers.parse_paths(place / "next", text.next), max_pages=text.max_pages
            )
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


def _cursor(place: ErrorLocation, text: CursorText) -> Cursor:
    return Cursor(
        cursor=parsers.parse_paths(place / "cursor", text.cursor),
        param=text.param,
        more=parsers.parse_optional_path(place / "more", text.more),
        rows=parsers.parse_optional_path(place / "rows", text.rows),
        body=text.body,
        max_pages=text.max_pages,
    )


def _page_number(place: ErrorLocation, text: PageNumberText) -> PageNumber:
    ends = (text.rows, text.next_page, text.total_pages, text.total_rows, text.more)
    if all(end is UNSET for end in ends):
        place.error(
            "Nothing tells the last page. Write one of rows, next_page, total_pages, total_rows, "
            "more."
        )
    for name in ("size_param", "total_rows"):
        if getattr(text, name) is not UNSET and text.size is UNSET:
            (place / name).key_error(f'"{name}" needs "size". Write the rows of a full page.')
    return PageNumber(
        param=text.param,
        start=text.start,
        size_param=text.size_param or None,
        size=text.size or None,
        rows=parsers.parse_optional_path(place / "rows", text.rows),
        next_page=parsers.parse_optional_path(place / "next_page", text.next_page),
        total_pages=parsers.parse_optional_path(place / "total_pages", text.total_pages),
        total_rows=parsers.parse_optional_path(place / "total_rows", text.total_rows),
        more=parsers.parse_optional_path(place / "more", text.more),
        body=text.body,
        max_pages=text.max_pages,
    )


def _offset(place: ErrorLocation, text: OffsetText) -> Offset:
    return Offset(
        param=text.param,
        limit_param=text.limit_param or None,
        limit=text.limit,
        rows=parsers.parse_path(place / "rows", text.rows),
        total_rows=parsers.parse_optional_path(place / "total_rows", text.total_rows),
        more=parsers.parse_optional_path(place / "more", text.more),
        body=text.body,
        max_pages=text.max_pages,
    )
