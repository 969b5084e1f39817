"""``Link`` headers (RFC 8288), as vendors write them."""

import pytest

from exporter.fetch.http import LinkError, header_link, safe_url


def found(link: str) -> str | None:
    return header_link((("link", link),), "next", {"results": "false"})


def test_a_link_that_no_server_takes_is_not_followed() -> None:
    with pytest.raises(LinkError, match="has 10001 characters"):
        safe_url("/" + "a" * 10_000, "https://api.example.com/")


@pytest.mark.parametrize(
    ("link", "page"),
    [
        ('<https://api.example.com/u?page=2>; rel="next"', "2"),
        ('<?page=1>; rel="prev", <?page=3>; rel="next"; title="a, b"', "3"),
        ("<?page=2>; rel=next", "2"),
        ('<?page=2>; title="x"; rel="last next"', "2"),
        ('<?page=2>; REL="Next"; results="true"', "2"),
        ('<?a=1,2&page=2>; rel="next"', "2"),
        (r'<?page=2>; title="a, \"b\"; rel=prev"; rel="next"', "2"),
        ("<?page=2>; rel='next'", "2"),
        ('<?page=2>;; rel="next";', "2"),
        (', <?page=1>; rel="prev",, <?page=2>; rel="next",', "2"),
        ('<?page=1>; rel="prev"; rel="next", <?page=2>; rel="next"', "2"),
    ],
)
def test_a_link_header_is_read(link: str, page: str) -> None:
    assert (found(link) or "").endswith(f"page={page}")


@pytest.mark.parametrize(
    "link",
    ['<?page=2>; rel="last"', '<?page=2>; rel="next"; results="false"', "", "rel=last", "<>"],
)
def test_a_link_header_without_a_next_page_is_the_end(link: str) -> None:
    assert found(link) is None


@pytest.mark.parametrize(
    "link",
    [
        "rel=next",
        '?page=2; rel="next"',
        '<?page=2> rel="next"',
        '<?page=2>; rel="next',
        '<?page=1>; rel="prev", <?page=2>; title="a; rel="next"',
    ],
)
def test_a_link_header_that_cannot_be_read_is_not_the_end(link: str) -> None:
    with pytest.raises(LinkError, match='speaks of "next" and cannot be read'):
        found(link)


def test_a_long_broken_link_header_is_refused_at_once() -> None:
    text = "<?page=2>" + "; \t a = " * 4000 + '"next'
    with pytest.raises(LinkError, match="cannot be read"):
        found(text)
