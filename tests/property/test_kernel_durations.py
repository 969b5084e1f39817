from hypothesis import given
from hypothesis import strategies as st

from exporter.kernel.calendar import format_duration, parse_duration

LONGEST = 292 * 365 * 86_400_000


@given(st.integers(min_value=0, max_value=LONGEST))
def test_a_duration_survives_the_round_trip_to_the_millisecond(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.text(alphabet="0123456789ywdhms.- ", max_size=12))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        assert f'"{text}" is' in str(error)  # noqa: PT017 - a duration is fine, too
    else:
        assert parse_duration(format_duration(seconds)) == seconds
