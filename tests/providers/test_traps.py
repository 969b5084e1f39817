"""Every trap that is known has its test, and the test shows that it is avoided."""

import ast

import pytest
import yaml

from tests.support import expected_values
from tests.support.provider_cases import Case, cases_of
from tests.support.replay import PROVIDERS

ROOT = PROVIDERS.parents[1]
TRAPS: dict[str, str | list[str]] = yaml.safe_load((PROVIDERS / "traps.yaml").read_text())
TESTS = {trap: place for trap, place in TRAPS.items() if isinstance(place, str)}
CASES = {trap: place for trap, place in TRAPS.items() if isinstance(place, list)}


@pytest.mark.parametrize("trap", TESTS)
def test_a_trap_has_a_test_that_asserts_something(trap: str) -> None:
    file, _, name = TESTS[trap].partition("::")
    tree = ast.parse((ROOT / file).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    (test,) = [one for one in tree.body if isinstance(one, functions) and one.name == name]
    assert any(isinstance(node, ast.Assert) for node in ast.walk(test))
    written = " ".join(map(ast.unparse, test.decorator_list))
    assert "skip" not in written
    assert "xfail" not in written


@pytest.mark.parametrize("trap", CASES)
def test_a_trap_has_a_case_that_shows_it(trap: str) -> None:
    place, shown = CASES[trap]
    folder = PROVIDERS / place.rpartition("/")[0]
    provider, case = folder.resolve().name, place.rpartition("/")[2]
    cases = cases_of(provider, folder.resolve().parent)
    if case == "golden":
        assert line(shown, provider) in (folder / "expected.prom").read_text().splitlines()
    else:
        assert line(shown, provider) in shows(cases.cases[case])


def line(shown: str, provider: str) -> str:
    """Return the whole line that stands in a case, if it is one."""
    if not shown.startswith("usage_"):
        return shown
    series, _, value = shown.rpartition(" ")
    return f"{expected_values.series(series, provider)} {value}"


def shows(case: Case) -> list[str]:
    """Return everything that the test of a case asserts, as traps.yaml writes it."""
    found = [*case.publishes, *(f"no {text}" for text in case.lacks)]
    if case.reason and case.says:
        found.append(f"{case.reason}, {case.says}")
    if case.reason and case.wait is not None:
        found.append(f"{case.reason}, wait {case.wait:g}")
    return found
