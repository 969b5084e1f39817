"""A parameter means the same in the request and in what is read from the answer."""

from pathlib import Path

import pytest

from exporter.config.plan import load_text
from exporter.fetch.client import Prepared
from exporter.mapping.read import read_payload
from exporter.model.outcome import Page, Payload
from exporter.model.reading import Reading
from exporter.model.target import Plan, Target

NOW = 1794312000.0  # 2026-11-10T12:00:00Z
OCTOBER_15 = 1792022400.0
NOVEMBER_15 = 1794700800.0
DEFINITION = """\
title: Acme
base_url: "{params.address}"
params:
  day: {default: 15}
  since: {default: "{cycle.start:date}"}
  address: {multiple: true, default: "https://eu.example.com"}
  currency: {multiple: true}
collectors:
  usage:
    request: {path: /usage, query: {from: "{params.since}", currency: "{params.currency}"}}
period: {asked_start: "{params.since}", cycle: month, anchor_day: "{params.day}"}
resources:
  - {name: calls, unit: requests, used: calls}
costs:
  - {cost: spent, currency: "{params.currency}"}
"""


def a_target(tmp_path: Path, params: str = "{currency: USD}") -> Target:
    (tmp_path / "acme.yaml").write_text(DEFINITION)
    plan = load_text(
        "providers: {files: [acme.yaml]}\n"
        f"targets: [{{name: main, provider: acme, params: {params}}}]\n",
        name="config.yaml",
        directory=str(tmp_path),
        environ={},
    )
    assert isinstance(plan, Plan), plan
    return plan.targets["main"]


def query(target: Target) -> dict[str, str]:
    prepared = Prepared(target, target.definition.collectors["usage"], NOW)
    assert prepared.draft is not None
    return dict(prepared.draft.query)


def read(target: Target) -> Reading:
    pages = (Page(document={"calls": 1, "spent": 2}, headers={}),)
    reading = read_payload(target, "usage", (Payload(pages=pages),), NOW)
    assert isinstance(reading, Reading), reading
    return reading


def test_a_default_that_depends_on_a_defaults_billing_day_is_read_as_it_was_asked(
    tmp_path: Path,
) -> None:
    target = a_target(tmp_path)
    assert query(target)["from"] == "2026-10-15"
    (usage,) = read(target).usages
    assert usage.period is not None
    assert (usage.period.start, usage.period.end) == (OCTOBER_15, NOVEMBER_15)


@pytest.mark.parametrize("given", ['["", USD]', '[USD, ""]', "USD"])
def test_empty_values_of_a_list_count_nowhere(tmp_path: Path, given: str) -> None:
    target = a_target(tmp_path, f"{{currency: {given}, address: [https://us.example.com, '']}}")
    assert target.base_url == "https://us.example.com"
    assert query(target)["currency"] == "USD"
    (money,) = read(target).money
    assert money.currency == "USD"
