"""Secrets that cannot be printed, and texts with the secrets taken out."""

import functools
import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Final, NoReturn, Self
from urllib.parse import quote, quote_plus, unquote_plus

import msgspec

from exporter.kernel.override import override

MASK: Final = "<secret>"

_SECRET_KEY = re.compile(
    r"token|key|secret|passw|pwd|auth|sig|credential|session|jwt|bearer|^(?:pass|pw|code)$"
)
_USERINFO = re.compile(r"^([^/?#]*//)[^/?#]*@")
# "https://user:p/ss@host": what looks like a port is no number, and an @ comes later.
_BROKEN_USERINFO = re.compile(r"^([^/?#]*//)(?!\[)[^/?#:@]*:(?![0-9]*(?:[/?#]|$)).*@", re.DOTALL)
_NESTED = 3  # how deep a URL inside a URL is followed
_ELLIPSIS = "…"


class Secret:
    """A text that is only readable by asking for it with `reveal`.

    Everything else that turns values into text (``repr``, ``str``, formatting, a traceback's
    locals, ``msgspec`` with `enc_hook`) gets ``<secret>``; ``json`` and ``pickle`` refuse.
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


def enc_hook(value: object) -> str:
    """Encode a `Secret` as ``<secret>``: the ``enc_hook`` for msgspec's encoders."""
    if isinstance(value, Secret):
        return MASK
    raise NotImplementedError(f"Cannot encode values of type {type(value).__name__}.")


def redact_url(url: str, *, keep: frozenset[str] = frozenset()) -> str:
    """Return `url` without its userinfo and without the values of query keys that look secret.

    Never raises, however broken the URL is; where its parts cannot be told apart it hides
    too much rather than too little. `keep` names query keys (any case) that stay readable.
    """
    kept = frozenset(name.casefold() for name in keep)
    return _redact_url(url, kept, _NESTED)


def _redact_url(url: str, keep: frozenset[str], depth: int) -> str:
    masked, found = _USERINFO.subn(r"\1xxxxx@", url)
    if not found:
        masked = _BROKEN_USERINFO.sub(r"\1xxxxx@", url)
    start = re.search("[?#]", masked)
    if start is None:
        return masked
    pairs = masked[start.end() :].split("&")
    return masked[: start.end()] + "&".join(_redact_pair(pair, keep, depth) for pair in pairs)


def _redact_pair(pair: str, keep: frozenset[str], depth: int) -> str:
    # A ";", "?" or "#" may part pairs too, or belong to a secret: so a secret takes all that
    # follows it, and what follows a harmless value is looked at as a pair of its own.
    key, equals, rest = pair.partition("=")
    if not equals:
        return pair
    name = unquote_plus(key).casefold()
    if name not in keep and name.removesuffix("[]") not in keep and _SECRET_KEY.search(name):
        return f"{key}={MASK}"
    value, separator, more = _split_first(rest)
    if separator:
        more = _redact_pair(more, keep, depth)
    return f"{key}={_redact_nested(value, keep, depth)}{separator}{more}"


def _split_first(text: str) -> tuple[str, str, str]:
    found = re.search("[;?#]", text)
    if found is None:
        return text, "", ""
    return text[: found.start()], found.group(), text[found.end() :]


def _redact_nested(value: str, keep: frozenset[str], depth: int) -> str:
    # A quoted URL as a value: "next=https%3A%2F%2Fhost%3Ftoken%3D..."
    inner = unquote_plus(value)
    if inner == value and "@" not in value:
        return value
    if depth == 0 or _redact_url(inner, keep, depth - 1) != inner:
        return MASK
    return value


def redact_text(text: str, secrets: Iterable[Secret]) -> str:
    """Return `text` with every occurrence of a secret, also quoted for a URL or JSON, masked.

    Longer secrets go first, so that one that contains another leaves no rest. Derived forms
    (the base64 of ``user:password``) are found when they are handed in as secrets of their own.
    """
    forms = {form for secret in secrets for form in _written_forms(secret)}
    if not any(form in text for form in forms):
        return text
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return re.sub("|".join(map(re.escape, longest_first)), MASK, text)


@functools.lru_cache(maxsize=256)
def _written_forms(secret: Secret) -> frozenset[str]:
    value = secret.reveal()
    text = value.encode("utf-8", "replace").decode()
    quoted = {quote(text), quote(text, safe=""), quote_plus(text)}
    lower = {re.sub("%[0-9A-F]{2}", lambda code: code.group().lower(), form) for form in quoted}
    escaped = {msgspec.json.encode(text).decode()[1:-1], repr(value)[1:-1]}
    return frozenset(({value} | quoted | lower | escaped) - {""})


def clip(text: str, length: int = 256) -> str:
    """Return `text` as one printable line of at most `length` characters.

    Runs of white space become one blank, what cannot be printed becomes ``�``; a text that
    was cut ends in an ellipsis. Looks at no more of a huge text than it needs.
    """
    head = text[: length * 4 + 1]
    line = " ".join(head.split())
    line = "".join(letter if letter.isprintable() else "�" for letter in line)
    if len(line) <= length and len(head) == len(text):
        return line
    return line[: max(length - 1, 0)].rstrip() + _ELLIPSIS
