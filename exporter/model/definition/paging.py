"""Paging: how one page of an answer leads to the next, in the words of the field.

Six kinds: no paging at all, and the five tags of ``paging: {kind: ...}``. Each kind stands here as
its keys (``...Text``, with ``compile``) beside its compiled form. ``fetch.paginate`` holds the loop
and is the only other module that tells the kinds apart; what anyone else needs to know of a kind is
an attribute of it:

- ``next_in_headers``: the next address is no part of the body, so that an ETag does not cover it.
- ``ends_on_absent_page``: we count the pages, and "there is none" is how some vendors end them.
- ``max_pages``: more pages are a failure, never a sum over some of them.
- ``rows``, ``total_rows``, ``row_id``: how the pages prove that each row came, and came once.
- ``describe(code)``: a sentence, "" for a single page; ``code`` formats what is quoted.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, TypeAlias, TypedDict

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from exporter.kernel.jmes import Selector
from exporter.kernel.problems import ErrorLocation
from exporter.model.definition import parsers
from exporter.model.definition.parsers import (
    CodeFormat,
    PathOrPaths,
    PathStr,
    PositiveInt,
    Strict,
    describe_paths,
)

MaxPages: TypeAlias = Annotated[
    int, Meta(ge=1, le=100_000, description="More pages than this are a failure.")
]
_DEFAULT_PAGES = 100
_NEEDS_SIZE = '"{}" needs "size". Write the rows of a full page.'


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    next_in_headers: ClassVar[bool] = False
    ends_on_absent_page: ClassVar[bool] = False
    max_pages: int = 1
    rows: Selector | None = None
    total_rows: Selector | None = None
    row_id: Selector | None = None


class Completeness(StrEnum):
    """What it means when the one answer of a request without paging is not all there is."""

    REQUIRED = "required"  # a sign of more is a failure
    EXPECTED = "expected"  # a sign of more is noted; a list that was cut at its limit is a failure
    OPTIONAL = "optional"  # the first rows are what is wanted


CompletenessText: TypeAlias = Literal["required", "expected", "optional"]


class NoPaging(_Kind, frozen=True, kw_only=True):
    """One request, one answer."""

    complete: Completeness = Completeness.EXPECTED

    def describe(self, code: CodeFormat = str) -> str:
        """Return "": there is nothing to say."""
        return ""


class _PagesText(Strict, kw_only=True, frozen=True):
    """What all kinds of paging take: how many rows there are, and what tells one from another."""

    rows: Annotated[PathStr | UnsetType, Meta(description="The rows of a page.")] = UNSET
    total_rows: Annotated[
        PathStr | UnsetType,
        Meta(description="How many rows all pages have: more, fewer or another count fail."),
    ] = UNSET
    row_id: Annotated[
        PathStr | UnsetType,
        Meta(description="In a row: what no other row has. The same one twice is a failure."),
    ] = UNSET
    max_pages: MaxPages = _DEFAULT_PAGES

    def compile_proof(self, place: ErrorLocation) -> "_Proof":
        """Compile the keys that all kinds have."""
        for name in ("total_rows", "row_id"):
            if getattr(self, name) is not UNSET and self.rows is UNSET:
                (place / name).key_error(f'"{name}" needs "rows". Write where the rows stand.')
        return {
            "rows": parsers.parse_optional_path(place / "rows", self.rows),
            "total_rows": parsers.parse_optional_path(place / "total_rows", self.total_rows),
            "row_id": parsers.parse_optional_path(place / "row_id", self.row_id),
            "max_pages": self.max_pages,
        }


class _Proof(TypedDict):
    """The fields of `_PagesText`, compiled."""

    rows: Selector | None
    total_rows: Selector | None
    row_id: Selector | None
    max_pages: int


class NextUrlText(_PagesText, kw_only=True, frozen=True, tag_field="kind", tag="next_url"):
    """The next page's address stands in the answer."""

    next: Annotated[PathOrPaths, Meta(description="Where the next page's address stands.")]
    always: Annotated[
        bool,
        Meta(description="The last page has the key, too, with null: without it, it is no page."),
    ] = False

    def compile(self, place: ErrorLocation) -> "NextUrl":
        """Return the compiled form."""
        if self.always and not all(
            path.plain for path in parsers.parse_paths(place / "next", self.next)
        ):
            (place / "always").error("Write plain keys with dots between at next.")
        return NextUrl(
            next=parsers.parse_paths(place / "next", self.next),
            always=self.always,
            **self.compile_proof(place),
        )


class NextUrl(_Kind, frozen=True, kw_only=True):
    """The next page's address stands in the body: absolute, relative, or a HAL link."""

    next: tuple[Selector, ...]
    always: bool = False

    def describe(self, code: CodeFormat = str) -> str:
        """Name the places of the address."""
        return (
            f"The next page's address stands at {describe_paths(self.next, code)}; "
            f"at most {self.max_pages} pages."
        )


class CursorText(_PagesText, kw_only=True, frozen=True, tag_field="kind", tag="cursor"):
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

    def compile(self, place: ErrorLocation) -> "Cursor":
        """Return the compiled form."""
        return Cursor(
            cursor=parsers.parse_paths(place / "cursor", self.cursor),
            param=self.param,
            more=parsers.parse_optional_path(place / "more", self.more),
            body=self.body,
            **self.compile_proof(place),
        )


class Cursor(_Kind, frozen=True, kw_only=True):
    """A cursor from the body (the id of the last row counts) goes into an argument.

    Ends when the cursor is null, absent or empty, when ``more`` is there and false, or when
    ``rows`` is there and empty. ``body`` puts the cursor into the JSON or form body.
    """

    cursor: tuple[Selector, ...]
    param: str
    more: Selector | None = None
    body: bool = False

    def describe(self, code: CodeFormat = str) -> str:
        """Name the places of the cursor and its argument."""
        return (
            f"The cursor at {describe_paths(self.cursor, code)} goes into {code(self.param)} "
            f"for the next page; at most {self.max_pages} pages."
        )


class PageNumberText(_PagesText, kw_only=True, frozen=True, tag_field="kind", tag="page_number"):
    """Pages are numbered."""

    param: Annotated[str, Meta(description="The argument that takes the number.")]
    start: Annotated[int, Meta(ge=0, description="The first page's number.")] = 1
    size_param: Annotated[
        str | UnsetType, Meta(description="The argument that asks for `size` rows a page.")
    ] = UNSET
    size: Annotated[PositiveInt | UnsetType, Meta(description="Rows of a full page.")] = UNSET
    rows: Annotated[
        PathStr | UnsetType,
        Meta(description="The rows of a page. Where nothing else tells the end, none are the end."),
    ] = UNSET
    short_page_ends: Annotated[
        bool,
        Meta(description="A page with fewer than `size` rows is the last: the vendor says so."),
    ] = False
    next_page: Annotated[
        PathStr | UnsetType, Meta(description="The next page's number; null ends the paging.")
    ] = UNSET
    total_pages: Annotated[PathStr | UnsetType, Meta(description="How many pages there are.")] = (
        UNSET
    )
    more: Annotated[PathStr | UnsetType, Meta(description="False here ends the paging.")] = UNSET
    body: Annotated[bool, Meta(description="The numbers go into the body, not the query.")] = False

    def compile(self, place: ErrorLocation) -> "PageNumber":
        """Return the compiled form. Something has to tell the last page."""
        ends = (self.rows, self.next_page, self.total_pages, self.total_rows, self.more)
        if all(end is UNSET for end in ends):
            place.error(
                "Nothing tells the last page. Write one of rows, next_page, total_pages, "
                "total_rows, more."
            )
        if self.size is UNSET:
            if self.size_param is not UNSET:
                (place / "size_param").key_error(_NEEDS_SIZE.format("size_param"))
            if self.short_page_ends:
                (place / "short_page_ends").key_error(_NEEDS_SIZE.format("short_page_ends"))
        return PageNumber(
            param=self.param,
            start=self.start,
            size_param=self.size_param or None,
            size=self.size or None,
            short_page_ends=self.short_page_ends,
            next_page=parsers.parse_optional_path(place / "next_page", self.next_page),
            total_pages=parsers.parse_optional_path(place / "total_pages", self.total_pages),
            more=parsers.parse_optional_path(place / "more", self.more),
            body=self.body,
            **self.compile_proof(place),
        )


class PageNumber(_Kind, frozen=True, kw_only=True):
    """Pages are numbered from ``start``.

    The end is told by whichever of these is set: ``next_page`` (null or absent), ``total_pages``,
    ``total_rows``, ``more`` (false), and else by a page without rows: a vendor may give fewer than
    it is asked for. With ``short_page_ends`` a page of fewer than ``size`` rows is the last.
    ``body`` puts the numbers into the JSON or form body.
    """

    ends_on_absent_page: ClassVar[bool] = True
    param: str
    start: int = 1
    size_param: str | None = None
    size: int | None = None
    short_page_ends: bool = False
    next_page: Selector | None = None
    total_pages: Selector | None = None
    more: Selector | None = None
    body: bool = False

    def describe(self, code: CodeFormat = str) -> str:
        """Name the argument of the number."""
        return f"Pages are counted in {code(self.param)}; at most {self.max_pages} pages."


class OffsetText(_PagesText, kw_only=True, frozen=True, tag_field="kind", tag="offset"):
    """Rows are skipped."""

    param: Annotated[str, Meta(description="The argument that says how many rows to skip.")]
    limit_param: Annotated[
        str | UnsetType, Meta(description="The argument that asks for `limit` rows.")
    ] = UNSET
    limit: Annotated[PositiveInt, Meta(description="Rows of a full page.")]
    rows: Annotated[
        PathStr,
        Meta(description="The rows of a page. Where nothing else tells the end, none are the end."),
    ]
    short_page_ends: Annotated[
        bool,
        Meta(description="A page with fewer than `limit` rows is the last: the vendor says so."),
    ] = False
    more: Annotated[PathStr | UnsetType, Meta(description="False here ends the paging.")] = UNSET
    body: Annotated[bool, Meta(description="The numbers go into the body, not the query.")] = False

    def compile(self, place: ErrorLocation) -> "Offset":
        """Return the compiled form."""
        return Offset(
            param=self.param,
            limit_param=self.limit_param or None,
            limit=self.limit,
            short_page_ends=self.short_page_ends,
            more=parsers.parse_optional_path(place / "more", self.more),
            body=self.body,
            **self.compile_proof(place),
        )


class Offset(_Kind, frozen=True, kw_only=True):
    """Rows are skipped: ``param`` counts rows, ``limit_param`` asks for ``limit`` of them.

    ``body`` puts both into the JSON or form body.
    """

    ends_on_absent_page: ClassVar[bool] = True
    param: str
    limit_param: str | None = None
    limit: int
    short_page_ends: bool = False
    more: Selector | None = None
    body: bool = False

    def describe(self, code: CodeFormat = str) -> str:
        """Name the argument of the offset and the size of a page."""
        return (
            f"Rows are skipped by {code(self.param)}, {self.limit} a page; "
            f"at most {self.max_pages} pages."
        )


class LinkHeaderText(_PagesText, kw_only=True, frozen=True, tag_field="kind", tag="link_header"):
    """The next page's address stands in the Link header (RFC 8288)."""

    rel: Annotated[str, Meta(description="The relation to follow.")] = "next"
    unless: Annotated[
        dict[str, str],
        Meta(description='Attributes of the link that end the paging: {results: "false"}.'),
    ] = field(default_factory=dict)

    def compile(self, place: ErrorLocation) -> "LinkHeader":
        """Return the compiled form."""
        return LinkHeader(rel=self.rel, unless=self.unless, **self.compile_proof(place))


class LinkHeader(_Kind, frozen=True, kw_only=True):
    """RFC 8288: ``Link: <…>; rel="next"``.

    ``unless`` names attributes that end the paging although the link is there, such as
    ``{"results": "false"}``.
    """

    next_in_headers: ClassVar[bool] = True
    rel: str = "next"
    unless: Mapping[str, str] = {}

    def describe(self, code: CodeFormat = str) -> str:
        """Name the header and the relation."""
        rel = code(f'rel="{self.rel}"')
        return (
            f"The next page's address stands in the {code('Link')} header ({rel}); "
            f"at most {self.max_pages} pages."
        )


PagingText: TypeAlias = NextUrlText | CursorText | PageNumberText | OffsetText | LinkHeaderText
Paging: TypeAlias = NoPaging | NextUrl | Cursor | PageNumber | Offset | LinkHeader


def compile_paging(
    place: ErrorLocation,
    text: PagingText | UnsetType,
    *,
    complete: CompletenessText,
    has_body: bool,
) -> Paging:
    """Compile a collector's paging; `has_body`: its request has one."""
    if isinstance(text, UnsetType):
        return NoPaging(complete=Completeness(complete))
    compiled = text.compile(place)
    if getattr(text, "body", False) and not has_body:
        (place / "body").key_error("The request has no body. Write its json or form.")
    return compiled
