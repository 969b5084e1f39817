"""From a page to the next: every kind of paging, every way that it ends or must not go on."""

from typing import Any

import pytest

from exporter.fetch.http import LinkError, safe_url
from exporter.fetch.paginate import Done, Next, Seen, first_page, next_step
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
from tests.support.fetching import paths

HERE = "https://api.example.com/v1/usage?limit=50"


def path(text: str) -> Any:
    return paths(text)[0]


def step(
    paging: Paging, document: object, *, at: Next | None = None, url: str = HERE, link: str = ""
) -> Next | Done | Failure:
    lines = (("link", link),) if link else ()
    return next_step(
        paging, at or first_page(paging), Seen(url=url, document=document, lines=lines)
    )


def following(found: Next | Done | Failure) -> Next:
    assert isinstance(found, Next), found
    return found


def detail(found: Next | Done | Failure) -> str:
    assert isinstance(found, Failure), found
    assert found.reason is Reason.PAGING
    return found.detail


NEXT = NextUrl(next=paths("next", "_links.next"), max_pages=5)


def test_one_request_has_one_page() -> None:
    assert first_page(NoPaging()) == Next()
    assert step(NoPaging(), {"next": "https://evil.example"}) == Done()


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
    assert following(step(NEXT, {"next": link})).url == url


@pytest.mark.parametrize("end", [None, "", False])
def test_an_empty_link_is_the_end(end: object) -> None:
    assert step(NEXT, {"next": end}) == Done()
    assert step(NEXT, {}) == Done()


def test_a_hal_link_may_be_an_object() -> None:
    document = {"_links": {"next": {"href": "?page=2"}}}
    assert following(step(NEXT, document)).url == "https://api.example.com/v1/usage?page=2"


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
    found = detail(step(NEXT, {"next": link}))
    assert words in found
    assert "pw" not in found
    assert found.startswith("page 1: ")


def test_a_link_to_https_on_an_http_base_says_what_to_change() -> None:
    found = step(NEXT, {"next": "https://api.example.com/u"}, url="http://api.example.com/u")
    assert "write base_url with https" in detail(found)


def test_a_link_of_another_type_is_refused() -> None:
    assert '"next" is no address but a number' in detail(step(NEXT, {"next": 2}))
    assert '"next" is no address but a list' in detail(step(NEXT, {"next": ["?page=2"]}))


def test_a_link_to_a_page_that_was_read_is_a_loop() -> None:
    assert "read already" in detail(step(NEXT, {"next": HERE}))
    second = following(step(NEXT, {"next": "?page=2"}))
    back = step(NEXT, {"next": HERE}, at=second, url=str(second.url))
    assert "read already" in detail(back)


def test_more_pages_than_allowed_are_a_failure() -> None:
    found = step(NEXT, {"next": "?page=6"}, at=Next(pages=5), url=f"{HERE}&page=5")
    assert "more than 5 pages" in detail(found)
    assert isinstance(step(NEXT, {"next": "?page=5"}, at=Next(pages=4)), Next)


def test_a_path_that_cannot_be_searched_is_a_failure() -> None:
    paging = NextUrl(next=paths("max(next)"), max_pages=5)
    assert "max(next)" in detail(step(paging, {"next": ["a", 1]}))


def test_safe_url_keeps_an_ipv6_address() -> None:
    assert safe_url("/x", "http://[::1]:8080/v1") == "http://[::1]:8080/x"
    with pytest.raises(LinkError, match="another host"):
        safe_url("http://[::2]:8080/x", "http://[::1]:8080/v1")


LINK = LinkHeader(max_pages=5, unless={"results": "false"})


def test_a_link_header_leads_on_until_it_is_gone() -> None:
    link = '<?page=1>; rel="prev", <?page=3>; rel="next"'
    assert str(following(step(LINK, None, link=link)).url).endswith("?page=3")
    assert step(LINK, None, link='<?page=2>; rel="last"') == Done()


def test_a_link_header_that_cannot_be_read_fails_the_page() -> None:
    assert "cannot be read" in detail(step(LINK, None, link='<?page=2>; rel="next'))


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
    assert following(step(CURSOR, document)).query == (("page", cursor),)


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
    assert step(CURSOR, document) == Done()


def test_more_without_a_cursor_is_a_failure() -> None:
    assert "gives no cursor" in detail(step(CURSOR, {"has_more": True, "next_page": ""}))


def test_a_cursor_that_is_neither_text_nor_number_is_a_failure() -> None:
    assert "an object" in detail(step(CURSOR, {"has_more": True, "next_page": {}}))
    assert "a boolean" in detail(step(CURSOR, {"has_more": True, "next_page": True}))


def test_a_cursor_that_no_request_can_carry_is_a_failure() -> None:
    assert "20000 characters" in detail(step(CURSOR, {"has_more": True, "next_page": "c" * 20_000}))


def test_a_cursor_that_comes_again_is_a_loop() -> None:
    second = following(step(CURSOR, {"has_more": True, "next_page": "p2"}))
    again = step(CURSOR, {"has_more": True, "next_page": "p2"}, at=second)
    assert "used already" in detail(again)


def test_a_cursor_may_go_into_the_body_with_its_type() -> None:
    paging = Cursor(cursor=paths("next"), param="variables.after", body=True, max_pages=5)
    found = following(step(paging, {"next": 7}))
    assert (found.query, found.body) == ((), {"variables.after": 7})


# ---------------------------------------------------------------------------------------- numbers


def pages(**more: Any) -> PageNumber:
    return PageNumber(param="page", size_param="per_page", size=2, max_pages=5, **more)


def test_pages_are_numbered_and_sized_from_the_first() -> None:
    assert first_page(pages()).query == (("page", "1"), ("per_page", "2"))
    assert first_page(pages(start=0)).query == (("page", "0"), ("per_page", "2"))


def test_a_short_page_is_the_last() -> None:
    paging = pages(rows=path("rows"))
    found = following(step(paging, {"rows": [1, 2]}))
    assert found.query == (("page", "2"), ("per_page", "2"))
    assert step(paging, {"rows": [1]}, at=found) == Done()
    assert step(paging, {"rows": []}, at=found) == Done()
    assert step(paging, {}, at=found) == Done()


def test_without_a_size_an_empty_page_is_the_last() -> None:
    paging = PageNumber(param="page", rows=path("rows"), max_pages=5)
    assert isinstance(step(paging, {"rows": [1]}), Next)
    assert step(paging, {"rows": []}) == Done()


def test_the_vendor_may_name_the_next_page() -> None:
    paging = pages(next_page=path("meta.next_page"))
    assert following(step(paging, {"meta": {"next_page": 2}})).query[0] == ("page", "2")
    assert step(paging, {"meta": {"next_page": None}}) == Done()
    assert step(paging, {"meta": {}}) == Done()


def test_a_page_that_leads_back_is_a_failure() -> None:
    paging = pages(next_page=path("next"))
    assert "after page 3 the vendor names page 3" in detail(
        step(paging, {"next": 3}, at=Next(pages=3, place=3))
    )


def test_the_number_of_pages_decides_also_over_an_empty_page() -> None:
    paging = pages(total_pages=path("total"), rows=path("rows"))
    second = following(step(paging, {"total": 3, "rows": []}))
    third = following(step(paging, {"total": "3", "rows": [1]}, at=second))
    assert step(paging, {"total": 3, "rows": [1, 2]}, at=third) == Done()


def test_too_many_pages_are_refused_after_the_first() -> None:
    assert "more than 5 pages" in detail(step(pages(total_pages=path("total")), {"total": 10**9}))
    total = pages(total_rows=path("total"))
    assert "more than 5 pages" in detail(step(total, {"total": 11}))


def test_the_number_of_rows_decides() -> None:
    paging = pages(total_rows=path("total"))
    second = following(step(paging, {"total": 4}))
    assert step(paging, {"total": 4}, at=second) == Done()


def test_rows_are_counted_where_the_vendor_gives_fewer_than_asked_for() -> None:
    paging = pages(total_rows=path("total"), rows=path("rows"))
    second = following(step(paging, {"total": 3, "rows": [1]}))
    third = following(step(paging, {"total": 3, "rows": [1]}, at=second))
    assert step(paging, {"total": 3, "rows": [1]}, at=third) == Done()


def test_rows_that_never_come_are_a_failure() -> None:
    paging = pages(total_rows=path("total"), rows=path("rows"))
    assert "3 rows are missing" in detail(step(paging, {"total": 3, "rows": []}))


def test_a_flag_decides() -> None:
    paging = pages(more=path("has_next"))
    assert isinstance(step(paging, {"has_next": True}), Next)
    assert step(paging, {"has_next": False}) == Done()


def test_an_answer_that_says_nothing_is_a_failure() -> None:
    assert "does not say" in detail(step(pages(total_pages=path("total")), {"error": "x"}))


@pytest.mark.parametrize("total", [-1, 1.5, "many", True, [], {}])
def test_a_total_that_is_no_count_is_a_failure(total: object) -> None:
    assert '"total" is no count' in detail(step(pages(total_pages=path("total")), {"total": total}))


def test_rows_that_are_no_list_are_a_failure() -> None:
    assert '"rows" is no list but a text' in detail(step(pages(rows=path("rows")), {"rows": "x"}))


def offset(**more: Any) -> Offset:
    paging = {"param": "offset", "limit_param": "limit", "limit": 2, "rows": path("rows")}
    return Offset(**{**paging, "max_pages": 5, **more})


def test_offsets_count_the_rows_that_came() -> None:
    assert first_page(offset()).query == (("offset", "0"), ("limit", "2"))
    found = following(step(offset(), {"rows": [1, 2]}))
    assert found.query == (("offset", "2"), ("limit", "2"))
    assert step(offset(), {"rows": [1]}, at=found) == Done()
    assert step(offset(), {"rows": []}, at=found) == Done()


def test_a_total_of_rows_decides_over_a_short_page() -> None:
    paging = offset(total_rows=path("total"))
    found = following(step(paging, {"rows": [1], "total": 2}))
    assert found.query[0] == ("offset", "1")
    assert step(paging, {"rows": [1], "total": 2}, at=found) == Done()
    assert step(paging, {"rows": [1, 2], "total": 1}) == Done()


def test_a_flag_decides_over_a_short_page() -> None:
    paging = offset(more=path("more"), limit_param=None)
    assert following(step(paging, {"rows": [1], "more": True})).query == (("offset", "1"),)
    assert step(paging, {"rows": [1, 2], "more": False}) == Done()


def test_an_empty_page_that_promises_more_is_a_failure() -> None:
    assert "gives none" in detail(step(offset(more=path("m")), {"rows": [], "m": True}))
    assert "gives none" in detail(step(offset(total_rows=path("t")), {"rows": [], "t": 4}))


def test_too_many_rows_are_refused_after_the_first_page() -> None:
    paging = offset(total_rows=path("t"))
    assert "more than 5 pages" in detail(step(paging, {"rows": [1, 2], "t": 11}))
    assert isinstance(step(paging, {"rows": [1, 2], "t": 10}), Next)


def test_numbers_and_offsets_may_go_into_the_body() -> None:
    pages = PageNumber(
        param="page.number", size_param="page.size", size=2, rows=path("r"), body=True, max_pages=5
    )
    assert first_page(pages).body == {"page.number": 1, "page.size": 2}
    second = following(step(pages, {"r": [1, 2]}))
    assert (second.query, second.body) == ((), {"page.number": 2, "page.size": 2})
    offset = Offset(
        param="skip", limit_param="take", limit=2, rows=path("r"), body=True, max_pages=5
    )
    assert first_page(offset).body == {"skip": 0, "take": 2}
    assert following(step(offset, {"r": [1, 2]})).body == {"skip": 2, "take": 2}
