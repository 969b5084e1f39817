import math

import pytest

from exporter.kernel.units import Kind, Unit, find_unit, is_currency, minor_factor, parse_amount


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("B", 1.0),
        ("byte", 1.0),
        ("bytes", 1.0),
        ("Bytes", 1.0),
        ("kB", 1e3),
        ("KB", 1e3),
        ("MB", 1e6),
        ("GB", 1e9),
        ("TB", 1e12),
        ("PB", 1e15),
        ("EB", 1e18),
        ("gigabytes", 1e9),
        ("Gigabyte", 1e9),
        ("GByte", 1e9),
        ("KiB", 2**10),
        ("MiB", 2**20),
        ("GiB", 2**30),
        ("GIB", 2**30),
        ("TiB", 2**40),
        ("PiB", 2**50),
        ("EiB", 2**60),
        ("gibibytes", 2**30),
        ("bit", 0.125),
        ("bits", 0.125),
        ("Mb", 125e3),
        ("Mbit", 125e3),
        ("mbit", 125e3),
        ("Gbits", 125e6),
        ("Gib", 2**27),
        ("kilobits", 125.0),
    ],
)
def test_sizes_are_decimal_unless_they_say_binary(name: str, factor: float) -> None:
    unit = find_unit(name)
    assert (unit.kind, unit.factor) == (Kind.BYTES, factor)


def test_kilobytes_are_the_same_with_either_k() -> None:
    assert find_unit("kB") == find_unit("KB") == find_unit("kilobyte")


@pytest.mark.parametrize(("name", "byte", "bit"), [("gb", "GB", "Gbit"), ("kib", "KiB", "Kibit")])
def test_an_all_small_size_could_be_bits_and_is_refused(name: str, byte: str, bit: str) -> None:
    with pytest.raises(ValueError, match="may be bits or bytes") as caught:
        find_unit(name)
    assert str(caught.value) == f'"{name}" may be bits or bytes. Write "{byte}" or "{bit}".'


def test_a_lone_b_could_be_a_bit_and_is_refused() -> None:
    with pytest.raises(ValueError, match="may be bits or bytes"):
        find_unit("b")


@pytest.mark.parametrize(
    ("name", "kind", "factor"),
    [
        ("ns", Kind.SECONDS, 1e-9),
        ("us", Kind.SECONDS, 1e-6),
        ("µs", Kind.SECONDS, 1e-6),
        ("ms", Kind.SECONDS, 1e-3),
        ("milliseconds", Kind.SECONDS, 1e-3),
        ("s", Kind.SECONDS, 1.0),
        ("second", Kind.SECONDS, 1.0),
        ("seconds", Kind.SECONDS, 1.0),
        ("minute", Kind.SECONDS, 60.0),
        ("minutes", Kind.SECONDS, 60.0),
        ("min", Kind.SECONDS, 60.0),
        ("h", Kind.SECONDS, 3600.0),
        ("Hours", Kind.SECONDS, 3600.0),
        ("days", Kind.SECONDS, 86400.0),
        ("weeks", Kind.SECONDS, 604800.0),
        ("request", Kind.REQUESTS, 1.0),
        ("requests", Kind.REQUESTS, 1.0),
        ("thousand requests", Kind.REQUESTS, 1e3),
        ("million_requests", Kind.REQUESTS, 1e6),
        ("quantity", Kind.QUANTITY, 1.0),
        ("count", Kind.QUANTITY, 1.0),
        ("1", Kind.QUANTITY, 1.0),
        ("k", Kind.QUANTITY, 1e3),
        ("thousand", Kind.QUANTITY, 1e3),
        ("million", Kind.QUANTITY, 1e6),
        ("billion", Kind.QUANTITY, 1e9),
        ("ratio", Kind.RATIO, 1.0),
        ("percent", Kind.RATIO, 0.01),
        ("%", Kind.RATIO, 0.01),
        ("cents", Kind.MONEY, 0.01),
        ("minor", Kind.MONEY, 0.01),
        ("major", Kind.MONEY, 1.0),
    ],
)
def test_the_other_kinds_lead_to_their_base_unit(name: str, kind: Kind, factor: float) -> None:
    unit = find_unit(name)
    assert (unit.kind, unit.factor) == (kind, factor)


@pytest.mark.parametrize(
    ("name", "canonical", "factor"),
    [
        ("GB-hours", "GB-hours", 3.6e12),
        ("GB_hours", "GB-hours", 3.6e12),
        ("GB hours", "GB-hours", 3.6e12),
        ("GBh", "GB-hours", 3.6e12),
        ("GBHours", "GB-hours", 3.6e12),
        ("gigabyte-hour", "GB-hours", 3.6e12),
        ("MB-ms", "MB-milliseconds", 1e3),
        ("byte_seconds", "byte-seconds", 1.0),
        ("byte-hours", "byte-hours", 3600.0),
        ("GiB-s", "GiB-seconds", 2**30),
        ("Mbit-s", "Mbit-seconds", 125e3),
    ],
)
def test_a_size_held_for_a_time_is_byte_seconds(name: str, canonical: str, factor: float) -> None:
    assert find_unit(name) == Unit(canonical, Kind.BYTE_SECONDS, factor)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gigabyts", 'Did you mean "gigabytes"?'),
        ("minuts", 'Did you mean "minutes"?'),
        ("usd", 'It is a currency; the units of money are "major", "minor" and "cents".'),
        ("users", "Known: GB, GiB, bytes, requests, seconds, GB-hours, quantity, percent, "),
        ("", "Known: GB,"),
        ("iB", "Known: GB,"),
        ("ib", "Known: GB,"),
        ("GB-month", "Known: GB,"),  # a month has no fixed length
        ("seconds-hours", "Known: GB,"),
    ],
)  # fmt: skip
def test_a_word_that_is_no_unit_is_refused_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match="is not a unit") as caught:
        find_unit(name)
    assert str(caught.value).startswith(f'"{name}" is not a unit. {hint}')


def test_a_huge_word_is_refused_without_being_repeated() -> None:
    with pytest.raises(ValueError, match="is not a unit") as caught:
        find_unit("GB" + " " * 100_000 + "x")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("5 TB", (5.0, "TB")),
        ("5TB", (5.0, "TB")),
        ("5EB", (5.0, "EB")),
        ("  2.5  GiB ", (2.5, "GiB")),
        (".5 GB", (0.5, "GB")),
        ("200 USD", (200.0, "USD")),
        ("1e3 requests", (1000.0, "requests")),
        ("100 GB-hours", (100.0, "GB-hours")),
        ("3 million requests", (3.0, "million requests")),
        ("80 %", (80.0, "%")),
        ("80%", (80.0, "%")),
        ("1000", (1000.0, "")),
        (1000, (1000.0, "")),
        (0, (0.0, "")),
        (2.5, (2.5, "")),
        (1e22, (1e22, "")),
    ],
)
def test_an_amount_is_a_number_and_perhaps_a_unit(
    text: str | float, amount: tuple[float, str]
) -> None:
    assert parse_amount(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        "", "TB", "1_000", "1,000", "1 000", "5 GB 3", "-5 GB", "+5 GB", "$5", "1e999 GB", "5 m²3",
        "\N{ARABIC-INDIC DIGIT FIVE} GB", "nan", "inf", -1, True, 10**400,
    ],
)  # fmt: skip
def test_what_is_no_amount_is_refused_with_the_way_to_write_one(text: str | float) -> None:
    with pytest.raises(ValueError, match=r"is not an amount\. Write a number of 0 or more"):
        parse_amount(text)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_no_amount(number: float) -> None:
    with pytest.raises(ValueError, match="is not an amount"):
        parse_amount(number)


def test_currencies_are_the_active_codes_in_capitals() -> None:
    assert all(map(is_currency, ("USD", "EUR", "JPY", "KWD", "INR", "XOF")))
    assert not any(
        map(
            is_currency,
            ("usd", "US", "XXX", "DEM", "", "USDT", "\N{FULLWIDTH LATIN CAPITAL LETTER U}SD"),
        )
    )


@pytest.mark.parametrize(
    ("currency", "factor"),
    [("USD", 0.01), ("EUR", 0.01), ("JPY", 1.0), ("KRW", 1.0), ("CLP", 1.0), ("KWD", 0.001),
     ("BHD", 0.001), ("CLF", 0.0001)],
)  # fmt: skip
def test_the_minor_unit_depends_on_the_currency(currency: str, factor: float) -> None:
    assert minor_factor(currency) == factor


@pytest.mark.parametrize(
    ("currency", "hint"),
    [("usd", ' Did you mean "USD"?'), ("", " Write three capitals: USD, EUR, JPY.")],
)
def test_an_unknown_currency_has_no_minor_unit(currency: str, hint: str) -> None:
    with pytest.raises(ValueError, match="is not a currency") as caught:
        minor_factor(currency)
    assert str(caught.value) == f'"{currency}" is not a currency of ISO 4217.{hint}'


@pytest.mark.parametrize("word", ["bogus", "bananas", "GBs"])
def test_a_word_that_only_begins_like_a_unit_is_none(word: str) -> None:
    with pytest.raises(ValueError, match="is not a unit"):
        find_unit(word)
