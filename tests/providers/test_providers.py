"""Every definition of the catalogue on the answers of its vendor, through the whole pipeline."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.config.library import shipped_names
from exporter.mapping.samples import samples
from exporter.mapping.status import target_status
from exporter.model.outcome import Reason
from exporter.model.reading import Reading
from exporter.store.cache import ExpositionCache
from exporter.store.exposition import render
from tests.support import expected_values
from tests.support.provider_cases import (
    NOW,
    Trial,
    cases_of,
    golden_case,
    provider_names,
    run,
    target_of,
)
from tests.support.replay import PROVIDERS, exchanges_of

ALL_CASES = [(name, case) for name in provider_names() for case in cases_of(name).cases]
METRICS = [
    (name, metric)
    for name in provider_names()
    for metric in expected_values.metrics(PROVIDERS / name)
]


def golden_lines(folder: Path) -> list[str]:
    return (folder / "expected.prom").read_text().splitlines()


def test_every_shipped_definition_has_its_answers() -> None:
    assert provider_names() == list(shipped_names())


@pytest.mark.parametrize("name", provider_names())
async def test_the_exposition_is_the_expected_one(name: str) -> None:
    trial = await run(PROVIDERS / name, golden_case(name))

    assert trial.failures == []
    assert trial.strangers == (), "requests that were not recorded"
    assert set(trial.asked) == set(cases_of(name).golden), "recorded, and not asked for"
    assert list(trial.lines) == golden_lines(PROVIDERS / name)
    assert trial.notes == ()


@pytest.mark.parametrize(("name", "case"), ALL_CASES)
async def test_a_case_ends_as_it_should(name: str, case: str) -> None:
    wanted = cases_of(name).cases[case]

    trial = await run(PROVIDERS / name, wanted)

    assert bool(trial.strangers) is wanted.stranger
    assert set(trial.asked) == set(wanted.serve)
    if wanted.reason:
        check_failure(trial, wanted.reason, wanted.says, wanted.wait)
    else:
        assert trial.failures == []
    for line in wanted.publishes:
        assert line in trial.lines
    for text in wanted.lacks:
        assert [line for line in trial.lines if text in line] == []


def check_failure(trial: Trial, reason: str, says: str, wait: float | None) -> None:
    (failure,) = trial.failures
    assert failure.reason is Reason(reason), failure.detail
    assert says in failure.detail
    assert failure.wait == wait
    assert trial.lines == ()


@pytest.mark.parametrize("name", provider_names())
def test_every_exchange_is_used(name: str) -> None:
    cases = cases_of(name)
    used = {*cases.golden, *(served for case in cases.cases.values() for served in case.serve)}
    assert exchanges_of(name).keys() - used == cases.unused.keys()


@pytest.mark.parametrize(("name", "metric"), METRICS, ids=lambda one: getattr(one, "name", one))
async def test_a_value_worked_out_by_hand_is_published(
    name: str, metric: expected_values.Metric
) -> None:
    cases = cases_of(name)
    lines = await lines_with(name, metric.cases)

    if metric.name in cases.not_published:
        assert metric.wanted
        assert expected_values.traces(metric, lines) == [], (
            "published after all: it goes to `series`"
        )
    elif metric.wanted:
        found = expected_values.published(lines)
        for (series, unit), wanted in zip(
            cases.series[metric.name].items(), metric.wanted, strict=True
        ):
            value = found.get(expected_values.series(series, name))
            assert expected_values.same(value, expected_values.in_base_unit(wanted, unit)), (
                series,
                value,
            )
    else:
        assert lines
        texts = cases.absent[metric.name]
        assert [line for line in lines for text in texts if text in line] == []


async def lines_with(name: str, wanted: tuple[str, ...]) -> list[str]:
    """Return the lines that come of the exchanges `wanted`: the golden ones, or those of a case."""
    cases = cases_of(name)
    if set(wanted) <= set(cases.golden):
        return golden_lines(PROVIDERS / name)
    for case in cases.cases.values():
        if set(wanted) <= set(case.serve) and not case.reason:
            return list((await run(PROVIDERS / name, case)).lines)
    raise AssertionError(f"no case of {name} serves {wanted}")


@pytest.mark.parametrize("name", provider_names())
def test_every_metric_that_was_worked_out_has_its_place_and_no_other(name: str) -> None:
    cases = cases_of(name)
    names = [metric.name for metric in expected_values.metrics(PROVIDERS / name)]
    assert sorted([*cases.not_published, *cases.series, *cases.absent]) == sorted(names)
    assert all(cases.absent.values())


@pytest.mark.parametrize("name", provider_names())
async def test_the_exposition_is_read_by_prometheus_parser(name: str) -> None:
    trial = await run(PROVIDERS / name, golden_case(name))
    readings = {
        poll.collector: poll.outcome for poll in trial.polls if isinstance(poll.outcome, Reading)
    }
    target = target_of(PROVIDERS / name, "http://vendor.invalid", {})
    cache = ExpositionCache()
    cache.put("test", render(samples(target_status(target, readings, NOW))[0]))

    families = text_string_to_metric_families(cache.body().decode())

    assert sum(len(family.samples) for family in families) == len(trial.lines)
