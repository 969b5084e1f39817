import re

from exporter.kernel.problems import traceback_line, type_and_place
from exporter.observe import logs


def failing(secret: str) -> BaseException:
    try:
        refuse(secret)
    except ValueError as error:
        return error
    raise AssertionError("refuse raises")


def refuse(secret: str) -> None:
    try:
        dict[str, str]()[secret[:0] + "inner"]
    except KeyError as error:
        raise ValueError("outer") from error


def test_an_exception_is_described_with_what_it_came_from() -> None:
    assert logs.describe(failing("x")) == "ValueError: outer (from KeyError: 'inner')"


def test_local_variables_are_not_shown() -> None:
    error = failing("canary-5f1e")
    assert "canary" not in logs.describe(error) + traceback_line(error)


def test_the_place_is_the_last_frames_innermost_first() -> None:
    place = traceback_line(failing("x"))
    assert place.startswith("unit/observe/test_faults.py:")
    assert " refuse < " in place
    assert place.endswith(" failing")


def test_type_and_place_are_those_of_the_innermost_frame_without_the_text() -> None:
    described = type_and_place(failing("x"))
    assert re.fullmatch(r"ValueError in refuse \(unit/observe/test_faults\.py:\d+\)", described)
    assert type_and_place(TimeoutError()) == "TimeoutError"


def test_an_exception_without_words_or_frames_is_its_type() -> None:
    assert logs.describe(TimeoutError()) == "TimeoutError"
    assert traceback_line(TimeoutError()) == ""


def test_a_group_shows_what_it_holds() -> None:
    group = ExceptionGroup("both", [ValueError("a"), OSError("b")])
    assert logs.describe(group) == (
        "ExceptionGroup: both (2 sub-exceptions): ValueError: a; OSError: b"
    )


def test_an_endless_chain_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert logs.describe(first).count("ValueError") == 4


def test_a_hidden_context_stays_hidden() -> None:
    error = ValueError("a")
    error.__context__ = KeyError("b")
    assert logs.describe(error) == "ValueError: a (from KeyError: 'b')"
    error.__suppress_context__ = True
    assert logs.describe(error) == "ValueError: a"
