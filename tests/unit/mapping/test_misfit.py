import pytest

from exporter.kernel.jmes import number_text, quoted
from exporter.mapping.values import MappingError


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        ("a\nb", 'the text "a b"'),
        (5, "the number 5"),
        (5.5, "the number 5.5"),
        ({"a": 1}, "a map of 1 key(s)"),
        ([], "a list of 0"),
        (b"x", "a bytes"),
    ],
)
def test_what_was_found_is_told_by_type_and_value(found: object, words: str) -> None:
    assert quoted(found) == words


@pytest.mark.parametrize(
    ("number", "text"),
    [(2067, "2067"), (2067.0, "2067"), (0.5, "0.5"), (1e300, "1e+300"), (-3.0, "-3")],
)
def test_a_number_is_written_as_an_answer_would(number: float, text: str) -> None:
    assert number_text(number) == text


def test_the_place_grows_from_the_inside_out() -> None:
    misfit = MappingError("usage.total", "is no number.").at("used").at("resources[bandwidth]")
    assert str(misfit) == 'resources[bandwidth].used: path "usage.total": is no number.'
    assert str(MappingError("", "nothing matched.")) == "nothing matched."
