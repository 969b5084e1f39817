"""What the client keeps has an end, however many targets there are."""

import pytest

from exporter.kernel.templates import compile_template
from exporter.model.definition import DigestAuth
from tests.support.fetching import a_client, a_target, documents, fetch
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
