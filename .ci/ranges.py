# noqa: INP001 a program, not a package
"""Proves what pyproject.toml and the lock files promise about the versions of packages.

``locks``: each lock file is installed alone, as it is, into a fresh environment, by the pip of a
fresh clone and by the newest. Then `pip check` finds nothing missing and what is installed is what
the lock says, whatever was released since it was written.

``newest``, ``lowest``: an environment with the newest, the oldest versions that pyproject.toml
allows; prints where they differ from the lock and runs the tests that are named.
"""

import json
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "ranges"
LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-dev.lock")
PIPS = ("pip==23.2.1", "pip")  # of Python 3.11 as most machines have it, and the newest
TOOLS = {"pip", "setuptools", "wheel", "usage-exporter"}


def call(*command: str | Path) -> str:
    """Run a program and return its output; its stderr is ours."""
    done = subprocess.run(  # noqa: S603 - pip, uv and pytest
        [str(word) for word in command], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def fresh(name: str) -> Path:
    """Return the Python of a new environment."""
    home = CACHE / name
    venv.create(home, clear=True, with_pip=True)
    return home / "bin" / "python"


def pip(python: Path, *words: str | Path) -> str:
    """Run the pip of an environment."""
    quiet = ("--disable-pip-version-check", "--no-input")
    return call(python, "-m", "pip", *quiet, *words)


def plain(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(python: Path) -> dict[str, str]:
    """Return the version of each package but the tools that install."""
    found = json.loads(pip(python, "list", "--format=json"))
    return {plain(one["name"]): one["version"] for one in found if plain(one["name"]) not in TOOLS}


def pinned(lock: str, python: Path) -> dict[str, str]:
    """Return what a lock pins for this interpreter: a marker may leave out a package."""
    text = (ROOT / lock).read_text()
    pins = re.findall(r"^([\w.-]+)==([^\s;]+)(?: *; *([^\\\n]+?))? *\\?$", text, re.MULTILINE)
    markers = [marker for _, _, marker in pins]
    code = (
        "import json, sys; from pip._vendor.packaging.markers import Marker; "
        "print(json.dumps([not m or Marker(m).evaluate() for m in json.loads(sys.argv[1])]))"
    )
    holds = json.loads(call(python, "-c", code, json.dumps(markers)))
    return {plain(name): version for (name, version, _), it in zip(pins, holds, strict=True) if it}


def differences(found: dict[str, str], wanted: dict[str, str]) -> Iterator[str]:
    """Yield a line for each package of either that is not the same in both."""
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            yield f"{name}: {wanted.get(name, 'none')} in the lock, {found.get(name, 'none')} here"


def check_locks() -> int:
    """Install each lock alone; 1 if any is not sufficient."""
    bad = 0
    for number, version in enumerate(PIPS):
        for lock in LOCKS:
            python = fresh(f"lock-{number}")
            pip(python, "install", "--quiet", "--upgrade", version)
            try:
                pip(python, "install", "--quiet", "--no-deps", "--require-hashes", "-r", lock)
                pip(python, "check")
                wrong = list(differences(installed(python), pinned(lock, python)))
            except subprocess.CalledProcessError as error:
                wrong = [f"{' '.join(error.cmd[1:6])} ...: {error.stdout}"]
            print(f"{lock} by {version}: {'; '.join(wrong) or 'complete'}")  # noqa: T201
            bad += bool(wrong)
    return 1 if bad else 0


def run_tests(end: str, words: list[str]) -> int:
    """Run the tests with one end of the ranges; return pytest's exit code."""
    python = fresh(end)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tests = project["dependency-groups"]["test"]
    if end == "newest":
        pip(python, "install", "--quiet", "--upgrade", ".[fast]", *tests)
    else:
        wanted = CACHE / "lowest.txt"
        wanted.unlink(missing_ok=True)  # uv would keep to what stands there
        uv = Path(sys.executable).with_name("uv")
        if not uv.exists():
            pip(Path(sys.executable), "install", "--quiet", "uv")
        oldest = ("--resolution", "lowest-direct", "--no-config", "--quiet", "--no-header")
        call(
            uv,
            "pip",
            "compile",
            *oldest,
            f"--python={python}",
            "pyproject.toml",
            "--extra=fast",
            "-o",
            wanted,
        )
        # The tests' own tools are the newest: nobody installs those from ranges.
        pip(python, "install", "--quiet", "-r", wanted, *tests)
        pip(python, "install", "--quiet", "--no-deps", ".")
    pip(python, "check")
    for line in differences(installed(python), pinned(LOCKS[2], python)):
        if not line.endswith("none here"):
            print(f"  {line}")  # noqa: T201
    done = subprocess.run(  # noqa: S603 - pytest
        [str(python), "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *words],
        cwd=ROOT,
        check=False,
    )
    return done.returncode


def main(what: str, *words: str) -> int:
    """Do what is asked for; see above."""
    return check_locks() if what == "locks" else run_tests(what, list(words))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
