"""`providers test` run on a definition and a folder of answers, as an author runs it."""

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.cli.main import main

AT = "2026-11-15T12:00:00Z"
DEFINITION = """\
title: Acme
base_url: https://api.acme.example
params: {team: {description: Whose., required: true}}
credentials: {token: {description: The key.}}
auth: {kind: bearer}
collectors:
  usage:
    request: {path: "/v1/{params.team}/usage", query: {since: "{month.start:date}"}}
    PAGING
    success: {guard: ok}
resources:
  - {name: calls, unit: requests, each: rows, reduce: sum, used: calls}
period: {cycle: month}
"""
LINK = "paging: {kind: next_url, next: next}"
NUMBERED = "paging: {kind: page_number, param: page, total_pages: pages}"
HEADER = "paging: {kind: link_header}"
FIRST = "https://api.acme.example/v1/red/usage?since=2026-11-01"


class DefinitionTrial:
    """A definition and a folder of answers to it."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.file = folder / "acme.yaml"
        self.folder = folder / "answers"
        self.folder.mkdir()
        self._capfd = capfd
        self.out = ""
        self.err = ""
        self.define(paging="")

    def define(self, *, paging: str = "", old: str = "", new: str = "") -> None:
        text = DEFINITION.replace("    PAGING\n", f"    {paging}\n" if paging else "")
        assert old in text
        self.file.write_text(text.replace(old, new) if old else text)

    def put(self, name: str, document: object) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        text = document if isinstance(document, str) else json.dumps(document)
        path.write_text(text)

    def record(self, *exchanges: dict[str, Any], at: str = AT) -> None:
        self.put("index.json", {"exchanges": exchanges, "reference_time": at})

    def test(self, *more: str, team: str = "red", at: str = AT) -> int:
        words = [f"--param=team={team}"] if team else []
        words += [f"--at={at}"] if at else []
        folder = f"--answers={self.folder}"
        code = main(["providers", "test", str(self.file), folder, *words, *more])
        told = self._capfd.readouterr()
        self.out, self.err = told.out, told.err
        return code

    def value(self, name: str = "calls", family: str = "usage_requests") -> float:
        start = f'{family}{{provider="acme",account="test",resource="{name}"}} '
        (line,) = [line for line in self.out.splitlines() if line.startswith(start)]
        return float(line.removeprefix(start))


def rows(*calls: int, **more: object) -> dict[str, Any]:
    return {"ok": True, "rows": [{"calls": one} for one in calls], **more}
