"""Parameters whose meaning the definition knows: a poll need not find out that they have none."""

from pathlib import Path

import pytest

from exporter.config.plan import load_text
from exporter.model.target import Rejected

_DEFINITION = """\
title: Acme
base_url: https://api.example.com
credentials: {token: {}}
auth: {kind: bearer}
params: {money: {}, day: {}, note: {}}
collectors: {usage: {request: {path: /usage, query: {note: "{params.note}"}}}}
resources: [{name: seats, used: seats, period: {cycle: month, anchor_day: "{params.day}"}}]
costs: [{cost: total, currency: "{params.money}"}]
"""


def told(folder: Path, params: str) -> list[str]:
    (folder / "acme.yaml").write_text(_DEFINITION)
    text = f"""\
providers: {{files: [acme.yaml]}}
targets:
  - name: a
    provider: acme
    credentials: {{token: t}}
    params: {{{params}}}
"""
    found = load_text(text, name="config.yaml", directory=str(folder), environ={})
    problems = found.problems if isinstance(found, Rejected) else found.warnings
    return [f"{problem.severity}: {problem.path}: {problem.what}" for problem in problems]


@pytest.mark.parametrize("params", ["money: EUR, day: 31", 'money: "", day: "1"', ""])
def test_a_currency_and_a_billing_day_are_accepted(tmp_path: Path, params: str) -> None:
    assert told(tmp_path, params) == []


@pytest.mark.parametrize("day", ["0", "32", "last", "-1", "1.5", "²"])
def test_a_billing_day_that_no_month_has_is_refused(tmp_path: Path, day: str) -> None:
    (problem,) = told(tmp_path, f'day: "{day}"')
    assert problem.startswith("error: targets[0].params.day: ")
    assert problem.endswith("is not a day of the month. Write 1 to 31.")


def test_a_currency_that_is_none_is_refused(tmp_path: Path) -> None:
    assert told(tmp_path, "money: usd") == [
        'error: targets[0].params.money: "usd" is not a currency of ISO 4217. Did you mean "USD"?'
    ]


@pytest.mark.parametrize("note", ["{now:date}", "from {month.start:date} on"])
def test_a_hole_that_nobody_fills_is_pointed_at(tmp_path: Path, note: str) -> None:
    (warning,) = told(tmp_path, f'note: "{note}"')
    assert warning.startswith(f'warning: targets[0].params.note: "{note}" goes to the vendor as')


@pytest.mark.parametrize("note", ["{}", '{\\"a\\": 1}', "a{b"])
def test_braces_that_are_no_hole_are_a_text_like_another(tmp_path: Path, note: str) -> None:
    assert told(tmp_path, f'note: "{note}"') == []
