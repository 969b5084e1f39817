"""What is told about a poll holds no secret."""

import json

import msgspec
import pytest

from exporter.fetch.auth import basic
from exporter.fetch.keyring import secret_headers, secret_userinfo
from exporter.fetch.wire import Wire
from exporter.kernel.secrets import Secret
from tests.support.fetching import CANARY, an_answer

ODD = 'p@ss/w+rd "ü" & 100%'
TELLER = Teller([Secret(CANARY), Secret(ODD)])


def a_wire(url: str = "https://api.example.com/u", **headers: str) -> Wire:
    return Wire(method="GET", url=url, headers=headers)


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
    told = TELLER.text(text)
    assert "<secret>" in told
    assert CANARY not in told
    assert "rd" not in told


def test_what_holds_no_secret_stays() -> None:
    assert TELLER.text("nothing here") == "nothing here"
    headers = {"a": "b"}
    assert TELLER.headers(headers) is headers
    document = {"a": ["b"]}
    assert TELLER.document(document, b'{"a": ["b"]}') is document


def test_an_empty_secret_hides_nothing() -> None:
    assert Teller([Secret("")]).text("text") == "text"


def test_a_teller_learns_on_the_way() -> None:
    teller = Teller([Secret("alpha-one")])
    wire = a_wire(Authorization=f"Basic {basic('u', 'p')}")
    assert basic("u", "p") in teller.exchange(wire, None, 0.0).request_headers["Authorization"]
    teller.learn(Secret(basic("u", "p")))
    told = teller.exchange(wire, None, 0.0)
    assert told.request_headers == {"Authorization": "Basic <secret>"}


def test_a_url_loses_secrets_and_what_its_keys_call_secret() -> None:
    url = f"https://user:pw@x.io/{CANARY}/u?page=2&api_key=other&q={CANARY}"
    assert TELLER.url(url) == "https://xxxxx@x.io/<secret>/u?page=2&api_key=<secret>&q=<secret>"


def test_an_exchange_tells_status_size_and_time() -> None:
    answer = an_answer(b"12345", status=429, headers={"Retry-After": "5"})
    told = TELLER.exchange(a_wire(Accept="x/y"), answer, 1.5)
    assert msgspec.to_builtins(told) == {
        "method": "GET",
        "url": "https://api.example.com/u",
        "request_headers": {"Accept": "x/y"},
        "status": 429,
        "headers": {"retry-after": "5"},
        "size": 5,
        "seconds": 1.5,
        "excerpt": "",
    }


def test_an_exchange_without_an_answer_has_no_status() -> None:
    told = TELLER.exchange(a_wire(), None, 2.0)
    assert (told.status, told.size, told.headers) == (None, 0, {})


def test_headers_that_a_vendor_echoes_are_cleaned() -> None:
    answer = an_answer(headers={"X-Your-Key": CANARY, "X-Other": "1"})
    told = TELLER.exchange(a_wire(), answer, 0.0)
    assert told.headers == {"x-your-key": "<secret>", "x-other": "1"}


def test_cookies_and_the_secrets_of_redirects_are_hidden() -> None:
    answer = an_answer(
        headers={"Set-Cookie": "session=1", "Location": "https://sso.x.io/?code=1&page=2"}
    )
    assert TELLER.exchange(a_wire(), answer, 0.0).headers == {
        "set-cookie": "<secret>",
        "location": "https://sso.x.io/?code=<secret>&page=2",
    }


def test_of_a_log_in_only_what_is_harmless_is_told() -> None:
    answer = an_answer(
        headers={"X-Auth": "unknown", "Content-Type": "text/x", "X-RateLimit-Limit": "5"}
    )
    assert TELLER.exchange(a_wire(), answer, 0.0, closed=True).headers == {
        "x-auth": "<secret>",
        "content-type": "text/x",
        "x-ratelimit-limit": "5",
    }


@pytest.mark.parametrize("secret", [CANARY, ODD])
def test_a_document_that_echoes_a_secret_is_cleaned(secret: str) -> None:
    document = {"keys": [{"key": f"id {secret}"}], secret: {"n": 1, "b": True, "x": None}}
    body = json.dumps(document).encode()
    assert TELLER.document(document, body) == {
        "keys": [{"key": "id <secret>"}],
        "<secret>": {"n": 1, "b": True, "x": None},
    }


def test_a_short_secret_is_no_reason_to_change_a_document() -> None:
    teller = Teller([Secret("api")])
    document = {"api_calls": "api"}
    assert teller.document(document, b'{"api_calls": "api"}') is document


def test_an_excerpt_is_cleaned() -> None:
    assert TELLER.excerpt(an_answer({"bad": CANARY})) == '{"bad": "<secret>"}'


def test_the_users_own_headers_are_secret_by_their_name() -> None:
    found = secret_headers({"X-Api-Key": "k", "Authorization": "Token t", "X-Team": "video"})
    assert {secret.reveal() for secret in found} == {"k", "Token t", "t"}


def test_the_user_of_a_proxy_is_secret() -> None:
    found = secret_userinfo("http://me:pw@proxy:3128")
    assert {secret.reveal() for secret in found} == {"me", "pw"}
    assert secret_userinfo("http://proxy:3128") == []
    assert secret_userinfo("http://[") == []
    assert secret_userinfo("") == []
