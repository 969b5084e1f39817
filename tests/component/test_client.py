"""The client over real sockets: what is asked, and what comes back."""

import asyncio
import gzip
import json
from typing import Any

import pytest

from exporter.demo.server import Close, Pause, Send, VendorRequest, VendorResponse, json_response
from exporter.kernel.secrets import Secret
from exporter.kernel.templates import compile_template
from exporter.model.definition.auth import BasicAuth, DigestAuth, QueryAuth
from exporter.model.definition.paging import Cursor, LinkHeader, NextUrl, PageNumber
from exporter.model.definition.params import Param
from exporter.model.definition.provider import Format
from exporter.model.definition.responses import Match, ResponseRules
from exporter.model.outcome import Exchange, Reason
from exporter.model.reading import RateLimit
from exporter.model.target import SecretSource
from tests.support.fetching import (
    BEARER,
    CANARY,
    a_client,
    a_collector,
    a_definition,
    a_request,
    a_target,
    argument,
    documents,
    failure,
    fetch,
    paths,
    payloads,
)
from tests.support.vendor import NOW, Vendor

NEXT = NextUrl(next=paths("next"), max_pages=10)
ABSENT = ResponseRules(absent=(Match(statuses=frozenset({404})),))


def numbers(fetched: Any) -> list[Any]:
    return [document["page"] for document in documents(fetched) if isinstance(document, dict)]


async def test_one_page_is_asked_for_with_the_credential() -> None:
    async with Vendor(json_response({"used": 7})) as vendor:
        fetched = await fetch(a_target(vendor.base_url, auth=BEARER, secrets={"token": CANARY}))
    assert documents(fetched) == [{"used": 7}]
    asked = vendor.asked[0]
    assert (asked.method, asked.path) == ("GET", "/usage")
    assert asked.headers == {
        "host": vendor.host,
        "authorization": f"Bearer {CANARY}",
        "user-agent": "usage-exporter/test",
        "accept": "application/json",
        "accept-encoding": "gzip, deflate",
    }


async def test_next_urls_are_followed_to_the_end() -> None:
    def page(asked: VendorRequest) -> VendorResponse:
        number = int(asked.argument("page", "1"))
        link = f"{asked.origin}/usage?page={number + 1}" if number < 3 else None
        return json_response({"page": number, "next": link})

    async with Vendor(page) as vendor:
        fetched = await fetch(a_target(vendor.base_url), a_collector(paging=NEXT))
    assert numbers(fetched) == [1, 2, 3]
    assert [exchange.url.rpartition("/")[2] for exchange in fetched.exchanges] == [
        "usage",
        "usage?page=2",
        "usage?page=3",
    ]


async def test_links_in_a_header_are_followed() -> None:
    def page(asked: VendorRequest) -> VendorResponse:
        number = int(asked.argument("page", "1"))
        more = "true" if number < 2 else "false"
        link = f'<{asked.origin}/usage?page={number + 1}>; rel="next"; results="{more}"'
        return json_response({"page": number}, headers={"Link": link})

    paging = LinkHeader(unless={"results": "false"}, max_pages=10)
    async with Vendor(page) as vendor:
        assert numbers(await fetch(a_target(vendor.base_url), a_collector(paging=paging))) == [1, 2]


async def test_a_page_that_fails_fails_the_whole() -> None:
    async with Vendor(
        lambda asked: json_response({"next": f"{asked.origin}/usage?page=2"}),
        json_response({"detail": "oops"}, status=500),
    ) as vendor:
        fetched = await fetch(a_target(vendor.base_url), a_collector(paging=NEXT))
    assert failure(fetched).reason is Reason.HTTP_5XX
    assert failure(fetched).detail == (
        f"page 2: {vendor.host} answered 500 Internal Server Error: oops"
    )
    assert [exchange.status for exchange in fetched.exchanges] == [200, 500]


async def test_a_cursor_goes_into_the_query() -> None:
    paging = Cursor(cursor=paths("meta.next"), param="page[cursor]", max_pages=5)
    async with Vendor(json_response({"meta": {"next": "a b&c"}}), json_response({})) as vendor:
        fetched = await fetch(a_target(vendor.base_url), a_collector(paging=paging))
    assert len(documents(fetched)) == 2
    assert vendor.asked[1].query == (("page[cursor]", "a b&c"),)


async def test_a_cursor_goes_into_the_body() -> None:
    paging = Cursor(cursor=paths("end"), param="variables.after", body=True, max_pages=5)
    request = a_request("/graphql", method="POST", json={"query": compile_template("{{usage}}")})
    async with Vendor(json_response({"end": "c1"}), json_response({"end": None})) as vendor:
        await fetch(a_target(vendor.base_url), a_collector(request=request, paging=paging))
    assert [json.loads(asked.body) for asked in vendor.asked] == [
        {"query": "{usage}"},
        {"query": "{usage}", "variables": {"after": "c1"}},
    ]
    assert vendor.asked[0].headers["content-type"] == "application/json"


async def test_the_second_poll_asks_the_same_as_the_first() -> None:
    paging = PageNumber(param="page", rows=paths("rows")[0], size=1, size_param="n", max_pages=5)
    answers = [json_response({"rows": [1]}), json_response({"rows": []})]
    async with Vendor(*answers, *answers) as vendor, a_client() as client:
        target = a_target(vendor.base_url, auth=BEARER, secrets={"token": CANARY})
        collector = a_collector(paging=paging)
        for _ in range(2):
            assert len(documents(await fetch(target, collector, client=client))) == 2
    assert vendor.asked[:2] == vendor.asked[2:]


async def test_a_new_day_asks_for_the_new_day() -> None:
    now = [NOW]
    request = a_request("/usage", query=(argument("day", "{today:date}"),))
    async with Vendor() as vendor, a_client(wall=lambda: now[0]) as client:
        target, collector = a_target(vendor.base_url), a_collector(request=request)
        for _ in range(3):
            await fetch(target, collector, client=client)
            now[0] += 43_200
    days = [asked.argument("day") for asked in vendor.asked]
    assert days == ["2026-11-15", "2026-11-16", "2026-11-16"]


async def test_a_renewed_key_is_used_at_once() -> None:
    keys = ["old-key-1", "old-key-1", "new-key-2"]

    def read(source: SecretSource) -> Secret:
        return Secret(keys.pop(0))

    async with Vendor() as vendor, a_client(read_secret=read) as client:
        target = a_target(vendor.base_url, auth=BEARER, secrets={"token": ""})
        collector = a_collector()
        for _ in range(3):
            await fetch(target, collector, client=client)
    assert [asked.headers["authorization"] for asked in vendor.asked] == [
        "Bearer old-key-1",
        "Bearer old-key-1",
        "Bearer new-key-2",
    ]


async def test_a_key_that_cannot_be_read_is_a_failure_of_the_credential() -> None:
    def read(source: SecretSource) -> Secret:
        raise OSError("secrets/acme: no such file")

    async with a_client(read_secret=read) as client:
        target = a_target(auth=BEARER, secrets={"token": ""})
        found = failure(await fetch(target, client=client))
    assert found.reason is Reason.AUTH
    assert found.detail == "the credential token cannot be read: secrets/acme: no such file"


async def test_a_missing_credential_is_a_failure_of_the_credential() -> None:
    found = failure(await fetch(a_target(auth=BEARER)))
    assert found.reason is Reason.AUTH
    assert "needs credentials.token, which has no value" in found.detail


async def test_only_the_credentials_of_the_authentication_are_read() -> None:
    read: list[SecretSource] = []

    def note(source: SecretSource) -> Secret:
        read.append(source)
        return Secret(CANARY)

    async with Vendor() as vendor, a_client(read_secret=note) as client:
        secrets = {"token": "a", "username": "b", "password": "c"}
        target = a_target(vendor.base_url, auth=BEARER, secrets=secrets)
        await fetch(target, client=client)
    assert read == [target.credentials["token"]]


async def test_a_path_without_its_value_is_told() -> None:
    found = failure(await fetch(a_target(), a_collector("/{params.org}/usage")))
    assert found.reason is Reason.INTERNAL
    assert "needs params.org, which has no value" in found.detail


async def test_a_key_in_the_query_goes_along_to_every_page() -> None:
    auth = QueryAuth(
        query={"api_key": compile_template("{credentials.token}")}, needs=frozenset({"token"})
    )
    async with Vendor(json_response({"next": "?page=2"}), json_response({})) as vendor:
        target = a_target(vendor.base_url, auth=auth, secrets={"token": CANARY})
        fetched = await fetch(target, a_collector(paging=NEXT))
    assert [asked.argument("api_key") for asked in vendor.asked] == [CANARY, CANARY]
    assert CANARY not in repr(fetched)


async def test_a_loop_is_found_although_the_key_is_added_to_each_address() -> None:
    auth = QueryAuth(
        query={"api_key": compile_template("{credentials.token}")}, needs=frozenset({"token"})
    )
    async with Vendor(json_response({"next": "/v/usage"})) as vendor:
        target = a_target(vendor.base_url, auth=auth, secrets={"token": CANARY})
        found = failure(await fetch(target, a_collector(paging=NEXT)))
    assert found.reason is Reason.PAGING
    assert "read already" in found.detail
    assert len(vendor.asked) == 2


async def test_headers_that_are_no_utf8_are_readable() -> None:
    script = (Send(b"HTTP/1.1 200 OK\r\nX-Odd: a\xffb\xc3\xbc\r\nContent-Length: 2\r\n\r\n{}"),)
    async with Vendor(script) as vendor:
        fetched = await fetch(a_target(vendor.base_url))
    assert fetched.exchanges[0].headers["x-odd"] == "a�bü"


async def test_an_absent_answer_has_no_pages() -> None:
    async with Vendor(json_response({"message": "no limit set"}, status=404)) as vendor:
        fetched = await fetch(a_target(vendor.base_url), a_collector(verdict=ABSENT))
    assert [payload.pages for payload in payloads(fetched)] == [()]


async def test_absent_past_the_last_counted_page_is_the_end() -> None:
    paging = PageNumber(param="page", rows=paths("rows")[0], size=1, max_pages=5)
    async with Vendor(json_response({"rows": [1]}), json_response({}, status=404)) as vendor:
        collector = a_collector(paging=paging, verdict=ABSENT)
        assert len(documents(await fetch(a_target(vendor.base_url), collector))) == 1


async def test_a_page_that_was_named_and_is_absent_is_a_failure() -> None:
    async with Vendor(json_response({"next": "?page=2"}), json_response({}, status=404)) as vendor:
        collector = a_collector(paging=NEXT, verdict=ABSENT)
        found = failure(await fetch(a_target(vendor.base_url), collector))
    assert (found.reason, found.detail) == (
        Reason.PAGING,
        "page 2, which the vendor named, is not there",
    )


async def test_headers_can_be_the_answer() -> None:
    answer = VendorResponse(
        headers=(("RateLimit-Limit", "100;w=21600"), ("X-A", "1"), ("X-A", "2"))
    )
    request = a_request("/manifests/latest", method="HEAD")
    async with Vendor(answer) as vendor:
        collector = a_collector(request=request, format=Format.HEADERS)
        fetched = await fetch(a_target(vendor.base_url), collector)
    assert vendor.asked[0].method == "HEAD"
    assert documents(fetched) == [
        {"ratelimit-limit": "100;w=21600", "x-a": "1, 2", "content-length": "0"}
    ]
    assert fetched.rate == RateLimit(limit=100)


async def test_a_packed_answer_is_unpacked() -> None:
    packed = gzip.compress(b'{"used": 1}')
    async with Vendor(
        VendorResponse(headers=(("Content-Encoding", "gzip"),), body=packed)
    ) as vendor:
        fetched = await fetch(a_target(vendor.base_url))
    assert documents(fetched) == [{"used": 1}]
    assert fetched.exchanges[0].size == len(b'{"used": 1}')


async def test_the_rate_is_that_of_the_last_answer_that_tells_one() -> None:
    def told(left: int) -> dict[str, str]:
        return {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": str(left)}

    async with Vendor(
        json_response({"next": "?page=2"}, headers=told(9)),
        json_response({"next": "?page=3"}, headers=told(8)),
        json_response({}),
    ) as vendor:
        fetched = await fetch(a_target(vendor.base_url), a_collector(paging=NEXT))
    assert fetched.rate == RateLimit(limit=60, remaining=8)


async def test_basic_is_sent_and_digest_answers_the_challenge() -> None:
    user, password = compile_template("{credentials.u}"), compile_template("{credentials.p}")
    needs = frozenset({"u", "p"})
    secrets = {"u": "ops@x.io", "p": CANARY}
    async with Vendor() as vendor:
        auth = BasicAuth(username=user, password=password, needs=needs)
        fetched = await fetch(a_target(vendor.base_url, auth=auth, secrets=secrets))
    packed = vendor.asked[0].headers["authorization"].removeprefix("Basic ")
    assert len(packed) > 20
    assert packed not in repr(fetched)

    challenge = 'Digest realm="x", nonce="n1", qop="auth", algorithm=MD5'
    denied = VendorResponse(status=401, headers=(("WWW-Authenticate", challenge),))
    async with Vendor(denied, json_response({"used": 1})) as vendor, a_client() as client:
        auth_digest = DigestAuth(username=user, password=password, needs=needs)
        target = a_target(vendor.base_url, auth=auth_digest, secrets=secrets)
        for _ in range(2):
            assert documents(await fetch(target, client=client)) == [{"used": 1}]
    answered = [asked.headers.get("authorization", "") for asked in vendor.asked]
    assert [text[:7] for text in answered] == ["", "Digest ", "Digest "]
    assert CANARY not in "".join(answered)


async def test_a_watcher_sees_each_exchange_with_the_body() -> None:
    seen: list[Exchange] = []
    async with Vendor(
        json_response({"next": "?page=2"}), json_response({"n": "x" * 900})
    ) as vendor:
        target = a_target(vendor.base_url)
        fetched = await fetch(
            target, a_collector(paging=NEXT), on_exchange=seen.append, excerpts=True
        )
    assert [exchange.excerpt[:15] for exchange in seen] == ['{"next":"?page=', '{"n":"xxxxxxxxx']
    assert all(len(exchange.excerpt) <= 200 for exchange in seen)
    assert [exchange.excerpt for exchange in fetched.exchanges] == ["", ""]


async def test_a_bug_of_ours_is_a_failure_and_never_raised() -> None:
    def explode(exchange: Exchange) -> None:
        raise KeyError(CANARY)

    async with Vendor() as vendor:
        found = failure(await fetch(a_target(vendor.base_url), on_exchange=explode))
    assert found.reason is Reason.INTERNAL
    assert "our own bug: KeyError in explode" in found.detail
    assert CANARY not in found.detail


async def test_cancellation_is_passed_on() -> None:
    async with Vendor((Pause(60.0), Close())) as vendor, a_client(read_timeout=5.0) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await fetch(a_target(vendor.base_url), client=client)
    assert len(vendor.asked) == 1


async def test_the_users_own_headers_go_along() -> None:
    organization = Param(name="org", description="")
    definition = a_definition(params={"org": organization})
    request = a_request("/usage", headers={"X-Org": "{params.org}"})
    async with Vendor() as vendor:
        target = a_target(vendor.base_url, definition=definition, params={"org": ("acme",)})
        await fetch(target, a_collector(request=request))
    assert vendor.asked[0].headers["x-org"] == "acme"
