"""Every fault that the fake vendors know, at each page, against what is known already."""

import json
import os
import time
from pathlib import Path

import pytest

from exporter.demo.faults import FAULTS
from exporter.demo.server import FakeVendors, Script, VendorRequest, VendorResponse
from exporter.demo.vendors import TPSTREAMS_TOKEN, VENDORS
from exporter.model.events import PollFinished
from exporter.model.outcome import Failure, Reason
from tests.support.adjustable_clock import adjustable_clock, advance
from tests.support.engine_harness import EngineHarness, plan_of, running
from tests.support.expected_fault_reasons import EXPECTED
from tests.support.parsed_exposition import ParsedExposition
from tests.support.vendor import NOW

PATIENCE = 0.15  # real seconds until an answer that hangs is brought to its deadline
VALUES = ("usage_bytes", "usage_quantity", "usage_limit_bytes", "usage_ratio", "usage_cost")


def config(folder: Path, origin: str) -> Path:
    target = {
        "name": "video",
        "provider": "tpstreams",
        "base_url": f"{origin}/tpstreams",
        "credentials": {"token": TPSTREAMS_TOKEN},
        "params": {"organization_id": "9q94nm"},
        "limits": {"bandwidth": "5 TB"},
        "poll_interval": "5m",
        "poll_timeout": "20s",
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps({"targets": [target]}))
    return path


class Spoiler:
    """Breaks one page of the answers, once it is told how."""

    def __init__(self, fault: str, page: str) -> None:
        self.active = False
        self.spoilt = 0
        self._fault = FAULTS[fault]
        self._page = page

    def __call__(self, _vendor: str, asked: VendorRequest, answer: VendorResponse) -> Script | None:
        if not self.active or asked.argument("page", "1") != self._page:
            return None
        self.spoilt += 1
        return self._fault(asked, answer, NOW)


def values(seen: ParsedExposition) -> list[object]:
    return [one for name in VALUES for one in seen.all(name)]


async def second(harness: EngineHarness, *, hangs: bool) -> PollFinished:
    """Return how the second poll ended; one that hangs is brought to its deadline."""
    began = time.perf_counter()
    while len(harness.told(PollFinished)) < 2:
        await harness.turn(0.002)
        if hangs and time.perf_counter() - began > PATIENCE:
            advance(0.5)
    told = harness.told(PollFinished)[1]
    assert isinstance(told, PollFinished)
    return told


def test_every_fault_has_a_name() -> None:
    assert EXPECTED.keys() == FAULTS.keys()


@pytest.mark.parametrize("page", ["1", "2"])
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_fault_has_its_reason_and_loses_nothing(tmp_path: Path, fault: str, page: str) -> None:
    reason = EXPECTED[fault]

    @adjustable_clock
    async def poll() -> None:
        spoiler = Spoiler(fault, page)
        async with FakeVendors(VENDORS, wall=lambda: NOW, inject=spoiler) as vendors:
            path = config(tmp_path, vendors.origin)
            async with running(plan_of(path)) as harness:
                before = await harness.first()
                spoiler.active = True
                advance(300)
                told = await second(harness, hangs=reason is Reason.TIMEOUT)
                after = harness.scrape()
        assert spoiler.spoilt
        outcome = told.poll.outcome
        if reason is None:
            assert not isinstance(outcome, Failure)
        else:
            assert isinstance(outcome, Failure)
            # Rows that are not there or came twice are noticed before the rows are read.
            also = {Reason.PAGING} if reason is Reason.SCHEMA else set()
            assert outcome.reason in {reason, *also}, outcome.detail
            assert outcome.detail.isprintable()
            assert len(outcome.detail) > 12
        assert after.get("usage_up") == (reason is None)
        assert len(values(before)) >= 8
        assert values(after) == values(before)

    files = len(os.listdir("/dev/fd"))  # noqa: PTH208 - only their number counts
    poll()
    assert len(os.listdir("/dev/fd")) <= files  # noqa: PTH208
