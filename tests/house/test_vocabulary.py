"""Names and texts use the terms of the field, and modules are named for what they hold.

`RETIRED` are names of this code base that nobody knew from anywhere else. A word is found in the
parts of identifiers (`_shelf`, `ShelfMachine`), in the names of modules and of tests.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = sorted([*ROOT.glob("exporter/**/*.py"), *ROOT.glob("docs/**/*.py")])
TESTS = sorted(ROOT.glob("tests/**/*.py"))
MODULES = [*CODE, *TESTS]
TEXTS = [
    *MODULES,
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "docs" / "design").glob("*.md"),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
]

RETIRED = {
    "agenda": "TimerHeap",
    "blabber": "EchoingVendor",
    "board": "ReadingCache",
    "chronicle": "UsageHistory",
    "cue": "planned fault",
    "cues": "planned faults",
    "desk": "DefinitionTrial",
    "dice": "random, rng",
    "gist": "summary",
    "keyring": "Credentials",
    "lane": "BudgetQueue",
    "lanes": "queues",
    "lean": "import_tuning",
    "rehearsal": "replay",
    "rehearse": "replay",
    "rig": "EngineHarness",
    "roster": "JobTable",
    "scene": "PayloadContext",
    "shelf": "ExpositionCache",
    "shelves": "ExpositionCache",
    "sketch": "infer",
    "spot": "ErrorLocation",
    "spots": "locations",
    "standing": "UsageStatus",
    "teller": "Redactor",
    "warp": "AdjustableLoop",
}
"""By retired word: what is written instead."""
PHRASES = ("whoever", "the gone", "it tells of", "in no case", "at a desk")
"""Turns of speech that hide who does what."""
HERE = Path(__file__).resolve()


def words(identifier: str) -> set[str]:
    """Return the words of an identifier in small letters, however it is written."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)}


def identifiers(path: Path) -> Iterator[str]:
    """Yield what a module defines and uses by name, and its own name."""
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name
            case (
                ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
                | ast.alias(name=name)
            ):
                yield name
            case ast.keyword(arg=str(name)):
                yield name
            case _:
                pass


@cache
def vocabulary() -> dict[str, set[str]]:
    """Return where each word is used as an identifier or as a part of one."""
    found: dict[str, set[str]] = {}
    for path in MODULES:
        where = str(path.relative_to(ROOT))
        for word in {word for name in identifiers(path) for word in words(name)}:
            found.setdefault(word, set()).add(where)
    return found


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "shared"}
    assert len(MODULES) > 20
    assert [path for path in MODULES if path.stem in drawers or path.parent.name in drawers] == []


@pytest.mark.parametrize("word", RETIRED)
def test_a_retired_name_stays_retired(word: str) -> None:
    found = vocabulary().get(word, set()) - {str(HERE.relative_to(ROOT))}
    assert sorted(found) == [], f"write {RETIRED[word]}"


@pytest.mark.parametrize("phrase", PHRASES)
def test_texts_say_who_does_what(phrase: str) -> None:
    pattern = re.compile(rf"\b{phrase}\b".replace(" ", r"\s+"), re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in TEXTS
        if path != HERE
        for match in pattern.finditer(path.read_text("utf-8"))
    ]
    assert found == []
