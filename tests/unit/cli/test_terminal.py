"""Tables and pages in a terminal."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.cli import providers
from exporter.cli.providers import page, table

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


PAGE = """\
# Acme `API`

See [the **docs**](https://acme.example/a_b) and `**stars**`.

## What

```http
GET /v1/usage?a=**b**
| no | table |
```

| name | is |
| --- | --- |
| `a` | x \\| y |
| `` b `0` `` | z |

### one

- a fact of **weight** that is long enough to be wrapped somewhere
"""


def test_a_page_loses_its_signs_and_keeps_its_words() -> None:
    assert (
        "\n".join(page(PAGE.splitlines(), 40))
        == """\
ACME API

See the docs and **stars**.

WHAT

    GET /v1/usage?a=**b**
    | no | table |

NAME   IS
a      x | y
b `0`  z

one

- a fact of weight that is long enough
  to be wrapped somewhere"""
    )


def test_a_page_that_ends_with_a_table_is_whole() -> None:
    assert list(page(["| a |", "| --- |", "| 1 |"], None)) == ["A", "1"]


def test_the_width_is_that_of_the_environment_or_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "77")
    assert providers.width() == 77
    monkeypatch.delenv("COLUMNS")
    assert providers.width() is None
