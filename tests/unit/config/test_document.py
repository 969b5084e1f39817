"""YAML as a tree: what scalars mean, where everything stands, what is refused."""

import pytest
import yaml

from exporter.kernel.yamlfile import FAST, Tree, parse_yaml

LOADERS = pytest.mark.parametrize("loader", [FAST, yaml.SafeLoader], ids=["fast", "pure"])


def tree(text: str) -> Tree:
    document = parse_yaml(text, "x.yaml")
    assert document.problems == ()
    return document.tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-7", -7),
        ("+5", 5),
        ("1.5", 1.5),
        ("1e12", 1e12),
        (".5", 0.5),
        ("1.", 1.0),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_a_plain_scalar_may_be_a_truth_or_a_decimal_number(text: str, value: object) -> None:
    found = tree(f"a: {text}")
    assert found == {"a": value}
    assert isinstance(found, dict)
    assert type(found["a"]) is type(value)


SURPRISES = (
    "no yes on off True NULL 12:30 012 0x10 0o17 0b1 1_000 2026-11-15 2026-11-15T12:00:00Z .inf "
    ".nan -.inf 1e999 5m + . = < 1.2.3 0E-3x 00 01.5 -a"
)


@pytest.mark.parametrize("text", [*SURPRISES.split(), "9" * 101, "5 TB"])
def test_what_yaml_1_1_would_guess_at_is_text(text: str) -> None:
    assert tree(f"a: {text}") == {"a": text}


@pytest.mark.parametrize("text", ["'5'", '"5"', "|-\n  5", ">-\n  5"])
def test_a_quoted_or_block_scalar_is_text(text: str) -> None:
    assert tree(f"a: {text}") == {"a": "5"}


def test_keys_are_always_text() -> None:
    assert tree("{no: 1, 404: 2, true: 3, null: 4, 1.5: 5}") == {
        "no": 1,
        "404": 2,
        "true": 3,
        "null": 4,
        "1.5": 5,
    }


def test_a_byte_order_mark_and_windows_lines_are_fine() -> None:
    assert tree("\ufeffa: 1\r\nb: 2\r\n") == {"a": 1, "b": 2}


def test_merges_fill_in_what_is_not_written() -> None:
    text = "- &a {x: 1, y: 1}\n- &b {y: 2, z: 2}\n- {<<: [*a, *b], x: 3}\n- {<<: *a}\n"
    found = tree(text)
    assert isinstance(found, list)
    assert found[2] == {"x": 3, "y": 1, "z": 2}
    assert found[3] == {"x": 1, "y": 1}


def test_a_quoted_merge_sign_is_a_key() -> None:
    assert tree('{"<<": 1}') == {"<<": 1}


TEXT = """\
a:
  b: [x, {c: 1}]
  d:
  <<: {e: 2}
"f g": |
  block
"""


@LOADERS
@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        ((), 1, 1),
        (("a",), 2, 3),
        (("a", "b"), 2, 6),
        (("a", "b", 0), 2, 7),
        (("a", "b", 1, "c"), 2, 14),
        (("a", "d"), 3, 3),  # an empty value has no place: its key
        (("a", "e"), 4, 11),  # merged
        (("f g",), 5, 8),
        (("a", "nowhere"), 2, 3),  # the nearest thing that is there
        (("a", "b", 5, "x"), 2, 6),
        (("f g", "inside"), 5, 8),
    ],
)
def test_every_value_has_its_position(
    loader: type, path: tuple[str | int, ...], line: int, column: int
) -> None:
    position = parse_yaml(TEXT, "x.yaml", loader=loader).position(path)
    assert (position.file, position.line, position.column) == ("x.yaml", line, column)


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [(("a",), 1, 1), (("a", "b"), 2, 3), (("a", "b", 1, "c"), 2, 11), (("a", "e"), 4, 8)],
)
def test_every_key_has_its_position(path: tuple[str | int, ...], line: int, column: int) -> None:
    position = parse_yaml(TEXT, "x.yaml").position(path, at_key=True)
    assert (position.line, position.column) == (line, column)


def test_columns_count_characters_not_bytes() -> None:
    assert parse_yaml("{ä: 1, ü: 2}", "x.yaml").position(("ü",)).column == 11


@LOADERS
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1, 2", 1),
        ("a:\n\tb: 1", 2),
        ("a: 'x", 1),
        ("a: b: c", 1),
        ("a: *x", 1),
        ("a: &x 1\nb: &x 2", 2),
        ("--- 1\n--- 2", 2),
        ("a: %x", 1),
        ("- a\nb: 1", 2),
        ('a: "\\q"', 1),
        ("a: b\nc", 2),
        ("{a: 1", 1),
        ("%FOO", 1),
        ("a: !x!y 5", 1),
    ],
)
def test_broken_yaml_is_one_problem_with_a_line(loader: type, text: str, line: int) -> None:
    document = parse_yaml(text, "x.yaml", loader=loader)
    (problem,) = document.problems
    assert document.tree is None
    assert str(problem).startswith("x.yaml:")
    assert "This is not YAML: " in problem.what
    assert abs(problem.position.line - line) <= 1  # the two parsers notice at different tokens


@LOADERS
@pytest.mark.parametrize(
    "text",
    [
        "a: *s3cr3t",
        "a: &s3cr3t 1\nb: &s3cr3t 2",
        "a: !s3cr3t!x 1",
        "a: !s3cr3t x",
        "a: @s3cr3t",
        "a: 's3cr3t",
        "{a: s3cr3t",
        "s3cr3t\nb: 1",
        'a: "\\s3cr3t"',
        "{s3cr3t:x, s3cr3t:x}",
    ],
)
def test_what_stands_at_a_mistake_is_never_shown(loader: type, text: str) -> None:
    problems = parse_yaml(text, "x.yaml", loader=loader).problems
    assert problems
    assert "s3cr3t" not in str(problems)


@LOADERS
@pytest.mark.parametrize("sign", ["[", "{", "- ", "? ", "[{a: "])
@pytest.mark.parametrize("times", [100, 1500, 100_000])
def test_deep_nesting_is_refused_and_not_survived_by_luck(
    loader: type, sign: str, times: int
) -> None:
    (problem,) = parse_yaml(sign * times, "x.yaml", loader=loader).problems
    assert problem.what == "The file is nested deeper than 64 levels. Write it flatter."


@LOADERS
@pytest.mark.parametrize(
    "text",
    ["a:\n - b\n c: d", "- a\nb: c", "%FOO", "%YAML 9.9\n--- a", "a: &", "!<tag", "a: >9x", "}"],
)
def test_the_words_of_the_parser_are_not_passed_on(loader: type, text: str) -> None:
    problems = parse_yaml(text, "x.yaml", loader=loader).problems
    for words in ("while ", "did not find", "expected", "found", "scanning", "parsing"):
        assert words not in str(problems)


def test_a_billion_laughs_are_counted_not_laughed() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    (problem,) = parse_yaml("\n".join(lines), "x.yaml").problems
    assert problem.what == "The aliases (*) stand for more than a million values."


def test_an_alias_may_stand_for_the_same_thing_many_times() -> None:
    text = "a: &a {x: [1, 2]}\nb: [" + ", ".join(["*a"] * 5000) + "]"
    found = tree(text)
    assert isinstance(found, dict)
    assert found["b"] == [{"x": [1, 2]}] * 5000


def test_every_duplicate_is_told() -> None:
    document = parse_yaml("{a: 1, a: 2, b: {c: 1, c: 2, c: 3}}", "x.yaml")
    assert [problem.position.column for problem in document.problems] == [8, 24, 30]
    assert document.tree == {"a": 1, "b": {"c": 1}}  # the first one counts, for further checks


def test_positions_of_a_broken_file_are_unknown() -> None:
    assert str(parse_yaml("[", "x.yaml").position(("a",))) == "x.yaml"
