import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (":10187", Address("", 10187)),
        ("127.0.0.1:9", Address("127.0.0.1", 9)),
        ("[::1]:9", Address("::1", 9)),
        ("[::]:0", Address("::", 0)),
        ("localhost:65535", Address("localhost", 65535)),
    ],
)
def test_addresses_are_read_as_go_writes_them(text: str, wanted: Address) -> None:
    assert parse_address(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10187",
        ":",
        "::1:9",
        "host",
        "host:",
        ":65536",
        ":-1",
        ":1e3",
        "a b:1",
        ":" + "9" * 5000,
        ":²",
    ],
)
def test_other_texts_are_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"for example :10187, 127\.0\.0\.1:10187"):
        parse_address(text)


@given(
    st.integers(0, 65535), st.sampled_from(["", "::1", "10.0.0.1", "fe80::1%eth0", "host.example"])
)
def test_an_address_reads_back_from_its_text(port: int, host: str) -> None:
    assert parse_address(str(Address(host, port))) == Address(host, port)
