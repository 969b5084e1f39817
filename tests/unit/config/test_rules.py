"""Definitions: how each way of reading an answer compiles."""

import pytest

from exporter.kernel.calendar import Cycle
from exporter.kernel.templates import compile_template
from exporter.kernel.units import Kind, find_unit
from exporter.model.definition.roles import Resource
from exporter.model.definition.rows import Join, Step
from exporter.model.definition.values import How, Instant, Missing, Reduce, UnitRule, Value, Zero
from tests.unit.config.acme import compiled, path, refused, rejected


def the_resource(text: str) -> Resource:
    (resource,) = compiled(resources=f"[{text}]").resources
    return resource


def test_a_resource_is_compiled() -> None:
    resource = the_resource(
        "{name: storage, collector: quota, each: {path: rows, optional: true}, where: active,"
        " unit: GiB, level: true, reduce: {how: last, by: date}, used: [a, b],"
        " limit: {path: max, unlimited: [-1, null, unlimited, true], zero: unknown},"
        " percent: p, as_of: {path: t, zone: Europe/Berlin},"
        " period: {cycle: month, anchor_day: '{params.day}'}}"
    )
    assert (resource.collector, resource.name) == ("quota", ("storage",))
    assert resource.rows.steps == (Step(path=path("rows"), optional=True),)
    assert resource.rows.where == path("active")
    assert resource.unit == UnitRule(unit=find_unit("GiB"))
    assert resource.level
    assert resource.reduce == Reduce(how=How.LAST, by=path("date"))
    assert resource.used == Value(paths=(path("a"), path("b")))
    assert resource.limit is not None
    assert resource.limit.unlimited == (-1, None, "unlimited", True)
    assert resource.limit.zero is Zero.UNKNOWN
    assert resource.ratio == Value(paths=(path("p"),), unit=UnitRule(unit=find_unit("percent")))
    assert resource.as_of == Instant(paths=(path("t"),), zone="Europe/Berlin")
    assert resource.period is not None
    assert resource.period.cycle is Cycle.MONTH
    assert resource.period.anchor_day == compile_template("{params.day}")


def test_a_value_is_compiled() -> None:
    used = the_resource(
        "{name: a, used: {add: [x, y], regex: '^([0-9]+)', words: {on: 1, off: 0}, missing: fail,"
        " unit: million, reduce: max}}"
    ).used
    assert used is not None
    assert (used.add, used.words) == (True, {"on": 1.0, "off": 0.0})
    assert used.pattern is not None
    assert used.missing is Missing.FAIL
    assert used.unit == UnitRule(unit=find_unit("million"))
    assert used.reduce == Reduce(how=How.MAX)


def test_an_open_map_is_compiled() -> None:
    resource = the_resource(
        "{name: 'x_{metric.key}_{row.value.kind}', each: {path: items(data), as: metric},"
        " join: [{as: more, table: other, key: metric.key}, {as: last, table: list, key: more.id,"
        " on: id}], unit: {from: metric.value.unit, words: {users: quantity}, otherwise: MB,"
        " regex: '([A-Z]+)$'},"
        " levels: [seats], only: [seats, calls], known: [seats], rename: {api: calls},"
        " used: metric.value.used, projected: more.projected, ratio: last.share}"
    )
    assert resource.name == ("x_", path("metric.key"), "_", path("row.value.kind"))
    assert resource.rows.steps == (Step(path=path("items(data)"), name="metric"),)
    assert resource.rows.joins[0] == Join(name="more", table=path("other"), key=path("metric.key"))
    assert resource.rows.joins[1].on == path("id")
    assert resource.unit.path == path("metric.value.unit")
    assert resource.unit.words["users"].kind is Kind.QUANTITY
    assert resource.unit.otherwise == find_unit("MB")
    assert resource.unit.pattern is not None
    assert resource.only == frozenset({"seats", "calls"})
    assert resource.levels == resource.known == {"seats"}
    assert resource.rename == {"api": "calls"}


def test_roles_of_another_collector_become_a_resource_of_the_same_name() -> None:
    first, second, third = compiled(
        resources="[{name: a, used: total, limit: {path: max, from: quota}, as_of: at,"
        " remaining: {path: left, from: quota}, projected: {path: p, each: rows, where: ok}}]"
    ).resources
    assert {one.name for one in (first, second, third)} == {("a",)}
    assert (first.collector, second.collector, third.collector) == ("usage", "quota", "usage")
    assert first.used is not None
    assert (first.limit, first.as_of is None) == (None, False)
    assert second.limit is not None
    assert second.remaining is not None
    assert (second.as_of, second.rows.steps) == (None, ())
    assert third.rows.steps == (Step(path=path("rows")),)
    assert third.rows.where == path("ok")


def test_a_resource_may_read_nothing_from_its_own_rows() -> None:
    (only,) = compiled(resources="[{name: a, used: {path: b, each: rows}, as_of: at}]").resources
    assert only.rows.steps == (Step(path=path("rows")),)
    assert only.as_of is not None


def test_a_cost_is_compiled() -> None:
    fixed, found = compiled(
        params="{currency: {default: USD}, org: {}, many: {multiple: true}, day: {}}",
        costs="[{currency: '{params.currency}', cost: a, base: b, overage: c, limit: d,"
        " remaining: e, projected: f, reduce: sum, period: {cycle: month}},"
        " {currency: {path: [x, y]}, cost: {path: a, unit: cents}, limit: {path: l, from: quota}}]",
    ).costs[:2]
    assert fixed.fixed_currency == compile_template("{params.currency}")
    assert fixed.period is not None
    assert found.currency == (path("x"), path("y"))
    assert found.cost is not None
    assert found.cost.unit == UnitRule(unit=find_unit("cents"))


def test_a_budget_may_come_from_another_collector() -> None:
    first, second = compiled(
        costs="[{currency: USD, cost: a, limit: {path: l, from: quota, unit: minor}}]"
    ).costs
    assert (first.collector, second.collector) == ("usage", "quota")
    assert second.limit is not None
    assert second.fixed_currency == first.fixed_currency


def test_items_are_compiled() -> None:
    used, cost = compiled(
        items="[{resource: a, group: test, each: rows, item: [name, id], used: u, unit: GB,"
        " top: 5, lower: true, always: true, reduce: max},"
        " {resource: spend, group: sku, each: rows, item: sku, cost: c, currency: USD}]"
    ).items
    assert used.item == (path("name"), path("id"))
    assert (used.top, used.lower, used.always) == (5, True, True)
    assert used.reduce == Reduce(how=How.MAX)
    assert cost.reduce == Reduce(how=How.SUM)
    assert cost.fixed_currency == compile_template("USD")


@pytest.mark.parametrize("text", ["tier", "[tier, plan]", "{path: tier, collector: quota}"])
def test_the_plan_is_compiled(text: str) -> None:
    plan = compiled(plan=text).plan
    assert plan is not None
    assert plan.paths[0] == path("tier")
    assert plan.collector == ("quota" if "quota" in text else "usage")


def test_the_period_is_compiled() -> None:
    period = compiled(
        zone="America/New_York",
        period="{start: s, end: {path: [e, f], zone: UTC}, asked_start: '{params.day}',"
        " asked_end: '{now:date}', inclusive_end: true}",
    ).period
    assert period is not None
    assert period.start == Instant(paths=(path("s"),), zone="America/New_York")
    assert period.end == Instant(paths=(path("e"), path("f")), zone="UTC")
    assert period.inclusive_end
    assert period.zone == "America/New_York"


def test_accounts_are_compiled() -> None:
    accounts = compiled(
        accounts="{collector: {request: {path: /accounts}}, each: {path: results, as: a},"
        " where: a.active, id: a.uuid, label: row.name}",
        collectors="{usage: {request: {path: '/{params.org}/{account.id}'}}}",
    ).accounts
    assert accounts is not None
    assert accounts.collector.name == "accounts"
    assert accounts.id == path("a.uuid")
    assert accounts.label == path("row.name")


def test_an_index_is_the_documents_even_behind_a_broken_item() -> None:
    problems = rejected(
        """
        title: Acme
        collectors: {usage: {request: {path: /}}}
        resources:
          - bandwidth
          - {name: Good, used: total}
          - {name: b, used: {add: [a, 5, "b["]}}
        """
    )
    assert [problem.split(": ")[:2] for problem in problems] == [
        ["acme.yaml:5:5", "resources[0]"],
        ["acme.yaml:6:12", "resources[1].name"],
        ["acme.yaml:7:31", "resources[2].used.add[1]"],
        ["acme.yaml:7:34", "resources[2].used.add[2]"],
    ]


def test_what_a_broken_part_hides_is_not_missed() -> None:
    """Each of these is one mistake, and brings one message."""
    head = "title: Acme\ncollectors: {usage: {request: {path: /}}, quota: 5}\n"
    problems = rejected(
        head + "resources:\n"
        "  - {name: a, used: 5}\n"
        "  - {name: b, used: total, limit: {path: m, from: quota}}\n"
        "costs:\n"
        "  - {currency: 5, cost: a}\n"
        "  - {currency: USD, cost: 5}\n"
        "  - {currency: USD, cost: a, period: {start: 5}}\n"
        "items:\n"
        "  - {resource: a, group: g, item: i, used: 5}\n"
    )
    assert [problem.split(": ")[1] for problem in problems] == [
        "collectors.quota",
        "resources[0].used",
        "costs[0].currency",
        "costs[1].cost",
        "costs[2].period.start",
        "items[0].used",
    ]


@pytest.mark.parametrize("path", ["root.cap", "row.cap", "root.cap || cap", "not_null(root.cap)"])
def test_rows_without_a_name_have_no_root(path: str) -> None:
    rule = "{name: a, each: days, used: bytes, limit: PATH, reduce: max}"
    assert "sees only the row" in refused(resources=f"[{rule.replace('PATH', path)}]")
    assert the_resource(rule.replace("PATH", '"@.root.cap"')).limit is not None
    assert the_resource("{name: a, used: root.x}").used is not None
