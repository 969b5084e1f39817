import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.kernel.override import override
from exporter.kernel.secrets import MASK, Redactor, Secret


CANARY = "canary-5f1e/öäü+x"


def knowing(*secrets: str) -> Redactor:
    redactor = Redactor()
    for secret in secrets:
        redactor.learn(Secret(secret))
    return redactor


@pytest.mark.parametrize(
    "key",
    ["authorization", "Authorization", "x_api_key", "apikey", "api-key", "token", "password",
     "set_cookie", "client_secret", "credentials"],
)  # fmt: skip
def test_a_value_under_a_secret_key_is_masked(key: str) -> None:
    assert Redactor().value(key, "whatever") == MASK


def test_a_registered_secret_is_masked_wherever_and_however_it_is_written() -> None:
    redactor = knowing(CANARY)
    for written in (CANARY, quote(CANARY), quote(CANARY, safe=""), f"a {CANARY} b {CANARY}"):
        text = redactor.text(f"GET {written} failed")
        assert "canary" not in text
        assert MASK in text


def test_secrets_in_query_strings_need_no_registration() -> None:
    text = Redactor().message("GET https://user:pw@api.example/x?api_key=abc&page=2 and /y?token=abc")
    assert "abc" not in text
    assert "pw" not in text
    assert "page=2" in text


def test_nested_values_are_masked_too() -> None:
    value = knowing(CANARY).value(
        "headers", {"Authorization": "x", CANARY: [CANARY, {"a": (CANARY,)}, 3, None, True]}
    )
    assert "canary" not in repr(value)
    assert value == {"Authorization": MASK, MASK: [MASK, {"a": [MASK]}, 3, None, True]}


def test_what_is_too_deep_is_written_as_text() -> None:
    value: object = CANARY
    for _ in range(50):
        value = {"a": value}
    assert "canary" not in repr(knowing(CANARY).value("deep", value))


def test_a_value_is_one_line_of_bounded_length() -> None:
    value = Redactor().value("detail", "a\nb\x1b[31m" + "x" * 100_000)
    assert isinstance(value, str)
    assert value.startswith("a b�[31m")
    assert len(value) == 2000


def test_the_cut_of_a_huge_text_leaves_no_half_of_a_secret() -> None:
    secret = "k" * 100
    for start in range(49_800, 50_001, 10):
        assert "k" not in knowing(secret).text("." * start + secret + "." * 1000)


def test_an_object_whose_text_is_broken_is_named() -> None:
    class Broken:
        @override
        def __str__(self) -> str:
            raise ValueError(CANARY)

    assert Redactor().value("x", Broken()) == "<unprintable Broken: ValueError>"


def test_numbers_pass() -> None:
    values = (1, 2.5, True, None)
    assert tuple(Redactor().value("count", value) for value in values) == values


def test_what_is_no_number_for_json_is_text() -> None:
    values = (float("nan"), float("inf"))
    assert [Redactor().value("share", value) for value in values] == ["nan", "inf"]


def test_an_empty_secret_masks_nothing() -> None:
    assert knowing("").text("all is well") == "all is well"


def test_the_oldest_secret_is_forgotten_when_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("exporter.kernel.secrets._MOST_SECRETS", 2)
    redactor = knowing("first-secret", "second-secret", "second-secret", "%third")
    assert redactor.text("first-secret second-secret %third") == f"first-secret {MASK} {MASK}"


@given(
    st.lists(st.text(min_size=6, max_size=12), min_size=1, max_size=5),
    st.text(max_size=30),
    st.text(max_size=30),
)
def test_no_registered_secret_survives(secrets: list[str], before: str, after: str) -> None:
    redactor = knowing(*secrets)
    for secret in secrets:
        text = redactor.text(f"{before}{secret}{after}")
        assert secret not in text.replace(MASK, "")


@given(st.text(min_size=1, max_size=5), st.text(max_size=30), st.text(max_size=30))
def test_a_short_secret_does_not_survive_as_a_word(secret: str, before: str, after: str) -> None:
    assert f" {secret} " not in knowing(secret).text(f"{before} {secret} {after}")


def test_a_derived_form_is_registered_by_itself() -> None:
    basic = base64.b64encode(b"user:" + CANARY.encode()).decode()
    assert basic not in knowing(basic).text(f"Basic {basic}")
