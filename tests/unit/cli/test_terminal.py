"""Tables in a terminal."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.cli import providers
from exporter.cli.providers import table

WORDS = st.text(string.ascii_letters + "<>._ ,", max_size=40).map(str.strip)
CELLS = st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=6)


def test_columns_are_aligned() -> None:
    rows = [("a", "long cell", "x"), ("bbbb", "c", "y")]
    assert list(table(["ONE", "TWO", "THREE"], rows, None)) == [
        "ONE   TWO        THREE",
        "a     long cell  x",
        "bbbb  c          y",
    ]


def test_the_widest_column_is_wrapped() -> None:
    lines = list(table(["A", "B"], [("key", "one two three four five")], 20))
    assert lines == ["A    B", "key  one two three", "     four five"]


def test_what_is_too_tall_is_cut_at_a_word() -> None:
    rows = [("key", "one two three four five six seven")]
    assert list(table(["A", "B"], rows, 20, tallest=2)) == [
        "A    B",
        "key  one two three",
        "     four five six …",
    ]


def test_without_a_terminal_every_row_is_one_line() -> None:
    long = "word " * 100
    assert len(list(table(["A"], [(long,)], None, tallest=1))) == 2


@given(CELLS, st.integers(40, 120), st.sampled_from([None, 1, 2]))
def test_no_line_is_wider_than_the_terminal(
    rows: list[tuple[str, str, str]], most: int, tallest: int | None
) -> None:
    lines = list(table(["A", "B", "C"], rows, most, tallest=tallest))
    assert max(map(len, lines)) <= most


@given(CELLS)
def test_no_word_is_lost_where_nothing_is_cut(rows: list[tuple[str, str, str]]) -> None:
    shown = "".join(table(["A", "B", "C"], rows, 40)).replace(" ", "")
    assert sorted(shown) == sorted("ABC" + "".join("".join(row) for row in rows).replace(" ", ""))


def test_the_width_is_that_of_the_environment_or_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "77")
    assert providers.width() == 77
    monkeypatch.delenv("COLUMNS")
    assert providers.width() is None
