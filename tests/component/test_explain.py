"""``explain``: a poll step by step, also when it fails, however large it is, without secrets."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from exporter.app.explain import MOST_ACCOUNTS, MOST_EXCHANGES, MOST_SERIES, Explanation, explain
from exporter.config.plan import load_text
from exporter.demo.server import Close, Pause, VendorRequest, VendorResponse, json_response
from exporter.model.target import Plan
from tests.support.secret_leaks import leaks
from tests.support.vendor import Reply, Vendor

DEFINITION = """\
title: Acme
collectors:
  usage:
    title: What was used
    request: {path: /usage, query: {since: "{month.start:date}"}}
    PAGING
    success: {error: [oops], absent: [404]}
credentials: {token: {description: The key.}}
auth: AUTH
resources:
  - {name: "{line.name}", each: {path: rows, as: line}, unit: GB, reduce: sum, used: line.used,
     limit: {path: line.limit, unlimited: [-1]}}
"""
KEY = "canary/key+of=the-test"


async def story(
    folder: Path,
    *replies: Reply | Any,
    old: str = "",
    new: str = "",
    auth: str = "{kind: bearer}",
    paging: str = "",
    more: str = "",
    **settings: Any,
) -> tuple[Explanation, Vendor]:
    """Tell the poll of a target at a vendor that answers with `replies`."""
    text = DEFINITION.replace("AUTH", auth).replace(
        "    PAGING\n", f"    {paging}\n" * bool(paging)
    )
    (folder / "acme.yaml").write_text(text.replace(old, new) + more)
    async with Vendor(*replies) as vendor:
        target: dict[str, Any] = {"name": "home", "provider": "acme", "base_url": vendor.base_url}
        target |= {"credentials": {"token": KEY}, **settings}
        config = {"providers": {"files": ["acme.yaml"]}, "targets": [target]}
        plan = load_text(json.dumps(config), name="c", directory=str(folder), environ={})
        assert isinstance(plan, Plan), plan
        return await explain(plan.targets["home"]), vendor


def text(told: Explanation) -> str:
    return "\n".join(told.lines)


def rows(*found: dict[str, Any], **more: Any) -> VendorResponse:
    return json_response({"rows": list(found), **more})


async def test_a_good_poll_is_told_from_the_request_to_the_series(tmp_path: Path) -> None:
    answer = rows({"name": "disk", "used": 2.5, "limit": -1}, {"name": "apiCalls", "used": 4})
    told, vendor = await story(tmp_path, answer, params={})
    assert not told.failed
    for line in (
        "collector usage: What was used (every 5m)",
        "      Authorization: Bearer <secret>",
        "  answer, 1 page",
        "          [0]: map of 3",
        '            name: "disk"',
        "      {line.name} used: rows / line.used: 2 of 2 rows: sum",
        "          disk: the number 2.5 → 2.5 GB = 2500000000 bytes",
        "          api_calls: the number 4 → 4 GB = 4000000000 bytes",
        "      {line.name} limit: rows / line.limit: 1 of 2 rows",
        "          disk: the number -1 → no limit",
        '  usage_bytes{provider="acme",account="home",resource="disk"} 2500000000',
    ):
        assert line in told.lines
    assert f"  → GET {vendor.base_url}/usage?since=" in text(told)
    assert "  ← 200, " in text(told)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (
            json_response({"oops": "no such team"}, status=400),
            ['      {"oops":"no such team"}', "✗ http_4xx: ", "no such team"],
        ),
        (
            json_response({"detail": "slow"}, status=429, headers={"Retry-After": "90"}),
            ["retry-after: 90", "✗ rate_limited: ", "the vendor says: come again in 90 s"],
        ),
        (VendorResponse(body=b"<html><title>Sorry</title>"), ["✗ not_json: ", "Sorry"]),
        ((Close(),), ["← no answer, after ", "✗ connect: "]),
        (
            rows({"name": "disk", "used": "plenty"}),
            [
                'disk: the text "plenty" ✗ the text "plenty" is not a finite number',
                '✗ schema: resources[{line.name}].disk.used: path "line.used": the text "plenty"',
            ],
        ),
        (
            json_response({"lines": []}),
            ['rows: ✗ path "rows": there is no list here', "✗ schema: ", "lines: list of 0"],
        ),
        (
            rows({"name": "disk", "size": 1}),
            ["{line.name} used: rows / line.used: nothing in 1 row(s)", "size: 1"],
        ),
    ],
    ids=["refused", "throttled", "html", "closed", "no number", "no list", "renamed"],
)
async def test_a_failure_is_told_with_its_place(
    tmp_path: Path, reply: Reply, words: list[str]
) -> None:
    told, _ = await story(tmp_path, reply)
    assert told.failed or "nothing in 1 row(s)" in text(told)
    for word in words:
        assert word in text(told), text(told)
    if told.failed:
        assert "series (0)" in told.lines


async def test_a_failure_on_a_late_page_names_the_page(tmp_path: Path) -> None:
    paging = "paging: {kind: next_url, next: next}"
    told, _ = await story(
        tmp_path,
        rows({"name": "a", "used": 1}, next="/v/usage?page=2"),
        json_response({"oops": "gone"}, status=500),
        paging=paging,
    )
    assert told.failed
    assert "✗ http_5xx: page 2: " in text(told)
    assert '      {"oops":"gone"}' in told.lines
    assert text(told).count("  → GET ") == 2


async def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_a_poll(
    tmp_path: Path,
) -> None:
    told, _ = await story(tmp_path, (Pause(30.0), Close()), poll_timeout="200ms")
    assert told.failed
    assert "✗ timeout: no complete answer within 200ms" in text(told)


async def test_nothing_there_is_told_as_such(tmp_path: Path) -> None:
    told, _ = await story(tmp_path, json_response({}, status=404))
    assert not told.failed
    assert "  answer: the vendor says that there is none" in told.lines


ACCOUNTS = """\
accounts: {collector: {request: {path: /accounts}}, each: accounts, id: id, label: name}
"""


async def test_each_account_is_told_up_to_a_few(tmp_path: Path) -> None:
    def reply(asked: VendorRequest) -> VendorResponse:
        if asked.path == "/accounts":
            return json_response({"accounts": [{"id": n, "name": f"team {n}"} for n in range(9)]})
        return rows({"name": "disk", "used": int(asked.path.rpartition("/")[2])})

    told, _ = await story(
        tmp_path, reply, old="/usage,", new='"/usage/{account.id}",', more=ACCOUNTS
    )
    assert not told.failed
    assert "  answer of account team 1, 1 page" in told.lines
    assert "  paths of account team 1" in told.lines
    assert "          disk: the number 1 → 1 GB = 1000000000 bytes" in told.lines
    assert f"  … and {9 - MOST_ACCOUNTS} more accounts, read in the same way" in told.lines
    assert '  usage_bytes{provider="acme",account="home/team 8",resource="disk"} 8000000000' in (
        told.lines
    )


async def test_many_pages_are_told_by_the_first_and_the_last(tmp_path: Path) -> None:
    number = itertools.count(2)

    def reply(asked: VendorRequest) -> VendorResponse:
        here = next(number)
        link = f"/v/usage?page={here}" if here <= 30 else None
        return rows({"name": "disk", "used": 1}, next=link)

    told, _ = await story(tmp_path, reply, paging="paging: {kind: next_url, next: next}")
    assert not told.failed
    assert text(told).count("  → GET ") == MOST_EXCHANGES
    assert f"  … {30 - MOST_EXCHANGES} more requests of this kind" in told.lines
    assert "/v/usage?page=30" in text(told)


async def test_a_huge_answer_makes_a_short_story(tmp_path: Path) -> None:
    names = [{"name": f"thing{n}", "used": n, f"extra{n}": "x" * 500} for n in range(900)]
    told, _ = await story(tmp_path, rows(*names), max_series=10_000)
    assert len(text(told)) < 30_000
    assert "          … 897 more" in told.lines
    series = [line for line in told.lines if line.startswith("  usage_")]
    assert len(series) == MOST_SERIES
    assert told.lines[-1].endswith("more: once --target=home has all")


LOG_IN = """{kind: login, token: access,
  request: {method: POST, path: /login, json: {k: "{credentials.token}"}}}"""


@pytest.mark.parametrize(
    "auth",
    [
        "{kind: bearer}",
        "{kind: bearer, scheme: Token}",
        '{kind: header, headers: {X-Acme-Thing: "{credentials.token}"}}',
        '{kind: query, query: {q: "{credentials.token}"}}',
        '{kind: basic, username: "{credentials.token}", password: "{credentials.token}"}',
        LOG_IN,
    ],
    ids=["bearer", "scheme", "header", "query", "basic", "login"],
)
async def test_no_secret_is_told_wherever_it_goes_and_comes_back(tmp_path: Path, auth: str) -> None:
    secrets = [KEY]

    def reply(asked: VendorRequest) -> VendorResponse:
        if asked.path == "/login":
            secrets.append("issued-canary/token==")
            return json_response({"access": secrets[-1], "note": KEY})
        echo = " ".join(secrets)
        return rows({"name": echo, "used": echo, echo: echo}, plan=echo, next=f"/?{KEY}")

    told, vendor = await story(tmp_path, reply, auth=auth, more="plan: plan\n")
    assert vendor.asked
    assert leaks(text(told), secrets) == []
    assert "<secret>" in text(told)
