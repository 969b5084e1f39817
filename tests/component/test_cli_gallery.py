"""Bad input, end to end: ``once`` as a process, and a line for each that says what is wrong."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.demo.server import (
    FakeVendor,
    FakeVendors,
    VendorRequest,
    VendorResponse,
    json_response,
)
from tests.support.cli_process import Done, once
from tests.support.vendor import NOW

ROW = {
    "date": "2026-11-15",
    "bandwidth_used": 2_000,
    "subtitle_generation_cost": 0.5,
    "live_stream_usage": 60,
    "active_storage_bytes": 30,
    "deleted_storage_bytes": 10,
    "total_storage_bytes": 40,
}


def page(*rows: Mapping[str, Any], following: str | None = None, **more: Any) -> VendorResponse:
    return json_response({"count": 1, "next": following, "results": [*rows], **more})


def raw(body: bytes, kind: str = "application/json") -> VendorResponse:
    return VendorResponse(headers=(("Content-Type", kind),), body=body)


def to_itself(asked: VendorRequest) -> VendorResponse:
    query = "&".join(f"{name}={value}" for name, value in asked.query)
    return page(ROW, following=f"{asked.origin}{asked.path}?{query}")


def deep_inside(levels: int) -> VendorResponse:
    return raw(b'{"results": [], "x": ' + b"[" * levels + b"]" * levels + b"}")


BAD: Mapping[str, tuple[Callable[[VendorRequest], VendorResponse], str, str]] = {
    "html": (
        lambda asked: raw(b"<html><title>Sign in</title></html>", "text/html"),
        "not_json",
        "HTML or XML instead of JSON",
    ),
    "truncated": (
        lambda asked: raw(page(ROW).body[:100]),
        "not_json",
        "truncated",
    ),
    "nan": (
        lambda asked: raw(b'{"results": [{"bandwidth_used": NaN}]}'),
        "not_json",
        "NaN and Infinity are not JSON",
    ),
    "empty": (lambda asked: raw(b""), "not_json", "the body is empty"),
    "null": (lambda asked: raw(b"null"), "schema", "there is no list here"),
    "null_value": (
        lambda asked: page(ROW | {"bandwidth_used": None}),
        "schema",
        "bandwidth_used",
    ),
    "missing": (
        lambda asked: page({"date": "2026-11-15"}),
        "schema",
        "bandwidth_used",
    ),
    "no_rows": (lambda asked: json_response({"count": 0}), "schema", "results"),
    "rows_as_text": (
        lambda asked: json_response({"results": "none"}),
        "schema",
        'the text "none" in the place of a list',
    ),
    "words": (
        lambda asked: page(ROW | {"bandwidth_used": "plenty"}),
        "schema",
        'the text "plenty" is not a finite number',
    ),
    "too_large": (
        lambda asked: page(ROW, filler="x" * 10_000_000),
        "too_large",
        "8388608 are allowed",
    ),
    "deep": (lambda asked: deep_inside(100_000), "not_json", "nested too deeply"),
    "next_elsewhere": (
        lambda asked: page(ROW, following="https://attacker.example/next"),
        "paging",
        "goes to another host, attacker.example",
    ),
    "next_is_itself": (to_itself, "paging", "is one that was read already"),
}
FINE: Mapping[str, Callable[[VendorRequest], VendorResponse]] = {
    "texts": lambda asked: page({name: str(value) for name, value in ROW.items()}),
    "large": lambda asked: page(ROW, filler="x" * 5_000_000),
    "nested": lambda asked: raw(
        page(ROW, x=1).body.replace(b'"x":1', b'"x":' + b"[" * 50 + b"]" * 50)
    ),
    "as_html": lambda asked: raw(page(ROW).body, "text/html"),
    "with_a_mark": lambda asked: raw(b"\xef\xbb\xbf" + page(ROW).body),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return asyncio.run(play(tmp_path_factory.mktemp("gallery")))


def vendor(answer: Callable[[VendorRequest], VendorResponse]) -> FakeVendor:
    return lambda asked, now: answer(asked)


async def play(folder: Path) -> Done:
    answers = {name: answer for name, (answer, _, _) in BAD.items()} | dict(FINE)
    vendors = {name: vendor(answer) for name, answer in answers.items()}
    async with FakeVendors(vendors, wall=lambda: NOW) as server:
        targets = [
            {
                "name": name,
                "provider": "tpstreams",
                "base_url": f"{server.origin}/{name}",
                "credentials": {"token": "test-token"},
                "params": {"organization_id": "k7w2qd"},
            }
            for name in vendors
        ]
        path = folder / "config.yaml"
        path.write_text(json.dumps({"targets": targets}))
        return await once(path)


def test_it_ends_with_5(done: Done) -> None:
    assert done.code == 5


@pytest.mark.parametrize("name", BAD)
def test_bad_input_says_what_is_wrong(done: Done, name: str) -> None:
    _, reason, words = BAD[name]
    seen = done.exposed()
    assert seen.failed(name) == {reason: 1}
    assert seen.get("usage_up", account=name) == 0
    assert seen.all("usage_bytes", account=name) == []
    line = done.line("level=warn", f"account={name} ")
    assert f"reason={reason}" in line
    assert words in line.replace('\\"', '"')


@pytest.mark.parametrize("name", FINE)
def test_odd_input_is_read(done: Done, name: str) -> None:
    seen = done.exposed()
    assert seen.failed(name) == {}
    assert seen.get("usage_up", account=name) == 1
    assert seen.get("usage_bytes", account=name, resource="bandwidth") == 2000
    assert seen.get("usage_cost", account=name) == 0.5


def test_each_reason_is_told_in_its_own_words(done: Done) -> None:
    told = [line.partition("err=")[2] for line in done.err.splitlines()]
    assert len(told) == len(BAD)
    # A field that is null is as good as one that is not there, and so is a whole answer.
    assert len(set(told)) == len(told) - 2
