"""Answers that are not whole, from vendors over real sockets: they fail, and nothing is summed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.config.credentials import SecretReader
from exporter.config.plan import load_plan
from exporter.demo.server import VendorRequest, VendorResponse, json_response
from exporter.fetch.client import Client
from exporter.mapping.read import read_payload
from exporter.model.outcome import Failure, Reason
from exporter.model.reading import Reading
from exporter.model.target import Rejected
from tests.support.engine_harness import plan_of
from tests.support.vendor import NOW, Vendor

TPSTREAMS: dict[str, Any] = {
    "provider": "tpstreams",
    "credentials": {"token": "test-token"},
    "params": {"organization_id": "k7w2qd"},
}


async def polled(
    folder: Path, vendor: Vendor, target: Mapping[str, Any], definition: str = ""
) -> Reading | Failure:
    """Poll a target once, and return what came of it."""
    (folder / "acme.yaml").write_text(definition)
    files = {"providers": {"files": ["acme.yaml"]}} if definition else {}
    async with vendor:
        known = [{"name": "t", "base_url": vendor.base_url, **target}]
        path = folder / "config.yaml"
        path.write_text(json.dumps({"targets": known, **files}))
        found = plan_of(path).targets["t"]
        reader = SecretReader(os.environ)
        async with Client(read_secret=reader.read, wall=lambda: NOW) as client:
            fetched = await client.fetch(found, found.definition.collectors["usage"], at=NOW)
    if isinstance(fetched.result, Failure):
        return fetched.result
    assert isinstance(fetched.result, tuple)
    return read_payload(found, "usage", fetched.result, NOW)


def used(reading: Reading | Failure, name: str) -> float:
    assert isinstance(reading, Reading), reading.detail
    (found,) = [one.used for one in reading.usages if one.resource == name]
    assert found is not None
    return found


def day(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": 91000 + number,
        "date": f"2026-11-{number:02}",
        "bandwidth_used": 1000,
        "subtitle_generation_cost": 0,
        "live_stream_usage": 0,
        "active_storage_bytes": 1,
        "deleted_storage_bytes": 1,
        "total_storage_bytes": 2,
        **more,
    }


def listed(*pages: tuple[int | None, list[int]], last: Mapping[str, Any]) -> Vendor:
    """Return a vendor whose pages have a count and days; the last one ends as `last` says."""

    def answer(asked: VendorRequest) -> VendorResponse:
        number = int(asked.argument("page", "1"))
        count, days = pages[number - 1]
        more = {"next": f"{asked.origin}{asked.path}?page={number + 1}"}
        document = {"count": count, "results": [day(one) for one in days]}
        return json_response({**document, **(more if number < len(pages) else last)})

    return Vendor(answer)


END: dict[str, Any] = {"next": None}


@pytest.mark.parametrize(
    ("vendor", "words"),
    [
        (listed((15, [1, 2, 3, 4, 5, 6]), (15, []), last=END), "9 rows are missing"),
        (listed((30, [1, 2, 3]), last=END), "27 rows are missing"),
        (listed((30, [1, 2, 3]), last={}), '"next" is not there'),
        (listed((3, [1, 2, 3]), last={}), '"next" is not there'),
        (listed((None, [1, 2]), (2, [3]), last=END), "3 rows came, more than the 2"),
        (listed((6, [6, 5, 4]), (5, [2, 1]), last=END), "was 6 on the page before and is 5"),
        (listed((5, [6, 5, 4]), (6, [3, 2, 1]), last=END), "was 5 on the page before and is 6"),
        (listed((6, [6, 5, 4]), (6, [4, 3, 2]), last=END), "the row with 91004"),
        (listed((3, [3, 2, 2]), last=END), "the row with 91002"),
        (listed((2, [3, 2, 1]), last=END), "3 rows came, more than the 2"),
    ],
)
async def test_an_answer_that_is_not_whole_is_no_sum(
    tmp_path: Path, vendor: Vendor, words: str
) -> None:
    found = await polled(tmp_path, vendor, TPSTREAMS)
    assert isinstance(found, Failure)
    assert found.reason is Reason.PAGING
    assert words in found.detail


async def test_an_answer_that_is_whole_is_summed(tmp_path: Path) -> None:
    vendor = listed((6, [6, 5, 4]), (6, [3, 2, 1]), last=END)
    assert used(await polled(tmp_path, vendor, TPSTREAMS), "bandwidth") == 6000


ACME = """\
title: Acme
collectors:
  usage:
    request: {path: /usage}
    paging: PAGING
resources:
  - {name: calls, each: rows, used: n, reduce: sum}
period: {cycle: month}
"""
NUMBERED = "kind: page_number, param: page, size_param: size, rows: rows"
SKIPPED = "kind: offset, param: skip, limit_param: size, rows: rows"


def clamped(total: int, most: int) -> Vendor:
    """Return a vendor that gives `most` rows a page, whatever it is asked for."""

    def answer(asked: VendorRequest) -> VendorResponse:
        place = (int(asked.argument("page", "1")) - 1) * most
        place = int(asked.argument("skip", str(place)))
        rows = [{"n": 1}] * total
        mine = rows[place : place + most]
        return json_response({"rows": mine, "count": len(mine), "total": total})

    return Vendor(answer)


@pytest.mark.parametrize(("total", "most"), [(243, 100), (200, 100), (7, 3), (5, 50), (0, 10)])
@pytest.mark.parametrize(
    "paging",
    [
        f"{{{NUMBERED}, size: 500}}",
        f"{{{SKIPPED}, limit: 500}}",
        f"{{{NUMBERED}, size: 500, total_rows: total}}",
        f"{{{SKIPPED}, limit: 500, total_rows: total}}",
    ],
)
async def test_a_vendor_may_give_fewer_rows_than_asked_for(
    tmp_path: Path, total: int, most: int, paging: str
) -> None:
    definition = ACME.replace("PAGING", paging)
    found = await polled(tmp_path, clamped(total, most), {"provider": "acme"}, definition)
    assert used(found, "calls") == total


async def test_a_short_page_in_the_middle_is_not_the_last(tmp_path: Path) -> None:
    sizes = {"1": 100, "2": 97, "3": 100, "4": 3}
    vendor = Vendor(
        lambda asked: json_response({"rows": [{"n": 1}] * sizes.get(asked.argument("page"), 0)})
    )
    definition = ACME.replace("PAGING", f"{{{NUMBERED}, size: 100}}")
    found = await polled(tmp_path, vendor, {"provider": "acme"}, definition)
    assert used(found, "calls") == 300


@pytest.mark.parametrize("paging", [f"{NUMBERED}, size: 100", f"{SKIPPED}, limit: 500"])
async def test_a_count_of_the_page_is_no_count_of_all_rows(tmp_path: Path, paging: str) -> None:
    definition = ACME.replace("PAGING", f"{{{paging}, total_rows: count}}")
    found = await polled(tmp_path, clamped(243, 100), {"provider": "acme"}, definition)
    assert isinstance(found, Failure)
    assert found.reason is Reason.PAGING


PLAIN = """\
title: Acme
collectors:
  usage:
    request: {path: /usage QUERY}
    success: {accepted: [200, 206]}
    complete: COMPLETE
resources:
  - {name: calls, each: rows, used: n, reduce: sum}
period: {cycle: month}
"""
MORE: list[tuple[dict[str, Any], dict[str, str], int, str]] = [
    ({"next": "/usage?page=2"}, {}, 200, '"next"'),
    ({"nextCursor": "abc"}, {}, 200, '"nextCursor"'),
    ({"meta": {"pagination": {"next_page": 2}}}, {}, 200, '"meta.pagination.next_page"'),
    ({"_links": {"next": {"href": "?page=2"}}}, {}, 200, '"_links.next"'),
    ({"@odata.nextLink": "https://x.example/2"}, {}, 200, '"@odata.nextLink"'),
    ({"has_more": True}, {}, 200, '"has_more"'),
    ({"pageInfo": {"hasNextPage": True}}, {}, 200, '"pageInfo.hasNextPage"'),
    ({}, {"Link": '<?page=2>; rel="next"'}, 200, "Link"),
    ({}, {}, 206, "206"),
    ({}, {"Next-Range": "id x..; max=100"}, 200, "Next-Range"),
]
WHOLE: list[dict[str, Any]] = [
    {},
    {"next": None, "has_more": False},
    {"next": ""},
    {"next": "2026-12-01"},
    {"_links": {"self": {"href": "/usage"}, "next": None}},
    {"plan": {"next": "/upgrade"}},
]


def plain(complete: str, query: str = "") -> str:
    return PLAIN.replace("COMPLETE", complete).replace(" QUERY", query)


@pytest.mark.parametrize(("more", "headers", "status", "sign"), MORE)
async def test_an_answer_that_continues_is_noted_or_fails(
    tmp_path: Path, more: dict[str, Any], headers: dict[str, str], status: int, sign: str
) -> None:
    answer = json_response({"rows": [{"n": 1}], **more}, status=status, headers=headers)
    target = {"provider": "acme"}
    noted = await polled(tmp_path, Vendor(answer), target, plain("expected"))
    assert used(noted, "calls") == 1
    assert isinstance(noted, Reading)
    (note,) = noted.notes
    assert note.reason == "continues"
    assert sign in note.detail
    failed = await polled(tmp_path, Vendor(answer), target, plain("required"))
    assert isinstance(failed, Failure)
    assert failed.reason is Reason.PAGING
    assert sign in failed.detail
    wanted = await polled(tmp_path, Vendor(answer), target, plain("optional"))
    assert isinstance(wanted, Reading)
    assert wanted.notes == ()


@pytest.mark.parametrize("more", WHOLE)
async def test_an_answer_that_ends_is_whole(tmp_path: Path, more: dict[str, Any]) -> None:
    answer = json_response({"rows": [{"n": 1}], **more})
    found = await polled(tmp_path, Vendor(answer), {"provider": "acme"}, plain("required"))
    assert isinstance(found, Reading), found.detail
    assert found.notes == ()


@pytest.mark.parametrize("name", ["limit", "per_page", "pageSize", "page[size]", "$top"])
async def test_a_list_as_long_as_its_limit_counts_as_cut(tmp_path: Path, name: str) -> None:
    def definition(complete: str) -> str:
        return plain(complete, f', query: {{"{name}": 3}}')

    target = {"provider": "acme"}
    cut = json_response({"rows": [{"n": 1}] * 3})
    failed = await polled(tmp_path, Vendor(cut), target, definition("expected"))
    assert isinstance(failed, Failure)
    assert failed.reason is Reason.PAGING
    assert '"rows" has 3 rows' in failed.detail
    wanted = await polled(tmp_path, Vendor(cut), target, definition("optional"))
    assert used(wanted, "calls") == 3
    short = json_response({"rows": [{"n": 1}] * 2})
    assert used(await polled(tmp_path, Vendor(short), target, definition("expected")), "calls") == 2


def dated(*dates: str) -> Vendor:
    days = [day(index, date=one) for index, one in enumerate(dates)]
    return Vendor(json_response({"count": len(days), "next": None, "results": days}))


@pytest.mark.parametrize("date", ["2026-10-31", "2026-10-01", "2026-12-01", "2025-11-15"])
async def test_a_row_of_another_month_is_no_use_of_this_one(tmp_path: Path, date: str) -> None:
    found = await polled(tmp_path, dated("2026-11-14", date, "2026-11-15"), TPSTREAMS)
    assert isinstance(found, Failure)
    assert found.reason is Reason.SCHEMA
    assert f'a row of the text "{date}"' in found.detail


@pytest.mark.parametrize(
    ("params", "dates"),
    [
        ({}, ["2026-11-01", "2026-11-30"]),
        ({"start": "2026-09-01", "time_frame": "monthly"}, ["2026-09-01", "2026-11-01"]),
        ({"start": "2026-09-12", "time_frame": "monthly"}, ["2026-09-01", "2026-11-01"]),
        ({"start": "", "end": ""}, ["2024-01-01", "2027-01-01"]),
        ({"year": "2024"}, ["2024-01-01"]),
        ({"end": "2026-11-14"}, ["2026-11-14"]),
    ],
)
async def test_a_row_that_was_asked_for_is_summed(
    tmp_path: Path, params: dict[str, str], dates: list[str]
) -> None:
    target = {**TPSTREAMS, "params": {**TPSTREAMS["params"], **params}}
    found = await polled(tmp_path, dated(*dates), target)
    assert used(found, "bandwidth") == 1000 * len(dates)


@pytest.mark.parametrize(
    ("within", "dates", "fits"),
    [
        ('start: "{month.start:epoch}"', [1793491200, 1794744000], True),
        ('start: "{month.start:epoch}"', [1793491199], False),
        ('end: "{month.end:rfc3339}"', ["2026-11-30T23:59:59Z", "1999-01-01T00:00:00Z"], True),
        ('end: "{month.end:rfc3339}"', ["2026-12-01T00:00:00Z"], False),
        ('end: "{today:date}", inclusive_end: true', ["2026-11-15T23:00:00Z"], True),
        ('end: "{today:date}", inclusive_end: true', ["2026-11-16"], False),
        ('start: "{month.start:date}"', [None, ""], True),
    ],
)
async def test_rows_are_checked_against_the_asked_range(
    tmp_path: Path, within: str, dates: list[object], *, fits: bool
) -> None:
    asked = f"within: {{rows: rows, date: t, {within}}}"
    definition = plain("expected").replace("complete: expected", asked)
    answer = json_response({"rows": [{"n": 1, "t": one} for one in dates]})
    found = await polled(tmp_path, Vendor(answer), {"provider": "acme"}, definition)
    if fits:
        assert used(found, "calls") == len(dates)
    else:
        assert isinstance(found, Failure)
        assert "asked for" in found.detail


async def test_a_range_without_a_side_is_refused(tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text(
        plain("expected").replace("complete: expected", "within: {rows: rows, date: t}")
    )
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps({"providers": {"files": ["acme.yaml"]}, "targets": []}))
    found = load_plan(str(path), environ={})
    assert isinstance(found, Rejected)
    assert any("Nothing is asked for" in str(problem) for problem in found.problems)
