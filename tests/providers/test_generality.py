"""Invented APIs that combine what is hard. They are data: no line of Python knows them."""

from pathlib import Path

import pytest

from tests.providers.test_providers import check_failure
from tests.support.provider_cases import cases_of, golden_case, run
from tests.support.replay import read_exchanges

FOLDER = Path(__file__).parents[1] / "generality"
APIS = sorted(path.parent.name for path in FOLDER.glob("*/index.json"))
CASES = [(name, case) for name in APIS for case in cases_of(name, FOLDER).cases]


@pytest.mark.parametrize("name", APIS)
async def test_an_api_that_nobody_foresaw_is_published(name: str) -> None:
    trial = await run(FOLDER / name, golden_case(name, FOLDER))

    assert trial.failures == []
    assert trial.strangers == ()
    assert trial.notes == ()
    assert list(trial.lines) == (FOLDER / name / "expected.prom").read_text().splitlines()


@pytest.mark.parametrize(("name", "case"), CASES)
async def test_a_case_ends_as_it_should(name: str, case: str) -> None:
    wanted = cases_of(name, FOLDER).cases[case]

    trial = await run(FOLDER / name, wanted)

    assert trial.strangers == ()
    assert set(trial.asked) == set(wanted.serve)
    if wanted.reason:
        check_failure(trial, wanted.reason, wanted.says, wanted.wait)
    else:
        assert trial.failures == []
    assert [line for line in wanted.publishes if line not in trial.lines] == []
    assert [text for text in wanted.lacks if any(text in line for line in trial.lines)] == []


@pytest.mark.parametrize("name", APIS)
def test_every_exchange_is_used(name: str) -> None:
    cases = cases_of(name, FOLDER)
    used = {*cases.golden, *(served for case in cases.cases.values() for served in case.serve)}
    assert used == read_exchanges(FOLDER / name).keys()
