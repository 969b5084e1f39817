"""Modules are named for what they hold."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted([*ROOT.glob("exporter/**/*.py"), *ROOT.glob("tests/**/*.py")])


def test_there_is_code_to_measure() -> None:
    assert len(MODULES) > 20


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "shared"}
    assert [path for path in MODULES if path.stem in drawers or path.parent.name in drawers] == []
