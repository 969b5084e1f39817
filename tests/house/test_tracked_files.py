"""What is in the repository works for everybody and says nothing about anybody's machine."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Written in two parts, or this file would find itself.
FOREIGN = {
    "a package index": "|".join(
        ("pypi" + r"\.org", "python" + "hosted", "npmjs" + r"\.", "dev" + "pi")
    ),
    "an index in an address": r"https?://[^\s\"']*/" + r"simple\b",
    "a folder of one machine": "|".join(
        (r"(?<![\w.])/" + "work/", "/home" + r"/\w", "/ro" + "ot/")
    ),
    "an unfinished thought": "|".join((r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b")),
    "a merge that went wrong": "^" + "<" * 7 + " |^" + ">" * 7 + " ",
}


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - the git of the one who runs the tests
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    files = [ROOT / name for name in done.stdout.split("\0") if name]
    return [path for path in files if path.is_file()]


@pytest.mark.parametrize("what", FOREIGN)
def test_no_tracked_file_holds(what: str) -> None:
    pattern = re.compile(FOREIGN[what], re.MULTILINE)
    found = []
    for path in tracked():
        text = path.read_text(errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in pattern.finditer(text)]
    assert found == []


def test_what_tools_leave_behind_is_not_tracked() -> None:
    names = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert not names & {".venv", ".cache", "build", "dist", "htmlcov", ".coverage", ".hypothesis"}


def test_no_tracked_file_is_huge() -> None:
    sizes = {str(path.relative_to(ROOT)): path.stat().st_size for path in tracked()}
    assert {name: size for name, size in sizes.items() if size > 1_000_000} == {}
