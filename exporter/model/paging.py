"""How one page leads to the next; the words are the field's."""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from exporter.kernel.select import Selector


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
