"""The vendor's own count of pages or rows, and what it means when it changes."""

from typing import Any

from exporter.fetch.paginate import Done, Next, Seen, first_page, next_step
from exporter.model.definition.paging import Offset, PageNumber, Paging
from exporter.model.outcome import Failure, Reason
from tests.support.fetching import paths


def path(text: str) -> Any:
    return paths(text)[0]


def step(paging: Paging, document: object, *, at: Next | None = None) -> Next | Done | Failure:
    return next_step(
        paging, at or first_page(paging), Seen(url="https://x.example", document=document)
    )


def following(found: Next | Done | Failure) -> Next:
    assert isinstance(found, Next), found
    return found


def detail(found: Next | Done | Failure) -> str:
    assert isinstance(found, Failure), found
    assert found.reason is Reason.PAGING
    return found.detail


def pages(**more: Any) -> PageNumber:
    return PageNumber(param="page", size_param="per_page", size=2, max_pages=5, **more)


def offset(**more: Any) -> Offset:
    return Offset(param="offset", limit=2, rows=path("rows"), max_pages=5, **more)


def test_rows_are_counted_where_the_number_of_pages_is_not_told() -> None:
    paging = pages(total_pages=path("pages"), total_rows=path("total"))
    second = following(step(paging, {"total": 4}))
    assert step(paging, {"total": 4}, at=second) == Done()


def test_no_pages_at_all_are_the_end() -> None:
    assert step(pages(total_pages=path("total")), {"total": 0}) == Done()


def test_a_total_that_shrinks_between_pages_is_no_smaller_sum() -> None:
    for paging in (pages(total_pages=path("total")), pages(total_rows=path("total"))):
        second = following(step(paging, {"total": 4}))
        assert '"total" was 4 on the page before and is 3' in detail(
            step(paging, {"total": 3}, at=second)
        )
    rows = {"rows": [1, 2]}
    second = following(step(offset(total_rows=path("total")), {"total": 4, **rows}))
    assert "changed while it was read" in detail(
        step(offset(total_rows=path("total")), {"total": 3, "rows": [4]}, at=second)
    )


def test_a_total_that_grows_between_pages_brings_further_pages() -> None:
    paging = pages(total_rows=path("total"), rows=path("rows"))
    second = following(step(paging, {"total": 3, "rows": [1, 2]}))
    third = following(step(paging, {"total": 5, "rows": [3, 4]}, at=second))
    assert step(paging, {"total": 5, "rows": [5]}, at=third) == Done()
