"""What the client keeps has an end, however many targets there are."""

import asyncio

import pytest

from exporter.demo.server import json_response
from exporter.kernel.templates import compile_template
from exporter.model.definition.auth import DigestAuth
from exporter.model.outcome import Reason
from tests.support.fetching import a_client, a_collector, a_target, documents, failure, fetch
from tests.support.vendor import NOW, Vendor


async def test_busy_budgets_keep_their_connections_and_only_some_of_them() -> None:
    now = [NOW]
    async with Vendor() as vendor, a_client(wall=lambda: now[0]) as client:
        for number in range(40):
            target = a_target(
                vendor.base_url, name=f"t{number}", budget=f"b{number}", interval=60.0
            )
            assert documents(await fetch(target, client=client))
        slow = a_target(vendor.base_url, name="slow", budget="slow", interval=3600.0)
        assert documents(await fetch(slow, client=client))
        assert len(client._warm) == 32
        now[0] += 600
        late = a_target(vendor.base_url, name="late", budget="late", interval=60.0)
        assert documents(await fetch(late, client=client))
        assert list(client._warm) == ["late"]


async def test_many_targets_do_not_grow_the_memory_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("exporter.fetch.client._MOST_PREPARED", 3)
    async with Vendor() as vendor, a_client() as client:
        for number in range(10):
            await fetch(a_target(vendor.base_url, name=f"t{number}"), client=client)
        assert [name for name, _ in client._prepared] == ["t7", "t8", "t9"]


async def test_many_digests_do_not_grow_the_memory_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("exporter.fetch.transport._DIGESTS", 2)
    user = compile_template("{credentials.u}")
    auth = DigestAuth(username=user, password=user, needs=frozenset({"u"}))
    async with Vendor() as vendor, a_client() as client:
        for number in range(5):
            target = a_target(vendor.base_url, auth=auth, secrets={"u": f"user-{number}"})
            assert documents(await fetch(target, client=client))
        assert len(client._transport._digests) == 1


def large_headers() -> dict[str, str]:
    return {f"X-Large-{number}": "9" * 8000 for number in range(60)}


async def test_the_wait_of_an_error_is_not_lost_for_headers_that_are_too_large() -> None:
    reply = json_response({}, status=429, headers={"Retry-After": "77", **large_headers()})
    async with Vendor(reply) as vendor:
        found = failure(await fetch(a_target(vendor.base_url)))
    assert (found.reason, found.wait) == (Reason.RATE_LIMITED, 77)


async def test_a_good_answer_with_headers_that_are_too_large_is_refused() -> None:
    async with Vendor(json_response({}, headers=large_headers())) as vendor:
        found = failure(await fetch(a_target(vendor.base_url)))
    assert found.reason is Reason.TOO_LARGE
    assert "the headers have more than 131072 bytes" in found.detail


async def test_a_poll_gives_its_place_for_large_answers_back() -> None:
    reply = json_response({"text": "a" * 500_000})
    async with Vendor(reply) as vendor, a_client() as client:
        target = a_target(vendor.base_url)
        for _ in range(3):
            async with asyncio.TaskGroup() as group:
                polls = [group.create_task(fetch(target, client=client)) for _ in range(6)]
            assert all(documents(poll.result()) for poll in polls)


async def test_a_long_etag_is_not_kept() -> None:
    reply = json_response({}, headers={"ETag": '"' + "e" * 2000 + '"'})
    async with Vendor(reply) as vendor, a_client() as client:
        for _ in range(2):
            await fetch(a_target(vendor.base_url), a_collector(conditional=True), client=client)
    assert all("if-none-match" not in {n.lower() for n in one.headers} for one in vendor.asked)
