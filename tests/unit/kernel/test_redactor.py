import base64
import html
import json
import re
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.kernel.override import override
from exporter.kernel.redactor import Redactor
from exporter.kernel.secrets import MASK, Secret, hide_tokens, is_secret_name

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
    text = Redactor().message(
        "GET https://user:pw@api.example/x?api_key=abc&page=2 and /y?token=abc"
    )
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
    for start in range(9_800, 10_001, 10):
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
    monkeypatch.setattr("exporter.kernel.redactor._MOST_SECRETS", 2)
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


# ------------------------------------------------------------------------------------- encodings

TOKEN = "tk+9Zx/Qw=7é&'\"rT_5-vB"  # noqa: S105 - made up


def _escaped_everywhere(text: str) -> str:
    return "".join(f"\\u{ord(letter):04X}" for letter in text)


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON as PHP writes it": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON, each character escaped": _escaped_everywhere,
    "backslash x": lambda text: "".join(f"\\x{ord(letter):02x}" for letter in text),
    "percent": lambda text: quote(text, safe=""),
    "percent, small letters": lambda text: re.sub(
        "%..", lambda code: code[0].lower(), quote(text, safe="")
    ),
    "percent, each character": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "percent three times": lambda text: quote(quote(quote(text, safe=""), safe=""), safe=""),
    "percent in JSON": lambda text: _escaped_everywhere(quote(text, safe="")),
    "a page": html.escape,
    "a page, each character": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "a page, hexadecimal": lambda text: "".join(f"&#x{ord(letter):X};" for letter in text),
    "a page twice": lambda text: html.escape(html.escape(text)),
    "a page in JSON": lambda text: json.dumps(html.escape(text)).replace("&", "\\u0026"),
    "repr": lambda text: repr(text)[1:-1],
    "UTF-16 byte by byte": lambda text: text.encode("utf-16-le").decode("latin-1"),
    "Latin-1 for UTF-8": lambda text: text.encode().decode("latin-1"),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 of user and password": lambda text: base64.b64encode(f"me:{text}".encode()).decode(),
    "base64 within more": lambda text: base64.b64encode(f"a{text}bc".encode()).decode(),
    "base64 in a URL": lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal, capitals": lambda text: text.encode().hex().upper(),
    "capitals": lambda text: text.encode().upper().decode(),  # of ASCII
    "small letters": str.lower,
}


def told_parts(told: str, secret: str) -> list[str]:
    return [secret[n : n + 4] for n in range(len(secret) - 4) if secret[n : n + 4] in told]


@pytest.mark.parametrize("many", [False, True], ids=["few", "many"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_secret_is_found_in_every_encoding(encoding: str, *, many: bool) -> None:
    others = [f"other-secret-{number:04}" for number in range(100 if many else 1)]
    redactor = knowing(TOKEN, *others)
    echo = ENCODINGS[encoding](TOKEN)
    told = redactor.text(f"you sent [{echo}] to us")
    assert told.startswith("you sent [")
    assert told.endswith("] to us")
    assert MASK in told
    assert echo not in told
    assert len(told) < len("you sent [] to us") + 24  # nothing of it is left


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_document_is_searched_in_every_encoding(encoding: str) -> None:
    redactor, echo = knowing(TOKEN), ENCODINGS[encoding](TOKEN)
    document = {"rows": [{"name": f"x {echo}", "used": 1}], f"k {echo}": None}
    cleaned = str(redactor.document(document))
    assert repr(echo)[1:-1] not in cleaned
    assert cleaned.count(MASK) == 2
    assert "'used': 1" in cleaned


@pytest.mark.parametrize("secret", ["hunt3r", "abc12", "p!n4", "x9Kq2Zv"])
@pytest.mark.parametrize("encoding", ["plain", "percent, each character", "base64", "a page"])
def test_a_short_secret_is_found_too(secret: str, encoding: str) -> None:
    echo = ENCODINGS[encoding](secret)
    assert knowing(secret).document({"echo": f"key {echo} is bad"}) == {
        "echo": f"key {MASK} is bad"
    }


def test_the_beginning_of_a_long_secret_is_masked() -> None:
    secret = "sk-live-" + "k4Q9z" * 12
    assert knowing(secret).text(f"bad key {secret[:30]}…") == f"bad key {MASK}…"


@pytest.mark.parametrize(
    "text",
    [
        "%" * 200_000,
        "\\" * 200_000,
        "&#" * 100_000,
        "%25" * 60_000,
        "\\u0025" * 30_000,
        "A" * 900_000,
    ],
    ids=range(6),
)
def test_a_hostile_text_is_searched_in_bounded_time(text: str) -> None:
    begin = time.process_time()
    assert knowing(TOKEN).document({"x": text}) == {"x": text}
    assert time.process_time() - begin < 5  # some 0.1 s; quadratic would be minutes


@pytest.mark.parametrize(
    "name",
    ["token", "X-Api-Key", "apikey", "ApiKey", "access_token", "X-Jwt", "X-Pwd", "Authorization",
     "Set-Cookie", "client_secret", "passwd", "X-Amz-Signature", "sig", "X-Sid", "auth[]", "code"],
)  # fmt: skip
def test_a_name_announces_a_secret(name: str) -> None:
    assert is_secret_name(name)
    assert Redactor().value(name, "whatever") == MASK


@pytest.mark.parametrize(
    "name",
    ["account", "author", "monkey", "status_code", "signal", "tokens", "x-ratelimit-limit-tokens",
     "WWW-Authenticate", "collector", "design", "x-sessions"],
)  # fmt: skip
def test_a_harmless_name_announces_none(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "text",
    ["/etc/usage-exporter/secrets/tpstreams.key", "https://api.example.com/v1/organizations/usage",
     "data.currentPeriod.usage[0].bytesUsed", "2026-11-29T12:30:00Z",
     "TLS_CHACHA20_POLY1305_SHA256",
     "usage_exporter_poll_duration_seconds", "9q94nm", "my-production-account-2"],
)  # fmt: skip
def test_what_is_no_token_is_shown(text: str) -> None:
    assert hide_tokens(text) == text


@pytest.mark.parametrize("before", [0, 1, 7, 100, 4095, 8191])
def test_a_secret_is_found_wherever_a_large_document_is_taken_apart(before: int) -> None:
    echoed = "wi2+de/ÿ-secret-of-a-vendor"
    text = "w" * (512 * 1024 - before) + json.dumps(echoed) + "ÿ" * 300_000
    shown = Redactor([Secret(echoed)]).document({"rows": [text]})
    assert shown == {
        "rows": [MASK if len(text) > 1024 * 1024 else text.replace(json.dumps(echoed)[1:-1], MASK)]
    }
