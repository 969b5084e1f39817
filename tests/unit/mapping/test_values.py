import re

import msgspec
import pytest

from exporter.kernel.units import Kind
from exporter.mapping import values
from exporter.mapping.values import (
    UNLIMITED,
    MappingError,
    _known,
    amount_of,
    converted,
    epoch,
    limit_fact,
    measure,
)
from exporter.model.definition.values import Missing, UnitRule, Zero
from exporter.model.reading import Known
from tests.unit.mapping.factories import (
    failure,
    paths,
    reduce,
    resource,
    rows,
    target,
    unit,
    unit_at,
    value,
)


def read(found: object, **more: object) -> object:
    return converted(amount_of(value("n", **more), {"n": found}, set()), 1.0)


@pytest.mark.parametrize(
    ("found", "number"),
    [
        (5, 5.0),
        (2.5, 2.5),
        (-3, -3.0),
        ("12.50", 12.5),
        (" 7\n", 7.0),
        ("1e+20", 1e20),
        ("-1.5E-3", -0.0015),
        (".5", 0.5),
        ("5.", 5.0),
        ("+4", 4.0),
        ("0E-3", 0.0),
        (9007199254740993, 9007199254740992.0),
        ("9223372036854775807", 9223372036854775807.0),
    ],
)
def test_numbers_are_read_from_numbers_and_texts(found: object, number: float) -> None:
    assert read(found) == number


@pytest.mark.parametrize("zero", [-0.0, "-0", "-0.00", 0, "0E-3"])
def test_zero_has_no_sign(zero: object) -> None:
    assert str(read(zero)) == "0.0"


@pytest.mark.parametrize(
    "text", ["1,000", "1,000,000.5", "1 000", "1_000", "1'000", "12,5", "1,50"]
)
def test_separators_are_refused_because_they_mean_two_things(text: str) -> None:
    with pytest.raises(MappingError, match="separators of thousands or a decimal comma"):
        read(text)


@pytest.mark.parametrize(
    "found",
    [
        "NaN",
        "Infinity",
        "-inf",
        "1e400",
        "0x10",
        "twelve",
        "5 GB",
        "١٢",
        "1e",
        "--1",
        float("nan"),
        float("inf"),
        10**400,
    ],
)
def test_what_is_no_finite_number_is_refused(found: object) -> None:
    with pytest.raises(MappingError, match="finite"):
        read(found)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (True, "found true in the place of a number"),
        ({"value": 1}, r"found a map of 1 key\(s\)"),
        ([1, 2], "found a list of 2"),
    ],
)
def test_what_is_no_number_at_all_is_refused_and_told(found: object, words: str) -> None:
    with pytest.raises(MappingError, match=words) as raised:
        read(found)
    assert raised.value.path == "n"


def test_a_number_that_its_unit_makes_infinite_is_refused() -> None:
    with pytest.raises(MappingError, match="not finite"):
        converted(1e300, 1e15)


def test_an_integer_that_is_no_float_is_refused_with_and_without_sentinels() -> None:
    with pytest.raises(MappingError, match="of thousands of digits is not a finite number"):
        read(10**4000, unlimited=(-1,))
    with pytest.raises(MappingError, match="of thousands of digits is not finite"):
        read(10**4000)


def test_a_found_text_is_clipped_in_the_message() -> None:
    with pytest.raises(MappingError) as raised:
        read("x" * 10_000)
    assert len(str(raised.value)) < 200


def test_words_become_numbers_without_regard_to_case() -> None:
    words = {"on": 1.0, "Off": 0.0, "3": 33.0}
    assert [read(text, words=words) for text in ("on", "ON", " off ", "3", "4")] == [
        1.0,
        1.0,
        0.0,
        33.0,
        4.0,
    ]
    with pytest.raises(MappingError, match="Known words: 3, Off, on"):
        read("maybe", words=words)


def test_a_bool_is_a_number_only_where_words_are_declared() -> None:
    assert read(True, words={"enabled": 5.0}) == 1.0
    assert read(False, words={"enabled": 5.0}) == 0.0
    assert read(True, words={"true": 7.0}) == 7.0


def test_the_regex_takes_its_group() -> None:
    limit = re.compile(r"^\s*(\d+)")
    assert read("100;w=21600", pattern=limit) == 100.0
    assert read("100;w=21600", pattern=re.compile(r"w=(\d+)")) == 21600.0
    assert read("used 12 of 20", pattern=re.compile(r"\d+(?= of)")) == 12.0
    assert read(55, pattern=limit) == 55.0
    with pytest.raises(MappingError, match=r"does not match the regex"):
        read("none", pattern=limit)


def test_the_first_path_that_gives_something_counts() -> None:
    both = value("a", "b")
    seen: set[str] = set()
    assert amount_of(both, {"a": None, "b": 4}, seen) == 4
    assert seen == {"b"}
    assert amount_of(both, {"a": "", "b": 4}, seen) == 4
    assert amount_of(both, {"a": 0, "b": 4}, seen) == 0


def test_added_paths_are_one_number() -> None:
    total = value("a", "b", "c", add=True)
    assert amount_of(total, {"a": 1, "b": "2.5", "c": 3}, set()) == 6.5


def test_a_sum_with_a_missing_part_is_no_smaller_sum() -> None:
    assert amount_of(value("a", "b", add=True), {"a": 1}, set()) is None
    assert amount_of(value("a", "b", add=True, missing=Missing.ZERO), {"a": 1}, set()) == 1.0
    with pytest.raises(MappingError, match="not a finite number"):
        amount_of(value("a", "b", add=True), {"a": 1e308, "b": 1e308}, set())
    with pytest.raises(MappingError, match="missing: fail"):
        amount_of(value("a", "b", add=True, missing=Missing.FAIL), {"a": 1}, set())


@pytest.mark.parametrize("absent", [{}, {"n": None}, {"n": ""}])
def test_missing_is_skipped_or_zero_or_a_failure(absent: object) -> None:
    assert amount_of(value("n"), absent, set()) is None
    assert amount_of(value("n", missing=Missing.ZERO), absent, set()) == 0.0
    with pytest.raises(MappingError, match="there is nothing here") as raised:
        amount_of(value("n", "m", missing=Missing.FAIL), absent, set())
    assert raised.value.path == "n or m"


@pytest.mark.parametrize(
    ("mark", "found"),
    [
        (1e12, 1000000000000),
        (1000000000000, 1e12),
        (1e12, "1000000000000"),
        (-1, -1),
        (-1, "-1"),
        (-1, -1.0),
        ("unlimited", "Unlimited"),
        ("Unlimited", " UNLIMITED "),
        ("∞", "∞"),
        (None, None),
        (True, True),
        (9223372036854775807, 9223372036854775807),
        (9223372036854775807, 9223372036854776000),
        (9223372036854775807, "9223372036854775807"),
    ],
    ids=repr,
)
def test_sentinels_are_compared_by_value(mark: object, found: object) -> None:
    assert read(found, unlimited=(mark,)) is UNLIMITED


@pytest.mark.parametrize(
    ("mark", "found"), [(1, True), (True, 1), (0, False), ("1", 1), (-1, 1)], ids=repr
)
def test_a_sentinel_is_not_taken_for_something_else(mark: object, found: object) -> None:
    assert read(found, unlimited=(mark,), words={"x": 0.0}) != UNLIMITED


def test_a_null_sentinel_covers_an_absent_field() -> None:
    assert amount_of(value("n", unlimited=(None,)), {}, set()) is UNLIMITED


def test_a_sentinel_word_wins_over_the_regex() -> None:
    assert read("none", pattern=re.compile(r"(\d+)"), unlimited=("none",)) is UNLIMITED


def test_a_sum_with_an_unlimited_part_is_unlimited() -> None:
    both = value("a", "b", add=True, unlimited=(-1,))
    assert amount_of(both, {"a": 5, "b": -1}, set()) is UNLIMITED


def test_a_limit_of_zero_means_what_the_definition_says() -> None:
    assert limit_fact(0.0, Zero.LIMIT) == Known(0.0)
    assert limit_fact(0.0, Zero.UNKNOWN) is None
    assert limit_fact(0.0, Zero.UNLIMITED) is UNLIMITED
    assert limit_fact(5.0, Zero.UNKNOWN) == Known(5.0)
    assert limit_fact(UNLIMITED, Zero.LIMIT) is UNLIMITED
    assert limit_fact(None, Zero.UNLIMITED) is None


def test_a_unit_is_fixed_or_stands_in_the_row() -> None:
    assert measure(unit("GB"), {}, set()).unit.factor == 1e9
    seen: set[str] = set()
    rule = unit_at("unit", {"GB": "GB", "users": "quantity"})
    found = measure(rule, {"unit": "GB"}, seen)
    assert (found.unit.kind, found.unit.factor, found.word) == (Kind.BYTES, 1e9, "GB")
    assert seen == {"unit"}
    assert measure(rule, {"unit": "users"}, seen).word == "users"


@pytest.mark.parametrize(
    ("word", "kind", "factor"),
    [
        ("PB", Kind.BYTES, 1e15),
        ("gibibytes", Kind.BYTES, 2.0**30),
        ("Requests", Kind.REQUESTS, 1.0),
        (" ms ", Kind.SECONDS, 1e-3),
        ("GB-hours", Kind.BYTE_SECONDS, 3.6e12),
        ("count", Kind.QUANTITY, 1.0),
    ],
)
def test_a_unit_of_ours_needs_no_entry(word: str, kind: Kind, factor: float) -> None:
    found = measure(unit_at("unit", {}), {"unit": word}, set())
    assert (found.unit.kind, found.unit.factor) == (kind, factor)


@pytest.mark.parametrize(
    ("text", "name"), [("12.5 GB", "GB"), ("7 widgets", "quantity"), ("12", "quantity")]
)
def test_a_unit_may_stand_behind_its_number(text: str, name: str) -> None:
    pattern = re.compile(r"^[0-9.]+ ?(\w*)$")
    rule = msgspec.structs.replace(unit_at("size", {}, otherwise="quantity"), pattern=pattern)
    assert measure(rule, {"size": text}, set()).unit.name == name


def test_the_definition_says_otherwise_what_a_unit_of_ours_is() -> None:
    assert measure(unit_at("unit", {"h": "requests"}), {"unit": "h"}, set()).unit.name == "requests"


@pytest.mark.parametrize("word", ["gb", "percent", "USD", "cents", "GB/s", "GB of egress", ""])
def test_what_is_no_measure_of_use_is_no_unit_of_ours(word: str) -> None:
    rule = unit_at("unit", {}, otherwise="quantity")
    assert measure(rule, {"unit": word}, set()).unit.name == "quantity"


def test_an_unknown_unit_is_the_declared_one_or_a_failure() -> None:
    rule = unit_at("unit", {"GB": "GB"}, otherwise="quantity")
    assert measure(rule, {"unit": "widgets"}, set()).word == "widgets"
    assert measure(rule, {}, set()).word == "quantity"
    with pytest.raises(MappingError, match='"gigs" is not a unit of this definition'):
        measure(unit_at("unit", {"GB": "GB"}), {"unit": "gigs"}, set())
    with pytest.raises(MappingError, match="Known: none"):
        measure(UnitRule(), {}, set())


@pytest.mark.parametrize("numbers", [[1.0, 1e300], [1e300, 1.0], [1.0, 2.0, -1e305]])
def test_a_row_that_leaves_the_floats_in_its_base_unit_is_refused(numbers: list[float]) -> None:
    each = rows(("days", "day"))
    rule = resource("traffic", each, unit=unit("GB"), reduce=reduce("max"), used=value("day.n"))
    document = {"days": [{"n": number} for number in numbers]}
    assert "is not finite, or not in its base unit" in failure(target(rule), document).detail


@pytest.mark.parametrize("found", [{"value": 5}, [5], [], {}], ids=repr)
@pytest.mark.parametrize("mark", [-1, "none", None, True], ids=repr)
def test_what_is_no_number_is_never_unlimited(found: object, mark: object) -> None:
    rule = resource("seats", used=value("used"), limit=value("n", unlimited=(mark,)))
    detail = failure(target(rule), {"used": 1, "n": found}).detail
    assert "in the place of a number" in detail


def test_long_texts_are_not_kept() -> None:
    long = "GB" + " " * 1_000_000
    with pytest.raises(MappingError, match="is not a unit"):
        measure(UnitRule(path=paths("u")[0], kinds=frozenset(Kind)), {"u": long}, set())
    before = sum(cache.cache_info().currsize for cache in (values._common, _known))
    for blanks in range(300, 310):
        assert epoch("2026-11-01" + " " * blanks, "t") == 1793491200.0
    after = sum(cache.cache_info().currsize for cache in (values._common, _known))
    assert after == before


@pytest.mark.parametrize("text", ["9" * 2000, "1" + ",000" * 2000, "1" + " " * 5000 + "x"])
def test_a_text_of_thousands_of_characters_is_no_number(text: str) -> None:
    with pytest.raises(MappingError, match="is not a finite number"):
        read(text)


def test_a_pattern_sees_the_beginning_of_a_text_only() -> None:
    with pytest.raises(MappingError, match="does not match"):
        read("a" * 2000 + "7", pattern=re.compile(r"\d"))
