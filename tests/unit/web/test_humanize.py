import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web import humanize


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.94, "1 kB"),
        (1000, "1 kB"),
        (999_600, "1 MB"),
        (4.123e12, "4.12 TB"),
        (41.23e12, "41.2 TB"),
        (412.3e12, "412 TB"),
        (9.996e9, "10 GB"),
        (1e24, "1,000,000 EB"),
        (-1500, "-1.5 kB"),
    ],
)
def test_bytes_are_written_in_decimal_units_with_three_digits(value: float, wanted: str) -> None:
    assert humanize.size(value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (0, "0"),
        (17, "17"),
        (0.25, "0.25"),
        (12.5, "12.5"),
        (12345, "12,345"),
        (4283.33, "4,283"),
        (1_234_567, "1.23 M"),
        (1e10, "10,000 M"),
        (-3, "-3"),
    ],
)
def test_counts_are_written_with_separators(value: float, wanted: str) -> None:
    assert humanize.number(value) == wanted


@pytest.mark.parametrize(
    ("ratio", "wanted"),
    [
        (0, "0 %"),
        (0.004, "0.4 %"),
        (0.8246, "82 %"),
        (0.9999, "99.9 %"),
        (0.991, "99.1 %"),
        (1, "100 %"),
        (1.155, "116 %"),
        (123.0, "12,300 %"),
    ],
)
def test_what_is_not_full_is_not_shown_as_full(ratio: float, wanted: str) -> None:
    assert humanize.percent(ratio) == wanted


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (185, "3 min"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (86_400 * 3 + 4 * 3600 + 100, "3 d 4 h"),
        (86_400 * 5000, "5,000 d"),
        (-90, "-1 min"),
    ],
)
def test_spans_have_two_units_at_most(seconds: float, wanted: str) -> None:
    assert humanize.span(seconds) == wanted


@pytest.mark.parametrize(
    ("value", "kind", "unit", "wanted"),
    [
        (1e9, "bytes", "GB", "1 GB"),
        (184_800, "seconds", "minutes", "3,080 min"),
        (7200, "seconds", "Hours", "2 h"),
        (7200, "seconds", "", "2 h"),
        (9000, "seconds", "ms", "2 h 30 min"),
        (7.2e12, "byte_seconds", "", "2 GB-h"),
        (5, "requests", "", "5"),
        (0.5, "ratio", "", "50 %"),
        (60, "quantity", "minutes", "60"),
    ],
)
def test_amounts_have_the_unit_of_their_kind(
    value: float, kind: str, unit: str, wanted: str
) -> None:
    assert humanize.amount(value, kind, unit) == wanted


def test_money_has_the_digits_of_its_currency() -> None:
    assert humanize.money(1234.5, "USD") == "1,234.50 USD"
    assert humanize.money(12_800, "JPY") == "12,800 JPY"
    assert humanize.money(1.5, "KWD") == "1.500 KWD"


def test_times_are_told_from_now() -> None:
    assert humanize.ago(100, 285) == "3 min ago"
    assert humanize.ago(100, 100.5) == "just now"
    assert humanize.ago(200, 100) == "just now"
    assert humanize.until(285, 100) == "in 3 min"
    assert humanize.until(100, 285) == "due now"


def test_days_and_moments_are_utc() -> None:
    assert humanize.moment(1_795_348_800.9) == "2026-11-22 12:00:00 UTC"
    assert humanize.day(1_793_491_200) == "1 Nov"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_finite_number_is_written_on_one_short_line(value: float) -> None:
    for text in (
        humanize.size(value),
        humanize.number(value),
        humanize.percent(value),
        humanize.span(value),
    ):
        assert re.fullmatch(r"-?([0-9][0-9,.]*(e\+[0-9]+)?|inf) ?[A-Za-z%]*( [0-9]+ [a-z]+)?", text)
        assert len(text) < 30


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_finite_time_is_a_moment(epoch: float) -> None:
    assert humanize.moment(epoch).endswith(" UTC")
    assert humanize.day(epoch)
