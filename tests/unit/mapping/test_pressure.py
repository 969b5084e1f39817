"""How full the fullest resource of a poll is: adaptive targets come faster near a limit."""

from exporter.kernel.units import Kind
from exporter.mapping.status import target_status
from exporter.model.reading import Known, Money, Unlimited, Usage
from exporter.model.target import Limit
from tests.unit.mapping.factories import NOW, config_limit
from tests.unit.mapping.facts import bill, made, reading, usage


def pressure(*facts: Usage | Money, **limits: Limit) -> float | None:
    said = reading(*facts)
    return target_status(made(limits=limits), {"usage": said}, NOW).pressure(said)


def test_the_fullest_resource_counts() -> None:
    half = usage(used=50.0, limit=Known(100.0))
    assert pressure(half, usage("b", ratio=0.8), usage("c", used=9.0)) == 0.8


def test_what_is_worked_out_counts() -> None:
    assert pressure(usage(limit=Known(100.0), remaining=5.0)) == 0.95
    assert pressure(usage(used=95.0, remaining=5.0)) == 0.95
    assert pressure(bill(cost=None, limit=Known(100.0), remaining=5.0)) == 0.95


def test_without_limits_there_is_no_pressure() -> None:
    facts = (usage(used=50.0), usage("b", used=5.0, limit=Unlimited()))
    assert pressure(*facts, usage("c", limit=Known(0.0), used=1.0)) is None


def test_limits_of_the_config_count_in_their_own_unit_alone() -> None:
    dollars = bill(cost=4.75)
    assert pressure(usage(used=9.5), bandwidth=config_limit(10.0, Kind.SECONDS)) is None
    assert pressure(usage(used=9.5), bandwidth=config_limit(10.0)) == 0.95
    assert pressure(dollars) is None
    assert pressure(dollars, spend=config_limit(5.0, Kind.MONEY, "EUR")) is None
    assert pressure(dollars, spend=config_limit(5.0, Kind.BYTES)) is None
    assert pressure(dollars, spend=config_limit(5.0, Kind.MONEY)) == 0.95
    assert pressure(dollars, spend=config_limit(5.0)) == 0.95


def test_a_limit_that_another_collector_gave_counts_and_its_own_resources_do_not() -> None:
    used = reading(usage(used=9.0))
    limits = reading(usage(limit=Known(10.0)), usage("full", ratio=1.0), collector="limits")
    status = target_status(made(), {"usage": used, "limits": limits}, NOW)
    assert status.pressure(used) == 0.9
    assert status.pressure(limits) == 1.0
