"""``providers test`` on every definition with answers: its verdict is the daemon's."""

import shutil
from pathlib import Path

import pytest

from exporter.cli.main import main
from tests.support.provider_cases import cases_of, provider_names
from tests.support.replay import PROVIDERS

GENERALITY = PROVIDERS.parent / "generality"
SHIPPED = PROVIDERS.parents[1] / "exporter" / "providers"
OWN = sorted(path.parent.name for path in GENERALITY.glob("*/index.json"))


def replayed(file: Path, folder: Path) -> int:
    golden = cases_of(folder.name, folder.parent).golden
    cases = (word for case in golden for word in ("--case", case))
    return main(["providers", "test", str(file), f"--answers={folder}", *cases])


def check(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told = capfd.readouterr()
    lines = [line for line in told.out.splitlines() if not line.startswith("#")]
    assert lines == (folder / "expected.prom").read_text().splitlines()
    assert [line for line in told.err.splitlines() if not line.startswith("remark: ")] == []


@pytest.mark.parametrize("name", provider_names())
def test_a_shipped_definition_passes_with_what_the_daemon_would_publish(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert replayed(SHIPPED / f"{name}.yaml", PROVIDERS / name) == 0
    check(PROVIDERS / name, capfd)


@pytest.mark.parametrize("name", OWN)
def test_an_invented_api_passes_too(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert replayed(GENERALITY / name / f"{name}.yaml", GENERALITY / name) == 0
    check(GENERALITY / name, capfd)


@pytest.mark.parametrize("name", provider_names())
def test_a_number_that_has_changed_is_noticed(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / name
    shutil.copytree(PROVIDERS / name, folder)
    first, *others = (folder / "expected.prom").read_text().splitlines(keepends=True)
    (folder / "expected.prom").write_text("".join(others))

    assert replayed(SHIPPED / f"{name}.yaml", folder) == 1
    assert capfd.readouterr().err.endswith(f"expected.prom: not expected: {first}")
