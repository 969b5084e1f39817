"""Authentication: what signs a request, log-in tokens, and what of a request is shown."""

import asyncio
import base64
import json
from typing import Any

import pytest

from exporter.fetch.authorize import (
    TOO_FRESH,
    AuthError,
    Token,
    Tokens,
    apply_auth,
    read_token,
    secret_headers,
    secret_userinfo,
)
from exporter.fetch.decode import excerpt
from exporter.kernel.redactor import Redactor
from exporter.kernel.secrets import Secret
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
from exporter.model.outcome import Failure, Reason
from tests.support.fetching import BEARER, CANARY, CLOCK, a_request, an_answer, paths
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


DENIED = Failure(reason=Reason.AUTH, detail="wrong password", status=401)


class LogIns:
    """Answers log-ins with what is laid out, and counts them; also the clock."""

    def __init__(self, *answers: Token | Failure, seconds: float = 0.0) -> None:
        self.answers = list(answers)
        self.count = 0
        self.now = 1000.0
        self.seconds = seconds
        self.tokens = Tokens(lambda: self.now)

    async def log_in(self) -> Token | Failure:
        self.count += 1
        await asyncio.sleep(self.seconds)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def get(self, key: str = "k", refused: Token | None = None) -> Token | Failure:
        return await self.tokens.get(key, self.log_in, refused=refused)


async def test_a_token_is_kept() -> None:
    log_ins = LogIns(Token(value="a"))
    assert await log_ins.get() == await log_ins.get() == Token(value="a")
    assert log_ins.count == 1


async def test_other_log_ins_have_other_tokens() -> None:
    log_ins = LogIns(Token(value="a"), Token(value="b"))
    assert (await log_ins.get("k"), await log_ins.get("l")) == (Token(value="a"), Token(value="b"))


@pytest.mark.looptime
async def test_of_many_that_wait_one_logs_in() -> None:
    log_ins = LogIns(Token(value="a"), seconds=5.0)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(log_ins.get()) for _ in range(20)]
    assert {task.result() for task in tasks} == {Token(value="a")}
    assert log_ins.count == 1


@pytest.mark.looptime
async def test_one_that_is_cancelled_leaves_the_log_in_to_the_next() -> None:
    log_ins = LogIns(Token(value="a"), seconds=5.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await log_ins.get()
    assert await log_ins.get() == Token(value="a")
    assert log_ins.count == 2


async def test_a_token_is_renewed_when_its_time_comes() -> None:
    log_ins = LogIns(Token(value="a", renew_at=1100.0), Token(value="b"))
    log_ins.now = 1099.9
    assert await log_ins.get() == Token(value="a", renew_at=1100.0)
    log_ins.now = 1100.0
    assert await log_ins.get() == Token(value="b")


async def test_a_refused_token_is_renewed_once_it_is_a_minute_old() -> None:
    log_ins = LogIns(Token(value="a"), Token(value="b"))
    token = await log_ins.get()
    assert isinstance(token, Token)
    log_ins.now += 10
    assert await log_ins.get(refused=token) is TOO_FRESH
    assert log_ins.count == 1
    log_ins.now += 50
    assert await log_ins.get(refused=token) == Token(value="b")


async def test_a_token_that_another_poll_renewed_already_is_taken() -> None:
    log_ins = LogIns(Token(value="a"), Token(value="b"))
    old = await log_ins.get()
    assert isinstance(old, Token)
    log_ins.now += 61
    assert await log_ins.get(refused=old) == Token(value="b")
    assert await log_ins.get(refused=old) == Token(value="b")
    assert log_ins.count == 2


async def test_a_failed_log_in_is_not_repeated_for_a_minute() -> None:
    log_ins = LogIns(DENIED, Token(value="a"))
    assert await log_ins.get() == DENIED
    log_ins.now += 20
    held = await log_ins.get()
    assert isinstance(held, Failure)
    assert (held.reason, held.detail, held.wait) == (Reason.AUTH, "wrong password", 40.0)
    assert log_ins.count == 1
    log_ins.now += 40
    assert await log_ins.get() == Token(value="a")


async def test_a_log_in_waits_as_long_as_the_vendor_asks() -> None:
    throttled = Failure(reason=Reason.RATE_LIMITED, detail="slow down", wait=600.0)
    log_ins = LogIns(throttled, Token(value="a"))
    await log_ins.get()
    log_ins.now += 599
    held = await log_ins.get()
    assert isinstance(held, Failure)
    assert held.wait == 1.0
    log_ins.now += 1
    assert await log_ins.get() == Token(value="a")


async def test_a_clock_that_goes_back_holds_no_log_in_for_long() -> None:
    log_ins = LogIns(DENIED, Token(value="a"))
    await log_ins.get()
    log_ins.now -= 10_000
    assert await log_ins.get() == Token(value="a")


async def test_tokens_that_nobody_uses_are_dropped() -> None:
    log_ins = LogIns(Token(value="a"))
    await log_ins.get("old")
    log_ins.now += 90_000
    await log_ins.get("new")
    await log_ins.get("old")
    assert log_ins.count == 3
