"""Answers of many pages that go wrong on one of them: the sum of before stays."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exporter.demo.server import VendorRequest, VendorResponse, json_response
from exporter.model.outcome import Reason
from tests.support.adjustable_clock import adjustable_clock
from tests.support.engine_harness import EngineHarness, plan_of, running
from tests.support.metered_vendor import DEFINITION, MeteredVendor, row, rows, target, write_config

PAGES = 9
NUMBERED = "{kind: page_number, param: page, size: 2, rows: rows, total_rows: total}"
CURSOR = "{kind: cursor, cursor: next, param: page, rows: rows}"


def linked(asked: VendorRequest) -> VendorResponse:
    """Answer with one of nine pages, each with one byte of traffic."""
    page = int(asked.argument("page", "1"))
    more = {"next": f"{asked.origin}/usage?page={page + 1}"} if page < PAGES else {}
    return rows(row(used=1), **more)


def spoilt(
    page: int, answer: Callable[[VendorRequest], VendorResponse]
) -> Callable[[VendorRequest], VendorResponse]:
    """Return `linked` with another answer on one page."""
    return lambda asked: (
        answer(asked) if asked.argument("page", "1") == str(page) else linked(asked)
    )


@asynccontextmanager
async def polled(
    meter: MeteredVendor, folder: Path, paging: str = ""
) -> AsyncIterator[EngineHarness]:
    async with meter.vendor:
        path = write_config(folder, target(meter))
        usual = "{kind: next_url, next: next}"
        (folder / "meter.yaml").write_text(DEFINITION.replace(usual, paging or usual))
        async with running(plan_of(path)) as harness:
            yield harness


@adjustable_clock
async def test_a_refusal_on_page_7_of_9_keeps_the_sum_and_is_waited_for(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=linked)
    async with polled(meter, tmp_path) as harness:
        assert (await harness.first()).get("usage_bytes") == 9
        again = {"Retry-After": "1200"}
        meter.answers["usage"] = spoilt(7, lambda _: json_response({}, status=429, headers=again))
        seen = await harness.go(1400)
        assert len(meter.asked) == PAGES + 7
        assert (seen.get("usage_bytes"), seen.get("usage_up")) == (9, 0)
        meter.answers["usage"] = linked
        seen = await harness.go(200)
        assert len(meter.asked) == PAGES + 7 + PAGES
        assert (seen.get("usage_bytes"), seen.get("usage_up")) == (9, 1)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda _: json_response({"detail": "no such page"}, status=404), id="missing"),
        pytest.param(
            lambda asked: rows(row(used=1), next=f"{asked.origin}/usage?page=2"), id="loop"
        ),
        pytest.param(lambda _: json_response({"lines": []}), id="other shape"),
    ],
)
def test_a_last_page_that_is_none_is_no_smaller_sum(
    tmp_path: Path, answer: Callable[[VendorRequest], VendorResponse]
) -> None:
    @adjustable_clock
    async def story() -> None:
        meter = MeteredVendor(usage=linked)
        async with polled(meter, tmp_path) as harness:
            await harness.first()
            meter.answers["usage"] = spoilt(PAGES, answer)
            seen = await harness.go(310)
            assert (seen.get("usage_bytes"), seen.get("usage_up")) == (9, 0)

    story()


@adjustable_clock
async def test_a_total_that_changes_between_pages_is_no_smaller_sum(tmp_path: Path) -> None:
    def page(asked: VendorRequest) -> VendorResponse:
        number = int(asked.argument("page", "1"))
        counted = 4 if number == 1 or not changed else 3
        left = 2 if number == 1 or not changed else 1
        return rows(*[row(used=1)] * left, total=counted)

    changed: list[bool] = []
    meter = MeteredVendor(usage=page)
    async with polled(meter, tmp_path, NUMBERED) as harness:
        assert (await harness.first()).get("usage_bytes") == 4
        changed.append(True)
        seen = await harness.go(310)
        assert (seen.get("usage_bytes"), seen.get("usage_up")) == (4, 0)
        assert harness.reasons() == {"home": Reason.PAGING}


@adjustable_clock
async def test_an_empty_page_in_the_middle_is_no_end_where_the_vendor_counts(
    tmp_path: Path,
) -> None:
    def page(asked: VendorRequest) -> VendorResponse:
        number = int(asked.argument("page", "1"))
        found = [] if number == 2 else [row(used=1)]
        return json_response({"rows": found, "pages": 3})

    counted = "{kind: page_number, param: page, rows: rows, total_pages: pages}"
    meter = MeteredVendor(usage=page)
    async with polled(meter, tmp_path, counted) as harness:
        assert (await harness.first()).get("usage_bytes") == 2


@adjustable_clock
async def test_a_cursor_that_comes_again_is_no_sum(tmp_path: Path) -> None:
    def page(asked: VendorRequest) -> VendorResponse:
        following = {"": "a", "a": "b", "b": "a" if stuck else ""}[asked.argument("page", "")]
        return rows(row(used=1), next=following)

    stuck: list[bool] = []
    meter = MeteredVendor(usage=page)
    async with polled(meter, tmp_path, CURSOR) as harness:
        assert (await harness.first()).get("usage_bytes") == 3
        stuck.append(True)
        seen = await harness.go(310)
        assert (seen.get("usage_bytes"), seen.get("usage_up")) == (3, 0)
        assert harness.reasons() == {"home": Reason.PAGING}
