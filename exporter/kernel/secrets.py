"""Secrets that cannot be printed, and texts with the secrets taken out."""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from html import escape
from typing import Final, NoReturn, Self
from urllib.parse import quote, quote_plus, unquote_plus

from exporter.kernel.override import override

MASK: Final = "<secret>"

_SECRET_KEY = re.compile(
    r"token|key|secret|passw|pwd|auth|sig|credential|session|jwt|bearer|^(?:pass|pw|code)$"
)
_HOST = re.compile(r"(?:\[[^\[\]]*\]|[^:\[\]]*)(?::[0-9]+)?")
_SEPARATORS = frozenset("&;?#")
_NESTED = 3  # how deep a URL inside a URL is followed; what is deeper is hidden
_SHORT = 6  # characters; fewer are no secret that a vendor gives out
_ELLIPSIS = "…"


class Secret:
    """A text that is only readable by asking for it with `reveal`.

    Everything else that turns values into text (``repr``, ``str``, formatting, a traceback's
    locals) gets ``<secret>``; ``json``, ``msgspec`` and ``pickle`` refuse.
    Immutable; equality takes the same time wherever two secrets differ.
    """

    __slots__ = ("_value",)
    _value: str

    def __init__(self, value: str) -> None:
        object.__setattr__(self, "_value", value)

    def reveal(self) -> str:
        """Return the text itself. Only the code that sends it to its vendor may ask."""
        return self._value

    def digest(self) -> str:
        """Return 16 hexadecimal digits that tell secrets apart, to name what they share."""
        return hashlib.sha256(self._bytes()).hexdigest()[:16]

    def _bytes(self) -> bytes:
        return self._value.encode("utf-8", "surrogatepass")  # environments hold any bytes

    @override
    def __repr__(self) -> str:
        return MASK

    @override
    def __format__(self, spec: str) -> str:
        return MASK

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._bytes(), other._bytes())

    @override
    def __hash__(self) -> int:
        return hash((Secret, self._value))

    @override
    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("A secret cannot be changed. Make a new one.")

    @override
    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("A secret cannot be changed. Make a new one.")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    @override
    def __getstate__(self) -> NoReturn:
        raise TypeError("A secret cannot be serialised.")

    @override
    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A secret cannot be serialised.")


def redact_url(url: str, *, keep: frozenset[str] = frozenset()) -> str:
    """Return `url` without its userinfo and without the values of query keys that look secret.

    Never raises, however broken the URL is; where its parts cannot be told apart it hides
    too much rather than too little. `keep` names query keys (any case) that stay readable.
    """
    kept = frozenset(name.casefold() for name in keep)
    masked = _mask_userinfo(url)
    start = re.search("[?#]", masked)
    if start is None:
        return masked
    return masked[: start.end()] + _redact_query(masked[start.end() :], kept, _NESTED)


def _mask_userinfo(url: str) -> str:
    # A raw "/", "?" or "#" in a password ends the authority too early: what is left is no
    # host then, and the userinfo is taken to reach to the last "@" there is.
    found = re.match("([^/?#]*//)([^/?#]*)", url)
    if found is None or ("@" not in found[2] and _HOST.fullmatch(found[2])):
        return url
    _, at, host = url[found.end(1) :].rpartition("@")
    return f"{found[1]}xxxxx@{host}" if at else url


def _redact_query(text: str, keep: frozenset[str], depth: int) -> str:
    # A ";", "?" or "#" may part pairs as "&" does, or belong to a secret: so a secret takes
    # all up to the next "&", and what follows a harmless value is looked at as a pair.
    parts: list[str] = []
    hidden = False
    separator = ""
    for piece in re.split("([&;?#])", text):
        if piece in _SEPARATORS:
            separator = piece
            hidden = hidden and piece != "&"
        elif not hidden:
            key, equals, value = piece.partition("=")
            hidden = bool(equals) and _names_secret(key, keep)
            masked = hidden or _holds_secret(value, keep, depth)
            parts.append(f"{separator}{key}{equals}{MASK if masked else value}")
    return "".join(parts)


def _names_secret(key: str, keep: frozenset[str]) -> bool:
    name = unquote_plus(key).casefold()
    return _SECRET_KEY.search(name) is not None and not {name, name.removesuffix("[]")} & keep


def _holds_secret(value: str, keep: frozenset[str], depth: int) -> bool:
    """Tell whether a value is itself a URL or a query with a secret in it, perhaps quoted."""
    if _mask_userinfo(value) != value:
        return True
    inner = unquote_plus(value)
    if inner == value and "=" not in value:
        return False
    if depth == 0 or _redact_query(inner, keep, depth - 1) != inner:
        return True
    return inner != value and _holds_secret(inner, keep, depth - 1)


def redact_text(text: str, secrets: Iterable[Secret]) -> str:
    """Return `text` with every occurrence of a secret, also quoted for a URL or JSON, masked.

    Longer secrets go first, so that one that contains another leaves no rest. Derived forms
    (the base64 of ``user:password``) are found when they are handed in as secrets of their own.
    A secret of fewer than 6 characters is masked where it stands as a word: inside other words
    the mask would make every line unreadable and show what it hides.
    """
    forms = {form: len(secret.reveal()) for secret in secrets for form in _written_forms(secret)}
    if not any(form in text for form in forms):
        return text
    longest_first = sorted(forms.items(), key=lambda pair: (-len(pair[0]), pair[0]))
    return re.sub("|".join(_pattern(*pair) for pair in longest_first), MASK, text)


def _pattern(form: str, length: int) -> str:
    pattern = re.escape(form)
    return pattern if length >= _SHORT else rf"(?<![^\W_]){pattern}(?![^\W_])"


def _written_forms(secret: Secret) -> set[str]:
    value = secret.reveal()
    text = value.encode("utf-8", "replace").decode()
    quoted = {quote(text), quote(text, safe=""), quote_plus(text)}
    lower = {re.sub("%[0-9A-F]{2}", lambda code: code.group().lower(), form) for form in quoted}
    escaped = {json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    slashed = {form.replace("/", "\\/") for form in escaped}  # as PHP writes JSON
    # A repr escapes the apostrophe only where the whole text holds both kinds of quotation marks.
    shown = {repr(value)[1:-1], repr("\"'" + value)[4:-1]}
    written = {value} | shown | quoted | lower | escaped | slashed | _in_pages(value)
    return written - {""}


def _in_pages(value: str) -> set[str]:
    """Return how a web page shows a text; each library writes quotation marks its own way."""
    page = escape(value, quote=False)
    return {
        page.replace('"', double).replace("'", single)
        for double in ('"', "&quot;", "&#34;")
        for single in ("'", "&#x27;", "&#39;", "&#039;", "&apos;")
    }


def clip(text: str, length: int = 256) -> str:
    """Return `text` as one printable line of at most `length` characters.

    Runs of white space become one blank, what cannot be printed becomes ``�``; a text that
    was cut ends in an ellipsis. Looks at no more of a huge text than it needs.
    """
    head = text[: length * 4 + 1]
    line = " ".join(head.split())
    if not line.isprintable():
        line = "".join(letter if letter.isprintable() else "�" for letter in line)
    if len(line) <= length and len(head) == len(text):
        return line
    return line[: max(length - 1, 0)].rstrip() + _ELLIPSIS
