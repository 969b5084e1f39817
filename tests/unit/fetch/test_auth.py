"""Signatures of requests, and tokens of log-ins."""

import base64
from typing import Any

import pytest

from exporter.fetch.authorize import AuthError, Token, apply_auth, read_token
from exporter.kernel.templates import compile_template
from exporter.model.definition.auth import (
    Auth,
    BasicAuth,
    DigestAuth,
    HeaderAuth,
    NoAuth,
    QueryAuth,
    TokenAuth,
)
from tests.support.fetching import BEARER, CLOCK, a_request, paths
from tests.support.vendor import NOW

TEXTS = {"credentials.token": "t0ken", "credentials.user": "ops@x.io", "credentials.pw": "p:w ü"}
USER = compile_template("{credentials.user}")
PASSWORD = compile_template("{credentials.pw}")
NEEDS = frozenset({"user", "pw"})


def token_auth(**more: Any) -> TokenAuth:
    applied = HeaderAuth(
        headers={"Authorization": compile_template("Token {token}")}, needs=frozenset()
    )
    return TokenAuth(
        **{
            "request": a_request("/login", method="POST"),
            "token": paths("token", "access_token"),
            "apply": applied,
            "needs": frozenset(),
            **more,
        }
    )


def test_an_open_api_is_not_signed() -> None:
    signature = apply_auth(NoAuth(), TEXTS, CLOCK)
    assert (signature.headers, signature.query, signature.digest) == ({}, (), None)


def test_headers_are_filled() -> None:
    auth = HeaderAuth(
        headers={
            "X-Api-Key": compile_template("{credentials.token}"),
            "anthropic-version": compile_template("2023-06-01"),
        },
        needs=frozenset({"token"}),
    )
    assert apply_auth(auth, TEXTS, CLOCK).headers == {
        "X-Api-Key": "t0ken",
        "anthropic-version": "2023-06-01",
    }


def test_arguments_are_filled() -> None:
    auth = QueryAuth(
        query={"api_key": compile_template("{credentials.token}")}, needs=frozenset({"token"})
    )
    assert apply_auth(auth, TEXTS, CLOCK).query == (("api_key", "t0ken"),)


def test_basic_is_written_in_utf8_and_may_hold_colons() -> None:
    auth = BasicAuth(username=USER, password=PASSWORD, needs=NEEDS)
    scheme, packed = apply_auth(auth, TEXTS, CLOCK).headers["Authorization"].split(" ")
    assert (scheme, base64.b64decode(packed).decode()) == ("Basic", "ops@x.io:p:w ü")


def test_the_basic_of_an_oauth_client_is_form_encoded_before() -> None:
    auth = BasicAuth(username=USER, password=PASSWORD, needs=NEEDS, encoded=True)
    _, packed = apply_auth(auth, TEXTS, CLOCK).headers["Authorization"].split(" ")
    assert base64.b64decode(packed).decode() == "ops%40x.io:p%3Aw+%C3%BC"


def test_digest_hands_on_user_and_password() -> None:
    auth = DigestAuth(username=USER, password=PASSWORD, needs=NEEDS)
    assert apply_auth(auth, TEXTS, CLOCK).digest == ("ops@x.io", "p:w ü")


def test_a_token_is_applied() -> None:
    assert apply_auth(token_auth(), TEXTS, CLOCK, "abc").headers == {"Authorization": "Token abc"}


def test_a_missing_credential_is_named() -> None:
    with pytest.raises(AuthError, match=r"needs credentials\.token, which has no value"):
        apply_auth(BEARER, {}, CLOCK)


@pytest.mark.parametrize("secret", ["two\nlines", "two\r\nlines", "nul\0", "lone\ud800"])
def test_a_secret_that_cannot_be_sent_is_told_without_itself(secret: str) -> None:
    with pytest.raises(AuthError, match="stray line in the secret") as caught:
        apply_auth(BEARER, {"credentials.token": secret}, CLOCK)
    assert secret not in str(caught.value)


def test_the_first_path_that_gives_a_token_counts() -> None:
    assert read_token(token_auth(), {"token": "", "access_token": "b"}, NOW) == Token(value="b")


@pytest.mark.parametrize("document", [{}, {"token": None}, {"token": 5}, {"token": ["a"]}, []])
def test_an_answer_without_a_token_is_refused(document: object) -> None:
    with pytest.raises(AuthError, match='no token at "token" or "access_token"'):
        read_token(token_auth(), document, NOW)


def test_a_token_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(AuthError, match="line break"):
        read_token(token_auth(), {"token": "a\r\nb"}, NOW)


@pytest.mark.parametrize(
    ("document", "renew_in"),
    [
        ({"expires_in": 3600}, 3540.0),
        ({"expires_in": "3600"}, 3540.0),
        ({"expires_in": 100}, 90.0),
        ({"expiry": "2026-11-15T13:00:00Z"}, 3540.0),
        ({"expires_in": 3600, "expiry": "2026-11-15T12:00:01Z"}, 3540.0),
        ({"expiry": "2026-11-15T11:00:00Z"}, 540.0),
        ({"expires_in": -1}, 540.0),
        ({"expires_in": "soon"}, 540.0),
        ({"expires_in": "inf"}, 540.0),
        ({"expires_in": True, "expiry": None}, 540.0),
        ({"expiry": "soon"}, 540.0),
        ({"expiry": {}}, 540.0),
        ({}, 540.0),
    ],
)
def test_a_token_is_renewed_ahead_of_its_end(document: dict[str, Any], renew_in: float) -> None:
    auth = token_auth(expires_in=paths("expires_in"), expires_at=paths("expiry"), lifetime=600.0)
    assert read_token(auth, {"token": "a", **document}, NOW).renew_at == NOW + renew_in


def test_a_path_that_cannot_be_searched_is_told() -> None:
    with pytest.raises(AuthError, match=r"max\(token\)"):
        read_token(token_auth(token=paths("max(token)")), {"token": ["a", 1]}, NOW)


@pytest.mark.parametrize(
    ("auth", "texts"),
    [
        (NoAuth(), []),
        (BEARER, ["Bearer {credentials.token}"]),
        (QueryAuth(query={"k": USER}, needs=NEEDS), ["{credentials.user}"]),
        (
            BasicAuth(username=USER, password=PASSWORD, needs=NEEDS),
            ["{credentials.user}", "{credentials.pw}"],
        ),
        (token_auth(), ["Token {token}"]),
    ],
)
def test_the_templates_of_a_signature_are_known(auth: Auth, texts: list[str]) -> None:
    assert [template.text for template in auth.templates] == texts
