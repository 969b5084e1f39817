"""What a limit may be: known, zero, unlimited, unknown."""

import pytest

from exporter.model.definition.values import Zero
from exporter.model.reading import Known, Note, Unlimited
from tests.unit.mapping.factories import reading, resource, rows, target, usage, value


@pytest.mark.parametrize(
    ("found", "rule", "limit"),
    [
        (0, {}, Known(0.0)),
        (0, {"zero": Zero.UNKNOWN}, None),
        (0, {"zero": Zero.UNLIMITED}, Unlimited()),
        (-1, {"unlimited": (-1,)}, Unlimited()),
        (None, {"unlimited": (None,)}, Unlimited()),
        ("unlimited", {"unlimited": ("Unlimited",)}, Unlimited()),
        ("∞", {"unlimited": ("∞",)}, Unlimited()),
        (2**63 - 1, {"unlimited": (2**63 - 1,)}, Unlimited()),
        (None, {}, None),
        ("100", {}, Known(100.0)),
    ],
)
def test_unlimited_unknown_and_zero_limits_are_three_things(
    found: object, rule: dict[str, object], limit: object
) -> None:
    read = usage(resource("a", used=value("u"), limit=value("l", **rule)), of={"u": 1, "l": found})
    assert read.limit == limit


def test_a_negative_limit_that_nobody_declared_is_unknown_and_noted() -> None:
    found = reading(target(resource("a", used=value("u"), limit=value("l"))), {"u": 1, "l": -1})
    assert found.usages[0].limit is None
    assert found.notes == (
        Note(reason="negative_limit", detail="a: -1. If it has a meaning, `unlimited` lists it."),
    )


def test_what_lists_the_whole_answer_sees_no_entry_that_is_not_in_it() -> None:
    rule = resource("{m.key}", rows(("items(@)", "m")), used=value("m.value"))
    found = reading(target(rule), {"mail": 3, "seats": 4})
    assert [one.resource for one in found.usages] == ["mail", "seats"]
    rule = resource("{m.key}", rows(("items(root.a)", "m")), used=value("m.value"))
    assert [one.used for one in reading(target(rule), {"a": {"x": 1}}).usages] == [1.0]


def test_an_unlimited_balance_is_an_unlimited_limit() -> None:
    rule = resource("a", used=value("u"), remaining=value("r", unlimited=(-1,)))
    found = usage(rule, of={"u": 3, "r": -1})
    assert (found.limit, found.remaining) == (Unlimited(), None)


def test_a_sentinel_elsewhere_is_no_value() -> None:
    rule = resource("a", used=value("u"), projected=value("p", unlimited=(-1,)))
    assert usage(rule, of={"u": 3, "p": -1}).projected is None
