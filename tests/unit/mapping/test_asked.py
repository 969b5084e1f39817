import pytest

from exporter.kernel.templates import compile_template
from exporter.mapping.period import RequestVariables
from exporter.mapping.values import MappingError
from tests.unit.mapping.factories import NOW, param, period, target


def asked(account: str = "", *, given: object = None, **definition: object) -> RequestVariables:
    return RequestVariables(target(params=given or {}, definition=definition), account, NOW)


def test_values_are_parameters_then_defaults_then_the_account() -> None:
    known = {
        "a": param("a"),
        "b": param("b", "{month.start:date}"),
        "c": param("c", "{params.a}-c"),
        "d": param("d", "{params.nothing}"),
        "e": param("e", "default"),
    }
    found = asked("acct", given={"a": ("one", "two"), "e": ("",)}, params=known)
    assert found.values == {
        "params.a": "one,two",
        "params.b": "2026-11-01",
        "params.c": "one,two-c",
        "account.id": "acct",
    }


def test_defaults_know_the_zone_and_the_billing_day_of_the_definition() -> None:
    found = asked(
        given={"day": ("20",)},
        zone="Asia/Tokyo",
        period=period(anchor_day="{params.day}"),
        params={"from": param("from", "{cycle.start:rfc3339}")},
    )
    assert found.values["params.from"] == "2026-10-19T15:00:00Z"


def test_a_text_is_rendered_or_none() -> None:
    found = asked(given={"a": ("one",)})
    assert found.text(None) is None
    assert found.text(compile_template("USD")) == "USD"
    assert found.text(compile_template("{{USD}}")) == "{USD}"
    assert found.text(compile_template("{params.a}")) == "one"
    assert found.text(compile_template("{params.b}")) is None
    assert found.text(compile_template("{now:date}"), "Pacific/Kiritimati") == "2026-11-16"


def test_only_what_the_target_sets_is_chosen() -> None:
    found = asked(given={"a": ("one",)}, params={"b": param("b", "two")})
    assert found.chose(compile_template("{params.a}"))
    assert not found.chose(compile_template("{params.b}"))
    assert not found.chose(compile_template("{now:date}"))
    assert not found.chose(None)


def test_a_billing_day_is_a_day_of_the_month() -> None:
    found = asked(given={"a": ("31",), "b": ("one",)})
    assert found.anchor_day(None) is None
    assert found.anchor_day(compile_template("{params.a}")) == 31
    assert found.anchor_day(compile_template("{params.c}")) is None
    with pytest.raises(MappingError, match='the anchor day is "one"'):
        found.anchor_day(compile_template("{params.b}"))
