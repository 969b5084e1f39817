"""CONTRIBUTING.md's "Where things are", carried out: what complains when something is added.

A copy of the package gets a dummy kind, whole with its keys; the type checker must name exactly the
other modules that have to learn it: that of the loop. A module missing here means that somebody can
forget it; a module too many means that a fact about the kind stands in the wrong place.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def add_kind(module: Path, model: str, unions: dict[str, str]) -> None:
    """Add `Dummy…` to each union: a copy of the member `model`, or of its text form."""
    source = module.read_text("utf-8")
    for union, member in unions.items():
        nodes = ast.parse(source).body
        (node,) = [one for one in nodes if isinstance(one, ast.ClassDef) and one.name == member]
        copied = "".join(f"@{ast.unparse(one)}\n" for one in node.decorator_list)
        copied += ast.get_source_segment(source, node) or ""
        copied = copied.replace(f"class {member}", f"class Dummy{member}").replace(model, "dummy")
        start = f"{union}: TypeAlias = "
        assert source.count(f"\n{start}") == 1, union
        source = source.replace(start, f"{copied}\n\n\n{start}Dummy{member} | ")
    module.write_text(source, "utf-8")


def complaints(folder: Path) -> set[str]:
    """Return the modules in which mypy finds an error."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--no-error-summary",
            "--config-file",
            "pyproject.toml",
            "exporter",
            "docs",
        ],
        cwd=folder,
        env=os.environ | {"NO_COLOR": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    found = re.findall(r"^([\w/]+\.py):\d+.*? error: .*", done.stdout, re.MULTILINE)
    assert len(found) == done.stdout.count(": error: "), done.stdout
    return set(found)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder with a copy of the package and the settings of its tools."""
    for package in ("exporter", "docs"):
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    if (ROOT / ".mypy_cache").is_dir():
        shutil.copytree(ROOT / ".mypy_cache", tmp_path / ".mypy_cache")
    return tmp_path


PLACES = {
    "paging": (
        "exporter/model/definition/paging.py",
        "link_header",
        {"Paging": "LinkHeader", "PagingText": "LinkHeaderText"},
        {"exporter/fetch/paginate.py"},
    ),
    "authentication": (
        "exporter/model/definition/auth.py",
        "digest",
        {"Auth": "DigestAuth", "AuthText": "DigestText"},
        {"exporter/fetch/authorize.py"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", PLACES)
def test_the_type_checker_names_the_modules_that_a_new_kind_concerns(copy: Path, what: str) -> None:
    module, model, unions, places = PLACES[what]
    add_kind(copy / module, model, unions)
    assert complaints(copy) == places


@pytest.mark.slow
def test_an_unchanged_copy_has_no_complaint(copy: Path) -> None:
    assert complaints(copy) == set()
