"""Log-ins: one token for all, renewed once when it is refused, and capped."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl

from exporter.demo.server import VendorRequest, VendorResponse, json_response
from exporter.fetch.client import Client
from exporter.kernel.templates import compile_template
from exporter.model.definition.auth import Auth, BasicAuth, HeaderAuth, TokenAuth
from exporter.model.definition.paging import NextUrl
from exporter.model.definition.params import Param
from exporter.model.definition.responses import Match, ResponseRules
from exporter.model.outcome import Exchange, Reason
from exporter.model.target import Target
from tests.support.fetching import (
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
)
from tests.support.vendor import NOW, Vendor

SECRETS = {"username": "ops@example.com", "password": CANARY}
APPLY = HeaderAuth(headers={"Authorization": compile_template("Token {token}")}, needs=frozenset())
LOG_IN = a_request(
    "/login/",
    method="POST",
    json={
        "username": compile_template("{credentials.username}"),
        "password": compile_template("{credentials.password}"),
        "organization_id": compile_template("{params.org}"),
    },
)


def login(**more: Any) -> TokenAuth:
    return TokenAuth(
        **{
            "request": LOG_IN,
            "token": paths("token"),
            "expires_in": paths("expires_in"),
            "apply": APPLY,
            "needs": frozenset(SECRETS),
            **more,
        }
    )


class TokenVendor:
    """Hands out ``token-1``, ``token-2``, …; those in `good` are accepted, None: all."""

    def __init__(self, *, good: set[str] | None = None, **answer: Any) -> None:
        self.log_ins = 0
        self.good = good
        self.answer = answer

    def __call__(self, asked: VendorRequest) -> VendorResponse:
        if asked.path == "/login/":
            self.log_ins += 1
            return json_response({"token": f"token-{self.log_ins}-secret", **self.answer})
        token = asked.headers.get("authorization", "").removeprefix("Token ")
        if self.good is None or token in self.good:
            return json_response({"used": 1})
        return json_response({"detail": f"Invalid token {token}."}, status=401)


def target_of(base_url: str, *, auth: Auth | None = None, **more: Any) -> Target:
    auth = auth or login()
    org = Param(name="org", description="")
    definition = a_definition(auth=auth, params={"org": org})
    return a_target(
        base_url,
        auth=auth,
        definition=definition,
        **{"secrets": SECRETS, "params": {"org": ("k7w2qd",)}, **more},
    )


async def poll(client: Client, target: Target) -> Any:
    return await fetch(target, client=client)


async def test_a_token_is_fetched_once_and_used_for_all_polls() -> None:
    tokens = TokenVendor()
    async with Vendor(tokens) as vendor, a_client() as client:
        first = target_of(vendor.base_url, name="one")
        second = target_of(vendor.base_url, name="two")
        for target in (first, second, first):
            assert documents(await poll(client, target)) == [{"used": 1}]
    assert tokens.log_ins == 1
    assert json.loads(vendor.asked[0].body) == {
        "username": "ops@example.com",
        "password": CANARY,
        "organization_id": "k7w2qd",
    }
    assert vendor.asked[-1].headers["authorization"] == "Token token-1-secret"


async def test_polls_at_once_share_one_log_in() -> None:
    tokens = TokenVendor()
    async with Vendor(tokens) as vendor, a_client() as client, asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(poll(client, target_of(vendor.base_url, name=f"t{number}")))
    assert tokens.log_ins == 1


async def test_other_parameters_or_secrets_are_other_log_ins() -> None:
    tokens = TokenVendor()
    async with Vendor(tokens) as vendor, a_client() as client:
        await poll(client, target_of(vendor.base_url, name="a"))
        await poll(client, target_of(vendor.base_url, name="b", params={"org": ("other",)}))
        changed = {**SECRETS, "password": "changed-password"}
        await poll(client, target_of(vendor.base_url, name="c", secrets=changed))
        await poll(client, target_of(vendor.base_url, name="d", budget="other"))
    assert tokens.log_ins == 4


async def test_a_token_is_renewed_ahead_of_its_end() -> None:
    now = [NOW]
    tokens = TokenVendor(expires_in=600)
    async with Vendor(tokens) as vendor, a_client(wall=lambda: now[0]) as client:
        target = target_of(vendor.base_url)
        for seconds in (0, 539, 541):
            now[0] = NOW + seconds
            assert documents(await poll(client, target))
    assert tokens.log_ins == 2


async def test_a_token_that_is_refused_is_renewed_once() -> None:
    now = [NOW]
    tokens = TokenVendor(good={"token-1-secret"})
    async with Vendor(tokens) as vendor, a_client(wall=lambda: now[0]) as client:
        target = target_of(vendor.base_url)
        await poll(client, target)
        tokens.good = {"token-2-secret"}
        now[0] += 3600
        fetched = await poll(client, target)
    assert documents(fetched) == [{"used": 1}]
    assert [exchange.status for exchange in fetched.exchanges] == [401, 200, 200]
    assert tokens.log_ins == 2


async def test_a_token_that_is_refused_again_is_a_failure_of_the_credential() -> None:
    now = [NOW]
    tokens = TokenVendor(good=set())
    async with Vendor(tokens) as vendor, a_client(wall=lambda: now[0]) as client:
        target = target_of(vendor.base_url)
        first = failure(await poll(client, target))
        now[0] += 3600
        second = await poll(client, target)
    assert first.reason is Reason.AUTH
    assert "Invalid token <secret>." in first.detail
    assert first.detail.endswith("a minute ago, so no other token is asked for")
    assert failure(second).reason is Reason.AUTH
    assert "Invalid token <secret>." in failure(second).detail
    assert [exchange.status for exchange in second.exchanges] == [401, 200, 401]
    assert tokens.log_ins == 2


async def test_a_used_up_quota_with_401_does_not_renew_the_token() -> None:
    quota = ResponseRules(quota_exhausted=(Match(statuses=frozenset({401})),))
    tokens = TokenVendor(good=set())
    async with Vendor(tokens) as vendor, a_client() as client:
        collector = a_collector(verdict=quota)
        found = failure(await fetch(target_of(vendor.base_url), collector, client=client))
    assert found.reason is Reason.QUOTA_EXHAUSTED
    assert tokens.log_ins == 1


async def test_a_wrong_password_is_tried_once_a_minute() -> None:
    now = [NOW]
    denied = json_response({"non_field_errors": [f"bad {CANARY}"]}, status=400)
    async with Vendor(denied) as vendor, a_client(wall=lambda: now[0]) as client:
        target = target_of(vendor.base_url)
        found = failure(await poll(client, target))
        held = failure(await poll(client, target_of(vendor.base_url, name="other")))
        now[0] += 60
        await poll(client, target)
    assert (found.reason, found.status) == (Reason.AUTH, 400)
    assert found.detail.startswith(f"log-in: {vendor.host} answered 400 Bad Request")
    assert CANARY not in found.detail
    assert (held.reason, held.wait) == (Reason.AUTH, 60)
    assert len(vendor.asked) == 2


async def test_a_new_password_is_tried_at_once() -> None:
    def answer(asked: VendorRequest) -> VendorResponse:
        if b"right-password" in asked.body:
            return json_response({"token": "good-token"})
        status = 200 if asked.path == "/usage" else 401
        return json_response({}, status=status)

    async with Vendor(answer) as vendor, a_client() as client:
        assert failure(await poll(client, target_of(vendor.base_url))).reason is Reason.AUTH
        secrets = {**SECRETS, "password": "right-password"}
        assert documents(await poll(client, target_of(vendor.base_url, secrets=secrets)))


async def test_a_throttled_log_in_waits_as_long_as_it_says() -> None:
    slow = VendorResponse(status=429, headers=(("Retry-After", "90"),), body=b"slow down")
    async with Vendor(slow) as vendor, a_client() as client:
        found = failure(await poll(client, target_of(vendor.base_url)))
    assert (found.reason, found.wait) == (Reason.RATE_LIMITED, 90)


async def test_an_answer_without_a_token_is_a_changed_schema() -> None:
    async with Vendor(json_response({"jwt": "x"})) as vendor:
        found = failure(await fetch(target_of(vendor.base_url)))
    assert (found.reason, found.detail) == (
        Reason.SCHEMA,
        'log-in: the answer has no token at "token"',
    )


async def test_a_log_in_whose_host_is_down_is_a_failure_to_connect() -> None:
    async with Vendor() as vendor:
        base_url = vendor.base_url
    found = failure(await fetch(target_of(base_url)))
    assert (found.reason, found.detail) == (
        Reason.CONNECT,
        f"log-in: {vendor.host}: the connection was refused",
    )


async def test_a_log_in_that_is_redirected_away_is_a_failure() -> None:
    away = VendorResponse(status=302, headers=(("Location", "https://sso.example/"),))
    async with Vendor(away) as vendor:
        found = failure(await fetch(target_of(vendor.base_url)))
    assert found.reason is Reason.HTTP_4XX
    assert "https://sso.example is not followed" in found.detail


async def test_oauth_client_credentials_are_a_log_in() -> None:
    auth = login(
        request=a_request(
            "/login/",
            method="POST",
            form=(argument("grant_type", "client_credentials"), argument("scope", "a b")),
        ),
        login=BasicAuth(
            username=compile_template("{credentials.username}"),
            password=compile_template("{credentials.password}"),
            needs=frozenset(SECRETS),
        ),
    )
    seen: list[Exchange] = []
    async with Vendor(TokenVendor()) as vendor:
        target = target_of(vendor.base_url, auth=auth)
        fetched = await fetch(target, on_exchange=seen.append, excerpts=True)
    assert documents(fetched) == [{"used": 1}]
    asked = vendor.asked[0]
    assert asked.headers["authorization"].startswith("Basic ")
    assert parse_qsl(asked.body.decode()) == [
        ("grant_type", "client_credentials"),
        ("scope", "a b"),
    ]
    assert seen[0].request_headers["Authorization"] == "Basic <secret>"
    assert seen[0].excerpt == "(the answer of a log-in is not shown)"
    assert "token-1-secret" not in repr(seen)


async def test_the_rate_of_a_log_in_is_not_that_of_the_api() -> None:
    async with Vendor(
        json_response({"token": "t-1"}, headers={"X-RateLimit-Remaining": "3"}), json_response({})
    ) as vendor:
        assert (await fetch(target_of(vendor.base_url))).rate is None


async def test_all_pages_are_signed_with_one_token() -> None:
    def answer(asked: VendorRequest) -> VendorResponse:
        return json_response({"token": "t-1", "next": None if asked.query else "?page=2"})

    async with Vendor(answer) as vendor:
        paging = NextUrl(next=paths("next"), max_pages=3)
        fetched = await fetch(target_of(vendor.base_url), a_collector(paging=paging))
    assert len(documents(fetched)) == 2
    assert [asked.path for asked in vendor.asked] == ["/login/", "/usage", "/usage"]
