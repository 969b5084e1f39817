"""Secrets that cannot be printed, and everything that takes secrets out of what is shown.

Secrets that are known are masked by `kernel.redactor`. Here is what needs none: names that announce
a secret (`is_secret_name`), the parts of URLs that are secret, and a test for unknown texts that
look like a token (`looks_secret`), for messages about configurations: these may quote a token that
was written in the wrong place.
"""

import functools
import hashlib
import hmac
import re
from typing import Final, NoReturn, Self
from urllib.parse import unquote_plus, urlsplit

from exporter.kernel.override import override

MASK: Final = "<secret>"

_NAME_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_TELLING_WORDS = frozenset(
    {"auth", "key", "oauth", "otp", "pass", "pat", "pin", "pw", "sid", "sig"}
)
_TELLING_PARTS = re.compile(
    r"token(?!s)|secret|passw|passphrase|pwd|credential|apikey|accesskey|privatekey|jwt|bearer"
    r"|cookie|signature|authori[sz]|authentic|session(?!s)|^code$"
)
_HARMLESS_NAMES = re.compile(
    r"rate-?_?limit|^access-control-|^(?:www|proxy)-authenticate$", re.IGNORECASE
)
_HOST = re.compile(r"(?:\[[^\[\]]*\]|[^:\[\]]*)(?::[0-9]+)?")
_SEPARATORS = frozenset("&;?#")
_NESTED = 3  # how deep a URL inside a URL is followed; what is deeper is hidden
_ELLIPSIS = "…"


@functools.lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Tell whether a name announces a secret: of a header, a query argument, a key, a log field.

    Names are taken apart into words, so that "author", "monkey" and "tokens" (which vendors
    count) are none.
    """
    if _HARMLESS_NAMES.search(name):
        return False
    words = [word.lower() for word in _NAME_WORDS.findall(name)]
    return not _TELLING_WORDS.isdisjoint(words) or bool(_TELLING_PARTS.search("".join(words)))


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
    name = unquote_plus(key)
    folded = name.casefold()
    return is_secret_name(name) and not {folded, folded.removesuffix("[]")} & keep


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


# ------------------------------------------------------------- texts that look like a secret


_TOKEN_START = re.compile(
    r"(?:gh[opsur]_|github_pat_|glpat-|sk-|sk_|pk_|rk_|xox[a-z]-|AKIA|ASIA|eyJ|SG\.|dop_v1_|hf_|AIza"
    r"|ya29\.|shpat_|npm_|pypi-|lin_api_|whsec_|key-)[A-Za-z0-9_.+/=-]{8,}"
)
_TOKEN_RUN = re.compile(r"[A-Za-z0-9_+/=.~-]{16,}")
_QUOTED = re.compile(r'"([^"]{4,}?)…?"')
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/]{16,}={0,2}")  # has slashes as a path has
_CHANGES = re.compile(r"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])|(?<=[a-z])(?=[A-Z])")
_BARE_HOST = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::[0-9]{1,5})?")
_LEAST_TOKEN = 16  # letters and digits
_LEAST_CHANGES = 4  # between letters and digits, small letters and capitals
_LEAST_BASE64_CHANGES = 6
_LONGEST_HUMP = 3.5  # letters to a capital; words are longer


def looks_secret(text: str) -> bool:
    """Tell whether a text has the look of a token: a known beginning, or letters and digits mixed.

    For texts in places where no secret belongs. A password that is a word has no such look.
    """
    return hide_tokens(text) != text


def hide_tokens(text: str) -> str:
    """Return `text` with everything masked that looks like a token, whether known or not."""
    text = _BASE64_RUN.sub(_hidden_base64, _TOKEN_START.sub(MASK, text))
    return _TOKEN_RUN.sub(_hidden_run, text)


def hide_value(message: str, value: str) -> str:
    """Return `message` with every quotation of `value`, or of a part of it, masked."""
    return _QUOTED.sub(lambda found: f'"{MASK}"' if found[1] in value else found[0], message)


def _hidden_base64(found: re.Match[str]) -> str:
    return MASK if _is_mixed(found[0], least=_LEAST_BASE64_CHANGES) else found[0]


def _hidden_run(found: re.Match[str]) -> str:
    return "".join(MASK if _is_mixed(part) else part for part in re.split("([/.=]+)", found[0]))


def _is_mixed(text: str, *, least: int = _LEAST_CHANGES) -> bool:
    letters = re.sub(r"[^A-Za-z0-9]", "", text)
    if len(letters) < _LEAST_TOKEN:
        return False
    changes = len(_CHANGES.findall(text))
    if not any(map(str.isdigit, letters)):
        return changes >= least and len(letters) / (changes + 1) < _LONGEST_HUMP
    return changes >= least


def shown_url(url: str) -> str:
    """Return a URL as a message about a configuration may show it, without all that may be secret.

    "" for what cannot be read as a URL with a host: that may be a secret in the wrong place.
    """
    if _BARE_HOST.fullmatch(url):
        return hide_tokens(url)
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return ""
    if not host or not parts.scheme or "@" in parts.path:
        return ""
    _, at, where = parts.netloc.rpartition("@")
    where = f"xxxxx@{where}" if at else where
    query = "&".join(
        f"{name}={MASK}" if equals else MASK
        for name, equals, _ in (pair.partition("=") for pair in parts.query.split("&"))
    )
    shown = f"{parts.scheme}://{where}{parts.path}"
    shown += f"?{query}" if parts.query else ""
    return hide_tokens(shown + (f"#{MASK}" if parts.fragment else ""))


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


def printable(value: object) -> str:
    """Return ``str(value)``, also of a value whose own ``__str__`` is broken."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - whatever it raises, a log line must come out
        return f"<unprintable {type(value).__name__}: {type(error).__name__}>"
