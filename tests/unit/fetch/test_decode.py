"""Bytes to documents, and to a line for people."""

import codecs
import json
import time

import pytest

from exporter.fetch.decode import (
    NotJsonError,
    TooManyValuesError,
    count_values,
    decode,
    excerpt,
)
from exporter.model.definition.provider import Format

JSON = Format.JSON


@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b" [1]\n", [1]),
        (b"null", None),
        (b"42", 42),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": 123456789012345678901234567890}', {"a": 123456789012345678901234567890}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        ('{"n": "ü€"}'.encode(), {"n": "ü€"}),
        (b"\xff\xfe" + '{"n": "ü"}'.encode("utf-16-le"), {"n": "ü"}),
        ('{"n": "ü"}'.encode("utf-32"), {"n": "ü"}),
    ],
)
def test_json_is_read(body: bytes, document: object) -> None:
    assert decode(body, JSON) == document


def test_a_declared_charset_is_believed_where_the_bytes_are_not_utf8() -> None:
    body = '{"n": "ü"}'.encode("latin-1")
    assert decode(body, JSON, "application/json; charset=ISO-8859-1") == {"n": "ü"}
    assert decode('{"n": "ü"}'.encode(), JSON, "text/html; charset=latin-1") == {"n": "ü"}


@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b'{"n": "\xfc", "a": 1}', {"n": "�", "a": 1}),
        (b'{"n": "\\ud83d of a pair"}', {"n": "� of a pair"}),
        (b'{"n": "\\udc00"}', {"n": "�"}),
        (b'{"n": "\\ud83d\\ude00 \\uD83D"}', {"n": "😀 �"}),
        (b'{"n": "\\\\ud83d \\ud83d"}', {"n": "\\ud83d �"}),
    ],
)
@pytest.mark.parametrize(
    "content_type", ["application/json", "x; charset=nonsense", "charset=utf8"]
)
def test_what_is_no_character_is_replaced_and_the_rest_is_read(
    body: bytes, document: object, content_type: str
) -> None:
    assert decode(body, JSON, content_type) == document


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "the body is empty"),
        (b" \r\n", "the body is empty"),
        (b"<html>", "HTML or XML instead of JSON"),
        (b"\n<?xml version='1.0'?>", "HTML or XML instead of JSON"),
        (b'{"a": NaN}', "NaN and Infinity are not JSON"),
        (b'{"a": -Infinity}', "NaN and Infinity are not JSON"),
        (b'{"a": 1', "truncated"),
        (b'{"a": 1}}', "trailing"),
        (b"toomanyrequests", "invalid"),
        (b'{"a": "\xff', "truncated"),
        (b'{"a": "\\ud800', "truncated"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\x1f\x8b\x08", "."),
    ],
)
def test_what_is_no_json_is_told(body: bytes, why: str) -> None:
    with pytest.raises(NotJsonError, match=why):
        decode(body, JSON)


def test_json_lines_are_read() -> None:
    assert decode(b'{"a":1}\n\n{"a":2}', Format.JSONL) == [{"a": 1}, {"a": 2}]
    assert decode(b'\xef\xbb\xbf{"a":1}\n', Format.JSONL) == [{"a": 1}]
    with pytest.raises(NotJsonError, match="truncated"):
        decode(b'{"a":1}\n{"a":2', Format.JSONL)


def test_a_list_in_the_place_of_json_lines_is_their_rows() -> None:
    assert decode(b'[{"a":1},{"a":2}]\n', Format.JSONL) == [{"a": 1}, {"a": 2}]
    assert decode(b"[1,2]\n[3,4]\n", Format.JSONL) == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b'{"a": 1}', '{"a": 1}'),
        (b"a\r\n\tb\x00c", "a b�c"),
        ("ü".encode(), "ü"),
        (b"\xff\xfe", "��"),
        (b"<html><head><TITLE class='x'>\n  Sign   in\n</TITLE>", "Sign in"),
        (b"<p>Server Error</p>", "<p>Server Error</p>"),
        (b"x" * 1000, "x" * 199 + "…"),
        (("ü" * 1000).encode(), "ü" * 199 + "…"),
    ],
)
def test_a_beginning_is_one_printable_line(body: bytes, text: str) -> None:
    assert excerpt(body) == text


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"[" + b"[]," * 400 + b"[]]", JSON),
        (b"{" + b",".join(b'"k%d":1' % number for number in range(300)) + b"}", JSON),
        (b'[{"a":{}}' + b',{"a":{}}' * 200 + b"]", JSON),
        (b"1\n" * 500, Format.JSONL),
    ],
)
def test_more_values_than_allowed_are_not_decoded(body: bytes, form: Format) -> None:
    assert decode(body, form, most=2000) is not None
    with pytest.raises(TooManyValuesError, match="more than 400 keys and values"):
        decode(body, form, most=400)


def test_values_are_counted_after_the_charset_is_known() -> None:
    body = ("[" + "1," * 500 + "1]").encode("utf-16")
    assert decode(body, JSON, most=2000) == [1] * 501
    with pytest.raises(TooManyValuesError):
        decode(body, JSON, most=400)


def test_what_stands_in_texts_is_not_counted() -> None:
    text = '[{,: \\" \\\\' * 1000
    assert decode(json.dumps([text]).encode(), JSON, most=10) == [text]


def test_a_page_of_unclosed_titles_is_no_work() -> None:
    body = b"<title" * 50 + b">" + b" " * 3700
    began = time.thread_time()
    for _ in range(20):
        excerpt(body)
    assert time.thread_time() - began < 1  # it took minutes


def test_unknown_charsets_are_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    look_up = codecs.lookup

    def noted(name: str) -> codecs.CodecInfo:
        asked.append(name)
        return look_up(name)

    monkeypatch.setattr("codecs.lookup", noted)
    for charset in ("punycode", "idna", "x-vendor-1", "unicode_escape", "a" * 5000):
        with pytest.raises(NotJsonError):
            decode(b"\xff", JSON, f"text/json; charset={charset}")
    assert not {"punycode", "idna", "x-vendor-1", "unicode_escape", "a" * 5000} & set(asked)


def test_count_values_stops_early() -> None:
    assert count_values(b"," * 1_000_000, 10) < 200_000
