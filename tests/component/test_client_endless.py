"""A vendor whose answers never end: what is asked is bounded, and nothing of it is published."""

from collections.abc import Callable

import pytest

from exporter.demo.server import VendorRequest, VendorResponse, json_response
from exporter.model.definition.paging import Cursor, LinkHeader, NextUrl, Offset, PageNumber, Paging
from exporter.model.outcome import Reason
from tests.support.fetching import a_collector, a_target, failure, fetch, paths
from tests.support.vendor import Vendor

MOST = 5
NEXT, MORE, ROWS, LAST = paths("next", "more", "rows", "rows[-1]")


def endless() -> Callable[[VendorRequest], VendorResponse]:
    """Return a vendor each page of which is full and names another that is new."""
    count = 0

    def page(asked: VendorRequest) -> VendorResponse:
        nonlocal count
        count += 1
        link = f"{asked.origin}/usage?at={count}"
        document = {
            "next": link,
            "token": f"cursor-{count}",
            "number": count + 1,
            "more": True,
            "rows": [2 * count, 2 * count + 1],
        }
        return json_response(document, headers={"Link": f'<{link}>; rel="next"'})

    return page


PAGINGS: dict[str, Paging] = {
    "next url": NextUrl(next=(NEXT,), max_pages=MOST),
    "link header": LinkHeader(max_pages=MOST),
    "cursor": Cursor(cursor=paths("token"), param="cursor", max_pages=MOST),
    "cursor with a flag": Cursor(cursor=paths("token"), param="c", more=MORE, max_pages=MOST),
    "cursor of the last row": Cursor(cursor=(LAST,), param="c", rows=ROWS, max_pages=MOST),
    "page number, full pages": PageNumber(param="page", size=2, rows=ROWS, max_pages=MOST),
    "page number with a flag": PageNumber(param="page", more=MORE, max_pages=MOST),
    "page number, next one named": PageNumber(
        param="page", next_page=paths("number")[0], max_pages=MOST
    ),
    "offset, full pages": Offset(param="offset", limit=2, rows=ROWS, max_pages=MOST),
    "offset with a flag": Offset(param="offset", limit=2, rows=ROWS, more=MORE, max_pages=MOST),
}


@pytest.mark.parametrize("paging", PAGINGS.values(), ids=PAGINGS)
async def test_an_endless_answer_fails_at_the_last_page_that_is_allowed(paging: Paging) -> None:
    async with Vendor(endless()) as vendor:
        fetched = await fetch(a_target(vendor.base_url), a_collector(paging=paging))
    assert failure(fetched).reason is Reason.PAGING
    assert failure(fetched).detail.startswith(f"page {MOST}: the answer has more than {MOST} pages")
    assert len(vendor.asked) == MOST
    assert len({str(asked) for asked in vendor.asked}) == MOST, "a page was asked for twice"
