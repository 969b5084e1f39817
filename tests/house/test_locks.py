"""The lock files: every package pinned, every file hashed, no address."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-dev.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def plain(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirements: Iterable[str]) -> set[str]:
    words = (re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in requirements)
    return {plain(word.group()) for word in words if word}


def pins(lock: str) -> dict[str, str]:
    """Return the version of each package; markers may name one twice."""
    text = (ROOT / lock).read_text()
    return {plain(m[1]): m[2] for m in re.finditer(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE)}


def group(name: str) -> set[str]:
    entries = PROJECT["dependency-groups"][name]
    return named(entry for entry in entries if isinstance(entry, str))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash(lock: str) -> None:
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    lines = [
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    assert lines
    for line in lines:
        assert re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_names_an_address_or_a_path(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert re.findall(r"://|--index|--extra-index|--find-links|--trusted| @ |^-[ef]", text) == []


def test_the_image_gets_every_runtime_dependency_and_the_quick_parts() -> None:
    wanted = named(PROJECT["project"]["dependencies"])
    wanted |= named(PROJECT["project"]["optional-dependencies"]["fast"])
    assert wanted - pins("requirements.lock").keys() == set()


def test_the_image_gets_no_tool_of_development() -> None:
    assert (group("test") | group("lint")) & pins("requirements.lock").keys() == set()


def test_the_tools_of_development_and_of_the_build_are_locked() -> None:
    wanted = group("test") | group("lint") | named(PROJECT["build-system"]["requires"])
    assert wanted - pins("requirements-dev.lock").keys() == set()
    assert named(PROJECT["build-system"]["requires"]) <= pins("requirements-build.lock").keys()


@pytest.mark.parametrize("lock", LOCKS[:2])
def test_development_runs_on_the_versions_that_are_shipped(lock: str) -> None:
    dev = pins("requirements-dev.lock")
    assert {name: dev[name] for name in pins(lock)} == pins(lock)
