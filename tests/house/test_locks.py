"""The lock files: every package pinned, every file hashed, no address."""

import functools
import importlib.metadata
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def missing(locked: Mapping[str, str], roots: Iterable[str] = ()) -> Iterator[str]:
    """Yield what the packages of a lock, and `roots`, require and the lock does not satisfy.

    The metadata are those of the packages as they are installed here, extras that somebody asks
    for included.
    """
    todo = [("the project", "", text) for text in roots]
    todo += [(name, "", text) for name in locked for text in requirements(name)]
    seen = set(todo)
    while todo:
        asker, extra, text = todo.pop()
        wanted = parsed(text)
        if not applies(text, extra):
            continue
        name = canonicalize_name(wanted.name)
        if name not in locked or not wanted.specifier.contains(locked[name], prereleases=True):
            yield f"{asker} requires {wanted}"
            continue
        more = {(name, one, text) for one in wanted.extras for text in requirements(name)} - seen
        seen |= more
        todo += more


parsed = functools.cache(Requirement)


@functools.cache
def applies(text: str, extra: str) -> bool:
    marker = parsed(text).marker
    return marker is None or marker.evaluate({"extra": extra})


@functools.cache
def requirements(name: str) -> list[str]:
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:  # for another system or Python
        return []


def roots(lock: str) -> list[str]:
    tools = re.search(r"^BUILD_TOOLS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert tools
    build = re.findall(r"'([^']+)'", tools[1])  # with what hatchling needs for --editable
    if lock == "requirements-build.lock":
        return build
    project = PROJECT["project"]
    run = [*project["dependencies"], *project["optional-dependencies"]["fast"]]
    groups = PROJECT["dependency-groups"]
    return run if lock == "requirements.lock" else [*run, *build, *groups["test"], *groups["lint"]]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_all_that_its_packages_require(lock: str) -> None:
    assert sorted(missing(pins(lock), roots(lock))) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_without_any_one_of_its_packages_is_found_insufficient(lock: str) -> None:
    locked = pins(lock)
    for name in locked:
        if not requirements(name) and name not in installed():
            continue  # for another system: nothing here requires it
        rest = {other: version for other, version in locked.items() if other != name}
        assert any(missing(rest, roots(lock))), name


def test_a_lock_with_a_version_that_is_too_old_is_found_insufficient() -> None:
    locked = pins("requirements-dev.lock") | {"coverage": "7.0"}
    assert [line for line in missing(locked) if line.startswith("pytest-cov requires coverage")]


@functools.cache
def installed() -> set[str]:
    return {canonicalize_name(one.metadata["Name"]) for one in importlib.metadata.distributions()}
