from urllib.parse import quote, urlencode

from hypothesis import given
from hypothesis import strategies as st

from exporter.kernel.redactor import Redactor
from exporter.kernel.secrets import Secret, clip, redact_url

# A secret that cannot be part of what is around it.
secrets = st.text(alphabet="QXZ&=/+%?#;@: é", min_size=3).map(lambda text: f"QX{text}ZQ")
around = st.text(alphabet="abc/?&=;#@:[]%. ", max_size=20)


@given(around, secrets, around)
def test_no_secret_is_left_in_a_text(before: str, secret: str, after: str) -> None:
    for written in (secret, quote(secret), quote(secret, safe="")):
        redacted = Redactor([Secret(secret)]).text(before + written + after)
        assert redacted == f"{before}<secret>{after}"


@given(around, st.sampled_from(["token", "api_key", "Password", "X-Sig"]), secrets, around)
def test_no_quoted_secret_is_left_in_a_query(
    before: str, key: str, secret: str, after: str
) -> None:
    query = urlencode({"a": before, key: secret, "b": after})
    assert "QX" not in redact_url(f"https://host/path?{query}")


@given(secrets.filter(lambda user: not set("/?#") & set(user)), secrets)
def test_no_userinfo_is_left_in_a_url(user: str, password: str) -> None:
    assert "QX" not in redact_url(f"https://{user}:{password}@host/path")


@given(st.text())
def test_any_text_can_be_redacted_and_twice_is_once(text: str) -> None:
    once = redact_url(text)
    assert redact_url(once) == once


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_a_clipped_text_is_short_and_printable(text: str, length: int) -> None:
    clipped = clip(text, length)
    assert len(clipped) <= length
    assert clipped.isprintable()
