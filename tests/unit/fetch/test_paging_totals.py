"""The vendor's own count of pages or rows, and what it means when it changes."""

from typing import Any

import pytest

from exporter.fetch.paginate import Pager, PagingError
from exporter.fetch.request import PageRequest
from exporter.model.definition.paging import Offset, PageNumber, Paging
from tests.support.fetching import an_answer, paths


def path(text: str) -> Any:
    return paths(text)[0]


def step(paging: Paging, *documents: object) -> PageRequest | None:
    pager = Pager(paging)
    for document in documents:
        assert pager.wanted is not None
        pager.advance(an_answer(), document)
    return pager.wanted


def pages(**more: Any) -> PageNumber:
    return PageNumber(param="page", size_param="per_page", size=2, max_pages=5, **more)


def offset(**more: Any) -> Offset:
    return Offset(param="offset", limit=2, rows=path("rows"), max_pages=5, **more)


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


def test_a_total_that_grows_between_pages_brings_further_pages() -> None:
    paging = pages(total_rows=path("total"), rows=path("rows"))
    documents = [{"total": 3, "rows": [1, 2]}, {"total": 5, "rows": [3, 4]}]
    assert step(paging, *documents) is not None
    assert step(paging, *documents, {"total": 5, "rows": [5]}) is None
