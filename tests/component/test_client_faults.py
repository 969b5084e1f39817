"""Everything that vendors get wrong, over real sockets: each fault is a failure with its reason."""

import asyncio
from collections.abc import Callable

import pytest

from exporter.demo.faults import FAULTS
from exporter.demo.server import (
    Close,
    Pause,
    Script,
    Send,
    VendorRequest,
    VendorResponse,
    json_response,
)
from exporter.model.definition.paging import NextUrl
from exporter.model.outcome import Failure, Reason
from tests.support.fetching import (
    a_client,
    a_collector,
    a_target,
    documents,
    failure,
    fetch,
    paths,
)
from tests.support.vendor import NOW, Vendor

HONEST = json_response({"results": [{"date": "2026-11-01", "used": 1}], "next": None})
PAGED = a_collector(paging=NextUrl(next=paths("next"), max_pages=5))

FAILS: dict[str, tuple[Reason, float | None]] = {
    "429_seconds": (Reason.RATE_LIMITED, 30),
    "429_float": (Reason.RATE_LIMITED, 1.5),
    "429_ms": (Reason.RATE_LIMITED, 30),
    "429_http_date": (Reason.RATE_LIMITED, 30),
    "429_odd_date": (Reason.RATE_LIMITED, 30),
    "429_zero": (Reason.RATE_LIMITED, 0),
    "429_negative": (Reason.RATE_LIMITED, None),
    "429_junk": (Reason.RATE_LIMITED, None),
    "429_huge": (Reason.RATE_LIMITED, None),
    "429_twice": (Reason.RATE_LIMITED, 40),
    "429_bare": (Reason.RATE_LIMITED, None),
    "429_reset_epoch": (Reason.RATE_LIMITED, 30),
    "429_reset_ms": (Reason.RATE_LIMITED, 30),
    "429_reset_delta": (Reason.RATE_LIMITED, 30),
    "429_reset_iso": (Reason.RATE_LIMITED, 30),
    "429_ietf": (Reason.RATE_LIMITED, 30),
    "429_html": (Reason.RATE_LIMITED, None),
    "503_retry_after": (Reason.HTTP_5XX, 30),
    "403_used_up": (Reason.FORBIDDEN, None),
    "401": (Reason.AUTH, None),
    "403": (Reason.FORBIDDEN, None),
    "404": (Reason.HTTP_4XX, None),
    "500": (Reason.HTTP_5XX, None),
    "502_empty": (Reason.HTTP_5XX, None),
    "204": (Reason.SCHEMA, None),
    "304_unasked": (Reason.HTTP_4XX, None),
    "redirect_in_a_circle": (Reason.HTTP_4XX, None),
    "redirect_elsewhere": (Reason.HTTP_4XX, None),
    "html_at_200": (Reason.NOT_JSON, None),
    "empty_body": (Reason.NOT_JSON, None),
    "cut_json": (Reason.NOT_JSON, None),
    "trailing_bytes": (Reason.NOT_JSON, None),
    "close_after_headers": (Reason.CONNECT, None),
    "too_big_a_number": (Reason.NOT_JSON, None),
    "nan": (Reason.NOT_JSON, None),
    "deep": (Reason.NOT_JSON, None),
    "bad_gzip": (Reason.NOT_JSON, None),
    "not_gzip": (Reason.NOT_JSON, None),
    "gzip_bomb": (Reason.TOO_LARGE, None),
    "large": (Reason.TOO_LARGE, None),
    "next_is_itself": (Reason.PAGING, None),
    "next_elsewhere": (Reason.PAGING, None),
    "next_is_a_file": (Reason.PAGING, None),
    "cut_short": (Reason.CONNECT, None),
    "reset_midway": (Reason.CONNECT, None),
    "reset_at_once": (Reason.CONNECT, None),
    "close_at_once": (Reason.CONNECT, None),
    "never_answers": (Reason.TIMEOUT, None),
    "stops_after_headers": (Reason.TIMEOUT, None),
    "length_too_small": (Reason.CONNECT, None),
    "not_http": (Reason.CONNECT, None),
    "endless_header": (Reason.CONNECT, None),
}
PASSES = {
    "bad_utf8",
    "reset_when_idle",
    "200_retry_after",
    "200_used_up",
    "early_hints",
    "old_http",
    "wrong_content_type",
    "null",
    "a_list",
    "a_number",
    "renamed_keys",
    "words_for_numbers",
    "stale_connection",
}
"""Fetching has no opinion of these; the mapping has."""


def spoilt(name: str) -> Callable[[VendorRequest], Script]:
    def reply(asked: VendorRequest) -> Script:
        return FAULTS[name](asked, HONEST, NOW)

    return reply


def test_every_fault_is_expected() -> None:
    assert {*FAILS, *PASSES, "drips", "header_drips"} == set(FAULTS)


@pytest.mark.looptime
@pytest.mark.parametrize("name", FAILS)
async def test_each_fault_has_its_reason_and_wait(name: str) -> None:
    reason, wait = FAILS[name]
    async with Vendor(spoilt(name)) as vendor, a_client(read_timeout=30.0) as client:
        found = failure(await fetch(a_target(vendor.base_url), PAGED, client=client))
    assert (found.reason, found.wait) == (reason, wait), found.detail
    assert vendor.host in found.detail or reason is Reason.PAGING
    assert found.detail.isprintable()
    assert len(found.detail) <= 512


@pytest.mark.parametrize("name", sorted(PASSES))
async def test_what_is_json_is_fetched(name: str) -> None:
    async with Vendor(spoilt(name)) as vendor:
        assert len(documents(await fetch(a_target(vendor.base_url), PAGED))) == 1


@pytest.mark.looptime
async def test_silence_is_told_after_the_read_timeout() -> None:
    async with Vendor(spoilt("never_answers")) as vendor, a_client(read_timeout=30.0) as client:
        begin = asyncio.get_running_loop().time()
        fetched = await fetch(a_target(vendor.base_url), client=client)
        spent = asyncio.get_running_loop().time() - begin
    assert failure(fetched).detail == f"{vendor.host}: nothing came for 30s"
    assert 30 <= spent < 32
    assert fetched.exchanges[0].status is None
    assert fetched.exchanges[0].seconds == pytest.approx(spent, abs=1)


@pytest.mark.looptime
async def test_an_answer_that_drips_is_ended_by_the_deadline_of_the_poll() -> None:
    async with Vendor(spoilt("drips")) as vendor, a_client(read_timeout=30.0) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await fetch(a_target(vendor.base_url), client=client)


@pytest.mark.parametrize("name", ["stale_connection", "reset_when_idle"])
async def test_a_connection_that_died_while_idle_does_not_fail_the_next_fetch(name: str) -> None:
    async with Vendor(spoilt(name)) as vendor, a_client() as client:
        target = a_target(vendor.base_url)
        for _ in range(3):
            assert documents(await fetch(target, client=client))
            await asyncio.sleep(0.05)
    assert len(vendor.asked) == 3


async def test_a_refused_connection_is_told() -> None:
    async with Vendor() as vendor:
        base_url = vendor.base_url
    found = failure(await fetch(a_target(base_url)))
    assert (found.reason, found.detail) == (
        Reason.CONNECT,
        f"{vendor.host}: the connection was refused",
    )


async def test_a_name_that_does_not_resolve_is_told() -> None:
    found = failure(await fetch(a_target("http://no-such-host.invalid")))
    assert found.reason is Reason.CONNECT
    assert found.detail.startswith(
        "no-such-host.invalid: the name no-such-host.invalid cannot be resolved: "
    )


@pytest.mark.parametrize("base_url", ["ftp://x.io", "x.io", "http://", "http://[::1", "http://x:y"])
async def test_a_base_that_is_no_web_address_is_a_failure(base_url: str) -> None:
    assert isinstance((await fetch(a_target(base_url))).result, Failure)


async def test_a_body_without_a_length_is_read_to_its_end() -> None:
    script = (Send(b"HTTP/1.1 200 OK\r\n\r\n"), Send(b'{"a"'), Pause(0.01), Send(b": 1}"), Close())
    async with Vendor(script) as vendor:
        assert documents(await fetch(a_target(vendor.base_url))) == [{"a": 1}]


async def test_a_body_without_a_length_is_cut_off_when_it_is_too_large() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    script: Script = (Send(head), *[Send(chunk) for _ in range(64)], Pause(1.0))
    async with Vendor(script) as vendor:
        found = failure(await fetch(a_target(vendor.base_url), a_collector(max_bytes=10_000)))
    assert found.reason is Reason.TOO_LARGE
    assert found.detail == f"{vendor.host}: the answer has more than 10000 bytes"


async def test_chunks_that_never_end_properly_are_no_answer() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with Vendor((Send(head), Send(b'8\r\n{"a": 1}\r\n'), Close())) as vendor:
        assert failure(await fetch(a_target(vendor.base_url))).reason is Reason.CONNECT


async def test_a_wait_on_a_later_page_is_kept() -> None:
    async with Vendor(
        lambda asked: json_response({"next": f"{asked.origin}/usage?page=2"}),
        VendorResponse(status=429, headers=(("Retry-After", "77"),)),
    ) as vendor:
        found = failure(await fetch(a_target(vendor.base_url), PAGED))
    assert (found.reason, found.wait) == (Reason.RATE_LIMITED, 77)


@pytest.mark.parametrize(
    "body",
    [
        (Send(b"Content-Length: 99\r\n\r\n{"), Close()),
        (Send(b"Content-Length: 99\r\n\r\n{"), Pause(0.3), Close()),
        (Send(b"Content-Length: 99999999\r\n\r\n{"), Close()),
        (Send(b"Content-Encoding: br\r\nContent-Length: 4\r\n\r\nabcd"),),
        (Send(b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"),),
    ],
    ids=["cut", "slow", "large", "unknown packing", "broken packing"],
)
async def test_a_refusal_counts_although_its_text_cannot_be_read(body: Script) -> None:
    head = Send(b"HTTP/1.1 429 Slow Down\r\nRetry-After: 77\r\n")
    async with Vendor((head, *body)) as vendor, a_client(read_timeout=0.1) as client:
        found = failure(await fetch(a_target(vendor.base_url), client=client))
    assert (found.reason, found.wait) == (Reason.RATE_LIMITED, 77)
