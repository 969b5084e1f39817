import math

import pytest

from exporter.kernel.calendar import Span
from exporter.kernel.units import Kind
from exporter.mapping.samples import period_name, samples
from exporter.mapping.status import target_status
from exporter.model.families import FAMILY, Sample
from exporter.model.reading import Known, Money, Note, Unlimited
from tests.unit.mapping.factories import NOW, config_limit
from tests.unit.mapping.facts import DAY, MONTH, item, lines, made, published, reading, usage


def test_a_resource_has_all_its_families() -> None:
    fact = usage(
        used=400e9,
        limit=Known(1000e9),
        projected=800e9,
        next_period=900e9,
        overage=0.0,
        as_of=NOW - 60,
        period=MONTH,
    )
    found, notes = published(fact)
    meets = NOW + (MONTH.end - NOW) * 1.5
    assert meets > MONTH.end
    assert lines(found) == {
        "usage_account_info{main,}": 1.0,
        "usage_bytes{main,bandwidth}": 400e9,
        "usage_limit_bytes{main,bandwidth}": 1000e9,
        "usage_remaining_bytes{main,bandwidth}": 600e9,
        "usage_projected_bytes{main,bandwidth}": 800e9,
        "usage_next_period_bytes{main,bandwidth}": 900e9,
        "usage_overage_bytes{main,bandwidth}": 0.0,
        "usage_ratio{main,bandwidth}": 0.4,
        "usage_percent{main,bandwidth}": 40.0,
        "usage_projected_ratio{main,bandwidth}": 0.8,
        "usage_data_timestamp_seconds{main,bandwidth}": NOW - 60,
        "usage_period_start_timestamp_seconds{main,bandwidth}": MONTH.start,
        "usage_period_end_timestamp_seconds{main,bandwidth}": MONTH.end,
        "usage_info{main,bandwidth,GB,provider,month,provider}": 1.0,
    }
    assert notes == ()


def test_every_sample_belongs_to_a_family_of_the_table_and_has_its_labels() -> None:
    facts = (
        usage(used=1.0, limit=Known(2.0), period=MONTH),
        usage("calls", kind=Kind.REQUESTS, used=1.0),
        Money(currency="USD", cost=1.0, base=0.5, limit=Known(5.0), period=MONTH),
        item("a", 1.0),
        item("b", 2.0, kind=Kind.MONEY, currency="USD"),
    )
    found, _ = published(*facts)
    assert len(found) > 20
    for sample in found:
        assert len(sample.labels) == len(FAMILY[sample.family].labels)
    assert len({(one.family, one.labels) for one in found}) == len(found)


@pytest.mark.parametrize(
    "kind", [Kind.BYTES, Kind.REQUESTS, Kind.SECONDS, Kind.BYTE_SECONDS, Kind.QUANTITY]
)
def test_the_kind_chooses_the_families(kind: Kind) -> None:
    found, _ = published(usage(kind=kind, unit="", used=1.0, limit=Known(4.0)))
    values = lines(found)
    assert values[f"usage_{kind}{{main,bandwidth}}"] == 1.0
    assert values[f"usage_limit_{kind}{{main,bandwidth}}"] == 4.0
    assert f"usage_info{{main,bandwidth,{kind},provider,none,none}}" in values


@pytest.mark.parametrize(
    ("limit", "kind"), [(Unlimited(), "unlimited"), (None, "unknown"), (Known(0.0), "provider")]
)
def test_there_is_no_ratio_without_a_limit_above_zero(limit: object, kind: str) -> None:
    found, _ = published(usage(used=5.0, limit=limit))
    values = lines(found)
    assert f"usage_info{{main,bandwidth,GB,{kind},none,none}}" in values
    assert "usage_ratio{main,bandwidth}" not in values
    assert ("usage_limit_bytes{main,bandwidth}" in values) is (kind == "provider")


def test_ratio_and_percent_never_disagree() -> None:
    for used in range(1, 200):
        values = lines(published(usage(used=used / 7, limit=Known(3.0)))[0])
        ratio = values["usage_ratio{main,bandwidth}"]
        assert values["usage_percent{main,bandwidth}"] == pytest.approx(ratio * 100, rel=1e-11)


@pytest.mark.parametrize("percent", [52.592, 26.84, 28.27607, 4.1, 14.0, 78.6, 0.0, 1234.5])
def test_a_percentage_is_printed_without_binary_noise(percent: float) -> None:
    values = lines(published(usage(ratio=percent / 100))[0])
    assert values["usage_percent{main,bandwidth}"] == percent


def test_a_limit_below_zero_is_not_derived_either() -> None:
    found, notes = published(usage(used=5.0, remaining=-8.0))
    assert not any("limit" in name or "ratio" in name for name in lines(found))
    assert [note.reason for note in notes] == ["negative_limit"]


def test_what_leaves_the_floats_is_not_published() -> None:
    found, _ = published(usage(used=1e308, limit=Known(1e-300)))
    assert all(math.isfinite(sample.value) for sample in found)
    assert "usage_ratio{main,bandwidth}" not in lines(found)


def test_collectors_of_one_resource_are_joined() -> None:
    one = reading(usage(used=25.0))
    other = reading(usage(limit=Known(100.0), period=MONTH, used=99.0), collector="limits")
    found, notes = samples(target_status(made(), {"limits": other, "usage": one}, NOW))
    values = lines(list(found))
    assert values["usage_bytes{main,bandwidth}"] == 25.0
    assert values["usage_ratio{main,bandwidth}"] == 0.25
    assert values["usage_period_end_timestamp_seconds{main,bandwidth}"] == MONTH.end
    assert notes == ()


def test_used_may_come_from_one_collector_and_remaining_from_another() -> None:
    one = reading(usage(limit=Known(100.0)))
    other = reading(usage(remaining=40.0), collector="limits")
    found, _ = samples(target_status(made(), {"usage": one, "limits": other}, NOW))
    assert lines(list(found))["usage_bytes{main,bandwidth}"] == 60.0


def test_the_forecast_takes_the_time_of_the_poll_that_gave_the_value() -> None:
    limits = reading(usage(limit=Known(100.0), period=MONTH), at=NOW - 9 * DAY)
    values = reading(usage(used=30.0), collector="limits", at=NOW)
    found, _ = samples(target_status(made(), {"usage": limits, "limits": values}, NOW))
    fraction = (NOW - MONTH.start) / (MONTH.end - MONTH.start)
    expected = pytest.approx(30 / fraction)
    assert lines(list(found))["usage_projected_bytes{main,bandwidth}"] == expected


def test_two_kinds_of_one_resource_do_not_mix() -> None:
    one = reading(usage(used=25.0))
    other = reading(usage(kind=Kind.QUANTITY, limit=Known(100.0)), collector="limits")
    found, notes = samples(target_status(made(), {"usage": one, "limits": other}, NOW))
    assert "usage_limit_bytes{main,bandwidth}" not in lines(list(found))
    assert notes == (
        Note(
            reason="unit_conflict",
            detail="bandwidth: bytes here, quantity there; the first stays.",
        ),
    )


def test_readings_of_collectors_that_are_gone_are_not_published() -> None:
    found, _ = samples(
        target_status(made(), {"removed": reading(usage(used=1.0), collector="removed")}, NOW)
    )
    assert "usage_bytes{main,bandwidth}" not in lines(list(found))


def test_no_readings_are_no_samples() -> None:
    assert samples(target_status(made(), {}, NOW)) == ((), ())


def test_the_configs_limit_fills_in() -> None:
    of = made(limits={"bandwidth": config_limit(50.0, Kind.BYTES)})
    values = lines(published(usage(used=25.0), of=of)[0])
    assert values["usage_limit_bytes{main,bandwidth}"] == 50.0
    assert "usage_info{main,bandwidth,GB,config,none,none}" in values
    unlimited = lines(published(usage(used=25.0, limit=Unlimited()), of=of)[0])
    assert unlimited["usage_ratio{main,bandwidth}"] == 0.5
    own = lines(published(usage(used=25.0, limit=Known(100.0)), of=of)[0])
    assert own["usage_ratio{main,bandwidth}"] == 0.25


def test_a_bare_number_is_a_limit_in_the_resources_own_unit() -> None:
    of = made(limits={"bandwidth": config_limit(50.0)})
    assert lines(published(usage(used=25.0), of=of)[0])["usage_ratio{main,bandwidth}"] == 0.5


def test_a_limit_of_another_kind_is_ignored_and_noted() -> None:
    of = made(limits={"bandwidth": config_limit(50.0, Kind.SECONDS)})
    found, notes = published(usage(used=25.0), of=of)
    assert "usage_limit_bytes{main,bandwidth}" not in lines(found)
    assert notes == (
        Note(
            reason="limit_ignored",
            detail="bandwidth: the limit is in seconds, the resource in bytes.",
        ),
    )


def test_accounts_of_a_fan_out_are_told_apart() -> None:
    found, _ = published(usage(used=1.0, account="eu"), usage(used=2.0, account="us"))
    values = lines(found)
    assert values["usage_bytes{main/eu,bandwidth}"] == 1.0
    assert values["usage_bytes{main/us,bandwidth}"] == 2.0
    assert {
        "usage_account_info{main,}",
        "usage_account_info{main/eu,}",
        "usage_account_info{main/us,}",
    } < set(values)


def test_the_account_info_has_the_plan_and_the_targets_labels() -> None:
    of = made(labels={"team": "video", "env": "prod"})
    readings = {
        "usage": reading(usage(used=1.0)),
        "costs": reading(plans=(("", "gold"),), collector="costs"),
    }
    found, _ = samples(target_status(of, readings, NOW))
    (info,) = [one for one in found if one.family == "usage_account_info"]
    assert info == Sample(
        family="usage_account_info",
        labels=("acme", "main", "gold"),
        value=1.0,
        extra=(("team", "video"), ("env", "prod")),
    )


def test_each_account_has_its_own_plan() -> None:
    facts = (usage(used=1.0, account="eu"), usage(used=1.0, account="us"))
    readings = {
        "usage": reading(*facts, plans=(("eu", "gold"),)),
        "costs": reading(plans=(("eu", "silver"), ("asia", "free")), collector="costs"),
    }
    found, _ = samples(target_status(made(), readings, NOW))
    plans = {one.labels[1:] for one in found if one.family == "usage_account_info"}
    assert plans == {("main", ""), ("main/eu", "gold"), ("main/us", ""), ("main/asia", "free")}


@pytest.mark.parametrize(
    ("hours", "name"),
    [
        (23, "day"),
        (24, "day"),
        (25, "day"),
        (26, "custom"),
        (7 * 24, "week"),
        (7 * 24 - 1, "week"),
        (28 * 24, "month"),
        (31 * 24, "month"),
        (31 * 24 + 1, "month"),
        (27 * 24, "custom"),
        (32 * 24, "custom"),
        (365 * 24, "year"),
        (366 * 24, "year"),
        (90 * 24, "custom"),
        (6, "custom"),
    ],
)
def test_a_period_has_the_name_of_its_length(hours: int, name: str) -> None:
    assert period_name(Span(NOW, NOW + hours * 3600.0)) == name


def test_no_period_has_the_name_none() -> None:
    assert period_name(None) == "none"
