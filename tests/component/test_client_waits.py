"""Waits that good answers ask for."""

import pytest

from exporter.demo.server import Reset, json_response
from exporter.model.definition.paging import NextUrl
from exporter.model.outcome import Reason
from tests.support.fetching import a_collector, a_target, failure, fetch, paths
from tests.support.vendor import Vendor

NEXT = NextUrl(next=paths("next"), max_pages=10)


async def test_a_wait_on_a_good_answer_is_told_and_the_longest_counts() -> None:
    def again(seconds: int) -> dict[str, str]:
        return {"Retry-After": str(seconds)}

    async with Vendor(
        json_response({"next": "?page=2"}, headers=again(600)),
        json_response({"next": "?page=3"}, headers=again(5)),
        json_response({}, headers={"X-RateLimit-Remaining": "8"}),
    ) as vendor:
        fetched = await fetch(a_target(vendor.base_url), a_collector(paging=NEXT))
    assert len(vendor.asked) == 3
    assert fetched.rate is not None
    assert fetched.rate.wait == pytest.approx(600, abs=1)
    assert fetched.rate.remaining == 8


async def test_a_wait_on_a_good_page_is_told_when_the_next_page_fails() -> None:
    async with Vendor(
        json_response({"next": "?page=2"}, headers={"Retry-After": "600"}), (Reset(),)
    ) as vendor:
        fetched = await fetch(a_target(vendor.base_url), a_collector(paging=NEXT))
    assert failure(fetched).reason is Reason.CONNECT
    assert fetched.rate is not None
    assert fetched.rate.wait == pytest.approx(600, abs=1)
