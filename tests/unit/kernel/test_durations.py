import pytest

from exporter.kernel.calendar import format_duration, parse_duration

HOUR = 3600.0
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("250ms", 0.25),
        ("30s", 30.0),
        ("5m", 300.0),
        ("1h30m", 1.5 * HOUR),
        ("1d", DAY),
        ("2w", 14 * DAY),
        ("1y", 365 * DAY),
        ("1y2w3d4h5m6s7ms", 382 * DAY + 4 * HOUR + 306.007),
        ("90m", 1.5 * HOUR),
        ("007s", 7.0),
        ("292y", 292 * 365 * DAY),
    ],
)
def test_a_duration_is_read_as_prometheus_reads_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "5", "5 minutes", "1.5h", "30m1h", "1h1h", "-5m", "+5m", " 5m", "5m ", "5M", "5m\n",
     "1e3s", "\N{ARABIC-INDIC DIGIT FIVE}m"],
)  # fmt: skip
def test_what_is_no_duration_is_refused_with_the_way_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration") as caught:
        parse_duration(text)
    assert str(caught.value) == (
        f'"{text}" is not a duration. Write a number and a unit: 30s, 5m, 1h30m.'
    )


def test_a_duration_beyond_prometheus_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r'^"300y" is too long for a duration. Write at most 292y'):
        parse_duration("300y")


def test_a_huge_text_is_refused_without_being_repeated() -> None:
    with pytest.raises(ValueError, match="is not a duration") as caught:
        parse_duration("9" * 10_000 + "s")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.0004, "0s"),
        (0.25, "250ms"),
        (59.9996, "1m"),
        (300.0, "5m"),
        (1.5 * HOUR, "1h30m"),
        (36 * HOUR, "36h"),
        (DAY, "1d"),
        (8 * DAY, "8d"),
        (14 * DAY, "2w"),
        (365 * DAY, "1y"),
        (-90.0, "-1m30s"),
    ],
)
def test_seconds_are_written_in_the_largest_exact_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_has_no_duration(seconds: float) -> None:
    with pytest.raises(ValueError, match="cannot be written as a duration"):
        format_duration(seconds)
