import copy
import dataclasses
import json
import pickle
import traceback

import msgspec
import pytest

from exporter.kernel.redactor import Redactor
from exporter.kernel.secrets import MASK, Secret, clip, redact_url

TEXT = "s3cr3t-Tok3n/+&=é"
SECRET = Secret(TEXT)


@dataclasses.dataclass
class Holder:
    secret: Secret


class Struct(msgspec.Struct):
    secret: Secret


@pytest.mark.parametrize(
    "printed",
    [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET!r}",
        f"{SECRET:>40}",
        "%s" % SECRET,  # noqa: UP031 - the old formatting is what is tested
        "%r" % SECRET,  # noqa: UP031 - the old formatting is what is tested
        "{}".format(SECRET),  # noqa: UP032 - the old formatting is what is tested
        repr([SECRET]),
        repr({"token": SECRET}),
        repr(Holder(SECRET)),
        repr(Struct(SECRET)),
        repr(dataclasses.asdict(Holder(SECRET))),
        repr(msgspec.structs.asdict(Struct(SECRET))),
    ],
    ids=range(14),
)
def test_a_secret_prints_as_a_mask(printed: str) -> None:
    assert MASK in printed
    assert TEXT not in printed


def test_a_secret_is_told_on_request() -> None:
    assert SECRET.reveal() == TEXT


def test_json_refuses_a_secret() -> None:
    with pytest.raises(TypeError):
        json.dumps({"token": SECRET})


def test_json_with_str_as_its_default_gets_the_mask() -> None:
    assert json.dumps([SECRET], default=str) == '["<secret>"]'


def test_msgspec_refuses_a_secret() -> None:
    for encode in (msgspec.json.encode, msgspec.msgpack.encode, msgspec.yaml.encode):
        with pytest.raises(TypeError):
            encode(Struct(SECRET))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_refuses_a_secret(protocol: int) -> None:
    with pytest.raises(TypeError, match="cannot be serialised"):
        pickle.dumps(Holder(SECRET), protocol)


def test_the_state_of_a_secret_cannot_be_read() -> None:
    with pytest.raises(TypeError, match="cannot be serialised"):
        SECRET.__getstate__()
    with pytest.raises(TypeError):
        vars(SECRET)


def test_a_traceback_with_local_variables_shows_the_mask() -> None:
    def fail(token: Secret) -> None:
        raise ValueError(f"with {token}")

    try:
        fail(Secret(TEXT + "x"))
    except ValueError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        lines = "".join(told.format())
        assert "token = <secret>" in lines
        assert f"{TEXT}x" not in lines


def test_a_copy_is_the_secret_itself() -> None:
    assert copy.copy(SECRET) is SECRET
    assert copy.deepcopy([SECRET])[0] is SECRET


def test_secrets_are_equal_by_their_text() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("a"))
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_a_secret_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="cannot be changed"):
        SECRET._value = "other"
    with pytest.raises(AttributeError, match="cannot be changed"):
        del SECRET._value


def test_a_digest_tells_secrets_apart_and_hides_them() -> None:
    assert Secret("abc").digest() == "ba7816bf8f01cfea"  # FIPS 180's example, cut
    assert Secret("abd").digest() != Secret("abc").digest()


def test_a_secret_may_hold_what_is_no_utf_8() -> None:
    odd = Secret("a\udcff")  # a byte 0xff in an environment variable
    assert odd == Secret("a\udcff")
    assert len(odd.digest()) == 16
    assert Redactor([odd]).text("x a\udcff y") == "x <secret> y"


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("https://api.example.com/v1/usage", "https://api.example.com/v1/usage"),
        ("https://h/p?month=11&year=2026", "https://h/p?month=11&year=2026"),
        ("https://h/p?token=abc", "https://h/p?token=<secret>"),
        ("https://h/p?a=1&api_key=abc&b=2", "https://h/p?a=1&api_key=<secret>&b=2"),
        ("https://h/p?Access-Token=abc", "https://h/p?Access-Token=<secret>"),
        ("https://h/p?X-Amz-Signature=abc", "https://h/p?X-Amz-Signature=<secret>"),
        ("https://h/p?X-Amz-Credential=abc", "https://h/p?X-Amz-Credential=<secret>"),
        ("https://h/p?client_secret=a&password=b", "https://h/p?client_secret=<secret>&password=<secret>"),
        ("https://h/p?auth[]=a", "https://h/p?auth[]=<secret>"),
        ("https://h/p?%74oken=abc", "https://h/p?%74oken=<secret>"),
        ("https://h/p?token=", "https://h/p?token=<secret>"),
        ("https://h/p?token", "https://h/p?token"),
        ("https://h/p?token=a=b=c", "https://h/p?token=<secret>"),
        ("https://h/p?token=a;b?c#d", "https://h/p?token=<secret>"),
        ("https://h/p?a=1;token=abc", "https://h/p?a=1;token=<secret>"),
        ("https://h/p?a=1?token=abc", "https://h/p?a=1?token=<secret>"),
        ("https://h/p?a=1#access_token=abc&b=2", "https://h/p?a=1#access_token=<secret>&b=2"),
        ("https://h/p#access_token=abc", "https://h/p#access_token=<secret>"),
        ("https://h/p?next=https%3A%2F%2Fh%2F%3Ftoken%3Dabc", "https://h/p?next=<secret>"),
        ("https://h/p?next=https%3A%2F%2Fh%2F%3Fpage%3D2", "https://h/p?next=https%3A%2F%2Fh%2F%3Fpage%3D2"),
        ("https://h/p?next=https://h/?token=abc", "https://h/p?next=https://h/?token=<secret>"),
        ("https://h/p?next=https://u:p@h/", "https://h/p?next=<secret>"),
        ("https://user:pass@h/p", "https://xxxxx@h/p"),
        ("https://user@h:8443/p?a=1", "https://xxxxx@h:8443/p?a=1"),
        ("//user:pass@h/p", "//xxxxx@h/p"),
        ("https://us@er:p@ss@h/p", "https://xxxxx@h/p"),
        ("https://user:p/ss@h/p", "https://xxxxx@h/p"),
        ("https://user:p?s#s@h/p", "https://xxxxx@h/p"),
        ("https://h/@user/p", "https://h/@user/p"),
        ("https://h:8443/@user/p", "https://h:8443/@user/p"),
        ("https://[::1]:8443/@user", "https://[::1]:8443/@user"),
        ("https://user:pass@[::1/p", "https://xxxxx@[::1/p"),
        ("https://[half/p?token=abc", "https://[half/p?token=<secret>"),
        ("http://h:port/p?token=abc", "http://h:port/p?token=<secret>"),
        ("?token=abc", "?token=<secret>"),
        ("not a url", "not a url"),
        ("%zz?%zz=%zz&token=%zz", "%zz?%zz=%zz&token=<secret>"),
        ("https://h:/p?a=b@c", "https://xxxxx@c"),
        ("https://user:p@ss/w@rd@h/p", "https://xxxxx@h/p"),
        ("https://h/p?state=token%3Dabc", "https://h/p?state=<secret>"),
        ("https://h/p?state=token=abc", "https://h/p?state=<secret>"),
        ("https://h/p?next=https%253A%252F%252Fh%252F%253Ftoken%253Dabc", "https://h/p?next=<secret>"),
        ("https://h/p?cursor=YWJj==&a=b+c%20d", "https://h/p?cursor=YWJj==&a=b+c%20d"),
        ("", ""),
    ],
)  # fmt: skip
def test_a_url_loses_its_secrets_and_keeps_the_rest(url: str, redacted: str) -> None:
    assert redact_url(url) == redacted


def test_a_kept_key_stays_readable() -> None:
    keep = frozenset({"page_token"})
    assert redact_url("https://h/?page_token=2&Page_Token=3&page_token[]=4&token=5", keep=keep) == (
        "https://h/?page_token=2&Page_Token=3&page_token[]=4&token=<secret>"
    )


def test_what_is_quoted_too_often_to_follow_is_hidden() -> None:
    assert redact_url("https://h/?a=%25252525253D") == "https://h/?a=<secret>"


def test_a_huge_hostile_url_is_redacted_in_time() -> None:
    for url in ("https://" + ":" * 100_000, "https://h/?" + "a=1;" * 20_000 + "token=abc"):
        assert "abc" not in redact_url(url)


@pytest.mark.parametrize(
    "written",
    [
        TEXT,
        "s3cr3t-Tok3n%2F%2B%26%3D%C3%A9",
        "s3cr3t-Tok3n/%2B%26%3D%C3%A9",
        "s3cr3t-tok3n%2f%2b%26%3d%c3%a9".replace("tok3n", "Tok3n"),
        "s3cr3t-Tok3n/+&=\\u00e9",
    ],
)
def test_a_secret_is_found_as_it_is_written_in_urls_and_json(written: str) -> None:
    clean = Redactor([SECRET]).text(f"GET https://h/?q={written}: no")
    assert clean == "GET https://h/?q=<secret>: no"


def test_a_secret_is_found_as_php_and_web_pages_write_it() -> None:
    secret = Secret("a/b\"c'd&e")
    for text in (
        "a\\/b\\\"c'd&e",
        "a/b&quot;c&#x27;d&amp;e",
        "a/b&quot;c&#039;d&amp;e",
        "a/b&#34;c&#39;d&amp;e",
        "a/b\"c'd&amp;e",
    ):
        assert Redactor([secret]).text(f"<p>{text}</p>") == f"<p>{MASK}</p>"


def test_the_longer_of_two_secrets_goes_first() -> None:
    text = Redactor([Secret("abc"), Secret("abcdef")]).text("abc abcdef")
    assert text == "<secret> <secret>"


def test_an_empty_secret_hides_nothing() -> None:
    assert Redactor([Secret("")]).text("abc") == "abc"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("check the key k: k", "check the key <secret>: <secret>"),
        ("Token=k&kind=k8s", "Token=<secret>&kind=k8s"),
        ("k_k", "<secret>_<secret>"),
    ],
)
def test_a_secret_of_a_few_letters_is_masked_as_a_word(text: str, clean: str) -> None:
    assert Redactor([Secret("k")]).text(text) == clean


def test_a_secret_of_six_letters_is_masked_inside_words() -> None:
    assert Redactor([Secret("abcdef")]).text("xabcdefx") == "x<secret>x"


def test_a_text_without_secrets_stays() -> None:
    assert Redactor([]).text("abc") == "abc"


def test_a_secret_that_is_a_word_of_the_mask_leaves_the_mask_whole() -> None:
    assert Redactor([Secret("secret"), Secret("x")]).text("secret x") == "<secret> <secret>"


@pytest.mark.parametrize(
    ("text", "clipped"),
    [
        ("short", "short"),
        ("  a\n\tb\r\n  c ", "a b c"),
        ("a\x00b\x1b[31mc", "a�b�[31mc"),
        ("a\u202eb\udcffc", "a�b�c"),
        ("éü漢", "éü漢"),
        ("1234567890", "1234567890"),
        ("12345678901", "123456789…"),
        ("12345678 01", "12345678…"),
        (" " * 100 + "x", "…"),
        ("", ""),
    ],
)
def test_a_clipped_text_is_one_printable_line(text: str, clipped: str) -> None:
    assert clip(text, 10) == clipped


def test_a_huge_text_is_clipped_to_256_characters() -> None:
    assert clip("ab " * 10_000_000) == ("ab " * 85).rstrip() + "…"


@pytest.mark.parametrize(
    "text",
    [
        'it\'s "quoted"\x07bell',
        "it's-plain\n",
        "it's\x07one",
        'say "x"\tnow',
        "'\"\x00'\"",
        "back\\slash'\"",
    ],
    ids=ascii,
)
def test_a_secret_is_found_as_python_shows_texts_in_messages(text: str) -> None:
    secret = Secret(text)
    quoting = (text, {"key": text}, f"key {text}!", f"key=\"{text}\", 's'", [f'"{text}"'])
    for shown in map(repr, quoting):
        clean = Redactor([secret]).text(f"failed with {shown}")
        assert MASK in clean
        assert text not in clean
        assert repr(text)[1:-1] not in clean
