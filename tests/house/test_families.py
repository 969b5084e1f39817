"""The table of roles and families: what is in it is read, published and documented, all of it.

A new role is a row of `exporter.model.families`, and the places that `lacking` then names. A row
whose family is never published, or whose number is never read, fails here.
"""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from exporter.app.publisher import health, throttle
from exporter.kernel.units import Kind
from exporter.mapping.read import read_payload
from exporter.mapping.samples import samples
from exporter.mapping.status import UsageStatus, target_status
from exporter.model.definition.roles import Cost, CostText, Items, ItemsText, Resource, ResourceText
from exporter.model.families import (
    COST_ROLES,
    FAMILIES,
    ITEM_ROLES,
    MEASURED,
    RESOURCE_ROLES,
    Role,
    Sample,
    numbers,
)
from exporter.model.health import Health
from exporter.model.outcome import Page, Payload
from exporter.model.reading import DROPS, NOTES, Item, Money, RateLimit, Reading, Usage
from exporter.model.target import Target
from exporter.schedule.status import BudgetStatus, JobStatus
from tests.support.engine_harness import plan_of

NOON = 1_794_744_000.0  # 2026-11-15T12:00:00Z
MONTH = {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"}
UNITS = {kind: str(kind) for kind in MEASURED} | {Kind.BYTE_SECONDS: "byte-seconds"}
DEFINITION: dict[str, Any] = {
    "title": "All",
    "auth": {"kind": "none"},
    "base_url": "https://all.example",
    "collectors": {"usage": {"request": {"path": "/"}}},
    "period": {"start": "month.start", "end": "month.end"},
}
TABLES = {
    "resources": (RESOURCE_ROLES, ResourceText, Resource, Usage),
    "costs": (COST_ROLES, CostText, Cost, Money),
    "items": (ITEM_ROLES, ItemsText, Items, Item),
}


def names(struct: type[msgspec.Struct]) -> set[str]:
    properties = {name for name, one in vars(struct).items() if isinstance(one, property)}
    return {*struct.__struct_fields__, *properties}


def lacking(table: dict[str, Any]) -> list[str]:
    """Return the fields that the roles of a table need and that are not there."""
    found = []
    for roles, text, rule, reading in table.values():
        for role in roles:
            status = reading if reading is Item else UsageStatus
            needed = [(status, role.field)]
            if role.key:
                needed.append((text, role.key))
            if role.key and not role.into:
                needed += [(rule, role.key)]
                needed += [] if reading is Item else [(reading, role.key)]
            found += [
                f"{owner.__module__.removeprefix('exporter.')}: {owner.__name__}.{name}"
                for owner, name in needed
                if name not in names(owner)
            ]
    return found


def test_every_role_has_its_fields() -> None:
    assert lacking(TABLES) == []


def test_a_new_role_is_missed_in_these_places_and_no_others() -> None:
    role = Role(field="dummy", key="dummy", family="usage_dummy_{}", kinds=MEASURED)
    roles, *others = TABLES["resources"]
    assert lacking(TABLES | {"resources": ((*roles, role), *others)}) == [
        "mapping.status: UsageStatus.dummy",
        "model.definition.roles: ResourceText.dummy",
        "model.definition.roles: Resource.dummy",
        "model.reading: Usage.dummy",
    ]


def target_of(folder: Path, **rules: Any) -> Target:
    (folder / "all.yaml").write_text(yaml.safe_dump(DEFINITION | rules))
    config = {
        "providers": {"files": ["all.yaml"]},
        "targets": [{"name": "main", "provider": "all", "items": True}],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return plan_of(folder / "config.yaml").targets["main"]


def published(target: Target, **document: object) -> list[Sample]:
    payload = Payload(pages=(Page(document={"month": MONTH, **document}, headers={}),))
    reading = read_payload(target, "usage", (payload,), NOON)
    assert isinstance(reading, Reading), reading
    found, _ = samples(target_status(target, {"usage": reading}, NOON))
    return list(found)


def keys(roles: tuple[Role, ...]) -> dict[str, str]:
    """Return each key of a rule with a path of its own name."""
    return {role.key: f"row.{role.key}" for role in roles if role.key and not role.into}


def test_every_family_is_published(tmp_path: Path) -> None:
    each = {"path": "rows", "as": "line"}
    parts = {"group": "part", "item": "row.name", "each": {"path": "parts", "as": "part"}}
    target = target_of(
        tmp_path,
        resources=[
            {"name": kind.value, "unit": UNITS[kind], "each": each, **keys(RESOURCE_ROLES)}
            for kind in MEASURED
        ],
        costs=[{"currency": "USD", "each": each, **keys(COST_ROLES)}],
        items=[
            *(
                {"resource": str(kind), "unit": UNITS[kind], "used": "row.n"} | parts
                for kind in UNITS
            ),
            {"resource": "spend", "currency": "USD", "cost": "row.n"} | parts,
        ],
    )
    row: dict[str, object] = {role.key: 40.0 for role in (*RESOURCE_ROLES, *COST_ROLES) if role.key}
    row |= {"limit": 50.0, "as_of": "2026-11-15T10:00:00Z"}
    del row["projected"]  # our own forecast: one that exhausts the limit
    found = published(target, rows=[row], parts=[{"name": "a", "n": 1.0}])
    job = JobStatus(
        target="main",
        provider="all",
        collector="usage",
        health=Health.UP,
        interval=60.0,
        last_success=NOON,
        next_poll=NOON,
        budget=BudgetStatus(key="main"),
    )
    found += health([job])
    found += throttle("all", "main", RateLimit(limit=1.0, remaining=1.0, reset_at=1.0))
    assert {one.family for one in found} == {one.name for one in FAMILIES}


NOTED = re.compile(r'reason="([a-z_]+)"')


def test_every_reason_of_a_note_has_its_meaning() -> None:
    sources = Path("exporter/mapping").glob("*.py")
    noted = {reason for source in sources for reason in NOTED.findall(source.read_text())}
    assert noted | {"duplicate"} == NOTES.keys() | DROPS


READ = [(section, key) for section, (roles, *_) in TABLES.items() for key in numbers(roles)]


@pytest.mark.parametrize(("section", "key"), READ, ids=str)
def test_every_number_that_is_read_changes_what_is_published(
    section: str, key: str, tmp_path: Path
) -> None:
    usual: dict[str, dict[str, Any]] = {
        "resources": {"name": "a", "limit": "limit"},
        "costs": {"currency": "USD", "limit": "limit"},
        "items": {"resource": "a", "group": "part", "item": "name"},
    }
    rule = usual[section] | {key: "number"}
    if (section, key) == ("items", "cost"):
        rule["currency"] = "USD"
    target = target_of(tmp_path, **{section: [rule]})
    one, other = (published(target, name="x", limit=9.0, number=number) for number in (3.0, 4.0))
    assert one != other
