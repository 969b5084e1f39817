"""Names: looked up in threads of their own, once for all who ask, and again after a failure."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator

import pytest

from exporter.fetch.client import Client
from exporter.model.outcome import Fetched, Reason
from exporter.model.target import Http
from tests.support.fetching import a_client, a_target, documents, failure, fetch
from tests.support.raw_servers import BROKEN, GOOD, Server, a_hole

HERE = [(socket.AF_INET, "127.0.0.1")]


class Resolver:
    """Blocks for names that begin with "slow" until it is let go."""

    def __init__(self, **addresses: list[tuple[socket.AddressFamily, str]]) -> None:
        self.asked: list[str] = []
        self.threads = 0
        self.most = 0
        self.addresses = addresses
        self.gate = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, name: str) -> list[tuple[socket.AddressFamily, str]]:
        with self._lock:
            self.asked.append(name)
            self.threads += 1
            self.most = max(self.most, self.threads)
        try:
            if name.startswith("slow"):
                self.gate.wait(60)
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")
            return self.addresses.get(name.partition(".")[0], HERE)
        finally:
            with self._lock:
                self.threads -= 1


@contextlib.asynccontextmanager
async def asking(
    resolver: Resolver, *, look_up_timeout: float = 2.0, connect_timeout: float = 2.0
) -> AsyncIterator[Client]:
    try:
        async with a_client(
            look_up=resolver, look_up_timeout=look_up_timeout, connect_timeout=connect_timeout
        ) as client:
            yield client
    finally:
        resolver.gate.set()


async def ask(client: Client, host: str, port: int, http: Http = Http()) -> Fetched:  # noqa: B008
    return await fetch(a_target(f"http://{host}:{port}", http=http, name=host), client=client)


@contextlib.asynccontextmanager
async def waiting(client: Client, number: int) -> AsyncIterator[None]:
    """Poll so many targets whose names are not answered for."""
    async with asyncio.TaskGroup() as group:
        for n in range(number):
            group.create_task(ask(client, f"slow{n}.test", 1))
        await asyncio.sleep(0.3)
        yield


async def test_names_that_no_server_answers_for_hold_up_no_other() -> None:
    resolver = Resolver()
    async with (
        Server(GOOD).at() as vendor,
        asking(resolver, look_up_timeout=10) as client,
        waiting(client, 64),
    ):
        began = time.monotonic()
        assert documents(await ask(client, "good.test", vendor.port)) == [{"used": 1}]
        assert time.monotonic() - began < 5
        assert resolver.threads == 64
        resolver.gate.set()


async def test_a_name_that_was_good_is_never_starved_by_hundreds_that_are_not() -> None:
    resolver = Resolver()
    async with Server(BROKEN, GOOD).at() as vendor, asking(resolver, look_up_timeout=10) as client:
        await ask(client, "good.test", vendor.port)
        async with waiting(client, 300):
            assert documents(await ask(client, "good.test", vendor.port)) == [{"used": 1}]
            assert resolver.asked.count("good.test") == 2
            assert resolver.most <= 256
            resolver.gate.set()


async def test_polls_of_one_name_share_one_look_up() -> None:
    resolver = Resolver()
    async with asking(resolver, look_up_timeout=0.2) as client:
        for _ in range(2):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(client, "slow.test", n)) for n in range(1, 51)]
            found = [failure(task.result()) for task in tasks]
            assert {one.reason for one in found} == {Reason.CONNECT}
            assert found[0].detail == (
                "slow.test:1: the name slow.test could not be looked up within 200ms"
            )
        assert resolver.asked == ["slow.test"]


async def test_who_gives_up_takes_no_look_up_from_the_others() -> None:
    resolver = Resolver()
    async with asking(resolver) as client:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(ask(client, "slow.test", 1))
            second = group.create_task(ask(client, "slow.test", 1))
            await asyncio.sleep(0.1)
            first.cancel()
            await asyncio.wait([first])
            resolver.gate.set()
        assert failure(second.result()).detail == (
            "slow.test:1: the name slow.test cannot be resolved: no name server answered"
        )


async def test_the_wait_for_a_name_is_not_counted_as_connecting() -> None:
    def late(name: str) -> list[tuple[socket.AddressFamily, str]]:
        time.sleep(1.0)
        return HERE

    with a_hole() as hole:
        async with (
            Server(GOOD).at() as vendor,
            a_client(look_up=late, connect_timeout=0.5, look_up_timeout=10) as client,
        ):
            assert documents(await ask(client, "good.test", vendor.port)) == [{"used": 1}]
            found = failure(await ask(client, "other.test", hole))
    assert found.reason is Reason.TIMEOUT
    assert found.detail == f"other.test:{hole}: no connection within 500ms"


async def test_an_answer_that_comes_late_serves_the_next_poll() -> None:
    asked: list[str] = []
    gate = threading.Event()

    def late(name: str) -> list[tuple[socket.AddressFamily, str]]:
        asked.append(name)
        gate.wait(30)
        return HERE

    async with Server(GOOD).at() as vendor, a_client(look_up=late, look_up_timeout=0.2) as client:
        failure(await ask(client, "late.test", vendor.port))
        gate.set()
        assert documents(await ask(client, "late.test", vendor.port))
        assert asked == ["late.test"]


@pytest.mark.parametrize("trouble", [BROKEN, b""], ids=["503", "lost"])
async def test_after_a_failure_the_name_is_looked_up_again_and_connected_to_anew(
    trouble: bytes,
) -> None:
    """A vendor moves away by its name, and the old machine answers on."""
    old, new = Server(GOOD, trouble, trouble, GOOD), Server(GOOD)
    resolver = Resolver()
    async with old.at() as first, new.at("127.0.0.2", first.port), asking(resolver) as client:
        assert documents(await ask(client, "api.test", first.port))
        resolver.addresses = {"api": [(socket.AF_INET, "127.0.0.2")]}
        failure(await ask(client, "api.test", first.port))
        assert documents(await ask(client, "api.test", first.port))
    assert (resolver.asked, new.requests) == (["api.test", "api.test"], 1)


async def test_without_a_failure_name_and_connection_are_kept() -> None:
    resolver = Resolver()
    async with Server(GOOD).at() as vendor, asking(resolver) as client:
        for _ in range(3):
            assert documents(await ask(client, "api.test", vendor.port))
        assert (resolver.asked, vendor.connections) == (["api.test"], 1)


async def test_the_name_of_a_proxy_is_looked_up_again_and_told_as_the_proxys() -> None:
    resolver = Resolver()
    async with Server(BROKEN, GOOD).at() as proxy, asking(resolver, look_up_timeout=0.2) as client:
        http = Http(proxy_url=f"http://me:s3cr3t@proxy.test:{proxy.port}")
        failure(await ask(client, "vendor.invalid", 80, http))
        assert documents(await ask(client, "vendor.invalid", 80, http))
        assert resolver.asked == ["proxy.test", "proxy.test"]
        slow = Http(proxy_url="http://me:s3cr3t@slow.test:3128")
        found = failure(await ask(client, "vendor.invalid", 80, slow))
    assert found.detail == (
        "vendor.invalid: the proxy slow.test:3128:"
        " the name slow.test could not be looked up within 200ms"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_an_address_needs_no_look_up(host: str) -> None:
    resolver = Resolver()
    async with asking(resolver) as client:
        try:
            async with Server(GOOD).at(host.strip("[]")) as vendor:
                assert documents(await ask(client, host, vendor.port))
        except OSError:
            pytest.skip("no IPv6 here")
    assert resolver.asked == []


@pytest.mark.parametrize(
    ("host", "asked"), [("API.Test", "api.test"), ("api.test.", "api.test.")], ids=str
)
async def test_a_name_is_asked_for_as_it_is_written_but_for_capitals(host: str, asked: str) -> None:
    resolver = Resolver()
    async with Server(GOOD).at() as vendor, asking(resolver) as client:
        assert documents(await ask(client, host, vendor.port))
    assert resolver.asked == [asked]


@pytest.mark.parametrize(
    "host", ["a" * 64 + ".test", ".".join(["abcdefghi"] * 30)], ids=["label", "name"]
)
async def test_a_name_that_is_too_long_is_told(host: str) -> None:
    found = failure(await fetch(a_target(f"http://{host}")))
    assert found.reason is Reason.CONNECT
    assert "is longer than a name may be" in found.detail


async def test_a_dead_address_of_ipv6_costs_no_poll() -> None:
    """Happy eyeballs: the next address is tried after a moment."""
    both = [(socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")]
    async with Server(GOOD).at() as vendor:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(a_hole("::1", vendor.port))
            except OSError:
                pytest.skip("no IPv6 here")
            async with asking(Resolver(api=both), connect_timeout=10) as client:
                began = time.monotonic()
                assert documents(await ask(client, "api.test", vendor.port))
                assert time.monotonic() - began < 5


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_localhost_is_found_on_whichever_of_its_addresses_the_vendor_is(host: str) -> None:
    if host not in {found[4][0] for found in socket.getaddrinfo("localhost", None)}:
        pytest.skip("localhost has no such address here")
    async with Server(GOOD).at(host) as vendor:
        assert documents(await fetch(a_target(f"http://localhost:{vendor.port}")))


@pytest.mark.parametrize("host", ["localhost", "only6.test"])
async def test_loopback_addresses_count_though_the_machine_has_no_other_of_their_kind(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AI_ADDRCONFIG takes a machine with ::1 alone for one without IPv6."""

    def system(name: bytes, *_: object, flags: int, **__: object) -> list[object]:
        if flags & socket.AI_ADDRCONFIG:
            raise socket.gaierror(socket.EAI_ADDRFAMILY, "Address family not supported")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    async with Server(GOOD).at() as vendor:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", system)
            assert documents(await fetch(a_target(f"http://{host}:{vendor.port}")))


async def test_a_system_that_grants_no_thread_fails_the_poll_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        found = failure(await fetch(a_target("http://vendor.test")))
    assert found.reason is Reason.CONNECT
    assert found.detail.endswith("this process may not start another thread")
