"""What a vendor's names and rows may do to the series: nothing that breaks a scrape."""

from pathlib import Path
from typing import Any

import pytest

from exporter.demo.server import VendorResponse, json_response
from tests.support.adjustable_clock import adjustable_clock
from tests.support.engine_harness import one_target, plan_of, running
from tests.support.metered_vendor import DEFINITION, MeteredVendor, row, rows, target, write_config
from tests.support.parsed_exposition import ParsedExposition

ITEMS = (
    "items: [{resource: traffic, group: part, each: rows, item: part, used: used, unit: bytes}]\n"
)
ODD = ['say "hi"', "back\\slash", "two\nlines", "x" * 10_000, "half \ud83d of a pair", "é日本"]


async def shown(
    meter: MeteredVendor, folder: Path, definition: str = "", **more: Any
) -> ParsedExposition:
    """Return what is published after a first poll."""
    async with meter.vendor:
        path = write_config(folder, target(meter, **more))
        (folder / "meter.yaml").write_text(definition or DEFINITION + ITEMS)
        async with running(plan_of(path)) as harness:
            return await harness.first()


@adjustable_clock
async def test_odd_names_are_labels_that_prometheus_reads(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=rows(*[row(used=1, part=name) for name in ODD]))
    seen = await shown(meter, tmp_path, items=True)
    names = {one.labels["item"] for one in seen.all("usage_item_bytes")}
    assert names == {
        'say "hi"',
        "back\\slash",
        "two lines",
        "x" * 128,
        "half � of a pair",
        "é日本",
    }
    assert seen.get("usage_bytes") == len(ODD)


@adjustable_clock
async def test_bytes_that_are_no_utf8_cost_no_more_than_a_letter(tmp_path: Path) -> None:
    body = b'{"rows": [{"name": "traffic", "used": 1, "part": "caf\xe9"}]}'
    seen = await shown(MeteredVendor(usage=VendorResponse(body=body)), tmp_path, items=True)
    assert seen.get("usage_item_bytes", item="caf�") == 1


@adjustable_clock
async def test_over_the_cap_the_totals_stay_then_the_largest_parts(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=rows(*[row(used=used, part=f"part {used}") for used in range(100)]))
    seen = await shown(meter, tmp_path, items=True, max_series=20)
    parts = [one.value for one in seen.all("usage_item_bytes")]
    assert seen.get("usage_bytes") == sum(range(100))
    assert seen.get("usage_ratio") is not None
    assert 3 <= len(parts) < 20
    assert sorted(parts, reverse=True) == [99.0 - place for place in range(len(parts))]


@pytest.mark.parametrize(
    ("reduce", "value"),
    [("reduce: sum", 12), ("reduce: max", 9), ("reduce: last", 3), ("", None)],
    ids=["sum", "max", "last", "refused"],
)
def test_two_rows_of_one_series_are_what_the_definition_says(
    tmp_path: Path, reduce: str, value: float | None
) -> None:
    @adjustable_clock
    async def story() -> None:
        meter = MeteredVendor(usage=rows(row(used=9), row(used=3)))
        definition = DEFINITION.replace("    reduce: sum\n", f"    {reduce}\n" if reduce else "", 1)
        seen = await shown(meter, tmp_path, definition)
        assert seen.get("usage_bytes", resource="traffic") == value
        assert seen.get("usage_up") == (value is not None)

    story()


@adjustable_clock
async def test_use_over_the_limit_and_limits_that_change_are_told_as_they_are(
    tmp_path: Path,
) -> None:
    meter = MeteredVendor(usage=rows(row(used=1500, limit=1000)))
    async with one_target(meter, tmp_path) as harness:
        over = await harness.first()
        meter.answers["usage"] = rows(row(used=1500, limit=2000))
        raised = await harness.go(310)
        meter.answers["usage"] = rows(row(used=1500, limit=500))
        below = await harness.go(310)
        meter.answers["usage"] = rows(row(used=1500, limit=None))
        none = await harness.go(310)
    seen = [(one.get("usage_limit_bytes"), one.get("usage_ratio")) for one in (over, raised, below)]
    assert seen == [(1000, 1.5), (2000, 0.75), (500, 3)]
    assert none.get("usage_bytes") == 1500
    assert (none.get("usage_limit_bytes"), none.get("usage_ratio")) == (None, None)


@adjustable_clock
async def test_a_day_that_is_restated_corrects_the_sum(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=rows(row(used=100), row(used=50)))
    async with one_target(meter, tmp_path) as harness:
        before = await harness.first()
        meter.answers["usage"] = rows(row(used=80), row(used=50), row(used=5))
        after = await harness.go(310)
    assert (before.get("usage_bytes"), after.get("usage_bytes")) == (150, 135)


@adjustable_clock
async def test_a_credit_is_negative_and_no_share_of_a_limit_is_invented(tmp_path: Path) -> None:
    meter = MeteredVendor(
        usage=json_response({"rows": [{**row(), "used": "-0.5"}, {**row("zero"), "used": "-0"}]})
    )
    seen = await shown(meter, tmp_path, DEFINITION)
    assert seen.get("usage_bytes", resource="traffic") == -0.5
    assert seen.get("usage_projected_bytes", resource="traffic") is None
    assert 'resource="zero"} 0\n' in seen.text
