"""Fan-out: each account's answer, or none at all."""

from exporter.demo.server import VendorRequest, VendorResponse, json_response
from exporter.model.definition.paging import NextUrl
from exporter.model.definition.provider import Accounts
from exporter.model.definition.rows import Rows, Step
from exporter.model.outcome import Reason
from tests.support.fetching import (
    a_collector,
    a_definition,
    a_target,
    failure,
    fetch,
    paths,
    payloads,
)
from tests.support.vendor import Vendor

ORGANIZATIONS = Accounts(
    collector=a_collector("/organizations/", paging=NextUrl(next=paths("next"), max_pages=5)),
    rows=Rows(steps=(Step(path=paths("results")[0]),)),
    id=paths("uuid")[0],
    label=paths("name")[0],
)
DEFINITION = a_definition(accounts=ORGANIZATIONS)
EACH = a_collector("/{account.id}/usage")


def answer(asked: VendorRequest) -> VendorResponse:
    if asked.path == "/organizations/":
        if asked.argument("page") == "2":
            return json_response({"results": [{"uuid": "b/2", "name": "Beta"}], "next": None})
        return json_response({"results": [{"uuid": "a1", "name": "Acme"}], "next": "?page=2"})
    return json_response({"path": asked.path})


async def test_discovered_accounts_are_asked_one_by_one() -> None:
    async with Vendor(answer) as vendor:
        fetched = await fetch(a_target(vendor.base_url, definition=DEFINITION), EACH)
    assert [(payload.account, payload.pages[0].document) for payload in payloads(fetched)] == [
        ("Acme", {"path": "/a1/usage"}),
        ("Beta", {"path": "/b%2F2/usage"}),
    ]
    assert len(fetched.exchanges) == 4


async def test_accounts_of_the_config_need_no_discovery() -> None:
    async with Vendor(answer) as vendor:
        target = a_target(vendor.base_url, definition=DEFINITION, accounts=("x", "y"))
        fetched = await fetch(target, EACH)
    assert [payload.account for payload in payloads(fetched)] == ["x", "y"]
    assert [asked.path for asked in vendor.asked] == ["/x/usage", "/y/usage"]


async def test_a_request_that_names_no_account_is_made_once() -> None:
    async with Vendor(answer) as vendor:
        target = a_target(vendor.base_url, definition=DEFINITION)
        fetched = await fetch(target, a_collector("/total"))
    assert [payload.account for payload in payloads(fetched)] == [""]
    assert [asked.path for asked in vendor.asked] == ["/total"]


async def test_one_account_that_fails_fails_all() -> None:
    def one_fails(asked: VendorRequest) -> VendorResponse:
        return json_response({}, status=500) if asked.path.startswith("/b") else answer(asked)

    async with Vendor(one_fails) as vendor:
        fetched = await fetch(a_target(vendor.base_url, definition=DEFINITION), EACH)
    assert failure(fetched).reason is Reason.HTTP_5XX


async def test_no_accounts_are_an_answer_too() -> None:
    async with Vendor(json_response({"results": [], "next": None})) as vendor:
        fetched = await fetch(a_target(vendor.base_url, definition=DEFINITION), EACH)
    assert payloads(fetched) == ()


async def test_a_discovery_of_another_shape_is_a_changed_schema() -> None:
    async with Vendor(json_response({"organizations": []})) as vendor:
        found = failure(await fetch(a_target(vendor.base_url, definition=DEFINITION), EACH))
    assert found.reason is Reason.SCHEMA
    assert found.detail.startswith('the accounts: path "results": there is no list here')


async def test_a_discovery_that_is_refused_is_a_failure() -> None:
    async with Vendor(json_response({"detail": "no"}, status=403)) as vendor:
        found = failure(await fetch(a_target(vendor.base_url, definition=DEFINITION), EACH))
    assert found.reason is Reason.FORBIDDEN
