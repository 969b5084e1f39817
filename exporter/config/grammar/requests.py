"""Requests, paging and success rules of collectors, as text."""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, UnsetType, field

from exporter.config.grammar.words import Count, Duration, Path, Paths, Scalar, Strict, Template

Arguments: TypeAlias = dict[str, Scalar | list[Scalar]]
"""Query or form arguments: a value, or several."""

Status: TypeAlias = Annotated[int, Meta(ge=100, le=599)]
MaxPages: TypeAlias = Annotated[int, Meta(ge=1, le=100_000)]
_PAGES = 100


class RequestText(Strict, kw_only=True, frozen=True):
    """One HTTP request."""

    method: Annotated[Literal["GET", "HEAD", "POST"], Meta(description="The HTTP method.")] = "GET"
    path: Annotated[
        Template,
        Meta(
            description="The path below base_url, or a whole URL. The values of holes are quoted."
        ),
    ]
    query: Annotated[
        Arguments,
        Meta(description="Query arguments. One whose hole has no value is left out."),
    ] = field(default_factory=dict)
    item_query: Annotated[
        Arguments,
        Meta(
            description="Query arguments for breakdowns: added when the target sets `items: true`."
        ),
    ] = field(default_factory=dict)
    array_style: Annotated[
        Literal["repeat", "brackets", "comma"],
        Meta(description="How several values are written: a=1&a=2, a[]=1&a[]=2 or a=1,2."),
    ] = "repeat"
    headers: Annotated[
        dict[str, Scalar], Meta(description="Headers that are no secrets, such as Accept.")
    ] = field(default_factory=dict)
    json: Annotated[
        Any, Meta(description="The JSON body; its texts may have holes. Needs method POST.")
    ] = UNSET
    form: Annotated[Arguments, Meta(description="The form-encoded body. Needs method POST.")] = (
        field(default_factory=dict)
    )


class NextUrlText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="next_url"):
    """The next page's address stands in the answer."""

    next: Annotated[Paths, Meta(description="Where the next page's address stands.")]
    max_pages: Annotated[MaxPages, Meta(description="More pages than this are a failure.")] = _PAGES


class CursorText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="cursor"):
    """A cursor from the answer goes into the next request."""

    cursor: Annotated[Paths, Meta(description="Where the cursor stands; nothing there: the end.")]
    param: Annotated[str, Meta(description="The argument that takes the cursor.")]
    more: Annotated[Path | UnsetType, Meta(description="False here ends the paging.")] = UNSET
    rows: Annotated[Path | UnsetType, Meta(description="An empty list here ends the paging.")] = (
        UNSET
    )
    body: Annotated[bool, Meta(description="The cursor goes into the body, not the query.")] = False
    max_pages: Annotated[MaxPages, Meta(description="More pages than this are a failure.")] = _PAGES


class PageNumberText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="page_number"):
    """Pages are numbered."""

    param: Annotated[str, Meta(description="The argument that takes the number.")]
    start: Annotated[int, Meta(ge=0, description="The first page's number.")] = 1
    size_param: Annotated[
        str | UnsetType, Meta(description="The argument that asks for `size` rows a page.")
    ] = UNSET
    size: Annotated[Count | UnsetType, Meta(description="Rows of a full page.")] = UNSET
    rows: Annotated[
        Path | UnsetType, Meta(description="The rows: fewer than `size` are the last page.")
    ] = UNSET
    next_page: Annotated[
        Path | UnsetType, Meta(description="The next page's number; null ends the paging.")
    ] = UNSET
    total_pages: Annotated[Path | UnsetType, Meta(description="How many pages there are.")] = UNSET
    total_rows: Annotated[
        Path | UnsetType, Meta(description="How many rows there are; needs `size`.")
    ] = UNSET
    more: Annotated[Path | UnsetType, Meta(description="False here ends the paging.")] = UNSET
    body: Annotated[bool, Meta(description="The numbers go into the body, not the query.")] = False
    max_pages: Annotated[MaxPages, Meta(description="More pages than this are a failure.")] = _PAGES


class OffsetText(Strict, kw_only=True, frozen=True, tag_field="kind", tag="offset"):
    """Rows are skipped."""

    param: Annotated[str, Meta(description="The argument that says how many rows to skip.")]
    limit_param: Annotated[
        str | UnsetType, Meta(description="The argument that asks for `limit` rows.")
    ] = UNSET
    limit: Annotated[Count, Meta(description="Rows of a full page.")]
    rows: Annotated[Path, Meta(description="The rows: fewer than `limit` are the last page.")]
    total_rows: Annotated[Path | UnsetType, Meta(description="How many rows there are.")] = UNSET
    more: Annotated[Path | UnsetType, Meta(description="False here ends the paging.")] = UNSET
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


class MatchText(Strict, kw_only=True, frozen=True):
    """A condition on an answer: all that is given must hold."""

    statuses: Annotated[list[Status], Meta(description="The HTTP statuses that it is about.")]
    headers: Annotated[
        Path | UnsetType, Meta(description="A path into the headers (lower-case names).")
    ] = UNSET
    body: Annotated[Path | UnsetType, Meta(description="A path into the body.")] = UNSET


class SuccessText(Strict, kw_only=True, frozen=True):
    """What an answer means. 429 is throttling and 401 a wrong credential without being told."""

    accepted: Annotated[list[Status], Meta(description="Statuses that carry a payload.")] = field(
        default_factory=lambda: [200]
    )
    guard: Annotated[
        Path | UnsetType,
        Meta(description="Must hold on the body: vendors also say no with status 200."),
    ] = UNSET
    error: Annotated[Paths, Meta(description="Where the vendor's own error text stands.")] = field(
        default_factory=list
    )
    absent: Annotated[
        list[Status | MatchText], Meta(description='"There is none": no samples, no failure.')
    ] = field(default_factory=list)
    throttled: Annotated[
        list[Status | MatchText], Meta(description="Too many requests, besides 429.")
    ] = field(default_factory=list)
    quota_exhausted: Annotated[
        list[Status | MatchText],
        Meta(description="The account's quota is used up; waiting a little does not help."),
    ] = field(default_factory=list)
    forbidden: Annotated[
        list[Status | MatchText], Meta(description="The credential lacks a permission.")
    ] = field(default_factory=list)


class CollectorText(Strict, kw_only=True, frozen=True):
    """One request of the provider, with its paging."""

    title: Annotated[str, Meta(description="What it asks for, for people.")] = ""
    request: Annotated[RequestText, Meta(description="The (first) request.")]
    paging: Annotated[
        PagingText | UnsetType, Meta(description="How to come to the further pages.")
    ] = UNSET
    success: Annotated[SuccessText | UnsetType, Meta(description="What an answer means.")] = UNSET
    format: Annotated[
        Literal["json", "jsonl", "headers"],
        Meta(description="What is read: the body, its lines, or the map of headers."),
    ] = "json"
    enabled: Annotated[
        bool, Meta(description="False: a target switches it on under `collectors`.")
    ] = True
    interval: Annotated[
        Duration | UnsetType, Meta(description="Time between polls, if not the definition's.")
    ] = UNSET
    min_interval: Annotated[
        Duration | UnsetType, Meta(description="Never faster than this, if not the definition's.")
    ] = UNSET
    conditional: Annotated[
        bool, Meta(description="Send the last ETag along; 304 keeps the values.")
    ] = False
    max_size: Annotated[
        str,
        Meta(
            description="The largest answer, each page by itself: 64 MiB. It may hold a key or"
            " value for each 64 bytes, at least 131,072."
        ),
    ] = "8 MiB"
