"""Nothing that a vendor fills in sends a credential, or a request, to where it does not belong."""

from collections.abc import Callable

import pytest

from exporter.demo.server import VendorRequest, VendorResponse, json_response
from exporter.model.definition.paging import NextUrl
from exporter.model.definition.params import Param
from exporter.model.definition.provider import Accounts, Collector
from exporter.model.definition.rows import Rows
from exporter.model.outcome import Reason
from exporter.model.target import Target
from tests.support.fetching import (
    BEARER,
    CANARY,
    a_collector,
    a_definition,
    a_target,
    documents,
    failure,
    fetch,
    paths,
)
from tests.support.vendor import Vendor


def fanning_out(path: str, base_url: str) -> tuple[Target, Collector]:
    accounts = Accounts(
        collector=a_collector("/accounts"), rows=Rows(steps=()), id=paths("id")[0], label=None
    )
    definition = a_definition(auth=BEARER, accounts=accounts)
    target = a_target(base_url, auth=BEARER, definition=definition, secrets={"token": CANARY})
    return target, a_collector(path)


HOSTILE: dict[str, Callable[[str, str], str]] = {
    "another host": lambda own, other: f"{other}/x",
    "another port": lambda own, other: f"http://127.0.0.1:1/{other[-1]}",
    "a user name in front": lambda own, other: f"http://{own[7:]}@{other[7:]}",
    "a backslash": lambda own, other: f"{own}\\@{other[7:]}",
    "a query": lambda own, other: f"{own}/v1?x=",
    "a fragment": lambda own, other: f"{own}/v1#",
    "dots": lambda own, other: "..",
    "one dot": lambda own, other: ".",
    "dots in an address": lambda own, other: f"{own}/v1/../admin",
    "encoded dots in an address": lambda own, other: f"{own}/v1/%2e%2E/admin",
    "above the base": lambda own, other: f"{own}/admin",
}


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_an_account_id_never_leads_elsewhere(hostile: str) -> None:
    other_asked: list[VendorRequest] = []

    def elsewhere(asked: VendorRequest) -> VendorResponse:
        other_asked.append(asked)
        return json_response({})

    def reply(asked: VendorRequest) -> VendorResponse:
        if asked.path.endswith("/accounts"):
            return json_response({"id": HOSTILE[hostile](vendor.base_url, other.base_url)})
        return json_response({})

    async with Vendor(elsewhere) as other, Vendor(reply) as vendor:
        target, collector = fanning_out("{account.id}/usage", f"{vendor.base_url}/v1")
        failed = failure(await fetch(target, collector))
        asked = [one.path for one in vendor.asked]
    assert failed.reason is Reason.SCHEMA
    assert "account" in failed.detail
    assert not other_asked
    assert asked == ["/v1/accounts"]


async def test_an_account_id_may_be_an_address_of_the_same_api() -> None:
    def reply(asked: VendorRequest) -> VendorResponse:
        if asked.path == "/v1/accounts":
            return json_response({"id": f"{vendor.base_url}/v1/a/7"})
        return json_response({"path": asked.path})

    async with Vendor(reply) as vendor:
        target, collector = fanning_out("{account.id}/usage", f"{vendor.base_url}/v1")
        found = documents(await fetch(target, collector))
    assert found == [{"path": "/v1/a/7/usage"}]


async def test_what_stands_in_an_id_is_quoted() -> None:
    def reply(asked: VendorRequest) -> VendorResponse:
        return json_response({"id": "a/b?c#d"} if asked.path == "/v1/accounts" else {})

    async with Vendor(reply) as vendor:
        target, collector = fanning_out("/of/{account.id}/usage", f"{vendor.base_url}/v1")
        documents(await fetch(target, collector))
        assert vendor.asked[-1].path == "/v1/of/a%2Fb%3Fc%23d/usage"


def placed(link: str) -> str:
    """Return a link as the fake vendor, whose API begins at /v, would write it."""
    return f"/v{link}" if link.startswith("/") else link


LINKS = [
    ("/orgs/ours/usage?page=2", True),
    ("?page=2", True),
    ("/orgs/ours/usage/page/2", True),
    ("/v2/orgs/ours/usage?page=2", True),
    ("/usage?org=ours&page=2", True),
    ("/orgs/theirs/usage?page=2", False),
    ("/orgs/theirs/members/ours", False),
    ("/orgs/theirs%2F/usage", False),
    ("/orgs/ours/../theirs/usage", False),
    ("/orgs/ours/%2e%2e/theirs/usage", False),
    ("/orgs/ours/..%2Ftheirs/usage", False),
    ("/usage?page=2", False),
    ("/admin", False),
]


@pytest.mark.parametrize(("link", "followed"), LINKS)
@pytest.mark.parametrize("way", ["next", "redirect"])
async def test_a_link_stays_with_the_account_that_was_asked(
    link: str, way: str, *, followed: bool
) -> None:
    def reply(asked: VendorRequest) -> VendorResponse:
        if len(vendor.asked) > 1:
            return json_response({"rows": []})
        if way == "next":
            return json_response({"next": placed(link)})
        return VendorResponse(status=302, headers=(("Location", placed(link)),))

    params = {"org": Param(name="org", description="", required=True)}
    definition = a_definition(auth=BEARER, params=params)
    collector = a_collector(
        "/orgs/{params.org}/usage", paging=NextUrl(next=paths("next"), max_pages=3)
    )
    async with Vendor(reply) as vendor:
        target = a_target(
            vendor.base_url,
            auth=BEARER,
            definition=definition,
            secrets={"token": CANARY},
            params={"org": ("ours",)},
        )
        fetched = await fetch(target, collector)
        asked = len(vendor.asked)
    if followed:
        documents(fetched)
        assert asked == 2
    else:
        assert failure(fetched).reason in (Reason.PAGING, Reason.HTTP_4XX)
        assert "not followed" in failure(fetched).detail
        assert asked == 1


@pytest.mark.parametrize(
    ("link", "followed"),
    [
        ("/orgs/ours/usage?page=2", True),
        ("/orgs/ours/usage-2", True),
        ("/v2/orgs", True),
        ("/orgs/theirs/usage?page=2", False),
    ],
)
async def test_a_path_without_parameters_stays_too(link: str, *, followed: bool) -> None:
    def reply(asked: VendorRequest) -> VendorResponse:
        return json_response({"next": placed(link)} if len(vendor.asked) == 1 else {})

    paging = NextUrl(next=paths("next"), max_pages=3)
    async with Vendor(reply) as vendor:
        fetched = await fetch(
            a_target(vendor.base_url), a_collector("/orgs/ours/usage", paging=paging)
        )
    assert isinstance(fetched.result, tuple) is followed
