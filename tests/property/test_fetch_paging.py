"""Paging always ends, never asks for a page twice, and never loses a row without saying so."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.fetch.http import HttpResponse
from exporter.fetch.paginate import Pager, PagingError
from exporter.fetch.request import PageRequest
from exporter.model.definition.paging import Cursor, LinkHeader, NextUrl, Offset, PageNumber, Paging
from tests.support.fetching import an_answer, paths

BASE = "https://api.example.com/usage"
MOST = 7

WORDS = st.sampled_from(["", "a", "b", "?page=2", "/usage?page=3", BASE, "https://evil.example"])
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 12), st.floats(), WORDS, st.just([]), st.just({})
)
DOCUMENTS = st.dictionaries(
    st.sampled_from(["next", "more", "total", "rows", "id"]),
    st.one_of(VALUES, st.lists(VALUES, max_size=4)),
)
LINKS = st.one_of(st.text(max_size=20), WORDS.map(lambda word: f'<{word}>; rel="next"'))
NEXT, MORE, TOTAL, ROWS, LAST = paths("next", "more", "total", "rows", "rows[-1]")
MAYBE_MORE = st.sampled_from([None, MORE])
MAYBE_TOTAL = st.sampled_from([None, TOTAL])
MAYBE_ROWS = st.sampled_from([None, ROWS])
PAGINGS: dict[str, st.SearchStrategy[Paging]] = {
    "next_url": st.builds(NextUrl, next=st.just((NEXT,)), max_pages=st.just(MOST)),
    "link_header": st.builds(LinkHeader, max_pages=st.just(MOST)),
    "cursor": st.builds(
        Cursor,
        cursor=st.sampled_from([(NEXT,), (LAST,), (NEXT, LAST)]),
        param=st.just("cursor"),
        more=MAYBE_MORE,
        rows=MAYBE_ROWS,
        body=st.booleans(),
        max_pages=st.just(MOST),
    ),
    "page_number": st.builds(
        PageNumber,
        param=st.just("page"),
        start=st.integers(0, 1),
        size=st.sampled_from([None, 2]),
        rows=MAYBE_ROWS,
        next_page=st.sampled_from([None, NEXT]),
        total_pages=MAYBE_TOTAL,
        total_rows=MAYBE_TOTAL,
        more=MAYBE_MORE,
        body=st.booleans(),
        max_pages=st.just(MOST),
    ),
    "offset": st.builds(
        Offset,
        param=st.just("offset"),
        limit=st.just(2),
        rows=st.just(ROWS),
        total_rows=MAYBE_TOTAL,
        more=MAYBE_MORE,
        body=st.booleans(),
        max_pages=st.just(MOST),
    ),
}
HONEST = st.sampled_from([0, 1, 2, MOST - 1, MOST, MOST, MOST])


def asked(page: PageRequest) -> tuple[object, ...]:
    return page.url or BASE, page.query, tuple(page.body.items())


def another(paging: Paging, page: PageRequest) -> tuple[HttpResponse, object]:
    """Return an answer after which any vendor that means it has one more."""
    number = page.number + 1
    if isinstance(paging, PageNumber):
        number = paging.start + page.number
    counts_pages = isinstance(paging, PageNumber) and paging.total_pages is not None
    document = {
        "next": number if isinstance(paging, Cursor | PageNumber) else f"?page={number}",
        "more": True,
        "total": MOST if counts_pages else 2 * MOST,
        "rows": [f"a{number}", f"b{number}"],
    }
    link = f'<{BASE}?page={number}>; rel="next"'
    return an_answer(url=page.url or BASE, headers={"link": link}), document


@pytest.mark.parametrize("kind", PAGINGS)
def test_it_ends_whatever_a_vendor_says(kind: str) -> None:
    ends: Counter[tuple[int, bool]] = Counter()

    # The same examples at each run: what they have to reach is asserted below.
    @settings(derandomize=True)
    @given(PAGINGS[kind], HONEST, st.data())
    def turn(paging: Paging, honest: int, data: st.DataObject) -> None:
        pager, failed = Pager(paging), False
        seen: list[tuple[object, ...]] = []
        while (page := pager.wanted) is not None and not failed:
            assert asked(page) not in seen
            seen.append(asked(page))
            assert len(seen) == page.number <= MOST
            answer, document = another(paging, page)
            if len(seen) > honest:
                headers, document = {"link": data.draw(LINKS)}, data.draw(DOCUMENTS)
                answer = an_answer(url=page.url or BASE, headers=headers)
            try:
                pager.advance(answer, document)
            except PagingError:
                failed = True
        ends[len(seen), failed] += 1

    turn()
    lengths = {length for length, _ in ends}
    assert MOST in lengths, "no example got so far: the property says nothing"
    assert lengths - {1, MOST}, "no example ended in between"
    assert ends[MOST, True], "no example met max_pages"


def rows_of(paging: Paging, pages: dict[str, dict[str, Any]], key: str) -> list[int]:
    """Turn the pages of an honest vendor, and return the rows that came."""
    rows: list[int] = []
    pager = Pager(paging)
    while pager.wanted is not None:
        document = pages[str(dict(pager.wanted.query).get(key, "first"))]
        rows += document["rows"]
        pager.advance(an_answer(url=BASE), document)
    return rows


SIZES = st.lists(st.integers(0, 3), min_size=1, max_size=MOST)


def numbered(sizes: list[int]) -> list[list[int]]:
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return [list(range(start, start + size)) for start, size in zip(starts, sizes, strict=True)]


@given(SIZES)
def test_all_rows_come_by_a_number_of_pages(sizes: list[int]) -> None:
    pages = {
        str(number): {"rows": rows, "total": len(sizes)}
        for number, rows in enumerate(numbered(sizes), start=1)
    }
    paging = PageNumber(param="page", rows=ROWS, total_pages=TOTAL, max_pages=MOST)
    assert rows_of(paging, pages, "page") == list(range(sum(sizes)))


@given(SIZES)
def test_all_rows_come_by_a_cursor(sizes: list[int]) -> None:
    names = ["first", *(f"c{index}" for index in range(1, len(sizes)))]
    pages = {
        name: {"rows": rows, "more": True, "next": following}
        for name, following, rows in zip(names, [*names[1:], None], numbered(sizes), strict=True)
    }
    pages[names[-1]]["more"] = False
    paging = Cursor(cursor=(NEXT,), param="cursor", more=MORE, rows=ROWS, max_pages=MOST)
    assert rows_of(paging, pages, "cursor") == list(range(sum(sizes)))


@given(st.lists(st.integers(1, 3), min_size=1, max_size=MOST))
def test_all_rows_come_by_offset(sizes: list[int]) -> None:
    total = sum(sizes)
    pages = {str(rows[0]): {"rows": rows, "total": total} for rows in numbered(sizes)}
    pages |= {"first": pages["0"], str(total): {"rows": [], "total": total}}
    paging = Offset(param="offset", limit=3, rows=ROWS, total_rows=TOTAL, max_pages=MOST)
    assert rows_of(paging, pages, "offset") == list(range(total))


class MovingList:
    """A vendor's list: it gives at most `clamp` rows a page and changes between two pages."""

    def __init__(self, count: int, clamp: int, moves: list[tuple[bool, int]]) -> None:
        self.rows = [{"id": number} for number in range(count)]
        self._clamp = clamp
        self._moves = list(moves)

    def page(self, kind: str, wanted: PageRequest) -> tuple[HttpResponse, dict[str, Any]]:
        """Answer a page, and move then: add or delete a row, or leave the list as it is."""
        url, query = wanted.url or BASE, dict(wanted.query)
        size = min(int(query.get("size", self._clamp)), self._clamp)
        place = int(query.get("skip", query.get("after", url.partition("skip=")[2] or 0)))
        if kind == "page_number":
            place = (int(query["page"]) - 1) * size
        rows, total, end = self.rows[place : place + size], len(self.rows), place + size
        following = f"?skip={end}" if end < total else None
        document = {"rows": rows, "total": total, "next": following}
        document["cursor"] = end if end < total else None
        headers = {"link": f'<{following}>; rel="next"'} if following else {}
        if self._moves:
            adds, at = self._moves.pop(0)
            if adds:
                self.rows.insert(at % (total + 1), {"id": 1000 + len(self._moves)})
            elif self.rows and at >= 0:
                del self.rows[at % total]
        return an_answer(url=url, headers=headers), document


(ID, CURSOR) = paths("id", "cursor")
PROOF: dict[str, Any] = {"rows": ROWS, "total_rows": TOTAL, "row_id": ID, "max_pages": 60}
PROVED: dict[str, Paging] = {
    "next_url": NextUrl(next=(NEXT,), always=True, **PROOF),
    "link_header": LinkHeader(**PROOF),
    "cursor": Cursor(cursor=(CURSOR,), param="after", **PROOF),
    "page_number": PageNumber(param="page", size_param="size", size=20, **PROOF),
    "offset": Offset(param="skip", limit_param="size", limit=20, **PROOF),
}
UNCOUNTED: dict[str, Paging] = {
    "page_number": PageNumber(
        param="page", size_param="size", size=20, rows=ROWS, row_id=ID, max_pages=60
    ),
    "offset": Offset(param="skip", limit_param="size", limit=20, rows=ROWS, max_pages=60),
}


def sum_of(kind: str, paging: Paging, server: MovingList) -> tuple[list[int], list[list[int]]]:
    """Return the ids that came, and those that were there before each page."""
    pager, came, there = Pager(paging), list[int](), list[list[int]]()
    while pager.wanted is not None:
        there.append([row["id"] for row in server.rows])
        answer, document = server.page(kind, pager.wanted)
        came += [row["id"] for row in document["rows"]]
        pager.advance(answer, document)
    return came, there


@pytest.mark.parametrize("kind", PROVED)
def test_the_sum_is_exact_or_the_poll_fails_whatever_moves(kind: str) -> None:
    ends: Counter[bool] = Counter()

    @given(
        st.integers(0, 50),
        st.integers(1, 40),
        st.lists(st.tuples(st.booleans(), st.integers(-3, 50)), max_size=6),
    )
    def turn(count: int, clamp: int, moves: list[tuple[bool, int]]) -> None:
        try:
            came, there = sum_of(kind, PROVED[kind], MovingList(count, clamp, moves))
        except PagingError:
            assert moves, "nothing moved, and yet it failed"
            ends[False] += 1
            return
        assert sorted(came) in [sorted(one) for one in there]
        ends[True] += 1

    turn()
    assert ends[True], "no example came to an end: the property says nothing"
    assert ends[False], "no example failed: nothing moved"


@pytest.mark.parametrize("kind", UNCOUNTED)
@given(count=st.integers(0, 50), clamp=st.integers(1, 40))
def test_all_rows_come_where_nothing_counts_them(kind: str, count: int, clamp: int) -> None:
    came, _ = sum_of(kind, UNCOUNTED[kind], MovingList(count, clamp, []))
    assert came == list(range(count))
