"""From a page to the next: pure steps that always end and never ask for the same page twice.

A vendor's word on what is left is never guessed at: where an answer contradicts itself the paging
fails, because a sum over some of the pages is a wrong sum.
"""

import re
from collections.abc import Mapping
from typing import TypeAlias, assert_never

import msgspec

from exporter.fetch.classify import FindError, find
from exporter.fetch.http import Lines, LinkError, header_link, safe_url
from exporter.fetch.request import Pairs
from exporter.kernel.jmes import Selector
from exporter.kernel.secrets import redact_url
from exporter.model.definition.paging import (
    Cursor,
    LinkHeader,
    NextUrl,
    NoPaging,
    Offset,
    PageNumber,
    Paging,
)
from exporter.model.outcome import Failure, Reason


class PagingError(ValueError):
    """The next page cannot be told."""


class Next(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The next page: an address of the vendor's, or arguments for the first request.

    ``query`` go into the query, ``body`` into the JSON or form body. ``pages`` counts the pages
    up to and including this one, ``rows`` what came before it; ``place`` is its number or offset,
    ``seen`` what was asked before, ``total`` the vendor's own count on the page before.
    """

    url: str | None = None
    query: Pairs = ()
    body: Mapping[str, object] = {}
    pages: int = 1
    rows: int = 0
    place: int = 0
    seen: frozenset[str] = frozenset()
    total: int = 0


class Done(msgspec.Struct, frozen=True, gc=False):
    """That was the last page."""


class Seen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A page as paging sees it: the address that was asked, its document and headers.

    ``kept`` are the segments of that address that name the account.
    """

    url: str
    document: object
    lines: Lines = ()
    kept: tuple[str, ...] = ()


PageStep: TypeAlias = Next | Done
_DONE = Done()
_LONGEST_CURSOR = 16_384
_NOTHING: tuple[object, ...] = (None, "")
_NO = frozenset({"", "0", "false", "no"})


def first_page(paging: Paging) -> Next:
    """Return the first page of a request."""
    match paging:
        case PageNumber():
            return _numbered(paging, Next(place=paging.start))
        case Offset():
            return _skipping(paging, Next())
        case NoPaging() | NextUrl() | Cursor() | LinkHeader():
            return Next()
        case _:
            assert_never(paging)


def next_step(paging: Paging, at: Next, page: Seen) -> PageStep | Failure:
    """Return the page after `page`, which was asked for by `at`.

    An answer is a failure that does not tell, or that leads to another host, back to a page that
    was seen, or past ``max_pages``.
    """
    try:
        step = _step(paging, at, page)
        if isinstance(step, Next):
            _check_count(step.pages, paging.max_pages)
    except (PagingError, LinkError, FindError) as error:
        return Failure(reason=Reason.PAGING, detail=f"page {at.pages}: {error}")
    return step


def _step(paging: Paging, at: Next, page: Seen) -> PageStep:
    match paging:
        case NoPaging():
            return _DONE
        case NextUrl():
            return _linked(_next_link(paging, page.document), at, page)
        case LinkHeader():
            return _linked(header_link(page.lines, paging.rel, paging.unless), at, page)
        case Cursor():
            return _cursor(paging, at, page.document)
        case PageNumber():
            return _page_number(paging, at, page.document)
        case Offset():
            return _offset(paging, at, page.document)
        case _:
            assert_never(paging)


def _check_count(pages: int, most: int) -> None:
    if pages > most:
        raise PagingError(
            f"the answer has more than {most} pages; narrow the request, or raise max_pages"
        )


def _linked(link: str | None, at: Next, page: Seen) -> PageStep:
    if link is None:
        return _DONE
    url = safe_url(link, page.url, page.kept)
    seen = at.seen | {page.url.partition("#")[0]}
    if url in seen:
        raise PagingError(f"the next page is one that was read already: {redact_url(url)}")
    # What is asked may differ from what was named: a key in the query is added to it.
    return Next(url=url, pages=at.pages + 1, seen=seen | {url})


def _next_link(paging: NextUrl, document: object) -> str | None:
    for path in paging.next:
        found = find(path, document)
        if isinstance(found, Mapping):
            found = found.get("href")
        if found is None or found is False or found == "":
            continue
        if not isinstance(found, str):
            raise PagingError(f'"{path.text}" is no address but {_kind(found)}')
        return found
    return None


def _cursor(paging: Cursor, at: Next, document: object) -> PageStep:
    more = _flag(paging.more, document)
    cursor = next(
        (found for path in paging.cursor if (found := find(path, document)) not in _NOTHING), None
    )
    if more is False or (cursor is None and more is None):
        return _DONE
    if more is None and paging.rows is not None and not _count(paging.rows, document):
        return _DONE
    if cursor is None:
        raise PagingError("the answer says that there is more, but gives no cursor")
    if isinstance(cursor, bool) or not isinstance(cursor, str | int | float):
        raise PagingError(f"the cursor is neither text nor a number but {_kind(cursor)}")
    text = str(cursor)
    if len(text) > _LONGEST_CURSOR:
        raise PagingError(
            f"the cursor has {len(text)} characters; more than {_LONGEST_CURSOR} are not sent back"
        )
    if text in at.seen:
        raise PagingError("the cursor is one that was used already")
    return Next(
        query=() if paging.body else ((paging.param, text),),
        body={paging.param: cursor} if paging.body else {},
        pages=at.pages + 1,
        seen=at.seen | {text},
    )


def _page_number(paging: PageNumber, at: Next, document: object) -> PageStep:
    rows = None if paging.rows is None else _count(paging.rows, document)
    total = _total(_counting(paging, document), at, document)
    number = _following(paging, at, document, rows, total)
    if number is None:
        return _DONE
    if number <= at.place:
        raise PagingError(f"after page {at.place} the vendor names page {number}")
    step = Next(pages=at.pages + 1, rows=at.rows + (rows or 0), place=number, total=total or 0)
    return _numbered(paging, step)


def _following(
    paging: PageNumber, at: Next, document: object, rows: int | None, total: int | None
) -> int | None:
    """Return the number of the next page, None at the end, by the first sign that says it."""
    if paging.next_page is not None:
        return _whole(paging.next_page, document)
    left = None if total is None else _pages_left(paging, at, document, total, rows)
    if left is not None:
        _check_count(at.pages + left, paging.max_pages)
        return at.place + 1 if left > 0 else None
    more = _flag(paging.more, document)
    if more is not None:
        return at.place + 1 if more else None
    if rows is None:
        raise PagingError("the answer does not say whether there are more pages")
    return at.place + 1 if rows and rows >= (paging.size or 1) else None


def _total(path: Selector | None, at: Next, document: object) -> int | None:
    """Read the vendor's own count of pages or rows, None when it gives none.

    Where it is less than on the page before, what was there has moved up, and a row between the
    two pages was never seen. Where it is more, the pages to come bring it.
    """
    total = None if path is None else _whole(path, document)
    if path is not None and total is not None and total < at.total:
        raise PagingError(
            f'"{path.text}" was {at.total} on the page before and is {total}: '
            "what is counted changed while it was read"
        )
    return total


def _counting(paging: PageNumber, document: object) -> Selector | None:
    """Return the path of the count that the answer gives: of pages, else of rows."""
    pages = paging.total_pages
    return paging.total_rows if pages is None or _whole(pages, document) is None else pages


def _pages_left(
    paging: PageNumber, at: Next, document: object, total: int, rows: int | None
) -> int | None:
    """Return how many pages are left by the vendor's own count, None where nobody can tell."""
    if _counting(paging, document) is paging.total_pages:
        return total - at.pages
    if rows is None:
        return None if paging.size is None else _ceil(total, paging.size) - at.pages
    left = total - at.rows - rows  # by rows that came: a vendor may give fewer than it is asked for
    if left > 0 and not rows:
        raise PagingError(f"{left} rows are missing, and the page is empty")
    return _ceil(left, max(rows, paging.size or 1)) if left > 0 else 0


def _ceil(rows: int, size: int) -> int:
    return -(-rows // size)


def _offset(paging: Offset, at: Next, document: object) -> PageStep:
    count = _count(paging.rows, document)
    reached = at.place + count
    total = _total(paging.total_rows, at, document)
    more = _flag(paging.more, document)
    if total is not None:
        over = reached >= total
        _check_count(at.pages + _ceil(total - reached, max(count, paging.limit)), paging.max_pages)
    elif more is not None:
        over = not more
    else:
        over = count < paging.limit
    if over:
        return _DONE
    if not count:
        raise PagingError("the answer says that there are more rows, but gives none")
    return _skipping(paging, Next(pages=at.pages + 1, place=reached, total=total or 0))


def _numbered(paging: PageNumber, step: Next) -> Next:
    numbers = {paging.param: step.place}
    if paging.size_param is not None and paging.size is not None:
        numbers[paging.size_param] = paging.size
    return _asking(step, numbers, body=paging.body)


def _skipping(paging: Offset, step: Next) -> Next:
    numbers = {paging.param: step.place}
    if paging.limit_param is not None:
        numbers[paging.limit_param] = paging.limit
    return _asking(step, numbers, body=paging.body)


def _asking(step: Next, numbers: Mapping[str, int], *, body: bool) -> Next:
    """Put the numbers of a page into its request; in JSON they are numbers."""
    if body:
        return msgspec.structs.replace(step, body=numbers)
    pairs = tuple((name, str(number)) for name, number in numbers.items())
    return msgspec.structs.replace(step, query=pairs)


def _flag(path: Selector | None, document: object) -> bool | None:
    """Read "is there more": None when nothing says."""
    found = None if path is None else find(path, document)
    if found is None:
        return None
    return found.strip().lower() not in _NO if isinstance(found, str) else bool(found)


def _whole(path: Selector, document: object) -> int | None:
    """Read a number of pages or rows; None when it is absent."""
    found = find(path, document)
    if found in _NOTHING or found is False:
        return None
    if isinstance(found, str) and re.fullmatch(r"[0-9]{1,15}", found.strip()):
        return int(found)
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise PagingError(f'"{path.text}" is no count but {_kind(found)}')
    return found


def _count(path: Selector, document: object) -> int:
    found = find(path, document)
    if found is None:
        return 0
    if not isinstance(found, list | Mapping):
        raise PagingError(f'"{path.text}" is no list but {_kind(found)}')
    return len(found)


def _kind(value: object) -> str:
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"
