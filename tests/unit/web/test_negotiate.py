import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.kernel.exposition_text import Dialect
from exporter.web.negotiate import Format, choose_format, choose_gzip

PROMETHEUS_2_42 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
    "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3_5 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (PROMETHEUS_2_42, Format.OPENMETRICS_100),
        (PROMETHEUS_3_5, Format.OPENMETRICS_100),
        (PROMETHEUS_3_5.split(",", 2)[2], Format.TEXT_100),
        (BROWSER, Format.TEXT_004),
        ("", Format.TEXT_004),
        ("*/*", Format.TEXT_004),
        ("text/*", Format.TEXT_004),
        ("text/plain", Format.TEXT_004),
        ("text/plain;version=0.0.4", Format.TEXT_004),
        ("TEXT/PLAIN; Version=1.0.0", Format.TEXT_100),
        ('text/plain; version="1.0.0"', Format.TEXT_100),
        ("application/openmetrics-text", Format.OPENMETRICS_100),
        ("application/openmetrics-text;version=abc", Format.TEXT_004),
        ("application/openmetrics-text;version=99.0.0", Format.TEXT_004),
        ("application/openmetrics-text;version=0.0.1", Format.TEXT_004),
        ("application/openmetrics-text;q=0", Format.TEXT_004),
        ("application/openmetrics-text;q=0.1,text/plain;q=0.9", Format.TEXT_004),
        ("text/plain;q=0.9,application/openmetrics-text;q=1", Format.OPENMETRICS_100),
        ("text/plain,application/openmetrics-text", Format.TEXT_004),
        ("application/openmetrics-text;q=nan", Format.TEXT_004),
        ("application/openmetrics-text;q=1e5", Format.TEXT_004),
        ("application/openmetrics-text;q=²", Format.TEXT_004),
        ("application/openmetrics-text;q", Format.TEXT_004),
        ("application/json", Format.TEXT_004),
        (";;;,,,=;q=", Format.TEXT_004),
    ],
)
def test_the_accept_header_chooses_the_format(accept: str, wanted: Format) -> None:
    assert choose_format(accept) is wanted


@given(st.text())
def test_no_accept_header_breaks_the_negotiation(accept: str) -> None:
    assert choose_format(accept) in Format


@given(
    st.lists(
        st.sampled_from(
            ["text/plain", "*/*", ",", ";", "q=", "q=0.5", "version=1.0.0", "=", '"', " ", "1"]
        )
    ).map("".join)
)
def test_no_header_of_familiar_pieces_breaks_the_negotiation(accept: str) -> None:
    assert choose_format(accept) in Format
    assert choose_gzip(accept) in {True, False}


@given(st.text())
def test_no_accept_encoding_breaks_the_negotiation(accept_encoding: str) -> None:
    assert choose_gzip(accept_encoding) in {True, False}


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_the_higher_quality_wins(text: int, openmetrics: int) -> None:
    accept = (
        f"text/plain;version=1.0.0;q={text / 1000:.3f},"
        f"application/openmetrics-text;q={openmetrics / 1000:.3f}"
    )
    ranked = {Format.TEXT_100: text, Format.OPENMETRICS_100: openmetrics}
    chosen = choose_format(accept)
    if max(text, openmetrics) == 0:
        assert chosen is Format.TEXT_004
    else:
        assert ranked[chosen] == max(text, openmetrics)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("*", True),
        ("*;q=0", False),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("gzip;q=abc", False),
        ("gzip;q=-1", False),
        ("gzip;", True),
    ],
)
def test_the_accept_encoding_header_chooses_gzip(header: str, wanted: bool) -> None:  # noqa: FBT001 - a row of the table
    assert choose_gzip(header) is wanted


def test_the_dialect_follows_the_format() -> None:
    assert Format.TEXT_004.dialect is Dialect.TEXT
    assert Format.TEXT_100.dialect is Dialect.TEXT
    assert Format.OPENMETRICS_100.dialect is Dialect.OPENMETRICS
