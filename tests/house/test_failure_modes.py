"""docs/failure-modes.md covers every failure reason and fault, and the test of each row exists."""

import ast
import re
from pathlib import Path

import pytest

from exporter.demo.faults import FAULTS
from exporter.model.outcome import Reason
from tests.support.expected_fault_reasons import EXPECTED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "failure-modes.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "tests/" in line]
KNOWN = (
    "Limits and the price of polling",
    "Hanging, dying, blocking",
    "Hostile and broken clients",
    "Names, connections and proxies",
    "Stale, vanished and zero values",
    "Limits, percentages, periods, late data",
    "Pages and mapping",
    "Duplicates, cardinality, memory",
    "Secrets",
)
"""Known failures of other exporters, by kind."""
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, functions)}


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_the_test_of_a_row_is_there(file: str, test: str) -> None:
    found = names_in(ROOT / file)
    assert test in found if test else any(name.startswith("test_") for name in found)


def test_every_row_names_its_test() -> None:
    tables = PAGE.partition("## What the fake vendors break")[0]
    rows = [line for line in tables.splitlines() if line.startswith("| ")]
    content = [row for row in rows if not row.endswith("| shown by |")]
    assert [row for row in content if row not in ROWS] == []
    assert len(content) > len(Reason)


def test_every_known_failure_names_one_test_of_its_own() -> None:
    section = PAGE.partition("## What exporters are known to fail at")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    content = [row for row in rows if not row.endswith("| shown by |")]
    assert section.count("\n### ") == len(rows) - len(content) == len(KNOWN)
    assert all(f"### {what}" in section for what in KNOWN)
    assert [row for row in content if not re.search(r"\| `tests/[\w/]+\.py::\w+` \|$", row)] == []
    assert len(content) > 70


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_row(reason: Reason) -> None:
    assert any(row.startswith(f"| `{reason.value}` |") for row in ROWS)


@pytest.mark.parametrize("fault", list(FAULTS))
def test_every_fault_is_told_with_what_it_is_called(fault: str) -> None:
    expected = EXPECTED[fault]
    told = f"`{expected.value}`" if expected else "nothing: the poll succeeds"
    assert f"| `{fault}` | {told} |" in PAGE
