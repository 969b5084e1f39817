import asyncio
import json
import re
from collections.abc import Sequence
from urllib.parse import urljoin

import msgspec
import pytest

from exporter.web.negotiate import Format
from exporter.web.routes import Backend, Body, routes
from exporter.web.view import StatusView
from tests.support.serving import Broken, ask, serving
from tests.support.views import a_status, a_target, gallery


async def scrape(kind: Format, compress: bool) -> Body:  # noqa: FBT001 - the signature of a scrape
    return b"usage_up 1\n"


async def probe(name: str, kind: Format) -> Body | None:
    return None


async def reload() -> Sequence[str]:
    return ()


def a_site(view: StatusView | None = None) -> Backend:
    async def look() -> StatusView:
        return view or gallery()

    return Backend(
        scrape=scrape,
        probe=probe,
        names=lambda: ["video-prod"],
        not_ready=lambda: "",
        reload=reload,
        config_text=lambda: "targets: []\n",
        view=look,
    )


ADDRESSES = {
    "/": "text/html; charset=utf-8",
    "/metrics": "text/plain; version=0.0.4; charset=utf-8",
    "/-/healthy": "text/plain; charset=utf-8",
    "/-/ready": "text/plain; charset=utf-8",
    "/config": "text/plain; charset=utf-8",
    "/api/v1/targets": "application/json",
}


@pytest.mark.parametrize("path", ADDRESSES)
async def test_every_address_answers_get_and_head_alike(path: str) -> None:
    async with serving(routes(a_site())) as port:
        get = await ask(port, path)
        head = await ask(port, path, method="HEAD")
    assert (get.status, get.headers["content-type"]) == (200, ADDRESSES[path])
    assert int(get.headers["content-length"]) == len(get.body)
    assert (head.status, head.body) == (200, b"")
    without_date = [
        {key: value for key, value in answer.headers.items() if key != "date"}
        for answer in (get, head)
    ]
    assert without_date[0] == without_date[1]


async def test_the_other_addresses_answer_too() -> None:
    async with serving(routes(a_site())) as port:
        assert (await ask(port, "/-/reload", method="PUT")).status == 200
        assert (await ask(port, "/probe?target=x")).status == 400
        assert (await ask(port, "/favicon.ico")).status == 204


async def test_the_telemetry_path_can_be_chosen() -> None:
    async with serving(routes(a_site(), telemetry_path="/own")) as port:
        assert (await ask(port, "/own")).text == "usage_up 1\n"
        assert (await ask(port, "/metrics")).status == 404
        assert '<a href="./own">' in (await ask(port, "/")).text
    async with serving(routes(a_site(), telemetry_path="/")) as port:
        assert (await ask(port, "/")).text == "usage_up 1\n"


@pytest.mark.parametrize("path", ADDRESSES)
async def test_every_address_is_below_the_prefix(path: str) -> None:
    async with serving(routes(a_site(), prefix="/usage")) as port:
        assert (await ask(port, f"/usage{path}")).status == 200
        assert (await ask(port, path)).status == (302 if path == "/" else 404)


@pytest.mark.parametrize(
    ("external_url", "path", "location"),
    [
        ("", "/", "/usage/"),
        ("", "/usage", "/usage/"),
        ("https://example.com/tools/usage", "/usage", "/tools/usage/"),
        ("https://example.com", "/usage", "/usage/"),
    ],
)
async def test_browsers_are_sent_to_the_page_below_the_prefix(
    external_url: str, path: str, location: str
) -> None:
    table = routes(a_site(), prefix="/usage", external_url=external_url)
    async with serving(table) as port:
        answer = await ask(port, path)
    assert (answer.status, answer.headers["location"]) == (302, location)


async def test_every_link_of_the_page_leads_to_an_address_wherever_it_is_shown() -> None:
    for prefix in ("", "/usage", "/a/b"):
        async with serving(routes(a_site(), prefix=prefix)) as port:
            page = (await ask(port, f"{prefix}/")).text
            links = re.findall(r'<a href="([^"#][^"]*)"', page)
            assert len(links) == 5
            for link in links:
                found = urljoin(f"http://x{prefix}/", link).removeprefix("http://x")
                assert (await ask(port, found)).status == 200, found


async def test_the_page_of_the_external_url_may_reload() -> None:
    table = routes(a_site(), external_url="https://example.com/usage")
    async with serving(table) as port:
        for origin, status in (("https://example.com", 200), ("https://other.example", 403)):
            headers = {"Origin": origin, "Host": "10.0.0.1:10187"}
            answer = await ask(port, "/-/reload", method="POST", headers=headers)
            assert answer.status == status


async def test_many_who_ask_for_the_page_at_once_share_one() -> None:
    made = 0

    async def look() -> StatusView:
        nonlocal made
        made += 1
        await asyncio.sleep(0.1)
        return gallery()

    site = msgspec.structs.replace(a_site(), view=look)
    async with serving(routes(site)) as port, asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(port, "/api/v1/targets")) for _ in range(50)]
        bodies = [(await task).body for task in asked]
    assert len(set(bodies)) == 1
    assert made <= 5


async def test_the_page_comes_with_its_policy() -> None:
    async with serving(routes(a_site())) as port:
        answer = await ask(port, "/")
    assert "style-src 'sha256-" in answer.headers["content-security-policy"]
    assert "video-prod" in answer.text


async def test_the_api_is_the_view() -> None:
    async with serving(routes(a_site())) as port:
        answer = await ask(port, "/api/v1/targets")
    assert msgspec.json.decode(answer.body, type=StatusView) == gallery()
    target = json.loads(answer.body)["targets"][0]
    assert target["account"] == "video-prod"
    assert target["resources"][0]["ratio"] == 0.8246
    assert target["resources"][2]["limit"] is None


async def test_broken_text_of_a_vendor_does_not_break_the_api() -> None:
    view = a_status(a_target("half a letter: \ud83d", plan="whole: é"))
    async with serving(routes(a_site(view))) as port:
        answer = await ask(port, "/api/v1/targets")
    (target,) = json.loads(answer.body)["targets"]
    assert (target["account"], target["plan"]) == ("half a letter: \ud83d", "whole: é")


async def test_a_scrape_does_not_wait_for_a_large_page() -> None:
    view = a_status(*(a_target(str(number)) for number in range(1000)))
    order: list[str] = []

    async def ask_in_order(path: str) -> None:
        assert (await ask(port, path)).status == 200
        order.append(path)

    broken = Broken()
    async with serving(routes(a_site(view)), broken=broken) as port, asyncio.TaskGroup() as group:
        group.create_task(ask_in_order("/"))
        group.create_task(ask_in_order("/metrics"))
    assert order == ["/metrics", "/"]
    assert broken == []


async def test_no_address_loads_the_exporters_words_into_a_frame_or_a_cache() -> None:
    async with serving(routes(a_site())) as port:
        for path in (*ADDRESSES, "/favicon.ico", "/nowhere", "/probe"):
            headers = (await ask(port, path)).headers
            assert headers["x-frame-options"] == "DENY"
            assert headers["cache-control"] == "no-store"
