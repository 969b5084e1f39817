"""Rules of one name, money beside the spend, and how lists of arguments are written."""

import pytest

from exporter.config.library import compile_text
from exporter.model.definition.provider import Definition
from exporter.model.definition.request import ArrayStyle
from exporter.model.target import Rejected

HEAD = """
title: Forge
base_url: https://api.forge.example
auth: {kind: none}
params:
  tags: {description: Tags., multiple: true}
collectors:
  usage:
    request:
      path: /usage
      query: {limit: 31, group_by: [project, model], tags: "{params.tags}", day: "{today:date}"}
      array_style: brackets
"""


def compiled(rules: str) -> Definition | Rejected:
    return compile_text(HEAD + rules, name="forge")


def problems(rules: str) -> list[str]:
    found = compiled(rules)
    return [problem.what for problem in found.problems] if isinstance(found, Rejected) else []


def test_the_style_of_lists_is_not_that_of_single_values() -> None:
    definition = compiled("resources: [{name: credits, used: used}]")

    assert isinstance(definition, Definition), definition.problems
    styles = {one.name: one.style for one in definition.collectors["usage"].request.query}
    assert styles == {
        "limit": ArrayStyle.REPEAT,
        "group_by": ArrayStyle.BRACKETS,
        "tags": ArrayStyle.BRACKETS,  # a target may give several
        "day": ArrayStyle.REPEAT,
    }


def test_rules_with_conditions_may_share_a_name() -> None:
    rules = """
resources:
  - {name: credits, where: window == 'month', used: used, period: {cycle: month}}
  - {name: credits, where: window == 'week', used: used, period: {cycle: week}}
"""
    assert isinstance(compiled(rules), Definition)


@pytest.mark.parametrize("where", ["", "where: window == 'month', "])
def test_rules_of_one_name_without_conditions_are_refused(where: str) -> None:
    rules = f"resources: [{{name: credits, {where}used: used}}, {{name: credits, used: left}}]"
    assert problems(rules) == [
        (
            '"credits" is read by resources[0] already. Write all its numbers in one entry, or a '
            "condition (where) at both."
        )
    ]


def test_money_that_is_no_part_of_the_spend_has_a_name_of_its_own() -> None:
    rules = "items: [{resource: balance, group: account, item: id, cost: left, currency: USD}]"
    assert isinstance(compiled(rules), Definition)


def test_what_is_used_is_never_a_part_of_the_spend() -> None:
    assert problems("items: [{resource: spend, group: project, item: id, used: left}]") == [
        '"spend" is what a breakdown of cost is about. Write "cost", or another resource.'
    ]
