import pytest

from exporter.kernel.problems import Position, Problem, did_you_mean, near_miss

WHAT = '"5 minutes" is not a duration.'


@pytest.mark.parametrize(
    ("position", "path", "text"),
    [
        (Position("a.yaml", 14, 20), "targets[2]", f"a.yaml:14:20: targets[2]: {WHAT}"),
        (Position("a.yaml", 14, 0), "targets[2]", f"a.yaml:14: targets[2]: {WHAT}"),
        (Position("a.yaml", 0, 0), "targets[2]", f"a.yaml: targets[2]: {WHAT}"),
        (Position("a.yaml", 14, 20), "", f"a.yaml:14:20: {WHAT}"),
        (Position("", 0, 0), "targets[2]", f"targets[2]: {WHAT}"),
        (Position("", 0, 0), "", WHAT),
    ],
)
def test_a_problem_says_where_and_what_and_leaves_out_what_is_unknown(
    position: Position, path: str, text: str
) -> None:
    assert str(Problem(position, path, WHAT)) == text


def test_problems_sort_by_file_line_and_column() -> None:
    positions = [("b", 1, 1), ("a", 10, 1), ("a", 9, 2), ("a", 9, 1)]
    problems = [Problem(Position(*position), "", "") for position in positions]
    assert [problem.position.line for problem in sorted(problems)] == [9, 9, 10, 1]


def test_a_problem_is_an_error_unless_it_says_warning() -> None:
    assert Problem(Position("a", 1, 1), "", "").severity == "error"


def test_a_slip_gets_the_known_word() -> None:
    assert did_you_mean("bandwith", ["storage", "bandwidth"]) == ' Did you mean "bandwidth"?'


def test_a_word_in_other_case_is_a_slip() -> None:
    assert near_miss("europe/berlin", ["Europe/Berlin", "Europe/Bern"]) == "Europe/Berlin"


def test_a_word_far_from_all_gets_the_sorted_list() -> None:
    assert did_you_mean("xyz", ["b", "a", "c", "a"]) == " Known: a, b, c."


def test_a_long_list_is_cut_after_twenty_words() -> None:
    hint = did_you_mean("xyz", [f"word{number:02}" for number in range(21)])
    assert hint.startswith(" Known: word00, word01,")
    assert hint.endswith("word19, …")


def test_nothing_known_means_no_hint() -> None:
    assert did_you_mean("xyz", []) == ""
    assert near_miss("xyz", []) is None
