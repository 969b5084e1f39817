"""Which of a target's own settings are secrets, and how the redactor cleans what was fetched."""

import json

import pytest

from exporter.fetch.authorize import secret_headers, secret_userinfo
from exporter.fetch.classify import excerpt
from exporter.kernel.redactor import Redactor
from exporter.kernel.secrets import Secret
from tests.support.fetching import CANARY, an_answer

ODD = 'p@ss/w+rd "ü" & 100%'
REDACTOR = Redactor([Secret(CANARY), Secret(ODD)])


@pytest.mark.parametrize(
    "text",
    [
        f"token {CANARY} is bad",
        f"{ODD} is bad",
        "https://x.io/?q=p%40ss%2Fw%2Brd%20%22%C3%BC%22%20%26%20100%25",
        json.dumps({"echo": ODD}, ensure_ascii=False),
    ],
)
def test_secrets_go_in_every_form_that_they_take(text: str) -> None:
    told = REDACTOR.text(text)
    assert "<secret>" in told
    assert CANARY not in told
    assert "rd" not in told


def test_what_holds_no_secret_stays() -> None:
    assert REDACTOR.text("nothing here") == "nothing here"
    headers = {"a": "b"}
    assert REDACTOR.headers(headers) is headers
    document = {"a": ["b"]}
    assert REDACTOR.document(document) is document


def test_a_url_loses_secrets_and_what_its_keys_call_secret() -> None:
    url = f"https://user:pw@x.io/{CANARY}/u?page=2&api_key=other&q={CANARY}"
    assert REDACTOR.url(url) == "https://xxxxx@x.io/<secret>/u?page=2&api_key=<secret>&q=<secret>"


@pytest.mark.parametrize("secret", [CANARY, ODD])
def test_a_document_that_echoes_a_secret_is_cleaned(secret: str) -> None:
    document = {"keys": [{"key": f"id {secret}"}], secret: {"n": 1, "b": True, "x": None}}
    assert REDACTOR.document(document) == {
        "keys": [{"key": "id <secret>"}],
        "<secret>": {"n": 1, "b": True, "x": None},
    }


def test_a_very_short_secret_is_no_reason_to_change_a_document() -> None:
    document = {"api_calls": "api"}
    assert Redactor([Secret("api")]).document(document) is document


def test_a_short_user_name_is_no_reason_to_change_a_document() -> None:
    redactor = Redactor()
    redactor.learn(Secret("billing"), in_documents=False)
    document = {"kind": "billing"}
    assert redactor.document(document) is document
    assert redactor.text("no user billing") == "no user <secret>"


def test_a_short_secret_is_masked_in_values_but_a_word_stays_a_key() -> None:
    document = {"storage": 1, "echo": "your key is storage", "hunt3r": "hunt3r"}
    redactor = Redactor([Secret("storage"), Secret("hunt3r")])
    assert redactor.document(document) == {
        "storage": 1,
        "echo": "your key is <secret>",
        "<secret>": "<secret>",
    }


def test_a_secret_of_digits_is_masked_where_it_is_a_number() -> None:
    assert Redactor([Secret("1234567890")]).document({"id": 1234567890, "n": 7}) == {
        "id": "<secret>",
        "n": 7,
    }


def test_an_excerpt_is_cleaned() -> None:
    body = an_answer({"bad": CANARY}).body
    assert excerpt(body, clean=REDACTOR.text) == '{"bad": "<secret>"}'


@pytest.mark.parametrize("charset", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_an_excerpt_of_wide_characters_is_read_and_cleaned(charset: str) -> None:
    body = f"no such key: {CANARY}, go away".encode(charset)
    assert excerpt(body, clean=REDACTOR.text) == "no such key: <secret>, go away"


def test_the_cut_of_an_excerpt_leaves_no_half_of_a_secret() -> None:
    for blanks in range(8192 - len(CANARY), 8192, 4):
        body = b"x" + b" " * blanks + CANARY.encode() + b" " * 9000
        assert "canary" not in excerpt(body, clean=REDACTOR.text)


@pytest.mark.parametrize(
    "name", ["X-Api-Key", "Authorization", "X-Jwt", "X-Pwd", "Cookie", "X-Sig", "Api-Secret"]
)
def test_the_users_own_headers_are_secret_by_their_name(name: str) -> None:
    found = secret_headers({name: "Token t", "X-Team": "video"})
    assert {secret.reveal() for secret in found} == {"Token t", "t"}


def test_the_users_own_headers_are_secret_by_their_look() -> None:
    token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"  # noqa: S105 - made up
    assert Secret(token) in secret_headers({"X-Own": token})


def test_the_user_of_a_proxy_is_secret() -> None:
    found = secret_userinfo("http://me:p%40w@proxy:3128")
    assert {secret.reveal() for secret in found} == {"me", "p%40w", "p@w"}
    assert secret_userinfo("http://proxy:3128") == []
    assert secret_userinfo("http://[") == []
    assert secret_userinfo("") == []
