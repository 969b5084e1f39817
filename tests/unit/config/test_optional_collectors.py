"""A collector whose path needs a parameter is polled only where a target sets it."""

from pathlib import Path

import pytest

from exporter.config.plan import load_text
from exporter.model.target import Plan, Rejected

DEFINITION = """
title: Forge
base_url: https://api.forge.example
params:
  org: {description: An organization.}
  kind: {description: What it is., default: orgs}
collectors:
  limits: {request: {path: /limits}}
  billing: {request: {path: "/{params.kind}/{params.org}/billing"}}
  extra: {enabled: false, request: {path: "/{params.org}/extra"}}
auth: {kind: none}
resources:
  - {name: api_requests, collector: limits, used: used}
  - {name: seats, collector: billing, used: seats}
  - {name: storage, collector: extra, used: stored}
"""


@pytest.mark.parametrize(
    ("settings", "polled"),
    [
        ("", ["limits"]),
        ("params: {org: acme}", ["limits", "billing"]),
        ('params: {org: ""}', ["limits"]),
        ('params: {org: acme, kind: ""}', ["limits"]),  # its default was taken away
        ("params: {org: acme}, collectors: {extra: true}", ["limits", "billing", "extra"]),
        ("params: {org: acme}, collectors: {billing: false}", ["limits"]),
    ],
)
def test_a_target_polls_what_it_has_the_parameters_for(
    settings: str, polled: list[str], tmp_path: Path
) -> None:
    plan = load(settings, tmp_path)

    assert isinstance(plan, Plan), plan.problems
    assert list(plan.targets["forge"].collectors) == polled


def test_a_collector_that_is_asked_for_must_have_its_parameters(tmp_path: Path) -> None:
    rejected = load("collectors: {billing: true}", tmp_path)

    assert not isinstance(rejected, Plan)
    (problem,) = rejected.problems
    assert problem.what == (
        'The collector "billing" needs the parameter "org", which is not set. Set it under params.'
    )
    assert problem.path == "targets[0].collectors.billing"


def load(settings: str, folder: Path) -> Plan | Rejected:
    (folder / "forge.yaml").write_text(DEFINITION)
    target = f"{{name: forge, provider: forge, {settings}}}"
    text = f"providers: {{files: [forge.yaml]}}\ntargets: [{target}]\n"
    return load_text(text, name="config.yaml", directory=str(folder), environ={})
