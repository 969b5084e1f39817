"""From one page to the next: `Pager` says which page to ask for, until there is none.

A `Pager` always ends and never asks for the same page twice. Where an answer contradicts itself (a
count that shrinks, more rows promised and none given, a cursor that comes again) the paging fails,
because a sum over some of the pages is a wrong sum.

Pure: `client` asks the vendor, the replay of ``providers test`` reads the answers from files.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import assert_never
from urllib.parse import parse_qsl

from exporter.fetch.decode import FindError, find
from exporter.fetch.http import HttpResponse, LinkError, header_link, safe_url
from exporter.fetch.request import FIRST_PAGE, PageRequest
from exporter.kernel.jmes import Selector
from exporter.kernel.secrets import clip, redact_url
from exporter.model.definition.paging import (
    Completeness,
    Cursor,
    LinkHeader,
    NextUrl,
    NoPaging,
    Offset,
    PageNumber,
    Paging,
)
from exporter.model.outcome import Reason

_LONGEST_CURSOR = 16_384  # characters
_ROUND = 10  # rows: a page of fewer is no full one of a vendor that gives less than asked
_NOTHING: tuple[object, ...] = (None, "")
_NO = frozenset({"", "0", "false", "no"})


class PagingError(ValueError):
    """Which page comes next cannot be told, or it must not be asked for.

    ``reason`` is ``schema`` where a page is no answer of the kind that the definition describes.
    """

    def __init__(self, text: str, reason: Reason = Reason.PAGING) -> None:
        super().__init__(text)
        self.reason = reason


class Pager:
    """The pages of one request, in order: ask for `wanted`, hand the answer to `advance`, repeat.

    ``wanted`` is None after the last page. ``continues`` is the sign of further pages that an
    answer without paging gives, "" for none. ``kept`` are the segments of the request's path that
    name the account (`http.safe_url`).
    """

    def __init__(self, paging: Paging, kept: tuple[str, ...] = ()) -> None:
        self.wanted: PageRequest | None = FIRST_PAGE
        self.continues = ""
        self._paging = paging
        self._kept = kept
        self._asked: set[str] = set()  # addresses or cursors
        self._place = 0  # number or offset of the page that is wanted
        self._rows = 0  # on the pages so far
        self._ids: set[str] = set()  # of those rows
        self._has_list = True  # where the definition says that the rows stand
        self._totals: dict[str, int] = {}  # path -> the vendor's own count of pages or rows
        match paging:
            case PageNumber() | Offset():
                self._place = paging.start if isinstance(paging, PageNumber) else 0
                self.wanted = _numbered(paging, self._place, 1)
            case NoPaging() | NextUrl() | Cursor() | LinkHeader():
                pass
            case _:
                assert_never(paging)

    def advance(self, response: HttpResponse, document: object) -> None:
        """Read from the answer to `wanted` which page is wanted next.

        Raises PagingError where the answer does not tell, or leads to another host or account, back
        to a page that was asked for, or past ``max_pages``.
        """
        at = self.wanted or FIRST_PAGE
        try:
            self.wanted = self._following(at, response, document)
        except (PagingError, LinkError, FindError) as error:
            reason = error.reason if isinstance(error, PagingError) else Reason.PAGING
            raise PagingError(f"page {at.number}: {error}", reason) from error

    def end(self) -> None:
        """Take "there is none" for the answer to `wanted`.

        Some vendors say so past the last of their numbered pages. A page that the vendor itself
        named has to be there: raises PagingError.
        """
        at, self.wanted = self.wanted or FIRST_PAGE, None
        if at.number == 1:
            return
        if not self._paging.ends_on_absent_page:
            raise PagingError(f"page {at.number}, which the vendor named, is not there")
        self._check_end(None)

    def _following(
        self, at: PageRequest, response: HttpResponse, document: object
    ) -> PageRequest | None:
        paging = self._paging
        rows = self._take_rows(at, document)
        match paging:
            case NoPaging():
                following = None
                self.continues = _sign_of_more(paging, response, document)
            case NextUrl():
                following = self._linked(at, response.url, self._next_link(paging, document))
            case LinkHeader():
                link = header_link(response.lines, paging.rel, paging.unless)
                following = self._linked(at, response.url, link)
            case Cursor():
                following = self._next_cursor(paging, at, document)
            case PageNumber():
                following = self._next_number(paging, at, document, rows)
            case Offset():
                following = self._next_offset(paging, at, document, rows or 0)
            case _:
                assert_never(paging)
        if following is None:
            self._check_end(document)
        else:
            _check_count(following.number, paging.max_pages)
        return following

    def _take_rows(self, at: PageRequest, document: object) -> int | None:
        """Count the rows of a page; None where the definition does not say where they stand.

        Raises PagingError for a row that came before, and for more rows than the vendor counts:
        where a list moves while it is read, one row comes twice and another one never.
        """
        paging = self._paging
        if paging.rows is None:
            return None
        counts = isinstance(paging, PageNumber | Offset)
        total = self._checked_total(paging.total_rows, document)
        found = find(paging.rows, document)
        self._has_list = isinstance(found, list | Mapping)
        rows = _list(paging.rows, document) if counts or self._has_list else []
        is_empty = found is None and _is_there(paging.rows, document)
        proves = paging.total_rows is not None or paging.row_id is not None
        if proves and at.number > 1 and not (counts or self._has_list or is_empty):
            raise PagingError(f'there is no list at "{paging.rows.text}"', Reason.SCHEMA)
        self._rows += len(rows)
        if paging.row_id is not None:
            for row in rows:
                key = find(paging.row_id, row)
                if key in _NOTHING or (isinstance(key, list) and None in key):
                    continue  # what has no identity cannot be compared
                identity = json.dumps(key, sort_keys=True, default=str)
                if identity in self._ids:
                    raise PagingError(
                        f'the row with {clip(identity, 64)} at "{paging.row_id.text}" came before:'
                        " the list changed while it was read, or a page came twice"
                    )
                self._ids.add(identity)
        if total is not None and self._rows > total:
            raise PagingError(
                f"{self._rows} rows came, more than the {total} of "
                f'"{paging.total_rows.text if paging.total_rows else ""}": '
                "it is not the count of all pages, or what is counted changed while it was read"
            )
        return len(rows)

    def _check_end(self, document: object) -> None:
        """Raise PagingError unless as many rows came as the vendor counts.

        A null in the place of the count says that the vendor does not count, which needs another
        sign of the end. An answer without the list and the count is left to the mapping: it is no
        answer of this kind, and the rules say better what they miss in it.
        """
        paging = self._paging
        if paging.rows is None or paging.total_rows is None:
            return
        path = paging.total_rows
        total = self._totals.get(path.text)
        if total is None:
            if self._has_list and not _is_there(path, document):
                raise PagingError(f'nothing is at "{path.text}", where the number of all rows is')
        elif self._rows != total:
            raise PagingError(
                f'{total - self._rows} rows are missing: "{path.text}" is {total}, '
                f"and {self._rows} came"
            )

    def _is_counted_to_the_end(self, total: int, rows: int, size: int | None) -> bool:
        """Tell whether the vendor's count of all rows ends the paging.

        A count that equals the rows of the first page may be the count of that page alone. Where
        the page may be a full one, by the size that was asked for or a round one of the vendor's,
        the page after it has to show that it is empty.
        """
        if self._rows < total:
            return False
        is_round = rows >= _ROUND and (not rows % 5 or not rows & (rows - 1))
        is_full = is_round or (size is not None and rows >= size)
        return not (is_full and rows == total)

    def _next_link(self, paging: NextUrl, document: object) -> str | None:
        for path in paging.next:
            found = find(path, document)
            if isinstance(found, Mapping):  # HAL: {"href": …}
                found = found.get("href")
            if found is None or found is False or found == "":
                continue
            if not isinstance(found, str):
                raise PagingError(f'"{path.text}" is no address but {_kind(found)}')
            return found
        if (
            paging.always
            and self._has_list
            and not any(_is_there(path, document) for path in paging.next)
        ):
            names = " or ".join(f'"{path.text}"' for path in paging.next)
            raise PagingError(f"{names} is not there, so that nothing says whether this is the end")
        return None

    def _linked(self, at: PageRequest, asked: str, link: str | None) -> PageRequest | None:
        if link is None:
            return None
        url = safe_url(link, asked, self._kept)
        # What is asked may differ from what was named: a key in the query is added to it.
        self._asked.add(asked.partition("#")[0])
        if url in self._asked:
            raise PagingError(f"the next page is one that was read already: {redact_url(url)}")
        self._asked.add(url)
        return PageRequest(url=url, number=at.number + 1)

    def _next_cursor(self, paging: Cursor, at: PageRequest, document: object) -> PageRequest | None:
        more = _flag(paging.more, document)
        cursor = next(
            (found for path in paging.cursor if (found := find(path, document)) not in _NOTHING),
            None,
        )
        if more is False or (cursor is None and more is None):
            return None
        if more is None and paging.rows is not None and not _count(paging.rows, document):
            return None
        if cursor is None:
            raise PagingError("the answer says that there is more, but gives no cursor")
        if isinstance(cursor, bool) or not isinstance(cursor, str | int | float):
            raise PagingError(f"the cursor is neither text nor a number but {_kind(cursor)}")
        text = str(cursor)
        if len(text) > _LONGEST_CURSOR:
            raise PagingError(
                f"the cursor has {len(text)} characters; more than {_LONGEST_CURSOR} are not sent"
                " back"
            )
        if text in self._asked:
            raise PagingError("the cursor is one that was used already")
        self._asked.add(text)
        if paging.body:
            return PageRequest(body={paging.param: cursor}, number=at.number + 1)
        return PageRequest(query=((paging.param, text),), number=at.number + 1)

    def _next_number(
        self, paging: PageNumber, at: PageRequest, document: object, rows: int | None
    ) -> PageRequest | None:
        number = self._number_after(paging, at, document, rows)
        if number is None:
            return None
        if number <= self._place:
            raise PagingError(f"after page {self._place} the vendor names page {number}")
        self._place = number
        return _numbered(paging, number, at.number + 1)

    def _number_after(
        self, paging: PageNumber, at: PageRequest, document: object, rows: int | None
    ) -> int | None:
        """Return the next page's number, None at the end, by the first sign that is there.

        The signs are: the number that the vendor names, its count of pages or of rows, its flag,
        and a page without rows. A short page is a sign only where the definition says so.
        """
        pages = self._checked_total(paging.total_pages, document)
        total = self._checked_total(paging.total_rows, document)
        if paging.next_page is not None:
            return _whole(paging.next_page, document)
        if pages is not None:
            _check_count(pages, paging.max_pages)
            return self._place + 1 if at.number < pages else None
        if total is not None and rows is None and paging.size is not None:
            pages = _ceil(total, paging.size)
            _check_count(pages, paging.max_pages)
            return self._place + 1 if at.number < pages else None
        more = self._is_more(paging, at, document, rows, paging.size)
        return self._place + 1 if more else None

    def _next_offset(
        self, paging: Offset, at: PageRequest, document: object, rows: int
    ) -> PageRequest | None:
        self._place += rows
        if not self._is_more(paging, at, document, rows, paging.limit):
            return None
        if not rows:
            raise PagingError("the answer says that there are more rows, but gives none")
        return _numbered(paging, self._place, at.number + 1)

    def _is_more(
        self,
        paging: PageNumber | Offset,
        at: PageRequest,
        document: object,
        rows: int | None,
        size: int | None,
    ) -> bool:
        """Tell whether rows are left: by the count of all rows, the flag, or rows on this page."""
        total = self._checked_total(paging.total_rows, document)
        more = _flag(paging.more, document)
        if more is None and total is not None and rows is not None:
            # By the rows that came: a vendor may give fewer than it is asked for.
            missing = total - self._rows
            if missing > 0 and not rows:
                raise PagingError(
                    f"{missing} rows are missing, and the page is empty: the answer says that there"
                    " are more rows, but gives none"
                )
            if missing > 0:
                _check_count(at.number + _ceil(missing, max(rows, size or 1)), paging.max_pages)
            return bool(rows) and not self._is_counted_to_the_end(total, rows, size)
        if more is not None:
            return more
        if rows is None:
            raise PagingError("the answer does not say whether there are more pages")
        if paging.short_page_ends and size is not None:
            return rows >= size
        return rows > 0

    def _checked_total(self, path: Selector | None, document: object) -> int | None:
        """Read the vendor's own count of pages or rows; None when no page has given one.

        Where it differs from the page before, what is counted has moved up or down, and a row
        between the two pages was never seen or comes twice.
        """
        if path is None:
            return None
        total, before = _whole(path, document), self._totals.get(path.text)
        if total is None or total == before:
            return before
        if before is not None:
            raise PagingError(
                f'"{path.text}" was {before} on the page before and is {total}: '
                "what is counted changed while it was read"
            )
        self._totals[path.text] = total
        return total


_LIMITS = frozenset(
    {
        "limit",
        "perpage",
        "pagesize",
        "pagelimit",
        "size",
        "maxresults",
        "maxitems",
        "resultsperpage",
        "top",
        "first",
        "take",
        "numresults",
    }
)
"""Arguments that ask for a number of rows, without signs and in lower case."""
_NEXT = frozenset(
    {
        "next",
        "nextpage",
        "nextlink",
        "nexturl",
        "nexturi",
        "nextcursor",
        "nextpagetoken",
        "nexttoken",
        "nextpageuri",
        "nextpageurl",
        "nextrecordid",
        "nextoffset",
        "nextmarker",
        "odatanextlink",
        "continuationtoken",
    }
)
_MORE = frozenset(
    {"hasmore", "hasnext", "hasnextpage", "hasmoreitems", "moreresults", "istruncated"}
)
_WRAPPERS = frozenset(
    {
        "meta",
        "metadata",
        "pagination",
        "paging",
        "page",
        "pageinfo",
        "pages",
        "links",
        "cursor",
        "cursors",
        "data",
        "result",
        "responsemetadata",
    }
)
_PARTIAL = 206  # Partial Content
_DATE = re.compile(r"\d{4}-\d{2}(-\d{2}|$)")


def _sign_of_more(paging: NoPaging, response: HttpResponse, document: object) -> str:
    """Return what shows that the one answer is not the whole, "" for nothing.

    Raises PagingError where the definition requires the whole, and for a list that is exactly as
    long as it was asked to be: nothing tells it from one that was cut there.
    """
    if paging.complete is Completeness.OPTIONAL:
        return ""
    lists = list(_lists(document))
    for name, value in parse_qsl(response.url.partition("?")[2].partition("#")[0]):
        if _plain(name) in _LIMITS and re.fullmatch(r"[1-9][0-9]{0,8}", value) and value != "1":
            place = next((place for place, size in lists if size == int(value)), None)
            if place is not None:
                raise PagingError(
                    f"{place} has {value} rows, as many as {name}={value} asks for: it may be cut"
                    " there. Ask for more, write the paging, or complete: optional where the first"
                    " rows are what is wanted"
                )
    sign = _header_sign(response) or next(_signs(document, 3, ""), "")
    if sign and paging.complete is Completeness.REQUIRED:
        raise PagingError(f"{sign}: the answer has further pages, and complete: required")
    return sign


def _header_sign(response: HttpResponse) -> str:
    if response.status == _PARTIAL:
        return "status 206, partial content"
    if "next-range" in response.headers:
        return "the header Next-Range"
    if "link" in response.headers:
        try:
            link = header_link(response.lines, "next", {})
        except LinkError:
            link = None
        if link is not None:
            return 'the header Link with rel="next"'
    return ""


def _signs(document: object, levels: int, above: str) -> Iterator[str]:
    """Yield the keys that name a next page, in the maps in which answers describe their pages."""
    if not isinstance(document, dict) or not levels:
        return
    for key, value in document.items():
        plain = _plain(key)
        found = value.get("href") if isinstance(value, dict) and plain in _NEXT else value
        if plain in _NEXT and type(found) in (str, int) and found not in _NOTHING:
            if not _DATE.match(str(found)):
                yield f'"{above}{clip(key, 64)}" is there'
        elif plain in _MORE and (value is True or str(value).lower() == "true"):
            yield f'"{above}{clip(key, 64)}" is true'
        elif plain in _WRAPPERS:
            yield from _signs(value, levels - 1, f"{above}{clip(key, 64)}.")


def _lists(document: object) -> Iterator[tuple[str, int]]:
    """Yield the lists near the top of an answer, with their lengths."""
    if isinstance(document, list):
        yield "the answer", len(document)
    elif isinstance(document, dict):
        for key, value in document.items():
            if isinstance(value, list):
                yield f'"{clip(key, 64)}"', len(value)
            elif isinstance(value, dict):
                for inner, rows in value.items():
                    if isinstance(rows, list):
                        yield f'"{clip(key, 64)}.{clip(inner, 64)}"', len(rows)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _check_count(pages: int, most: int) -> None:
    if pages > most:
        raise PagingError(
            f"the answer has more than {most} pages; narrow the request, or raise max_pages"
        )


def _ceil(rows: int, size: int) -> int:
    return -(-rows // size)


def _numbered(paging: PageNumber | Offset, place: int, number: int) -> PageRequest:
    """Return the request of a page by its number or offset; in JSON these are numbers."""
    numbers = {paging.param: place}
    if isinstance(paging, PageNumber):
        size_param, size = paging.size_param, paging.size
    else:
        size_param, size = paging.limit_param, paging.limit
    if size_param is not None and size is not None:
        numbers[size_param] = size
    if paging.body:
        return PageRequest(body=numbers, number=number)
    query = tuple((name, str(value)) for name, value in numbers.items())
    return PageRequest(query=query, number=number)


def _is_there(path: Selector, document: object) -> bool:
    """Tell whether the last key of a plain path is there, be it null."""
    *above, last = path.plain or ()
    for key in above:
        document = document.get(key) if isinstance(document, Mapping) else None
    return isinstance(document, Mapping) and last in document


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
        raise PagingError(f'"{path.text}" is no count but {_kind(found)}', Reason.SCHEMA)
    return found


def _count(path: Selector, document: object) -> int:
    """Count the rows of a page; no list at all is none."""
    return len(_list(path, document))


def _list(path: Selector, document: object) -> list[object]:
    """Return the rows of a page, [] where there is no list."""
    found = find(path, document)
    if found is None:
        return []
    if isinstance(found, Mapping):
        return list(found.values())
    if not isinstance(found, list):
        raise PagingError(f'"{path.text}" is no list but {_kind(found)}')
    return found


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
