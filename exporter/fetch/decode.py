"""Bytes to documents: JSON and JSON Lines, told by the bytes and never by the Content-Type.

Vendors send JSON as ``text/html``, ``json`` or nothing at all, and HTML as ``application/json``.
"""

import codecs
import re
from collections.abc import Callable

import msgspec

from exporter.kernel.secrets import clip
from exporter.model.definition import Format

_TITLE = re.compile(rb"<title[^>]*>\s*(.*?)\s*</title", re.IGNORECASE | re.DOTALL)
_CHARSET = re.compile(r"charset\s*=\s*\"?([\w.:-]+)", re.ASCII | re.IGNORECASE)
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_PLACE = re.compile(r"\(byte (\d+)\)")
_HEAD = 4096  # bytes of a body in which a title is looked for
_WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_JSON = msgspec.json.Decoder()


class NotJsonError(ValueError):
    """A body is no JSON. The text says why, and never holds a part of the body."""


def decode(body: bytes, form: Format, content_type: str = "") -> object:
    """Return the document in `body`; JSON Lines become a list. A byte order mark is no error.

    UTF-8 is tried first, then the charset that the content type names. What is no character then
    becomes the replacement character: one broken name must not cost all numbers. Raises
    NotJsonError.
    """
    try:
        return _decode(body, form)
    except NotJsonError:
        text = _mended(_recoded(body, content_type) or body)
        if text == body:
            raise
    return _decode(text, form)


def _decode(body: bytes, form: Format) -> object:
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        return _lines(body) if form is Format.JSONL else _JSON.decode(body)
    except msgspec.DecodeError as error:
        raise NotJsonError(_reason(body, str(error))) from error
    except UnicodeDecodeError as error:
        raise NotJsonError(f"the text is not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise NotJsonError("nested too deeply") from error


def _lines(body: bytes) -> list[object]:
    """Return the rows of JSON Lines; of a lone list its own, as some write it whole after all.

    As one row it would match nothing, and of nothing the sum is 0.
    """
    rows: list[object] = _JSON.decode_lines(body)
    return rows[0] if len(rows) == 1 and isinstance(rows[0], list) else rows


def _reason(body: bytes, said: str) -> str:
    if not body or body.isspace():
        return "the body is empty"
    if body[:_HEAD].lstrip()[:1] == b"<":
        return "HTML or XML instead of JSON"
    place = _PLACE.search(said)
    at = int(place[1]) if place else 0
    if re.match(rb".?-?(?:NaN|Infinity)", body[max(at - 1, 0) : at + 10]):
        return "NaN and Infinity are not JSON"
    return said


def _recoded(body: bytes, content_type: str) -> bytes | None:
    """Return the body as UTF-8 if it says that it is written in something else."""
    wide = next((name for mark, name in _WIDE if body.startswith(mark)), None)
    named = _CHARSET.search(content_type)
    charset = wide or (named[1] if named else "")
    try:
        if not charset or codecs.lookup(charset).name == "utf-8":
            return None
        return body.decode(charset).encode()
    except (LookupError, ValueError):
        return None


def _mended(body: bytes) -> bytes:
    """Replace bytes that are no UTF-8, and escapes that are half of a pair: names cut by UTF-16."""
    text = body.decode("utf-8", "replace").encode()
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], text)


def _narrowed(body: bytes) -> bytes:
    """Return UTF-16 without a byte order mark as UTF-8: every second byte of ASCII is zero."""
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros = body[first : 2 * _HEAD : 2].count(0)
        if zeros > len(body[: 2 * _HEAD]) // 4:
            return body[: len(body) // 2 * 2].decode(name, "replace").encode()
    return body


def excerpt(
    body: bytes, length: int = 200, *, clean: Callable[[str], str] = str, kind: str = ""
) -> str:
    """Return the beginning of a body as one printable line, or the title of a web page.

    `clean` takes the secrets out before anything is cut. `kind` is the content type, which may
    name a charset.
    """
    head = body[: 2 * _HEAD]
    head = _recoded(head, kind) or _narrowed(head)
    title = _TITLE.search(head) if head.lstrip()[:1] == b"<" else None
    text = clean((title[1] if title else head).decode("utf-8", "replace"))
    if title is None and len(body) > 2 * _HEAD:  # what is left of a secret at the cut goes too
        text = text[: max(len(text) - _HEAD, 0)]
    if title is None and text[:length].isprintable():
        return text if len(text) <= length else f"{text[: length - 1]}…"
    return clip(text, length)
