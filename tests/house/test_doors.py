"""The Makefile and the CI script: the two doors that everybody comes in by."""

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
CI_RUN = (ROOT / ".ci" / "run").read_text()


def call(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"}  # of the make that runs the tests
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(  # noqa: S603 - programs of this repository
        command, cwd=cwd, env=environment, check=False, capture_output=True, text=True, timeout=20
    )


def phony() -> set[str]:
    listed = re.search(r"^\.PHONY:((?:.*\\\n)*.*)$", MAKEFILE, re.MULTILINE)
    assert listed
    return set(listed[1].replace("\\\n", " ").split())


def test_make_alone_lists_every_target() -> None:
    shown = call("make").stdout
    assert {name for name in phony() if f"make {name} " not in shown} == set()


def test_every_target_says_what_it_does() -> None:
    documented = set(re.findall(r"^([a-z0-9-]+):.*?## \S", MAKEFILE, re.MULTILINE))
    assert documented == phony()


def test_a_machine_without_a_good_python_is_told_what_to_do(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    done = call("make", ".venv/bin/python", "PYTHON=false", cwd=tmp_path)
    assert done.returncode != 0
    assert "none of these is Python 3.11 or newer" in done.stderr
    assert "PYTHON=/path/to/python" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_an_old_python_is_passed_over(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    good = tmp_path / "good"
    good.write_text(
        '#!/bin/sh\n[ "$1" = -c ] && exit 0\nmkdir -p .venv/bin && touch .venv/bin/python\n'
    )
    good.chmod(0o755)
    done = call("make", ".venv/bin/python", f"PYTHON=no-such-python false {good}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".venv/bin/python").exists()


def beside_the_makefile(folder: Path) -> None:
    """Make a folder in which every target can be planned."""
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("requirements.lock", "requirements-build.lock", "requirements-dev.lock"):
        (folder / name).touch()
    (folder / "pyproject.toml").touch()


@pytest.mark.parametrize("target", ["demo", "test", "check", "e2e", "bench"])
def test_one_command_sets_everything_up(tmp_path: Path, target: str) -> None:
    beside_the_makefile(tmp_path)
    plan = call("make", "--dry-run", target, cwd=tmp_path).stdout
    for step in ("-m venv", "--no-deps --require-hashes -r requirements.lock", "--editable ."):
        assert step in plan
    assert ("-r requirements-dev.lock" in plan) == (target != "demo")


@pytest.mark.parametrize(
    ("target", "arguments", "workers", "slow"),
    [
        ("test", "", True, False),
        ("test", "-k backoff", True, False),
        ("test", "tests/unit/mapping", False, True),
        ("test", "-x tests/unit/mapping/test_a.py::test_b", False, True),
        ("test", "-m ''", True, True),
        ("check", "", True, True),
    ],
)
def test_all_cores_run_the_suite_and_one_a_part_and_only_the_plain_run_leaves_out_what_is_slow(
    tmp_path: Path,
    target: str,
    arguments: str,
    workers: bool,  # noqa: FBT001
    slow: bool,  # noqa: FBT001
) -> None:
    beside_the_makefile(tmp_path)
    (tmp_path / "tests" / "unit" / "mapping").mkdir(parents=True)
    (tmp_path / "tests" / "unit" / "mapping" / "test_a.py").touch()
    plan = call("make", "--dry-run", target, f"ARGS={arguments}", cwd=tmp_path).stdout
    (line,) = [one for one in plan.splitlines() if "-m pytest" in one]
    words = shlex.split(line)
    assert ("-n" in words) is workers
    marks = [mark for flag, mark in itertools.pairwise(words) if flag == "-m" and mark != "pytest"]
    assert ("not slow" in marks[-1:]) is not slow  # the last one counts


def test_ci_runs_what_is_slow() -> None:
    assert re.search(r"^stage tests make test ARGS=\"-m '' ", CI_RUN, re.MULTILINE)


def test_the_ci_script_uses_the_same_doors() -> None:
    assert "set -euo pipefail" in CI_RUN
    steps = re.findall(r"^stage \S+ make (?:--\S+ )?([a-z0-9-]+)", CI_RUN, re.MULTILINE)
    assert steps == ["test", "static", "coverage", "locks", "test-newest", "test-lowest", "e2e"]
    assert set(steps) <= phony()


def test_ci_tests_both_ends_of_the_ranges_and_other_time_zones() -> None:
    for name in re.findall(r"tests/[\w/.]+", MAKEFILE + CI_RUN):
        assert (ROOT / name).exists(), name
    assert re.search(r"^for zone in \S+/\S+ \S+/\S+; do", CI_RUN, re.MULTILINE)
    assert '"TZ=$zone" make test' in CI_RUN


@pytest.mark.parametrize("name", ["run", "install-e2e"])
def test_the_scripts_are_executable_and_parse(name: str) -> None:
    script = ROOT / ".ci" / name
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    assert call("bash", "-n", str(script)).returncode == 0


def junit(folder: Path, name: str, *, tests: int, failures: int, skipped: int = 0) -> None:
    counts = f'tests="{tests}" failures="{failures}" errors="0" skipped="{skipped}"'
    (folder / f"{name}.xml").write_text(f"<testsuites><testsuite {counts}/></testsuites>")


@pytest.mark.parametrize(
    ("failures", "stages", "line", "code"),
    [
        (0, [], "14 passed, 0 failed\n", 0),
        (2, ["tests"], "12 passed, 2 failed\n", 1),
        (0, ["static"], "14 passed, 1 failed\n", 1),
        (2, ["tests", "e2e"], "12 passed, 3 failed\n", 1),
    ],
)
def test_the_last_line_of_ci_counts_what_failed(
    tmp_path: Path, failures: int, stages: list[str], line: str, code: int
) -> None:
    junit(tmp_path, "tests", tests=10, failures=failures, skipped=1)
    junit(tmp_path, "e2e", tests=5, failures=0)
    done = call(sys.executable, ".ci/count.py", str(tmp_path), *stages)
    assert (done.stdout, done.returncode) == (line, code)


def test_a_run_without_any_test_is_no_success(tmp_path: Path) -> None:
    done = call(sys.executable, ".ci/count.py", str(tmp_path))
    assert (done.stdout, done.returncode) == ("0 passed, 0 failed\n", 1)


def test_the_stages_hold_their_contracts() -> None:
    done = call(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", ["Makefile", ".ci/run"])
def test_every_test_that_is_named_exists(file: str) -> None:
    named = re.findall(r"\btests/[\w/.]+", (ROOT / file).read_text())
    assert len(named) > 1
    assert [path for path in named if not (ROOT / path).exists()] == []
