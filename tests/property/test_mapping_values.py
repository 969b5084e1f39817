import math

from hypothesis import given
from hypothesis import strategies as st

from exporter.kernel.jmes import compile_path, quoted
from exporter.mapping.values import (
    MAX_LABEL,
    UNLIMITED,
    MappingError,
    amount_of,
    clean_label,
    converted,
    reduced,
)
from exporter.model.definition.values import How, Reduce, Value

FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
PATH = (compile_path("n"),)


def read(found: object, factor: float = 1.0, **more: object) -> object:
    rule = Value(paths=PATH, **more)  # type: ignore[arg-type]
    return converted(amount_of(rule, {"n": found}, set()), factor)


@given(FINITE)
def test_a_number_is_the_same_as_its_text(number: float) -> None:
    assert read(repr(number)) == number
    assert read(f"  {number!r}\t") == number
    assert read(number) == number


@given(st.integers(min_value=-(10**300), max_value=10**300))
def test_an_integer_of_any_size_is_its_nearest_float(number: int) -> None:
    assert read(number) == float(number)
    assert read(str(number)) == float(number)


@given(JSON)
def test_whatever_is_found_is_a_finite_number_or_nothing_or_refused(found: object) -> None:
    number: object = None
    message = ""
    try:
        number = read(found)
    except MappingError as misfit:
        message = str(misfit)
    assert len(message) < 400
    assert number is None or (isinstance(number, float) and math.isfinite(number))


@given(FINITE, st.sampled_from([0.01, 1e9, 1e12, 2.0**40, 3600.0]))
def test_a_conversion_is_finite_or_refused(number: float, factor: float) -> None:
    try:
        assert read(number, factor) == number * factor
    except MappingError:
        assert math.isinf(number * factor)


@given(st.integers(min_value=-(2**70), max_value=2**70))
def test_a_sentinel_is_found_in_every_spelling(mark: int) -> None:
    for found in (mark, float(mark), str(mark), f" {mark} "):
        assert read(found, unlimited=(mark,)) is UNLIMITED


@given(st.text())
def test_a_sentinel_word_is_found_in_every_case(word: str) -> None:
    mark = word.strip()
    if mark:
        assert read(f" {mark} ", unlimited=(mark,)) is UNLIMITED


@given(st.lists(FINITE.map(lambda number: number / 1e10), min_size=1))
def test_the_order_of_rows_does_not_change_a_sum_or_an_extreme(numbers: list[float]) -> None:
    rows = [(None, None)] * len(numbers)
    for how in (How.SUM, How.MAX, How.MIN, How.COUNT):
        forwards = reduced(Reduce(how=how), rows, numbers)
        assert forwards == reduced(Reduce(how=how), rows, numbers[::-1])
    assert reduced(Reduce(how=How.SUM), rows, numbers) == math.fsum(numbers)


@given(st.text() | st.text(alphabet=st.characters(categories=["Cs", "Cc", "Zl", "Zp", "L"])))
def test_a_label_is_always_clean(text: str) -> None:
    found, cut = clean_label(text, "x")
    found.encode()
    assert len(found) <= MAX_LABEL
    assert cut is (len(text) > MAX_LABEL)
    assert not any(ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 for letter in found)
    assert clean_label(found, "x") == (found, False)


@given(JSON)
def test_anything_can_be_told_in_a_line(found: object) -> None:
    assert len(quoted(found)) < 120
    assert quoted(found).isprintable()
