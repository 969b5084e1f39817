"""From a page to the next: every kind of paging, every way that it ends or must not go on."""

from typing import Any

import pytest

from exporter.fetch.http import LinkError, safe_url
from exporter.fetch.paginate import Pager, PagingError
from exporter.fetch.request import PageRequest
from exporter.model.definition.paging import (
    Cursor,
    LinkHeader,
    NextUrl,
    NoPaging,
    Offset,
    PageNumber,
    Paging,
)
from exporter.model.outcome import Reason
from tests.support.fetching import an_answer, paths

HERE = "https://api.example.com/v1/usage?limit=50"


def path(text: str) -> Any:
    return paths(text)[0]


def first(paging: Paging) -> PageRequest:
    wanted = Pager(paging).wanted
    assert wanted is not None
    return wanted


def step(paging: Paging, *documents: object, url: str = HERE, link: str = "") -> PageRequest | None:
    """Answer with the documents, one after the other; return what is wanted then."""
    pager = Pager(paging)
    for document in documents:
        assert pager.wanted is not None
        asked = an_answer(url=pager.wanted.url or url, headers={"link": link} if link else {})
        pager.advance(asked, document)
    return pager.wanted


def following(paging: Paging, *documents: object, url: str = HERE, link: str = "") -> PageRequest:
    wanted = step(paging, *documents, url=url, link=link)
    assert wanted is not None
    return wanted


def refused(paging: Paging, *documents: object, url: str = HERE, link: str = "") -> str:
    with pytest.raises(PagingError) as refusal:
        step(paging, *documents, url=url, link=link)
    return str(refusal.value)


NEXT = NextUrl(next=paths("next", "_links.next"), max_pages=5)


def test_one_request_has_one_page() -> None:
    assert first(NoPaging()) == PageRequest()
    assert step(NoPaging(), {"next": "https://evil.example"}) is None


# ------------------------------------------------------------------------------------------ links


@pytest.mark.parametrize(
    ("link", "url"),
    [
        (f"{HERE}&page=2", f"{HERE}&page=2"),
        ("/v1/usage?page=2", "https://api.example.com/v1/usage?page=2"),
        ("?page=2", "https://api.example.com/v1/usage?page=2"),
        ("other?page=2", "https://api.example.com/v1/other?page=2"),
        ("//api.example.com/v2", "https://api.example.com/v2"),
        ("https://API.example.com:443/v2", "https://API.example.com:443/v2"),
        (f"{HERE}&c=a%2Cb%3D%3D&d=x,y", f"{HERE}&c=a%2Cb%3D%3D&d=x,y"),
        (f"{HERE}&c=a b", f"{HERE}&c=a%20b"),
        (f"{HERE}&c=ü", f"{HERE}&c=%C3%BC"),
        (f"{HERE}&page=2#top", f"{HERE}&page=2"),
        (f"  {HERE}&page=2\n", f"{HERE}&page=2"),
    ],
)
def test_a_link_is_followed_as_it_stands(link: str, url: str) -> None:
    assert following(NEXT, {"next": link}).url == url


@pytest.mark.parametrize("end", [None, "", False])
def test_an_empty_link_is_the_end(end: object) -> None:
    assert step(NEXT, {"next": end}) is None
    assert step(NEXT, {}) is None


def test_a_hal_link_may_be_an_object() -> None:
    document = {"_links": {"next": {"href": "?page=2"}}}
    assert following(NEXT, document).url == "https://api.example.com/v1/usage?page=2"


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("https://evil.example/usage", "another host, evil.example instead of api.example.com"),
        ("https://api.example.com.evil.example/", "another host, api.example.com.evil.example"),
        ("//evil.example/x", "another host, evil.example"),
        ("https://api.example.com:8443/", "api.example.com:8443 instead of api.example.com"),
        ("http://api.example.com/v1/usage?page=2", "from https to http on api.example.com"),
        ("https://user:pw@api.example.com/", "holds a user name or password"),
        ("https://api.example.com@evil.example/", "holds a user name or password"),
        ("https://api.example.com\\@evil.example/", "holds a user name or password"),
        ("https://evil.example\\.api.example.com/", "another host"),
        ("file:///etc/passwd", "no web address"),
        ("javascript:alert(1)", "no web address"),
        ("https:///nowhere", "no web address"),
        ("https://[::1/x", "no web address"),
        ("https://api.example.com:99999/x", "no web address"),
    ],
)
def test_a_link_that_leaves_the_origin_is_refused(link: str, words: str) -> None:
    found = refused(NEXT, {"next": link})
    assert words in found
    assert "pw" not in found
    assert found.startswith("page 1: ")


def test_a_link_to_https_on_an_http_base_says_what_to_change() -> None:
    document = {"next": "https://api.example.com/u"}
    assert "write base_url with https" in refused(NEXT, document, url="http://api.example.com/u")


def test_a_link_of_another_type_is_refused() -> None:
    assert '"next" is no address but a number' in refused(NEXT, {"next": 2})
    assert '"next" is no address but a list' in refused(NEXT, {"next": ["?page=2"]})


def test_a_link_to_a_page_that_was_read_is_a_loop() -> None:
    assert "read already" in refused(NEXT, {"next": HERE})
    assert "read already" in refused(NEXT, {"next": "?page=2"}, {"next": HERE})


def test_more_pages_than_allowed_are_a_failure() -> None:
    documents = [{"next": f"?page={number}"} for number in range(2, 7)]
    assert "page 5: the answer has more than 5 pages" in refused(NEXT, *documents)
    assert following(NEXT, *documents[:-1]).number == 5


def test_a_path_that_cannot_be_searched_is_a_failure() -> None:
    paging = NextUrl(next=paths("max(next)"), max_pages=5)
    assert "max(next)" in refused(paging, {"next": ["a", 1]})


def test_safe_url_keeps_an_ipv6_address() -> None:
    assert safe_url("/x", "http://[::1]:8080/v1") == "http://[::1]:8080/x"
    with pytest.raises(LinkError, match="another host"):
        safe_url("http://[::2]:8080/x", "http://[::1]:8080/v1")


LINK = LinkHeader(max_pages=5, unless={"results": "false"})


def test_a_link_header_leads_on_until_it_is_gone() -> None:
    link = '<?page=1>; rel="prev", <?page=3>; rel="next"'
    assert str(following(LINK, None, link=link).url).endswith("?page=3")
    assert step(LINK, None, link='<?page=2>; rel="last"') is None


def test_a_link_header_that_cannot_be_read_fails_the_page() -> None:
    assert "cannot be read" in refused(LINK, None, link='<?page=2>; rel="next')


# ---------------------------------------------------------------------------------------- cursors

CURSOR = Cursor(
    cursor=paths("next_page", "data[-1].id"),
    param="page",
    more=path("has_more"),
    rows=path("data"),
    max_pages=5,
)


@pytest.mark.parametrize(
    ("document", "cursor"),
    [
        ({"has_more": True, "next_page": "p2", "data": [1]}, "p2"),
        ({"next_page": "p2", "data": [1]}, "p2"),
        ({"next_page": 12345678901234567890, "data": [1]}, "12345678901234567890"),
        ({"has_more": True, "data": [{"id": "a"}, {"id": "b"}]}, "b"),
        ({"has_more": True, "next_page": "p2", "data": []}, "p2"),
        ({"has_more": "true", "next_page": "p2"}, "p2"),
    ],
)
def test_a_cursor_becomes_an_argument(document: object, cursor: str) -> None:
    assert following(CURSOR, document).query == (("page", cursor),)


@pytest.mark.parametrize(
    "document",
    [
        {"has_more": False, "next_page": "p2", "data": [1]},
        {"has_more": "false", "next_page": "p2", "data": [1]},
        {"next_page": "p2", "data": []},
        {"next_page": None, "data": [1]},
        {"next_page": "", "data": [1]},
        {"data": [1]},
        {},
    ],
)
def test_a_cursor_ends(document: object) -> None:
    assert step(CURSOR, document) is None


def test_more_without_a_cursor_is_a_failure() -> None:
    assert "gives no cursor" in refused(CURSOR, {"has_more": True, "next_page": ""})


def test_a_cursor_that_is_neither_text_nor_number_is_a_failure() -> None:
    assert "an object" in refused(CURSOR, {"has_more": True, "next_page": {}})
    assert "a boolean" in refused(CURSOR, {"has_more": True, "next_page": True})


def test_a_cursor_that_no_request_can_carry_is_a_failure() -> None:
    assert "20000 characters" in refused(CURSOR, {"has_more": True, "next_page": "c" * 20_000})


def test_a_cursor_that_comes_again_is_a_loop() -> None:
    document = {"has_more": True, "next_page": "p2"}
    assert "used already" in refused(CURSOR, document, document)


def test_a_cursor_may_go_into_the_body_with_its_type() -> None:
    paging = Cursor(cursor=paths("next"), param="variables.after", body=True, max_pages=5)
    found = following(paging, {"next": 7})
    assert (found.query, found.body) == ((), {"variables.after": 7})


# ---------------------------------------------------------------------------------------- numbers


def pages(**more: Any) -> PageNumber:
    return PageNumber(param="page", size_param="per_page", size=2, max_pages=5, **more)


def test_pages_are_numbered_and_sized_from_the_first() -> None:
    assert first(pages()).query == (("page", "1"), ("per_page", "2"))
    assert first(pages(start=0)).query == (("page", "0"), ("per_page", "2"))


def test_a_short_page_is_not_the_last_unless_the_definition_says_so() -> None:
    paging = pages(rows=path("rows"))
    full, short = {"rows": [1, 2]}, {"rows": [1]}
    found = following(paging, full)
    assert found.query == (("page", "2"), ("per_page", "2"))
    assert following(paging, full, short).query[0] == ("page", "3")
    assert step(paging, full, short, {"rows": []}) is None
    assert step(paging, full, {}) is None
    told = pages(rows=path("rows"), short_page_ends=True)
    assert following(told, full).query[0] == ("page", "2")
    assert step(told, full, short) is None


def test_without_a_size_an_empty_page_is_the_last() -> None:
    paging = PageNumber(param="page", rows=path("rows"), max_pages=5)
    assert step(paging, {"rows": [1]})
    assert step(paging, {"rows": []}) is None


def test_the_vendor_may_name_the_next_page() -> None:
    paging = pages(next_page=path("meta.next_page"))
    assert following(paging, {"meta": {"next_page": 2}}).query[0] == ("page", "2")
    assert step(paging, {"meta": {"next_page": None}}) is None
    assert step(paging, {"meta": {}}) is None


def test_a_page_that_leads_back_is_a_failure() -> None:
    paging = pages(next_page=path("next"))
    assert "after page 3 the vendor names page 3" in refused(paging, {"next": 3}, {"next": 3})


def test_the_number_of_pages_decides_also_over_an_empty_page() -> None:
    paging = pages(total_pages=path("total"), rows=path("rows"))
    documents = [{"total": 3, "rows": []}, {"total": "3", "rows": [1]}]
    assert following(paging, *documents).number == 3
    assert step(paging, *documents, {"total": 3, "rows": [1, 2]}) is None


def test_too_many_pages_are_refused_after_the_first_page() -> None:
    assert "more than 5 pages" in refused(pages(total_pages=path("total")), {"total": 10**9})
    total = pages(total_rows=path("total"))
    assert "more than 5 pages" in refused(total, {"total": 11})


def test_the_number_of_rows_decides() -> None:
    paging = pages(total_rows=path("total"))
    assert following(paging, {"total": 4}).number == 2
    assert step(paging, {"total": 4}, {"total": 4}) is None


def test_rows_are_counted_where_the_vendor_gives_fewer_than_asked_for() -> None:
    paging = pages(total_rows=path("total"), rows=path("rows"))
    documents = [{"total": 3, "rows": [1]}] * 3
    assert following(paging, *documents[:2]).number == 3
    assert step(paging, *documents) is None


def test_rows_that_never_come_are_a_failure() -> None:
    paging = pages(total_rows=path("total"), rows=path("rows"))
    assert "3 rows are missing" in refused(paging, {"total": 3, "rows": []})


def test_a_flag_decides() -> None:
    paging = pages(more=path("has_next"))
    assert step(paging, {"has_next": True}) is not None
    assert step(paging, {"has_next": False}) is None


def test_an_answer_that_says_nothing_is_a_failure() -> None:
    assert "does not say" in refused(pages(total_pages=path("total")), {"error": "x"})


@pytest.mark.parametrize("total", [-1, 1.5, "many", True, [], {}])
def test_a_total_that_is_no_count_is_a_failure(total: object) -> None:
    assert '"total" is no count' in refused(pages(total_pages=path("total")), {"total": total})


def test_rows_that_are_no_list_are_a_failure() -> None:
    assert '"rows" is no list but a text' in refused(pages(rows=path("rows")), {"rows": "x"})


def offset(**more: Any) -> Offset:
    paging = {"param": "offset", "limit_param": "limit", "limit": 2, "rows": path("rows")}
    return Offset(**{**paging, "max_pages": 5, **more})


def test_offsets_count_the_rows_that_came() -> None:
    assert first(offset()).query == (("offset", "0"), ("limit", "2"))
    found = following(offset(), {"rows": [1, 2]})
    assert found.query == (("offset", "2"), ("limit", "2"))
    assert following(offset(), {"rows": [1, 2]}, {"rows": [1]}).query[0] == ("offset", "3")
    assert step(offset(short_page_ends=True), {"rows": [1, 2]}, {"rows": [1]}) is None
    assert step(offset(), {"rows": [1, 2]}, {"rows": []}) is None


def test_a_total_of_rows_decides_over_a_short_page() -> None:
    paging = offset(total_rows=path("total"))
    found = following(paging, {"rows": [1], "total": 2})
    assert found.query[0] == ("offset", "1")
    assert step(paging, *[{"rows": [1], "total": 2}] * 2) is None
    assert "2 rows came, more than the 1" in refused(paging, {"rows": [1, 2], "total": 1})


def test_a_flag_decides_over_a_short_page() -> None:
    paging = offset(more=path("more"), limit_param=None)
    assert following(paging, {"rows": [1], "more": True}).query == (("offset", "1"),)
    assert step(paging, {"rows": [1, 2], "more": False}) is None


def test_an_empty_page_that_promises_more_is_a_failure() -> None:
    assert "gives none" in refused(offset(more=path("m")), {"rows": [], "m": True})
    assert "gives none" in refused(offset(total_rows=path("t")), {"rows": [], "t": 4})


def test_too_many_rows_are_refused_after_the_first_page() -> None:
    paging = offset(total_rows=path("t"))
    assert "more than 5 pages" in refused(paging, {"rows": [1, 2], "t": 11})
    assert step(paging, {"rows": [1, 2], "t": 10}) is not None


def test_numbers_and_offsets_may_go_into_the_body() -> None:
    pages = PageNumber(
        param="page.number", size_param="page.size", size=2, rows=path("r"), body=True, max_pages=5
    )
    assert first(pages).body == {"page.number": 1, "page.size": 2}
    second = following(pages, {"r": [1, 2]})
    assert (second.query, second.body) == ((), {"page.number": 2, "page.size": 2})
    offset = Offset(
        param="skip", limit_param="take", limit=2, rows=path("r"), body=True, max_pages=5
    )
    assert first(offset).body == {"skip": 0, "take": 2}
    assert following(offset, {"r": [1, 2]}).body == {"skip": 2, "take": 2}


def test_rows_are_counted_where_the_number_of_pages_is_not_told() -> None:
    paging = pages(total_pages=path("pages"), total_rows=path("total"))
    assert step(paging, {"total": 4}) is not None
    assert step(paging, {"total": 4}, {"total": 4}) is None


def test_no_pages_at_all_are_the_end() -> None:
    assert step(pages(total_pages=path("total")), {"total": 0}) is None


@pytest.mark.parametrize(
    "paging",
    [
        pages(total_pages=path("total")),
        pages(total_rows=path("total")),
        offset(total_rows=path("total")),
    ],
)
def test_a_total_that_shrinks_between_pages_is_no_smaller_sum(paging: Paging) -> None:
    words = "was 4 on the page before and is 3: what is counted changed while it was read"
    with pytest.raises(PagingError, match=words):
        step(paging, {"total": 4, "rows": [1, 2]}, {"total": 3, "rows": [4]})


def test_a_total_that_grows_between_pages_is_no_sum() -> None:
    paging = pages(total_rows=path("total"), rows=path("rows"))
    documents = [{"total": 3, "rows": [1, 2]}, {"total": 5, "rows": [3, 4]}]
    assert "was 3 on the page before and is 5" in refused(paging, *documents)


# ---------------------------------------------------------------------------- proof of every row

PROOF: dict[str, Any] = {"rows": path("rows"), "total_rows": path("total"), "row_id": path("id")}
KINDS: dict[str, Paging] = {
    "next_url": NextUrl(next=paths("next"), max_pages=5, **PROOF),
    "link_header": LinkHeader(max_pages=5, **PROOF),
    "cursor": Cursor(cursor=paths("cursor"), param="after", max_pages=5, **PROOF),
    "page_number": PageNumber(param="page", max_pages=5, **PROOF),
    "named page": PageNumber(param="page", next_page=path("number"), max_pages=5, **PROOF),
    "counted page": PageNumber(param="page", total_pages=path("pages"), max_pages=5, **PROOF),
    "offset": Offset(param="skip", limit=2, max_pages=5, **PROOF),
}


def turned(paging: Paging, *lists: tuple[int, list[int]]) -> PageRequest | None:
    """Answer with pages of a total and the ids of rows; the last one leads no further."""
    pager = Pager(paging)
    for number, (total, ids) in enumerate(lists, start=1):
        assert pager.wanted is not None
        is_last = number == len(lists)
        document = {
            "total": total,
            "rows": [{"id": one} for one in ids],
            "next": None if is_last else f"?page={number + 1}",
            "cursor": None if is_last else f"c{number}",
            "number": None if is_last else number + 1,
            "pages": len(lists),
        }
        link = {} if is_last else {"link": f'<?page={number + 1}>; rel="next"'}
        pager.advance(an_answer(url=pager.wanted.url or HERE, headers=link), document)
    return pager.wanted


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_as_many_as_counted_are_the_whole(kind: str) -> None:
    assert turned(KINDS[kind], (3, [1, 2]), (3, [3])) is None
    assert turned(KINDS[kind], (0, [])) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ([(8, [1, 2]), (8, [])], "6 rows are missing"),
        ([(3, [1, 2]), (3, [3, 4])], "4 rows came, more than the 3"),
        ([(6, [1, 2]), (5, [4, 5])], "was 6 on the page before and is 5"),
        ([(4, [1, 2]), (5, [3, 4])], "was 4 on the page before and is 5"),
        ([(4, [1, 2]), (4, [2, 3])], 'the row with 2 at "id" came before'),
        ([(2, [1, 1])], 'the row with 1 at "id" came before'),
    ],
)
def test_rows_that_are_not_as_counted_are_no_sum(
    kind: str, lists: list[tuple[int, list[int]]], words: str
) -> None:
    with pytest.raises(PagingError, match=words):
        turned(KINDS[kind], *lists)


@pytest.mark.parametrize("kind", ["next_url", "link_header", "cursor", "named page"])
def test_an_end_before_the_counted_rows_is_no_end(kind: str) -> None:
    with pytest.raises(PagingError, match="27 rows are missing"):
        turned(KINDS[kind], (30, [1, 2, 3]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_count_that_is_never_told_proves_nothing(kind: str) -> None:
    page, empty = {"rows": [{"id": 1}], "pages": 1}, {"rows": [], "pages": 1}
    documents = [page, empty] if kind in ("page_number", "offset") else [page]
    assert 'nothing is at "total"' in refused(KINDS[kind], *documents)


@pytest.mark.parametrize("size", [100, 500])
def test_a_count_that_is_of_the_page_alone_is_no_end(size: int) -> None:
    paging = PageNumber(
        param="page",
        size_param="size",
        size=size,
        rows=path("rows"),
        total_rows=path("count"),
        max_pages=5,
    )
    page = {"count": 100, "rows": [1] * 100}
    assert following(paging, page).number == 2
    assert "not the count of all pages" in refused(paging, page, page)
    assert step(paging, page, {"count": 100, "rows": []}) is None


def test_rows_without_an_identity_are_not_compared() -> None:
    paging = NextUrl(next=paths("next"), rows=path("rows"), row_id=path("[a, b]"), max_pages=5)
    same = {"a": 1, "b": None}
    assert step(paging, {"rows": [same, same]}) is None
    twice = {"a": 1, "b": 2}
    assert "came before" in refused(paging, {"rows": [twice, same, twice]})


def test_an_address_that_is_always_there_is_missed() -> None:
    paging = NextUrl(next=paths("links.next"), always=True, max_pages=5)
    assert step(paging, {"links": {"next": None}}) is None
    documents: list[object] = [{}, {"links": None}, {"links": {}}, []]
    for document in documents:
        assert '"links.next" is not there' in refused(paging, document)


@pytest.mark.parametrize("kind", ["next_url", "cursor"])
def test_a_page_of_another_shape_is_no_page(kind: str) -> None:
    page = {"total": 2, "rows": [{"id": 1}], "next": "?page=2", "cursor": "c"}
    pager = Pager(KINDS[kind])
    pager.advance(an_answer(url=HERE), page)
    with pytest.raises(PagingError, match="there is no list") as refusal:
        pager.advance(an_answer(url=HERE), {"total": 2, "lines": []})
    assert refusal.value.reason is Reason.SCHEMA
