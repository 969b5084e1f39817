"""Masks known secrets in whatever is shown: messages, headers, documents, log fields.

A secret is searched for in the text and in up to 16 views of it, each with one to three encodings
undone (backslashes, percent signs, entities, ...): a view knows where each of its characters came
from, so that the encoded secret is masked in the text itself. The time is linear in the text, and
from 65 secrets on does not grow with their number. Looking comes first and is cheap; only a text
that holds a secret is taken apart to be masked.
"""

import base64
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from exporter.kernel.secrets import MASK, Secret, clip, is_secret_name, printable, redact_url

# ------------------------------------------------------------------------------------ encodings


_ENTITIES: Final = {
    "amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "plus": "+", "sol": "/",
    "bsol": "\\", "equals": "=", "num": "#", "percnt": "%", "lowbar": "_", "period": ".",
    "comma": ",", "colon": ":", "semi": ";", "excl": "!", "quest": "?", "commat": "@", "lsqb": "[",
    "rsqb": "]", "lpar": "(", "rpar": ")", "lcub": "{", "rcub": "}", "dollar": "$", "ast": "*",
    "Hat": "^", "grave": "`", "verbar": "|", "hyphen": "-", "dash": "-", "Tab": "\t", "nbsp": " ",
}  # fmt: skip
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_LAST_CHARACTER: Final = 0x10FFFF


def _from_backslash(found: re.Match[str]) -> str:
    text = found[found.lastindex or 0]
    if found.lastindex == 1:  # two halves of a surrogate pair
        high, low = int(text[:4], 16), int(text[6:], 16)
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    if found.lastindex == 2:  # noqa: PLR2004 - the second group
        code = int(text.strip("{}"), 16)
        return chr(code) if code <= _LAST_CHARACTER else found[0]
    return _CONTROLS.get(text, text)


def _from_percent(found: re.Match[str]) -> str:
    text = found[0]
    if text[1] in "uU":
        return chr(int(text[2:], 16))  # noqa: FURB166 - "%u" is no prefix of Python
    data = bytes.fromhex(text.replace("%", ""))
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _from_entity(found: re.Match[str]) -> str:
    number, name = found[1], found[2]
    if name is not None:
        return _ENTITIES.get(name, found[0])
    code = int(number[1:], 16) if number[0] in "xX" else int(number)
    return chr(code) if code <= _LAST_CHARACTER else found[0]


class _Encoding(NamedTuple):
    """A way to write characters: what each text in it contains, and how a character is read."""

    marker: str
    pattern: re.Pattern[str]
    read: Callable[[re.Match[str]], str]


_ENCODINGS: Final = (
    _Encoding(
        "\\",
        re.compile(
            r"\\(?:u([dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
            r"|(?:u(?=[0-9a-fA-F]{4}|\{)|U(?=[0-9a-fA-F]{8})|x(?=[0-9a-fA-F]{2}))"
            r"((?<=u)[0-9a-fA-F]{4}|(?<=U)[0-9a-fA-F]{8}|(?<=x)[0-9a-fA-F]{2}"
            r"|(?<=u)\{[0-9a-fA-F]{1,6}\})|(.))",
            re.DOTALL,
        ),
        _from_backslash,
    ),
    _Encoding(
        "%",
        re.compile(r"%[uU][0-9a-fA-F]{4}|%[0-7][0-9a-fA-F]|(?:%[89a-fA-F][0-9a-fA-F]){1,4}"),
        _from_percent,
    ),
    _Encoding(
        "&",
        re.compile(r"&(?:#([0-9]{1,7}|[xX][0-9a-fA-F]{1,6});?|([A-Za-z]{2,6});)"),
        _from_entity,
    ),
    _Encoding("\0", re.compile("\0"), lambda found: ""),  # UTF-16 that was read as UTF-8
    _Encoding("+", re.compile(r"\+"), lambda found: " "),  # a blank in a form
)
_DEPTH = 3  # encodings on top of each other: a URL in JSON in a page
_MOST_VIEWS = 16
_FEW_VIEWS = 6  # of a large text
_LARGE_TEXT = 64 * 1024  # characters


class _View(NamedTuple):
    """A text with an encoding undone, and for each of its characters where that came from.

    ``starts`` and ``ends`` are None where nothing was undone.
    """

    text: str
    starts: list[int] | None = None
    ends: list[int] | None = None

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Return where in the original text the characters from `start` to `end` stand."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]


def _read(view: _View, encoding: _Encoding) -> _View:
    return _View(encoding.pattern.sub(encoding.read, view.text))


def _placed(view: _View, encoding: _Encoding) -> _View:
    """Undo an encoding and note where each character came from."""
    text = view.text
    starts = list(range(len(text))) if view.starts is None else view.starts
    ends = list(range(1, len(text) + 1)) if view.ends is None else view.ends
    pieces: list[str] = []
    new_starts: list[int] = []
    new_ends: list[int] = []
    done = 0
    for found in encoding.pattern.finditer(text):
        begin, end = found.span()
        read = encoding.read(found)
        pieces += (text[done:begin], read)
        new_starts += starts[done:begin]
        new_starts += [starts[begin]] * len(read)
        new_ends += ends[done:begin]
        new_ends += [ends[end - 1]] * len(read)
        done = end
    pieces.append(text[done:])
    return _View("".join(pieces), new_starts + starts[done:], new_ends + ends[done:])


def _undone(
    first: _View, encodings: Iterable[_Encoding], undo: Callable[[_View, _Encoding], _View]
) -> Iterator[_View]:
    """Yield a text with one to three encodings undone, in each order."""
    most = _MOST_VIEWS if len(first.text) <= _LARGE_TEXT else _FEW_VIEWS
    seen = {first.text}
    level = [first]
    for _ in range(_DEPTH):
        deeper: list[_View] = []
        for view in level:
            for encoding in encodings:
                if encoding.marker not in view.text or len(seen) > most:
                    continue
                found = undo(view, encoding)
                if found.text not in seen:
                    seen.add(found.text)
                    deeper.append(found)
                    yield found
        level = deeper


def _folded(text: str) -> str:
    """Return a text with small ASCII letters, and of the same length."""
    if text.isascii():
        return text.lower()
    return text.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


# ------------------------------------------------------------------------------------- redaction


_WORD_SECRET = 6  # characters; a shorter secret is masked where it stands as a word
_FOLDED_SECRET = 8  # a shorter one is found as it is written only, a longer one in any case
_DOCUMENT_SECRET = 4  # a shorter one is looked for in messages alone, and not in documents
_HEAD = 16  # characters of a long secret that are masked too: vendors shorten what they echo
_LONG_SECRET = 24
_LEAST_PACKED = 6  # characters of base64 that are looked for inside other text
_NUMBER_SECRET = 8
_RUN = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_IN_RUN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-")
_WORD_EDGE = r"[^\W_]"

_FEW_SECRETS = 64
_MOST_SECRETS = 200_000
_INDEXED = 4  # the letters by which one of many secrets is looked up
_SEARCHED_AT_ONCE = 512 * 1024  # bytes of a document
_LONGEST_SPELLING = 8192  # bytes: 64 characters of base64, with three encodings on top of it
_LONGEST_HIDDEN = 1024 * 1024  # characters; a longer text with a secret is hidden as a whole

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+|/[^\s\"'<>?]*\?[^\s\"'<>]+")
_LONGEST_VALUE: Final = 2000  # characters of one value in a log line
_LOOKED_AT: Final = 10_000  # characters of a message that are searched at all
_GROWTH: Final = 6  # how many times longer a secret gets when it is written as \u00e9
_DEEPEST: Final = 4


class _Needle(NamedTuple):
    """One way to find a secret in a text whose encodings are undone.

    `fold`: in any case. `word`: only where no letter or digit stands beside it. `run`: it is part
    of base64 or hexadecimal digits, which are masked as far as they reach. `rest` may follow.
    """

    text: str
    fold: bool = False
    word: bool = False
    run: bool = False
    rest: str = ""

    def stands_in(self, text: str, folded: str) -> bool:
        """Tell whether it is found in a text."""
        if self.word:
            return self.text in text and next(self.places(text, folded), None) is not None
        return self.text in (folded if self.fold else text)

    def places(self, text: str, folded: str) -> Iterator[tuple[int, int]]:
        """Yield where it stands in a text."""
        where = folded if self.fold else text
        if self.word:
            pattern = f"(?<!{_WORD_EDGE}){re.escape(self.text)}(?!{_WORD_EDGE})"
            pattern += "=*" if self.run else ""
            yield from (found.span() for found in re.finditer(pattern, text))
            return
        begin = where.find(self.text)
        while begin >= 0:
            start, end = begin, begin + len(self.text)
            if self.run:
                while start > 0 and text[start - 1] in _IN_RUN:
                    start -= 1
                while end < len(text) and text[end] in _IN_RUN:
                    end += 1
                while end < len(text) and text[end] == "=":
                    end += 1
            else:
                more = 0
                while more < len(self.rest) and where[end : end + 1] == self.rest[more]:
                    more, end = more + 1, end + 1
            yield start, end
            begin = where.find(self.text, end)


def _any_stands_in(needles: tuple[_Needle, ...], text: str, folded: str) -> bool:
    for needle in needles:  # noqa: SIM110 - any() of a generator takes twice the time of a poll's
        if needle.stands_in(text, folded):
            return True
    return False


def _needles(secret: Secret) -> tuple[_Needle, ...]:
    """Return how a secret is found: as it is, as what becomes of its UTF-8 in Latin-1, packed."""
    value = secret.reveal()
    data = value.encode("utf-8", "replace")
    spellings = {value, data.decode("latin-1")}
    return (*(_plain_needle(text) for text in sorted(spellings)), *_packed_needles(data))


def _plain_needle(text: str) -> _Needle:
    if len(text) < _FOLDED_SECRET:
        return _Needle(text, word=len(text) < _WORD_SECRET)
    folded = _folded(text)
    if len(text) < _LONG_SECRET:
        return _Needle(folded, fold=True)
    return _Needle(folded[:_HEAD], fold=True, rest=folded[_HEAD:])


def _packed_needles(data: bytes) -> Iterator[_Needle]:
    """Yield hexadecimal digits and base64, whatever stands before and after in what was packed.

    Of base64, the characters at both ends that depend on what is beside are left out.
    """
    if len(data) < _DOCUMENT_SECRET:
        return
    yield _Needle(data.hex(), fold=True, run=True)
    data = data[: _LONG_SECRET * 2]  # the beginning of a long one is enough
    for before in range(3):
        packed = base64.b64encode(bytes(before) + data).rstrip(b"=").decode()
        core = packed[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        if len(core) < _LEAST_PACKED:
            if before == 0:
                yield _Needle(packed, word=True, run=True)
            continue
        for form in {core, core.replace("+", "-").replace("/", "_")}:
            yield _Needle(form, run=True)


class Redactor:
    """Knows secrets, and takes them out of whatever is shown: messages, headers, documents, logs.

    A secret is found in any case, percent-encoded (also twice), escaped with backslashes as in
    JSON, as HTML entities, as UTF-16 read byte by byte, and in base64 and hexadecimal digits; of a
    long one its beginning is enough. Up to 64 secrets are searched for one by one; of more, those
    are whose first four letters stand in the text, so that the time does not grow with them.
    """

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._secrets: dict[Secret, bool] = {}
        self._searched: list[tuple[Secret, tuple[_Needle, ...]]] = []
        self._index: dict[str, list[Secret]] | None = None
        self._longest = 0
        self._lengths: set[int] = set()
        self._encodings: tuple[_Encoding, ...] = _ENCODINGS[:-1]
        self.learn(*secrets)

    def learn(self, *secrets: Secret, in_documents: bool = True) -> None:
        """Mask `secrets` from now on; the empty one hides nothing.

        Those that are not looked for `in_documents` are names, such as that of a user: masked in
        messages, but no reason to change what a vendor says. The oldest of 200,000 is forgotten:
        tokens are renewed.
        """
        for secret in secrets:
            value = secret.reveal()
            if not value or secret in self._secrets:
                continue
            if len(self._secrets) >= _MOST_SECRETS:
                self._forget(next(iter(self._secrets)))
            self._secrets[secret] = in_documents
            self._longest = max(self._longest, len(value))
            if " " in value:
                self._encodings = _ENCODINGS
            self._place(secret)

    def text(self, text: str) -> str:
        """Return `text` without the secrets."""
        found = self._suspects(text)
        return self._masked(text, found) if found else text

    def url(self, url: str) -> str:
        """Return `url` without userinfo, secrets, and what its keys say are secrets."""
        return redact_url(self.text(url))

    def message(self, text: str) -> str:
        """Return `text` without secrets and without the secret parts of the URLs in it.

        Of a text beyond 10,000 characters the rest is left out.
        """
        clean = self.text(text[:_LOOKED_AT])
        if len(text) > _LOOKED_AT:
            # The cut may go through a secret: what it left of it goes too.
            clean = clean[: max(len(clean) - self._longest * _GROWTH, 0)] + "…"
        return _URL.sub(lambda url: redact_url(url.group()), clean)

    def headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return `headers` without the secrets; the same map when there are none in it."""
        if not self._suspects("\n".join([*headers, *headers.values()])):
            return headers
        return {self.text(name): self.text(value) for name, value in headers.items()}

    def document(self, document: object) -> object:
        """Return a document of maps, lists and scalars without the secrets, keys included.

        The same object where there are none. Raises RecursionError for what is nested very deep.
        """
        try:
            written = msgspec.json.encode(document)
        except (TypeError, ValueError, OverflowError):  # half a surrogate pair, say
            found = list(self._secrets)
        else:
            found = []
            for place in range(0, len(written), _SEARCHED_AT_ONCE):
                # In pieces, since each way to read a text is one more copy of it.
                piece = written[place : place + _SEARCHED_AT_ONCE + _LONGEST_SPELLING]
                text = piece.decode("utf-8", "ignore")
                if "\\" in text:  # of the encoder's own
                    text = _read(_View(text), _ENCODINGS[0]).text
                found += self._suspects(text)
            found = list(dict.fromkeys(found))
        found = [secret for secret in found if self._is_in_documents(secret)]
        return self._masked_document(document, found) if found else document

    def value(self, key: str, value: object, *, depth: int = 0) -> object:
        """Return `value` fit for a log line under `key`: masked, of one line, of bounded length.

        Numbers, booleans and None pass; mappings and lists are walked to a depth of four;
        everything else is written as text.
        """
        if is_secret_name(key):
            return MASK
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)  # JSON has no word for it
        if depth < _DEEPEST:
            if isinstance(value, Mapping):
                pairs = ((str(name), inner) for name, inner in value.items())
                return {
                    self._line(name): self.value(name, inner, depth=depth + 1)
                    for name, inner in pairs
                }
            if isinstance(value, list | tuple | set | frozenset):
                return [self.value("", inner, depth=depth + 1) for inner in value]
        return self._line(value if isinstance(value, str) else printable(value))

    def _line(self, text: str) -> str:
        # Cut after masking: half a secret would not be found.
        return clip(self.message(text), _LONGEST_VALUE)

    # ---- finding

    def _place(self, secret: Secret) -> None:
        if self._index is None and len(self._secrets) <= _FEW_SECRETS:
            self._searched.append((secret, _needles(secret)))
            return
        if self._index is None:
            self._index = {}
            before = [known for known, _ in self._searched]
            self._searched = []
            for known in before:
                self._place(known)
        head = _indexed(secret)
        self._lengths.add(len(head))
        self._index.setdefault(head, []).append(secret)

    def _forget(self, secret: Secret) -> None:
        del self._secrets[secret]
        if self._index is not None:
            self._index[_indexed(secret)].remove(secret)
        self._searched = [known for known in self._searched if known[0] != secret]

    def _suspects(self, text: str) -> list[Secret]:
        """Return the secrets that stand in a text, or may."""
        found: dict[Secret, None] = {}
        for view in self._looked_at(text):
            folded = _folded(view)
            if self._index is not None:
                found |= dict.fromkeys(self._looked_up(folded, self._index))
                continue
            for secret, needles in self._searched:
                if secret not in found and _any_stands_in(needles, view, folded):
                    found[secret] = None
        return list(found)

    def _looked_up(self, folded: str, index: Mapping[str, list[Secret]]) -> Iterator[Secret]:
        for length in self._lengths:
            for start in range(len(folded) - length + 1):
                yield from index.get(folded[start : start + length], ())

    def _looked_at(self, text: str) -> Iterator[str]:
        yield text
        if self._index is not None:
            yield from _unpacked(text)
        for view in _undone(_View(text), self._encodings, _read):
            yield view.text

    def _is_in_documents(self, secret: Secret) -> bool:
        length = len(secret.reveal())
        wanted = self._secrets[secret] or length >= _FOLDED_SECRET
        return wanted and length >= _DOCUMENT_SECRET

    # ---- masking

    def _masked(self, text: str, secrets: Iterable[Secret]) -> str:
        """Mask some secrets in a text."""
        if len(text) > _LONGEST_HIDDEN:
            return MASK
        needles = [needle for secret in secrets for needle in _needles(secret)]
        first = _View(text)
        spans = [
            view.place(*place)
            for view in (first, *_undone(first, self._encodings, _placed))
            for folded in (_folded(view.text),)
            for needle in needles
            for place in needle.places(view.text, folded)
        ]
        pieces: list[str] = []
        done = 0
        for start, end in sorted(spans):
            if end <= done:
                continue
            if start >= done:
                pieces += (text[done:start], MASK)
            done = end
        return "".join((*pieces, text[done:]))

    def _masked_document(self, value: object, secrets: list[Secret]) -> object:
        match value:
            case str():
                return self._masked(value, secrets)
            case list():
                return [self._masked_document(item, secrets) for item in value]
            case dict():
                return {
                    self._masked_key(key, secrets): self._masked_document(item, secrets)
                    for key, item in value.items()
                }
            case int() if not isinstance(value, bool) and abs(value) >= 10 ** (_NUMBER_SECRET - 1):
                return self._masked_number(value, secrets)
            case _:
                return value

    def _masked_key(self, key: str, secrets: list[Secret]) -> str:
        """Mask secrets in a key, but no short words: a password "storage" is a vendor's key too."""
        telling = [secret for secret in secrets if not _is_word(secret.reveal())]
        return self._masked(key, telling) if telling else key

    def _masked_number(self, number: int, secrets: list[Secret]) -> object:
        if number.bit_length() > 2**12 or not any(s.reveal() == str(number) for s in secrets):
            return number
        return MASK


def _indexed(secret: Secret) -> str:
    return _folded(secret.reveal())[:_INDEXED]


def _unpacked(text: str) -> Iterator[str]:
    """Yield what base64 and hexadecimal digits in a text stand for."""
    for found in _RUN.finditer(text):
        run = found[0].replace("-", "+").replace("_", "/")
        for start in range(4):
            part = run[start:]
            part = part[: len(part) // 4 * 4]
            yield base64.b64decode(part).decode("utf-8", "replace")
        try:
            yield bytes.fromhex(run).decode("utf-8", "replace")
        except ValueError:
            continue


def _is_word(text: str) -> bool:
    return len(text) < _FOLDED_SECRET and text.replace("_", "").isalpha() and text.islower()
