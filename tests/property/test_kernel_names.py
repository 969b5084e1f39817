import re

from hypothesis import given
from hypothesis import strategies as st

from exporter.kernel.units import find_unit, parse_amount, snake


@given(st.text())
def test_a_snake_name_is_fit_for_prometheus_and_stays_the_same(text: str) -> None:
    name = snake(text)
    assert re.fullmatch("[a-z_][a-z0-9_]*", name)
    assert snake(name) == name


@given(st.text())
def test_any_word_is_a_unit_or_refused(text: str) -> None:
    try:
        unit = find_unit(text)
    except ValueError as error:
        assert "is not a unit" in str(error) or "may be bits" in str(error)  # noqa: PT017 - a unit is fine, too
    else:
        assert find_unit(unit.name) == unit


@given(
    st.sampled_from(
        ["GB", "kB", "GiB", "Mbit", "ms", "hour", "GB-hours", "byte_seconds", "thousand", "%"]
    )
)
def test_a_canonical_name_is_its_own(name: str) -> None:
    unit = find_unit(name)
    assert find_unit(unit.name) == unit
    assert find_unit(f"  {name} ") == unit


@given(st.floats(min_value=0, allow_infinity=False), st.sampled_from(["", "TB", "USD", "GB-hours"]))
def test_an_amount_is_split_into_what_it_was_written_from(number: float, unit: str) -> None:
    assert parse_amount(f"{number!r} {unit}") == (number, unit)
    assert parse_amount(number) == (number, "")
