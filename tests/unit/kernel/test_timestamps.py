import math
import time
from collections.abc import Iterator
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

import pytest

from exporter.kernel.calendar import format_rfc3339, parse_timestamp

NOON = 1794744000  # 2026-11-15T12:00:00Z
MIDNIGHT = NOON - 12 * 3600.0
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "epoch"),
    [
        (NOON, NOON),
        (float(NOON), NOON),
        (NOON + 0.25, NOON + 0.25),
        (str(NOON), NOON),
        (f"{NOON}.25", NOON + 0.25),
        ("1.794744e9", NOON),
        (NOON * 10**3, NOON),
        (NOON * 10**3 + 250, NOON + 0.25),
        (str(NOON * 10**3), NOON),
        (NOON * 10**6, NOON),
        (str(NOON * 10**6), NOON),
        (NOON * 10**9, NOON),
        (str(NOON * 10**9), NOON),
        (1, 1.0),
    ],
    ids=repr,
)
def test_the_magnitude_of_a_number_tells_its_scale(value: object, epoch: float) -> None:
    assert parse_timestamp(value) == epoch


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("2026-11-15T12:00:00Z", NOON),
        ("2026-11-15t12:00:00z", NOON),
        ("2026-11-15T12:00Z", NOON),
        ("2026-11-15T12:00:00.25Z", NOON + 0.25),
        ("2026-11-15T12:00:00,25Z", NOON + 0.25),
        ("2026-11-15T13:00:00+01:00", NOON),
        ("2026-11-15T13:00:00+0100", NOON),
        ("2026-11-15T13:00:00+01", NOON),
        ("2026-11-15T04:00:00-08:00", NOON),
        ("2026-11-15T17:30:00+05:30", NOON),
        ("2026-11-15T12:00:00", NOON),
        ("2026-11-15 12:00:00", NOON),
        ("2026-11-15 12:00:00 UTC", NOON),
        ("2026-11-15 12:00:00 +0000 UTC", NOON),
        ("2026-11-15 04:00:00 -0800 PST", NOON),
        ("2026-11-15 17:30:00 +0530 +0530", NOON),
        ("2026-11-15 12:00:00.5 +0000 UTC m=+0.000000001", NOON + 0.5),
        ("2026-11-15T13:00:00+01:00[Europe/Berlin]", NOON),
        ("20261115T120000Z", NOON),
        ("2026-11-15T24:00:00Z", NOON + 12 * 3600),
        ("2026-11-15T11:59:60Z", NOON),
        ("  2026-11-15T12:00:00Z\n", NOON),
        ("2026-11-15", MIDNIGHT),
        ("20261115", MIDNIGHT),
        ("2026-11", MIDNIGHT - 14 * 86400),
        ("2028-02-29", 1835395200.0),
    ],
)
def test_iso_8601_is_read_in_all_the_spellings_of_vendors(text: str, epoch: float) -> None:
    assert parse_timestamp(text) == epoch


def test_nanoseconds_before_a_zone_are_read() -> None:
    epoch = parse_timestamp("2025-08-31 15:12:52.799480932 +0000 UTC")
    assert epoch == pytest.approx(1756653172.799480932, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 15 Nov 2026 12:00:00 GMT",
        "Sunday, 15-Nov-26 12:00:00 GMT",
        "Sun Nov 15 12:00:00 2026",
        "Sun, 15 Nov 2026 12:00:00 +0000",
        "Sun, 15 Nov 2026 04:00:00 -0800",
        "15 Nov 2026 12:00:00 GMT",
        "Sun Nov 15 2026 12:00:00 GMT+0000 (Coordinated Universal Time)",
        "Sun Nov 15 2026 13:00:00 GMT+0100 (Mitteleuropäische Normalzeit)",
        "Sun Nov 15 2026 12:00:00 GMT",
    ],
)
def test_the_dates_of_http_mail_and_javascript_are_read(text: str) -> None:
    assert parse_timestamp(text) == NOON


def test_asctime_pads_the_day_with_a_blank() -> None:
    assert parse_timestamp("Sun Nov  1 12:00:00 2026") == NOON - 14 * 86400


@pytest.mark.parametrize(
    ("text", "year"),
    [("Sunday, 06-Nov-94 08:49:37 GMT", 784111777.0), ("Sunday, 15-Nov-26 12:00:00 GMT", NOON)],
)
def test_two_digits_of_a_year_are_of_the_nearer_century(text: str, year: float) -> None:
    assert parse_timestamp(text) == year


def test_asctime_is_in_utc_whatever_the_zone() -> None:
    assert parse_timestamp("Sun Nov 15 12:00:00 2026", zone=BERLIN) == NOON


@pytest.mark.parametrize(
    ("text", "zone", "epoch"),
    [
        ("2026-11-15T13:00:00", BERLIN, NOON),
        ("2026-07-15T14:00:00", BERLIN, 1784116800.0),  # summer time
        ("2026-11-15", BERLIN, MIDNIGHT - 3600),
        ("2026-07", BERLIN, 1782856800.0),
        ("2026-11-15T12:00:00Z", BERLIN, NOON),
        ("2026-11-15T07:00:00", ZoneInfo("America/New_York"), NOON),
        ("2026-11-15T17:30:00", ZoneInfo("Asia/Kolkata"), NOON),
        ("2026-10-25T02:30:00", BERLIN, 1792888200.0),  # twice: the first
        ("2026-03-29T02:30:00", BERLIN, 1774747800.0),  # never: with the offset before
    ],
)
def test_a_text_without_a_zone_is_in_the_given_one(text: str, zone: tzinfo, epoch: float) -> None:
    assert parse_timestamp(text, zone=zone) == epoch


@pytest.mark.parametrize(
    "value",
    [None, 0, -1, -1.0, "", "  ", "0", "-1", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z",
     "0001-01-01 00:00:00 +0000 UTC", "0001-01-01T00:00:00"],
    ids=repr,
)  # fmt: skip
def test_the_vendors_words_for_no_time_are_none(value: object) -> None:
    assert parse_timestamp(value) is None


@pytest.mark.parametrize(
    "value",
    [
        True, False, -2, math.inf, 10**21, 10**400, [], {}, b"2026-11-15",
        "nan", "Infinity", "1e999", "-5", "soon", "2026-13-01", "2026-00-01", "2026-02-29",
        "2026-11-15T", "2026-11-15Z", "2026-11-15T12", "2026-1115", "2026-11-15T25:00:00Z",
        "2026-11-15T24:00:01Z", "2026-11-15T12:60:00Z", "2026-11-15T12:00:61Z",
        "2026-11-15T12:00:00+25:00", "2026-11-15 12:00:00 EST", "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-14:00", "0000-01-01", "Sun, 15 Foo 2026 12:00:00 GMT",
        "Sun, 32 Nov 2026 12:00:00 GMT", "Sun Nov 15 2026", "2026-11-15T12:00:00Z trailing",
        "\N{ARABIC-INDIC DIGIT TWO}026-11-15",
    ],
    ids=repr,
)  # fmt: skip
def test_everything_else_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"is not a time\. Known: epoch seconds"):
        parse_timestamp(value)


def test_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="nan is not a time"):
        parse_timestamp(math.nan)


def test_a_huge_text_is_refused_without_being_repeated() -> None:
    with pytest.raises(ValueError, match="is not a time") as caught:
        parse_timestamp("1" * 100_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("epoch", "text"),
    [
        (0.0, "1970-01-01T00:00:00Z"),
        (NOON, "2026-11-15T12:00:00Z"),
        (NOON + 0.25, "2026-11-15T12:00:00.250Z"),
        (NOON + 0.0001, "2026-11-15T12:00:00Z"),
        (NOON - 0.0001, "2026-11-15T12:00:00Z"),
        (-0.5, "1969-12-31T23:59:59.500Z"),
        (253402300799.0, "9999-12-31T23:59:59Z"),
    ],
)
def test_an_instant_is_written_with_milliseconds_only_when_not_whole(
    epoch: float, text: str
) -> None:
    assert format_rfc3339(epoch) == text


@pytest.mark.parametrize("epoch", [math.nan, math.inf, -math.inf, 1e300, 253402300800.0])
def test_an_instant_out_of_range_cannot_be_written(epoch: float) -> None:
    with pytest.raises(ValueError, match="is not an instant that can be written"):
        format_rfc3339(epoch)


def test_the_default_zone_is_utc() -> None:
    assert parse_timestamp("2026-11-15") == parse_timestamp("2026-11-15", zone=UTC) == MIDNIGHT


@pytest.fixture(params=["Asia/Karachi", "America/New_York"])
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the machine into another zone than UTC."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Asia/Tokyo")], ids=str)
@pytest.mark.parametrize(
    "text",
    [
        "2026-11-15T12:00:00Z",
        "2026-11-15T12:00:00+00:00",
        "2026-11-15T17:00:00+05:00",
        "Sun, 15 Nov 2026 12:00:00 GMT",
        "Sun Nov 15 12:00:00 2026",
        "Sun Nov 15 2026 12:00:00 GMT+0000 (Coordinated Universal Time)",
    ],
)
def test_the_zone_of_the_machine_does_not_matter(text: str, zone: tzinfo) -> None:
    assert parse_timestamp(text, zone=zone) == NOON
    assert format_rfc3339(NOON) == "2026-11-15T12:00:00Z"


@pytest.mark.usefixtures("elsewhere")
def test_a_text_without_a_zone_is_not_in_the_machines() -> None:
    assert parse_timestamp("2026-11-15T12:00:00") == NOON
    assert parse_timestamp("2026-11-15T21:00:00", zone=ZoneInfo("Asia/Tokyo")) == NOON
