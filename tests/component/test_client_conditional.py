"""ETags: an unchanged answer costs nothing, and never hides values that were lost."""

from typing import Any

from exporter.demo.server import VendorRequest, VendorResponse, json_response
from exporter.fetch.client import Client
from exporter.model.definition.paging import LinkHeader, NextUrl, PageNumber, Paging
from exporter.model.definition.provider import Collector
from exporter.model.definition.responses import Match, ResponseRules
from exporter.model.outcome import Fetched, Unchanged
from exporter.model.target import Target
from tests.support.fetching import (
    BEARER,
    a_client,
    a_collector,
    a_request,
    a_target,
    argument,
    failure,
    fetch,
    paths,
    payloads,
)
from tests.support.vendor import NOW, Vendor

ETAG = 'W/"77aa"'


def tagged(asked: VendorRequest) -> VendorResponse:
    if asked.headers.get("if-none-match") == ETAG:
        return VendorResponse(status=304, headers=(("ETag", ETAG),))
    return json_response({"used": 1, "next": None}, headers={"ETag": ETAG})


def conditional(**more: Any) -> Collector:
    return a_collector(conditional=True, **more)


COLLECTOR = conditional()


async def poll(client: Client, target: Target, collector: Collector = COLLECTOR) -> Fetched:
    return await fetch(target, collector, client=client)


def conditions(vendor: Vendor) -> list[bool]:
    return ["if-none-match" in asked.headers for asked in vendor.asked]


async def test_an_unchanged_answer_is_told() -> None:
    async with Vendor(tagged) as vendor, a_client() as client:
        target = a_target(vendor.base_url)
        assert payloads(await poll(client, target))
        assert (await poll(client, target)).result == Unchanged()
        assert (await poll(client, target)).result == Unchanged()
    assert conditions(vendor) == [False, True, True]


async def test_a_collector_that_does_not_want_it_asks_for_the_whole() -> None:
    async with Vendor(tagged) as vendor, a_client() as client:
        for _ in range(2):
            assert payloads(await poll(client, a_target(vendor.base_url), a_collector()))
    assert conditions(vendor) == [False, False]


async def test_a_forgotten_version_is_asked_for_anew() -> None:
    async with Vendor(tagged) as vendor, a_client() as client:
        target = a_target(vendor.base_url)
        await poll(client, target)
        client.forget(target, "usage")
        assert payloads(await poll(client, target))


async def test_a_failure_forgets_the_version() -> None:
    broken = json_response({}, status=500)
    async with Vendor(tagged, broken, tagged) as vendor, a_client() as client:
        target = a_target(vendor.base_url)
        await poll(client, target)
        failure(await poll(client, target))
        assert payloads(await poll(client, target))
    assert conditions(vendor) == [False, True, False]


async def test_an_absent_answer_forgets_the_version() -> None:
    absent = ResponseRules(absent=(Match(statuses=frozenset({404})),))
    async with (
        Vendor(tagged, json_response({}, status=404), tagged) as vendor,
        a_client() as client,
    ):
        target, collector = a_target(vendor.base_url), conditional(verdict=absent)
        for _ in range(3):
            assert payloads(await poll(client, target, collector))
    assert conditions(vendor) == [False, True, False]


async def test_another_credential_asks_for_the_whole() -> None:
    async with Vendor(tagged) as vendor, a_client() as client:
        for token in ("token-a", "token-b", "token-b"):
            target = a_target(vendor.base_url, auth=BEARER, secrets={"token": token})
            await poll(client, target)
    assert conditions(vendor) == [False, False, True]


async def test_another_day_asks_for_the_whole() -> None:
    now = [NOW]
    request = a_request("/usage", query=(argument("day", "{today:date}"),))
    collector = conditional(request=request)
    async with Vendor(tagged) as vendor, a_client(wall=lambda: now[0]) as client:
        target = a_target(vendor.base_url)
        for _ in range(3):
            await poll(client, target, collector)
            now[0] += 43_200
    assert conditions(vendor) == [False, False, True]


async def test_one_page_of_many_is_one_answer() -> None:
    paging = NextUrl(next=paths("next"), max_pages=5)
    async with Vendor(tagged) as vendor, a_client() as client:
        target, collector = a_target(vendor.base_url), conditional(paging=paging)
        await poll(client, target, collector)
        assert (await poll(client, target, collector)).result == Unchanged()


async def test_several_pages_are_asked_for_whole() -> None:
    async def asked_twice(paging: Paging, *answers: VendorResponse) -> list[bool]:
        async with Vendor(*answers, *answers) as vendor, a_client() as client:
            target, collector = a_target(vendor.base_url), conditional(paging=paging)
            for _ in range(2):
                assert payloads(await poll(client, target, collector))
        return conditions(vendor)

    headers = {"ETag": ETAG}
    two = (json_response({"next": "?p=2"}, headers=headers), json_response({}, headers=headers))
    paging = NextUrl(next=paths("next"), max_pages=5)
    assert await asked_twice(paging, *two) == [False] * 4
    assert await asked_twice(LinkHeader(max_pages=5), two[1]) == [False] * 2


async def test_not_modified_that_nobody_asked_for_is_a_failure() -> None:
    async with Vendor(VendorResponse(status=304)) as vendor, a_client() as client:
        assert failure(await poll(client, a_target(vendor.base_url))).status == 304


async def test_a_first_page_is_not_the_whole_where_the_second_is_absent() -> None:
    full = json_response({"rows": [1]}, headers={"ETag": ETAG})
    answers = (full, json_response({}, status=404))
    absent = ResponseRules(absent=(Match(statuses=frozenset({404})),))
    paging = PageNumber(param="page", size=1, rows=paths("rows")[0], max_pages=5)
    async with Vendor(*answers, *answers) as vendor, a_client() as client:
        target, collector = a_target(vendor.base_url), conditional(paging=paging, verdict=absent)
        for _ in range(2):
            assert payloads(await poll(client, target, collector))
    assert conditions(vendor) == [False] * 4
