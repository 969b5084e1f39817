"""The chaos vendor on cue, seen from the outside: what stays, what is said, when it comes again.

The faults on the wire have their table in `test_app_faults`. Here are those that need a page, a
clock, a certificate or a name of their own.
"""

import contextlib
import json
import math
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from exporter.demo.faults import ScriptedFaults
from exporter.demo.server import (
    FakeVendors,
    Script,
    VendorRequest,
    VendorResponse,
    json_response,
    script_of,
)
from exporter.demo.vendors import TOKENS, VENDORS
from exporter.model.events import TargetDown
from exporter.model.outcome import Reason
from exporter.model.reading import RateLimit
from tests.support.adjustable_clock import adjustable_clock
from tests.support.engine_harness import EngineHarness, plan_of, running
from tests.support.metered_vendor import MeteredVendor, row, rows, target, write_config
from tests.support.parsed_exposition import ParsedExposition
from tests.support.vendor import NOW

NEXT = "usage_next_poll_timestamp_seconds"
END = 1_796_083_200.0  # of November 2026


class Stage:
    """The demo's vendors with faults, and an engine on one of them."""

    def __init__(self) -> None:
        self.ahead = 0.0  # of the vendors' clock
        self.faults = ScriptedFaults(self.wall)
        self.vendors = FakeVendors(VENDORS, wall=self.wall, inject=self.faults)

    def wall(self) -> float:
        return NOW + self.ahead

    @contextlib.asynccontextmanager
    async def polled(self, folder: Path, **more: Any) -> AsyncIterator[EngineHarness]:
        """Poll the account of TPStreams, whose days of November have two pages."""
        async with self.vendors:
            video = {
                "name": "video",
                "provider": "tpstreams",
                "base_url": f"{self.vendors.origin}/tpstreams",
                "credentials": {"token": TOKENS["tpstreams"]},
                "params": {"organization_id": "9q94nm"},
                "poll_interval": "5m",
                **more,
            }
            path = folder / "config.yaml"
            path.write_text(json.dumps({"targets": [video]}))
            async with running(plan_of(path)) as harness:
                yield harness


def values(seen: ParsedExposition) -> list[object]:
    return [one for one in seen.series if one.name in ("usage_bytes", "usage_cost")]


@pytest.mark.parametrize("page", [1, 2])
def test_a_wait_that_stands_on_any_page_holds_and_no_further_page_is_asked(
    tmp_path: Path, page: int
) -> None:
    @adjustable_clock
    async def story() -> None:
        stage = Stage()
        async with stage.polled(tmp_path) as harness:
            before = await harness.first()
            asked = stage.vendors.requests["tpstreams"]
            stage.faults.inject("tpstreams", "429_seconds", page=page)
            after = await harness.go(300, step=5)
            assert stage.vendors.requests["tpstreams"] == asked + page
            assert values(after) == values(before)
            assert after.get("usage_up") == 0
            (status,) = harness.engine.runner.statuses()
            assert status.cause == "throttled"
            again = await harness.go(300, step=5)  # TPStreams is asked every 5 minutes at most
            assert again.get("usage_up") == 1
        assert stage.faults.injected == 1

    story()


@pytest.mark.parametrize("name", ["200_retry_after", "200_used_up"])
def test_a_good_answer_may_ask_for_a_wait(tmp_path: Path, name: str) -> None:
    @adjustable_clock
    async def story() -> None:
        stage = Stage()
        stage.faults.inject("tpstreams", name, page=2)
        async with stage.polled(tmp_path) as harness:
            seen = await harness.first()
            assert seen.get("usage_up") == 1
            (status,) = harness.engine.runner.statuses()
            if name == "200_used_up":
                assert isinstance(status.budget.rate, RateLimit)
                assert status.budget.rate.remaining == 0
            else:
                assert status.budget.cause == "throttled"

    story()


def test_a_period_that_ends_while_the_pages_are_turned_is_no_sum(tmp_path: Path) -> None:
    @adjustable_clock
    async def story() -> None:
        ended = [False]

        def pages(asked: VendorRequest) -> VendorResponse:
            old = row(used=100, start=END - 86_400 * 30, end=END)
            if asked.argument("page") != "2":
                return rows(old, next=f"{asked.origin}/usage?page=2")
            new = row(used=1, start=END, end=END + 86_400 * 31)
            return rows(new if ended[0] else {**old, "used": 1})

        meter = MeteredVendor(usage=pages)
        async with meter.vendor, running(plan_of(write_config(tmp_path, target(meter)))) as harness:
            assert (await harness.first()).get("usage_bytes") == 101
            ended[0] = True
            seen = await harness.go(300)
            assert seen.get("usage_bytes") == 101  # as it was
            assert seen.get("usage_up") == 0
            assert harness.reasons() == {"home": Reason.SCHEMA}
            (down,) = harness.told(TargetDown)
            assert "period" in str(down)

    story()


def test_a_vendor_whose_clock_jumps_into_the_next_month_between_pages_spoils_nothing(
    tmp_path: Path,
) -> None:
    @adjustable_clock
    async def story() -> None:
        stage = Stage()

        def new_year(asked: VendorRequest, answer: VendorResponse, now: float) -> Script:
            stage.ahead += END - NOW + 1
            return script_of(answer)

        async with stage.polled(tmp_path) as harness:
            before = await harness.first()
            stage.faults.inject("tpstreams", new_year)
            after = await harness.go(300)
            assert after.get("usage_up") == 0  # the days that are counted changed meanwhile
            assert [one.name for one in after.series] == [one.name for one in before.series]
            start = "usage_period_start_timestamp_seconds"
            assert after.get(start, resource="bandwidth") == before.get(start, resource="bandwidth")

    story()


def test_a_certificate_that_has_expired_keeps_the_values_and_says_so(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    def serving(days: int) -> ssl.SSLContext:
        now = datetime.now(UTC)  # noqa: TID251 - OpenSSL goes by it
        last = now + timedelta(days=days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        first = now - timedelta(days=90)
        authority.issue_cert("127.0.0.1", not_before=first, not_after=last).configure_cert(context)
        return context

    @adjustable_clock
    async def story() -> None:
        meter = MeteredVendor()
        good = FakeVendors({"v": lambda asked, now: rows()}, wall=lambda: NOW, tls=serving(1))
        async with good:
            port = int(good.origin.rpartition(":")[2])
            http = {"tls_config": {"ca_file": "ca.pem"}}
            one = target(meter, base_url=f"{good.origin}/v", http=http)
            plan = plan_of(write_config(tmp_path, one))
            harness = await stack.enter_async_context(running(plan))
            assert (await harness.first()).get("usage_bytes") == 250
        bad = FakeVendors(
            {"v": lambda asked, now: rows()}, wall=lambda: NOW, tls=serving(-1), port=port
        )
        async with bad:
            seen = await harness.go(300)
            assert harness.reasons() == {"home": Reason.TLS}
            assert seen.get("usage_bytes") == 250
            (down,) = harness.told(TargetDown)
            assert "expired" in str(down)
        await stack.aclose()

    stack = contextlib.AsyncExitStack()
    story()


def test_a_name_that_is_gone_keeps_the_values_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @adjustable_clock
    async def story() -> None:
        gone = [False]

        def resolve(host: bytes, port: None, **more: Any) -> Sequence[Any]:
            if gone[0]:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return real("127.0.0.1", port, **more)

        real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        close = {"Connection": "close"}  # it would be kept: aiohttp counts in real time
        meter = MeteredVendor(usage=json_response({"rows": [row()]}, headers=close))
        async with meter.vendor:
            url = meter.base_url.replace("127.0.0.1", "vendor.example")
            plan = plan_of(write_config(tmp_path, target(meter, base_url=url)))
            async with running(plan) as harness:
                assert (await harness.first()).get("usage_bytes") == 250
                gone[0] = True
                seen = await harness.go(605)  # its addresses are kept for five minutes
                assert harness.reasons() == {"home": Reason.CONNECT}
                assert seen.get("usage_bytes") == 250
                gone[0] = False
                assert (await harness.go(900)).get("usage_up") == 1
                (down,) = harness.told(TargetDown)
                assert "the name vendor.example cannot be resolved" in str(down)

    story()


def test_a_storm_of_refusals_is_met_with_ever_longer_waits(tmp_path: Path) -> None:
    @adjustable_clock
    async def story() -> None:
        stage = Stage()
        async with stage.polled(tmp_path) as harness:
            await harness.first()
            asked = stage.vendors.requests["tpstreams"]
            stage.faults.inject("tpstreams", "429_zero", times=math.inf)
            await harness.go(6 * 3600, step=60)
            stormy = stage.vendors.requests["tpstreams"] - asked
            stage.faults.clear()
            await harness.go(2 * 3600, step=60)
            assert harness.scrape().get("usage_up") == 1
        assert stormy < 24

    story()
