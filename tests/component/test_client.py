"""The client over real sockets: what is asked, and what comes back."""

from exporter.demo.wire import Answer, Asked, json_answer
from exporter.model.definition import Cursor, NextUrl
from exporter.model.outcome import Reason
from tests.support.fetching import (
    BEARER,
    CANARY,
    a_collector,
    a_target,
    documents,
    failure,
    fetch,
    paths,
)
from tests.support.vendor import Vendor

NEXT = NextUrl(next=paths("next"), max_pages=10)


async def test_one_page_is_asked_for_with_the_credential() -> None:
    async with Vendor(json_answer({"used": 7})) as vendor:
        fetched = await fetch(a_target(vendor.base_url, auth=BEARER, secrets={"token": CANARY}))
    assert documents(fetched) == [{"used": 7}]
    asked = vendor.asked[0]
    assert (asked.method, asked.path) == ("GET", "/usage")
    assert asked.headers["authorization"] == f"Bearer {CANARY}"
    assert asked.headers["user-agent"] == "usage-exporter/test"
    assert asked.headers["accept"] == "application/json"
    assert asked.headers["accept-encoding"] == "gzip, deflate"


async def test_next_urls_are_followed_to_the_end() -> None:
    def page(asked: Asked) -> Answer:
        number = int(asked.argument("page", "1"))
        link = f"{asked.origin}/usage?page={number + 1}" if number < 3 else None
        return json_answer({"page": number, "next": link})

    async with Vendor(page) as vendor:
        fetched = await fetch(a_target(vendor.base_url), a_collector(paging=NEXT))
    assert [page["page"] for page in documents(fetched)] == [1, 2, 3]


async def test_a_page_that_fails_fails_the_whole() -> None:
    async with Vendor(
        lambda asked: json_answer({"next": f"{asked.origin}/usage?page=2"}),
        json_answer({"detail": "oops"}, status=500),
    ) as vendor:
        fetched = await fetch(a_target(vendor.base_url), a_collector(paging=NEXT))
    assert failure(fetched).reason is Reason.HTTP_5XX
    assert failure(fetched).detail.startswith("page 2: 127.0.0.1:")
    assert [exchange.status for exchange in fetched.exchanges] == [200, 500]


async def test_a_cursor_goes_into_the_query() -> None:
    paging = Cursor(cursor=paths("meta.next"), param="page[cursor]", max_pages=5)
    async with Vendor(json_answer({"meta": {"next": "a b&c"}}), json_answer({})) as vendor:
        fetched = await fetch(a_target(vendor.base_url), a_collector(paging=paging))
    assert len(documents(fetched)) == 2
    assert vendor.asked[1].query == (("page[cursor]", "a b&c"),)
