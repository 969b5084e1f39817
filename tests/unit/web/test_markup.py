from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from exporter.web.page import Markup, join, tag


def test_an_element_has_children_and_attributes() -> None:
    inner = tag("b", "bold", class_="x", aria_label="y", title=None)
    assert tag("p", "a", None, inner) == '<p>a<b class="x" aria-label="y">bold</b></p>'


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "<script>", Markup("<i></i>"), title='"><') == (
        '<p title="&quot;&gt;&lt;">&lt;script&gt;<i></i></p>'
    )


def test_joined_parts_leave_out_what_is_empty() -> None:
    assert join("a", None, "", Markup("<b></b>"), "<", separator=" & ") == (
        "a &amp; <b></b> &amp; &lt;"
    )


@given(st.text(), st.text())
def test_no_text_leaves_its_place(child: str, attribute: str) -> None:
    seen: list[tuple[str, object]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:  # type: ignore[explicit-override]
            seen.append((name, attrs))

        def handle_data(self, data: str) -> None:  # type: ignore[explicit-override]
            seen.append(("data", data))

    Reader().feed(tag("p", child, title=attribute))
    assert seen[0] == ("p", [("title", attribute.replace("\0", "�"))])
    assert "".join(str(data) for _, data in seen[1:]) == child.replace("\0", "�")
