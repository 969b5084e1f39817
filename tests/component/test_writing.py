"""The walk-through of docs/providers/writing.md, step by step, on a vendor of its own."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from exporter.app import replay as answers
from exporter.config.library import compile_text
from exporter.demo.server import VendorRequest, VendorResponse, json_response
from exporter.kernel.templates import DATE_WORDS, FORMATS, ROOTS, TOKEN
from exporter.kernel.units import find_unit
from exporter.kernel.yamlfile import parse_yaml
from exporter.model.definition.provider import DefinitionText
from exporter.model.target import Rejected
from tests.support.markdown import ROOT, Block, blocks, code, rows
from tests.support.vendor import NOW, Vendor

PAGE = ROOT / "docs" / "providers" / "writing.md"
TEXT = PAGE.read_text("utf-8")
API = "https://api.pigeon.example"
CURL = f"""\
#!{sys.executable}
import sys, urllib.request
words = sys.argv[1:]
headers = [words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H"]
out = words[words.index("-o") + 1]
url = next(word for word in words if word.startswith("http"))
request = urllib.request.Request(url, headers=dict(headers))
open(out, "wb").write(urllib.request.urlopen(request, timeout=10).read())
"""
EXPORTER = f"""\
#!/bin/sh
exec {sys.executable} -m tests.support.cli_fixed_clock {NOW} "$@"
"""


class Walk:
    """A reader who types what the page says, in a folder of his own."""

    def __init__(self, folder: Path, address: str) -> None:
        self.told = ""
        self.listings: list[tuple[str, str]] = []
        self._address = address
        self._here = folder
        self._marker = folder / "cwd"
        tools = folder / "bin"
        tools.mkdir()
        for name, script in (("curl", CURL), ("usage-exporter", EXPORTER)):
            (tools / name).write_text(script)
            (tools / name).chmod(0o755)
        path = f"{tools}{os.pathsep}{os.environ['PATH']}"
        self._environ = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "NO_PROXY": "*"}

    async def step(self, block: Block) -> None:
        """Do what a block says."""
        text = block.text.replace(API, self._address)
        match block.kind:
            case "sh":
                await self._type(text)
            case "text":
                self._compare(text)
            case _:
                self._list(block.file, text)

    async def _type(self, text: str) -> None:
        script = f"set -euo pipefail\n{text}\npwd > {self._marker}\n"
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            script,
            cwd=self._here,
            env=self._environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        self.told = out.decode()
        assert process.returncode == 0, f"{text}\n{self.told}"
        self._here = Path(self._marker.read_text().strip())

    def _compare(self, text: str) -> None:
        """Find the lines in what was told; a line … stands for any number of others."""
        lines = iter(self.told.splitlines())
        gap = False
        for wanted in text.splitlines():
            if wanted == "…":
                gap = True
                continue
            start, _, end = wanted.partition("…")
            found = (one for one in lines if fits(one, start, end, whole="…" not in wanted))
            line = next(found, None) if gap else next(lines, "")
            assert line is not None, f"{wanted} is not in\n{self.told}"
            assert fits(line, start, end, whole="…" not in wanted), f"{wanted}\nis not\n{line}"
            gap = False
        assert gap or next(lines, None) is None, f"more was told than is shown:\n{self.told}"

    def _list(self, name: str, text: str) -> None:
        """Compare a listing with the file if it is a part of it, else write it."""
        assert name, f"which file is this?\n{text}"
        path = self._here / name
        is_part = path.exists() and text in path.read_text()
        self.listings.append((name, "compared" if is_part else "written"))
        if not is_part:
            path.write_text(text)


def fits(line: str, start: str, end: str, *, whole: bool) -> bool:
    return line == start if whole else line.startswith(start) and line.endswith(end)


def pigeon(asked: VendorRequest) -> VendorResponse:
    """Answer what the page says that it answers."""
    listing = next(one for one in blocks(TEXT) if one.kind == "json")
    signed = asked.headers.get("authorization") == "Bearer made-up-key"
    if not signed or asked.path != "/v1/usage":
        return json_response({"error": {"message": "no"}}, status=401 if not signed else 404)
    return VendorResponse(
        headers=(("Content-Type", "application/json"),), body=listing.text.encode()
    )


@pytest.mark.slow
async def test_every_step_of_the_walk_through_does_what_the_page_says(tmp_path: Path) -> None:
    async with Vendor(pigeon) as vendor:
        walk = Walk(tmp_path, vendor.base_url)
        for block in blocks(TEXT):
            await walk.step(block)
    assert walk.listings == [
        ("answers/usage.json", "compared"),
        ("pigeon.yaml", "compared"),
        ("pigeon.yaml", "written"),
        ("config.yaml", "written"),
    ]
    assert (tmp_path / "pigeon" / "provider.schema.json").exists()
    assert len(vendor.asked) == 3  # captured, once, explained


# ------------------------------------------------------------------------------- the reference

RESOURCE_ROWS = rows(TEXT, "the answer has", "write", "as in")
COLLECTOR_ROWS = rows(TEXT, "the vendor", "write", "as in")
DEFINITION = (
    "title: T\nbase_url: https://t.example\ncollectors:\n  usage: {request: {path: /u}COLLECTOR}\n"
)


def snippet(row: list[str]) -> str:
    (text,) = code(row[1])
    return text


def keys(tree: object) -> set[str]:
    if isinstance(tree, dict):
        return set(tree).union(*(keys(one) for one in tree.values()))
    return set().union(*(keys(one) for one in tree)) if isinstance(tree, list) else set()


@pytest.mark.parametrize("row", RESOURCE_ROWS, ids=lambda row: row[0])
def test_a_snippet_of_a_resource_compiles(row: list[str]) -> None:
    more = {"name": "x", "used": "used"}
    text = snippet(row)
    written = "".join(f", {key}: {value}" for key, value in more.items() if f"{key}: " not in text)
    other = "  plan: {request: {path: /p}}\n"
    made = compile_text(
        f"{DEFINITION.replace('COLLECTOR', '')}{other}resources: [{{{text}{written}}}]\n", name="t"
    )
    assert not isinstance(made, Rejected), [str(one) for one in made.problems]


@pytest.mark.parametrize("row", COLLECTOR_ROWS, ids=lambda row: row[0])
def test_a_snippet_of_a_collector_compiles(row: list[str]) -> None:
    text = DEFINITION.replace("COLLECTOR", f", {snippet(row)}")
    made = compile_text(f"{text}resources: [{{name: x, used: used}}]\n", name="t")
    assert not isinstance(made, Rejected), [str(one) for one in made.problems]


@pytest.mark.parametrize(
    "row", [row for row in (*RESOURCE_ROWS, *COLLECTOR_ROWS) if row[2]], ids=lambda row: row[0]
)
def test_the_definition_that_a_snippet_points_at_does_so(row: list[str]) -> None:
    name = row[2].partition("[")[2].partition("]")[0]
    document = parse_yaml(
        (ROOT / "exporter" / "providers" / f"{name}.yaml").read_text("utf-8"), name
    )
    wanted = keys(parse_yaml(f"{{{snippet(row)}}}", "x").tree) - {"used", "name", "GBs", "users"}
    assert wanted - keys(document.tree) == set()


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0].partition("<!--")[0]


def test_every_hole_and_format_of_templates_is_explained_and_no_other() -> None:
    told = code(section("Templates"))
    holes = {one.strip("{}").partition(":")[0] for one in told if one.startswith("{")}
    stretches = {word.partition(".")[0] for word in DATE_WORDS if "." in word}
    assert holes - {"now-30d"} == {
        *(word for word in DATE_WORDS if "." not in word),
        *(f"{stretch}.start" for stretch in stretches),
        *(f"{root}.{'id' if root == 'account' else 'NAME'}" for root in ROOTS),
        TOKEN,
    }
    edges = {word.partition(".")[2] for word in DATE_WORDS if "." in word}
    plain = {one for one in told if not one.startswith("{")}
    assert plain - {"params", "auth", "accounts", "apply", "zone", "period.anchor_day"} == {
        *(f".{edge}" for edge in edges),
        *FORMATS,
    }


def test_every_unit_that_is_named_is_one() -> None:
    assert code(section("Units"))
    for name in code(section("Units")):
        assert find_unit(name).name


def test_the_folder_of_answers_is_told_as_it_is_read() -> None:
    told = {one for row in rows(TEXT, "in the folder of answers", "is") for one in code(row[0])}
    from exporter.app import replay  # noqa: PLC0415 - for this alone

    assert {replay.EXPECTED, replay.CONFIG, replay.INDEX, "accounts.json"} <= told
    assert answers.__doc__ is not None
    for name in ("usage.json", "usage.1.json", "usage.headers.json", "usage.1.headers.json"):
        assert name in told
        assert name.replace("usage.", "") in answers.__doc__ or name in answers.__doc__


def test_every_key_of_the_grammar_is_in_the_reference_with_its_meaning() -> None:
    assert "Every key" in TEXT
    for key in DefinitionText.__struct_fields__:
        assert f"| `{key}` |" in TEXT or f"| **`{key}`** |" in TEXT


def test_the_sample_of_the_page_is_json() -> None:
    listing = next(one for one in blocks(TEXT) if one.kind == "json")
    assert json.loads(listing.text)["usage"]
