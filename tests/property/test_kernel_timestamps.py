from datetime import UTC, datetime
from email.utils import format_datetime

from hypothesis import example, given
from hypothesis import strategies as st

from exporter.kernel.calendar import format_rfc3339, parse_timestamp

LATEST = 253402300799
instants = st.integers(min_value=1, max_value=LATEST)
# From here on (1973) seconds, milliseconds, micro- and nanoseconds cannot be confused.
recent = st.integers(min_value=101_000_000, max_value=99_000_000_000)


@given(instants)
def test_what_is_written_is_read_back(epoch: int) -> None:
    assert parse_timestamp(format_rfc3339(epoch)) == epoch


@given(st.integers(min_value=1, max_value=LATEST * 1000))
def test_milliseconds_survive_the_round_trip(milliseconds: int) -> None:
    parsed = parse_timestamp(format_rfc3339(milliseconds / 1000))
    assert parsed is not None
    assert round(parsed * 1000) == milliseconds


@given(recent)
@example(4611686019)  # whose nanoseconds are no float
def test_every_form_of_an_instant_is_the_same_instant(epoch: int) -> None:
    moment = datetime.fromtimestamp(epoch, UTC)
    forms: list[object] = [
        epoch, float(epoch), str(epoch), epoch * 10**3, str(epoch * 10**6), epoch * 10**9,
        moment.isoformat(), moment.isoformat(" "), moment.strftime("%Y-%m-%d %H:%M:%S UTC"),
        moment.strftime("%Y%m%dT%H%M%SZ"), format_datetime(moment, usegmt=True),
        format_datetime(moment), moment.ctime(),
        moment.strftime("%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)"),
    ]  # fmt: skip
    assert {parse_timestamp(form) for form in forms} == {float(epoch)}


@given(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers())
)
def test_any_value_is_an_instant_in_range_or_none_or_refused(value: object) -> None:
    try:
        epoch = parse_timestamp(value)
    except ValueError:
        return
    assert epoch is None or 0 < epoch <= LATEST + 1


@given(st.text(alphabet="0123456789-+:. TZUGMC()novadecsu,", max_size=40))
def test_a_text_that_resembles_a_time_is_read_or_refused(text: str) -> None:
    try:
        parse_timestamp(text)
    except ValueError as error:
        assert "is not a time" in str(error)  # noqa: PT017 - reading it is fine, too
