"""Paging that is guessed from an answer."""

from typing import Any

import pytest

from exporter.model.definition.paging import NoPaging
from tests.support.drafting import compiled, drafted, tree

ROWS: dict[str, Any] = {"results": [{"name": "a", "used": 1}, {"name": "b", "used": 2}]}


def paging(more: dict[str, Any]) -> object:
    text = drafted({**ROWS, **more})
    compiled(text)
    return tree(text)["collectors"]["usage"].get("paging")


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"next": "https://a.example/?page=2"}, "next"),
        ({"next": None, "previous": None}, "next"),
        ({"next": "/v1/usage?page=2"}, "next"),
        ({"next_page_uri": None}, "next_page_uri"),
        ({"@odata.nextLink": "https://a.example/x"}, '"@odata.nextLink"'),
        ({"_links": {"next": {"href": "https://a.example/x"}}}, "_links.next"),
        ({"links": {"next": None}}, "links.next"),
        ({"links": {"pages": {"next": "https://a.example/x"}}}, "links.pages.next"),
        ({"meta": {"next_url": "?page=2"}}, "meta.next_url"),
    ],
    ids=str,
)
def test_an_address_of_the_next_page(more: dict[str, Any], path: str) -> None:
    assert paging(more) == {"kind": "next_url", "next": path}


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"next_cursor": "abc"}, {"cursor": "next_cursor", "param": "cursor"}),
        (
            {"has_more": True, "last_id": "x"},
            {"cursor": "last_id", "param": "after", "more": "has_more"},
        ),
        (
            {"pageInfo": {"hasNextPage": True, "endCursor": "x"}},
            {"cursor": "pageInfo.endCursor", "param": "after", "more": "pageInfo.hasNextPage"},
        ),
        (
            {"has_more": False, "next_page": None},
            {"cursor": "next_page", "param": "page", "more": "has_more"},
        ),
        ({"nextPageToken": "x"}, {"cursor": "nextPageToken", "param": "pageToken"}),
        (
            {"meta": {"pagination": {"next_page": 2}}},
            {"cursor": "meta.pagination.next_page", "param": "page"},
        ),
    ],
    ids=str,
)
def test_a_cursor(more: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert paging(more) == {"kind": "cursor", **wanted}


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"total_pages": 3}, {"param": "page", "total_pages": "total_pages"}),
        (
            {"page": 1, "per_page": 50, "total": 90},
            {"param": "page", "size_param": "per_page", "size": 50}
            | {"rows": "results", "total_rows": "total"},
        ),
        (
            {"pagination": {"current_page": 1, "pageSize": 20, "totalPages": 2}},
            {"param": "page", "size_param": "pageSize", "size": 20}
            | {"total_pages": "pagination.totalPages"},
        ),
    ],
    ids=str,
)
def test_numbered_pages(more: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert paging(more) == {"kind": "page_number", **wanted}


def test_rows_that_are_skipped() -> None:
    assert paging({"offset": 0, "limit": 25, "total": 60}) == {
        "kind": "offset",
        "param": "offset",
        "limit_param": "limit",
        "limit": 25,
        "rows": "results",
        "total_rows": "total",
    }


@pytest.mark.parametrize(
    "more",
    [{"next": 5, "has_more": "no"}, {"next": None}, {"page": 1}, {"cursor": "x"}, {"limit": 25}],
    ids=str,
)
def test_where_nothing_speaks_of_pages_there_is_none(more: dict[str, Any]) -> None:
    found = paging(more)
    assert found is None or more == {"next": 5, "has_more": "no"}


def test_a_definition_without_paging_asks_once() -> None:
    assert compiled(drafted(ROWS)).collectors["usage"].paging == NoPaging()
