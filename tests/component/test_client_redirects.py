"""Redirects: within an origin they are followed, beyond it nothing is sent."""

import pytest

from exporter.demo.server import VendorRequest, VendorResponse, json_response
from exporter.kernel.templates import compile_template
from exporter.model.definition.auth import HeaderAuth, QueryAuth
from exporter.model.outcome import Reason
from tests.support.fetching import (
    CANARY,
    a_collector,
    a_request,
    a_target,
    documents,
    failure,
    fetch,
)
from tests.support.vendor import Vendor

KEY = HeaderAuth(
    headers={"X-Api-Key": compile_template("{credentials.token}")}, needs=frozenset({"token"})
)


def redirect(location: str, status: int = 302) -> VendorResponse:
    return VendorResponse(status=status, headers=(("Location", location),), body=b"moved")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_within_the_origin_is_followed(status: int) -> None:
    async with Vendor(redirect("/v/usage/?a=%2C", status), json_response({"used": 1})) as vendor:
        target = a_target(vendor.base_url, auth=KEY, secrets={"token": CANARY})
        fetched = await fetch(target)
    assert documents(fetched) == [{"used": 1}]
    assert [asked.path for asked in vendor.asked] == ["/usage", "/usage/"]
    assert vendor.asked[1].headers["x-api-key"] == CANARY
    assert [exchange.status for exchange in fetched.exchanges] == [status, 200]


async def test_a_redirect_to_another_host_gets_no_key() -> None:
    async with Vendor() as thief, Vendor(redirect(f"{thief.base_url}/steal")) as vendor:
        target = a_target(vendor.base_url, auth=KEY, secrets={"token": CANARY})
        found = failure(await fetch(target))
    assert thief.asked == []
    assert found.reason is Reason.HTTP_4XX
    assert f"the redirect to http://{thief.host} is not followed" in found.detail


async def test_a_key_in_the_query_goes_along_within_the_origin() -> None:
    auth = QueryAuth(
        query={"key": compile_template("{credentials.token}")}, needs=frozenset({"token"})
    )
    async with Vendor(redirect("/v/other"), json_response({})) as vendor:
        await fetch(a_target(vendor.base_url, auth=auth, secrets={"token": CANARY}))
    assert vendor.asked[1].query == (("key", CANARY),)


async def test_redirects_in_a_circle_end() -> None:
    async with Vendor(redirect("/v/usage")) as vendor:
        found = failure(await fetch(a_target(vendor.base_url)))
    assert (found.reason, found.detail) == (
        Reason.HTTP_4XX,
        f"{vendor.host}: more than 5 redirects, one after the other",
    )
    assert len(vendor.asked) == 6


async def test_a_body_is_not_sent_after_a_redirect() -> None:
    request = a_request("/usage", method="POST", json={"a": 1})
    async with Vendor(redirect("/v/other", 307)) as vendor:
        found = failure(await fetch(a_target(vendor.base_url), a_collector(request=request)))
    assert (found.reason, found.status) == (Reason.HTTP_4XX, 307)
    assert len(vendor.asked) == 1


@pytest.mark.parametrize("location", ["", "https://[", "//user:pw@127.0.0.1/", "file:///etc"])
async def test_a_redirect_to_nowhere_is_a_failure(location: str) -> None:
    async with Vendor(redirect(location)) as vendor:
        found = failure(await fetch(a_target(vendor.base_url)))
    assert found.reason is Reason.HTTP_4XX
    assert "pw" not in found.detail


async def test_a_link_after_a_redirect_is_relative_to_where_it_led() -> None:
    def answer(asked: VendorRequest) -> VendorResponse:
        if asked.path == "/usage":
            return redirect("/v/new/usage")
        return json_response({"path": asked.path})

    async with Vendor(answer) as vendor:
        assert documents(await fetch(a_target(vendor.base_url))) == [{"path": "/new/usage"}]
