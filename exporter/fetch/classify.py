"""Paths searched in answers, where the search itself may fail.

Bytes to documents: JSON and JSON Lines, told by the bytes and never by the Content-Type.

Vendors send JSON as ``text/html``, ``json`` or nothing at all, and HTML as ``application/json``.

A decoded document takes up to fifty times the memory of its bytes, and the decoder keeps the
interpreter until it is done. So the values of a large body are counted before it is decoded.

What an answer means: a page, nothing there, nothing new, or a failure with its reason.
"""

import codecs
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import urljoin

import msgspec

from exporter.fetch.http import HttpResponse, host_of, origin_of
from exporter.fetch.ratelimit import read_rate_limit
from exporter.kernel.jmes import SelectError, Selector, compile_path
from exporter.kernel.secrets import clip
from exporter.model.definition.provider import Collector, Definition, Format
from exporter.model.definition.ratelimit import RateLimitRules
from exporter.model.definition.responses import Match, ResponseRules
from exporter.model.outcome import Failure, Page, Reason, Unchanged


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
    title = _title(head) if head.lstrip()[:1] == b"<" else None
    text = clean((head if title is None else title).decode("utf-8", "replace"))
    if title is None and len(body) > 2 * _HEAD:  # what is left of a secret at the cut goes too
        text = text[: max(len(text) - _HEAD, 0)]
    if title is None and text[:length].isprintable():
        return text if len(text) <= length else f"{text[: length - 1]}…"
    return clip(text, length)


def _title(head: bytes) -> bytes | None:
    """Return what stands in the ``<title>`` of a page."""
    small = head.lower()
    begin = small.find(b">", small.find(b"<title") + 1) if b"<title" in small else -1
    end = small.find(b"</title", begin)
    return None if begin < 0 or end < 0 else head[begin + 1 : end].strip()


class Absent(msgspec.Struct, frozen=True, gc=False):
    """The vendor says that there is none: no payload, and no failure."""


Classified: TypeAlias = Page | Absent | Unchanged | Failure


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the answers to one request are judged by.

    ``most_values``: keys and values that one answer may hold.
    """

    verdict: ResponseRules = ResponseRules()
    format: Format = Format.JSON
    throttling: RateLimitRules = RateLimitRules()
    most_values: int = MOST_VALUES


def rules_of(definition: Definition, collector: Collector) -> Rules:
    """Return what a collector's answers are classified by."""
    return Rules(
        verdict=collector.verdict,
        format=collector.format,
        throttling=definition.throttling,
        most_values=most_values(collector.max_bytes),
    )


class _NoDocument(msgspec.Struct, frozen=True, gc=False):
    """The body is none; ``why`` says what it is instead."""

    why: str
    reason: Reason = Reason.NOT_JSON


class _Case(msgspec.Struct, frozen=True, gc=False):
    """All that is known when an answer is judged. ``now`` is epoch seconds."""

    rules: Rules
    answer: HttpResponse
    document: object
    now: float
    clean: Callable[[str], str]


_LONGEST_WORDS = 64 * 1024
"""Characters of a vendor's error text in which secrets are looked for. Of these `clip` shows the
first few hundred, so that no secret is cut where it would be shown."""
_ABSENT = Absent()
_UNCHANGED = Unchanged()
_USUAL_ERRORS = tuple(
    compile_path(path)
    for path in (
        "error.message",
        "error_description",
        "detail.message",
        "detail",
        "message",
        "title",
        "errors[0].message",
        "errors[0].reason",
        "errors[0].detail",
        "errors[0]",
        "error",
        "Message",
    )
)
"""Where vendors' errors have their text: OAuth, Django, problem+json (RFC 9457) and the like."""
_REASONS = {
    HTTPStatus.UNAUTHORIZED: Reason.AUTH,
    HTTPStatus.FORBIDDEN: Reason.FORBIDDEN,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: Reason.CONNECT,  # the vendor was not even reached
    HTTPStatus.TOO_MANY_REQUESTS: Reason.RATE_LIMITED,
}


def classify_response(
    answer: HttpResponse,
    rules: Rules,
    now: float,
    *,
    asked_new: bool = False,
    clean: Callable[[str], str] = str,
) -> Classified:
    """Judge one answer by the rules of its request; `now` is epoch seconds.

    `asked_new`: the request said which version it has (``If-None-Match``); only then is 304 an
    answer. 429 always throttles unless a rule says something else. `clean` takes the secrets out
    of the vendor's words, before these are cut: a half of a secret would not be found any more.
    """
    case = _Case(rules, answer, _document(answer, rules), now, clean)
    ruled = _by_rules(case)
    if ruled is not None:
        return ruled
    if answer.status == HTTPStatus.NOT_MODIFIED and asked_new:
        return _UNCHANGED
    if answer.status not in rules.verdict.accepted:
        reason = Reason.CONNECT if _is_by_proxy(case) else reason_of(answer.status)
        return _refusal(reason, case)
    if isinstance(case.document, _NoDocument):
        return _undecoded(case, case.document)
    if rules.verdict.guard is not None and not holds(rules.verdict.guard, case.document):
        return _guarded(case)
    return Page(document=case.document, headers=answer.headers)


def holds(path: Selector, document: object) -> bool:
    """Tell whether a condition holds: what is found is not null, false, empty or zero."""
    try:
        return bool(find(path, document))
    except FindError:
        return False


def reason_of(status: int) -> Reason:
    """Return the reason that a status stands for when no rule says more."""
    known = _REASONS.get(HTTPStatus(status)) if status in _REASONS else None
    if known is not None:
        return known
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Reason.HTTP_5XX
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        return Reason.HTTP_4XX
    return Reason.SCHEMA  # 202, 204: something was done, but that is not the answer


def proxy_advice(status: int) -> str:
    """Return what helps against the status by which a proxy itself refuses; "" or ``; words``."""
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return (
            "; write the proxy's user name and password into its address (proxy_url or HTTP_PROXY),"
            " or correct those that stand there"
        )
    if status == HTTPStatus.FORBIDDEN:
        return "; the proxy's rules must allow the vendor's host and port"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "; the proxy does not reach the vendor"
    return ""


def _document(answer: HttpResponse, rules: Rules) -> object:
    form = rules.format if answer.status in rules.verdict.accepted else Format.JSON
    if not form.has_body:
        return answer.headers
    try:
        kind = answer.headers.get("content-type", "")
        return decode(answer.body, form, kind, most=rules.most_values)
    except NotJsonError as error:
        return _NoDocument(str(error))
    except TooManyValuesError as error:
        return _NoDocument(str(error), Reason.TOO_LARGE)


def _by_rules(case: _Case) -> Failure | Absent | None:
    """Apply the definition's own rules, in the order of the fields."""
    verdict = case.rules.verdict
    if not (verdict.quota_exhausted or verdict.throttled or verdict.forbidden or verdict.absent):
        return None
    for reason, matches in (
        (Reason.QUOTA_EXHAUSTED, verdict.quota_exhausted),
        (Reason.RATE_LIMITED, verdict.throttled),
        (Reason.FORBIDDEN, verdict.forbidden),
    ):
        if any(_matches(match, case) for match in matches):
            return _refusal(reason, case)
    return _ABSENT if any(_matches(match, case) for match in verdict.absent) else None


def _matches(match: Match, case: _Case) -> bool:
    if case.answer.status not in match.statuses:
        return False
    if match.headers is not None and not holds(match.headers, case.answer.headers):
        return False
    if match.body is None:
        return True
    return not isinstance(case.document, _NoDocument) and holds(match.body, case.document)


def _refusal(reason: Reason, case: _Case) -> Failure:
    limits = read_rate_limit(case.answer.lines, case.now, case.rules.throttling)
    throttled = reason in (Reason.RATE_LIMITED, Reason.QUOTA_EXHAUSTED)
    return Failure(
        reason=reason,
        detail=f"{_who(case.answer)}{_words(case)}{_advice(reason, case.answer)}",
        wait=limits.wait if throttled else limits.retry_after,
        status=case.answer.status,
    )


def _guarded(case: _Case) -> Failure:
    return Failure(
        reason=Reason.SCHEMA,
        detail=f"{_who(case.answer)}, but the answer says that it failed{_words(case)}",
        status=case.answer.status,
    )


def _undecoded(case: _Case, found: _NoDocument) -> Failure:
    answer = case.answer
    why = found.why
    if found.reason is Reason.TOO_LARGE:
        detail = f"{host_of(answer.url)}: {why}"
        return Failure(reason=Reason.TOO_LARGE, detail=detail, status=answer.status)
    kind = answer.headers.get("content-type", "")
    shown = excerpt(answer.body, clean=case.clean, kind=kind)
    told = f" ({clip(case.clean(kind), 64)})" if kind else ""
    begins = f', it begins with "{shown}"' if shown else ""
    return Failure(
        reason=Reason.NOT_JSON,
        detail=f"{_who(answer)}, but not with JSON{told}: {why}{begins}",
        status=answer.status,
    )


def _is_by_proxy(case: _Case) -> bool:
    """Tell whether the proxy itself refused: that is no word on the credential.

    Squid says so, and RFC 9209 has a header for it. Of the other proxies, those that forward an
    answer mark it with ``Via``, and those that refuse send a page for people.
    """
    answer = case.answer
    if not answer.proxy or answer.status != HTTPStatus.FORBIDDEN:
        return False
    if "x-squid-error" in answer.headers or "error=" in answer.headers.get("proxy-status", ""):
        return True
    return "via" not in answer.headers and isinstance(case.document, _NoDocument)


def _who(answer: HttpResponse) -> str:
    try:
        phrase = f" {HTTPStatus(answer.status).phrase}"
    except ValueError:
        phrase = ""
    through = f" (through the proxy {answer.proxy})" if answer.proxy else ""
    return f"{host_of(answer.url)} answered {answer.status}{phrase}{through}"


def _advice(reason: Reason, answer: HttpResponse) -> str:
    if reason is Reason.AUTH:
        return "; check the credential"
    if reason is Reason.FORBIDDEN:
        return "; the credential lacks a permission"
    if reason is Reason.CONNECT:
        return proxy_advice(answer.status)
    redirects = HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST
    if redirects and answer.headers.get("location"):
        return f"; the redirect to {_destination(answer)} is not followed"
    return ""


def _destination(answer: HttpResponse) -> str:
    try:
        url = urljoin(answer.url, answer.headers["location"])
        return f"{origin_of(url)[0]}://{host_of(url)}"
    except ValueError:
        return "what is no web address"


def _words(case: _Case) -> str:
    """Return the vendor's own error text as ``: text``, or what the body begins with, or ""."""
    kind = case.answer.headers.get("content-type", "")
    text = _told(case) or excerpt(case.answer.body, clean=case.clean, kind=kind)
    return f": {text}" if text else ""


def _told(case: _Case) -> str:
    if isinstance(case.document, _NoDocument):
        return ""
    for path in (*case.rules.verdict.error, *_USUAL_ERRORS):
        try:
            found = find(path, case.document)
        except FindError:
            continue
        if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
            return clip(case.clean(str(found)[:_LONGEST_WORDS]))
    return ""
