"""From the bytes of an answer to a document, to a value in it, and to a line for people.

Bodies are told by their bytes and never by the Content-Type: vendors send JSON as ``text/html``,
``json`` or nothing at all, and HTML as ``application/json``. A decoded document takes up to fifty
times the memory of its bytes, and the decoder keeps the interpreter until it is done; so the values
of a large body are counted before it is decoded.

No exception's text holds a part of the document: that may be a secret.
"""

import codecs
import re
from collections.abc import Callable, Iterator

import msgspec

from exporter.kernel.jmes import SelectError, Selector
from exporter.kernel.secrets import clip
from exporter.model.definition.provider import Format

_CHARSET = re.compile(r"charset\s*+=\s*+\"?([\w.:-]{1,32})(?![\w.:-])", re.ASCII | re.IGNORECASE)
_CHARSETS = re.compile(
    r"utf-?(?:8|16|32)(?:[-_]?[lb]e)?|(?:us-)?ascii|latin-?1|l1"
    r"|iso[-_]?8859[-_]\d{1,2}|(?:windows|cp)[-_]?\d{3,4}|koi8[-_][rtu]|mac[-_]?roman"
    r"|gbk?|gb2312|gb18030|big5|euc[-_](?:jp|kr)|shift[-_]?jis|sjis|iso[-_]2022[-_]jp",
    re.ASCII | re.IGNORECASE,
)
"""Charsets that are tried. Python keeps every unknown name that it is asked for, and knows some
that take quadratic time (punycode)."""
_LONGEST_TYPE = 256  # characters of a Content-Type that are looked at
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|\\)"
)
"""A pair of surrogates, a half of one (a group), or a backslash, which begins no escape then."""
_PLACE = re.compile(r"\(byte (\d+)\)")
_HEAD = 4096  # bytes of a body in which a title is looked for
_SLICE = 128 * 1024  # bytes that are counted or mended in one step
_MENDED_SHARE = 4  # of a body at most a quarter may be broken characters
_MARKS = {Format.JSON: b"[{:,", Format.JSONL: b"[{:,\n", Format.HEADERS: b""}
"""What stands before each key and value but the first."""
MOST_VALUES = 131_072
"""Keys and values that one answer may hold, unless its `max_size` is raised. Decoded and mapped
they take less than 40 MB."""
BYTES_OF_VALUE = 64
"""Bytes of `max_size` that allow one value: `MOST_VALUES` are those of the usual 8 MiB."""
_WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_JSON = msgspec.json.Decoder()


class NotJsonError(ValueError):
    """A body is no JSON. The text says why, and never holds a part of the body."""


class TooManyValuesError(ValueError):
    """A document has more keys and values than a poll may hold."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"the answer has more than {most} keys and values; narrow the request by params, or"
            f" raise max_size in the definition: it allows one for each {BYTES_OF_VALUE} bytes"
        )


def decode(body: bytes, form: Format, content_type: str = "", *, most: int = MOST_VALUES) -> object:
    """Return the document in `body`; JSON Lines become a list. A byte order mark is no error.

    UTF-8 is tried first, then the charset that the content type names. What is no character then
    becomes the replacement character: one broken name must not cost all numbers. Raises
    NotJsonError, and TooManyValuesError for more than `most` keys and values, before any of them
    is decoded.
    """
    try:
        return _decode(body, form, most)
    except NotJsonError:
        text = _mended(_recoded(body, content_type) or body)
        if text is None or text == body:
            raise
    return _decode(text, form, most)


def most_values(max_bytes: int) -> int:
    """Return how many keys and values an answer of at most `max_bytes` may hold."""
    return max(MOST_VALUES, max_bytes // BYTES_OF_VALUE)


def count_values(
    body: bytes, most: int, marks: bytes = _MARKS[Format.JSON], *, step: int = _SLICE
) -> int:
    """Return how many keys and values a JSON text has at most; it stops counting above `most`.

    Counts the `marks` before them outside of texts: brackets, colons and commas, in `step` bytes
    at a time. It takes 1 to 3 ms a megabyte.
    """
    found = quotes = place = 0
    while place < len(body) and max(found, quotes // 2) <= most:
        piece = body[place : place + step]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:  # an escape does not end here
            piece = body[place : place + step + 1]
        place += len(piece)
        if b"\\" in piece:
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = piece.split(b'"')
        outside = b"".join(parts[quotes % 2 :: 2])  # an odd number of them: within a text
        quotes += len(parts) - 1
        found += len(outside) - len(outside.translate(None, marks))
    return max(found, quotes // 2)


def _decode(body: bytes, form: Format, most: int) -> object:
    body = body.removeprefix(codecs.BOM_UTF8)
    # Fewer bytes than values may be: nothing to count.
    if len(body) > most and count_values(body, most, _MARKS[form]) > most:
        raise TooManyValuesError(most)
    try:
        if form is not Format.JSONL:
            return _JSON.decode(body)
        rows: list[object] = _JSON.decode_lines(body)
        # Some write a list whole after all. As one row it would match nothing, and the sum of
        # nothing is 0.
        return rows[0] if len(rows) == 1 and isinstance(rows[0], list) else rows
    except msgspec.DecodeError as error:
        raise NotJsonError(_reason(body, str(error))) from error
    except UnicodeDecodeError as error:
        raise NotJsonError(f"the text is not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise NotJsonError("nested too deeply") from error


def _reason(body: bytes, said: str) -> str:
    if not body or body[:_HEAD].isspace():
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
    named = _CHARSET.search(content_type[:_LONGEST_TYPE])
    charset = wide or (named[1] if named else "")
    try:
        if not _CHARSETS.fullmatch(charset) or codecs.lookup(charset).name == "utf-8":
            return None
        return b"".join(_in_utf8(body, charset, "strict"))
    except (LookupError, ValueError):
        return None


def _mended(body: bytes) -> bytes | None:
    """Replace bytes that are no UTF-8, and escapes that are half of a pair: names cut by UTF-16.

    None for a body that is broken in so many places that it would become much larger.
    """
    if b"\\u" in body:
        text = bytearray(body)
        for found in _ESCAPE.finditer(body):
            if found[1]:
                text[found.start() : found.end()] = rb"\ufffd"  # of the same length
        body = bytes(text)
    most = len(body) + len(body) // _MENDED_SHARE + _SLICE
    pieces: list[bytes] = []
    size = 0
    for piece in _in_utf8(body, "utf-8", "replace"):
        pieces.append(piece)
        size += len(piece)
        if size > most:
            return None
    return b"".join(pieces)


def _in_utf8(body: bytes, charset: str, errors: str) -> Iterator[bytes]:
    """Yield the body in UTF-8, slice by slice: the text as a whole would take four times as much.

    Raises ValueError for what is no text of the charset.
    """
    decoder = codecs.getincrementaldecoder(charset)(errors)
    for place in range(0, len(body), _SLICE):
        end = place + _SLICE
        yield decoder.decode(body[place:end], end >= len(body)).encode()


def excerpt(
    body: bytes, length: int = 200, *, clean: Callable[[str], str] = str, kind: str = ""
) -> str:
    """Return the beginning of a body as one printable line, or the title of a web page.

    `clean` takes the secrets out before anything is cut. `kind` is the content type, which may
    name a charset.
    """
    head = body[: 2 * _HEAD]
    recoded = _recoded(head, kind)
    if recoded is None:
        # UTF-16 without a byte order mark: every second byte of ASCII is zero.
        for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
            if recoded is None and head[first::2].count(0) > len(head) // 4:
                recoded = head[: len(head) // 2 * 2].decode(name, "replace").encode()
    head = recoded or head
    if head.lstrip()[:1] == b"<":
        small = head.lower()
        begin = small.find(b">", small.find(b"<title") + 1) if b"<title" in small else -1
        end = small.find(b"</title", begin)
        if begin >= 0 and end >= 0:
            title = head[begin + 1 : end].strip()
            return clip(clean(title.decode("utf-8", "replace")), length)
    text = clean(head.decode("utf-8", "replace"))
    if len(body) > 2 * _HEAD:  # what is left of a secret at the cut goes too
        text = text[: max(len(text) - _HEAD, 0)]
    if not text[:length].isprintable():
        return clip(text, length)
    return text if len(text) <= length else f"{text[: length - 1]}…"


class FindError(ValueError):
    """A path cannot be searched in this document. Nothing of the document is in the text."""


def find(path: Selector, document: object) -> object:
    """Return what is at a path of a document, None when nothing is. Raises FindError.

    The reason that JMESPath gives is dropped: it quotes the document, which may hold a secret.
    """
    try:
        return path(document)
    except SelectError:
        raise FindError(f'"{path.text}" cannot be searched for in this answer') from None
