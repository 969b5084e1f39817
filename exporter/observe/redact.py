"""Takes secrets out of everything that is about to be written."""

import math
import re
from collections.abc import Mapping
from typing import Final

from exporter.kernel.secrets import MASK, Secret, clip, redact_text, redact_url
from exporter.observe.faults import printable

_SECRET_KEY: Final = re.compile(
    r"authorization|token|secret|password|api[_-]?key|cookie|credential", re.IGNORECASE
)
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+|/[^\s\"'<>?]*\?[^\s\"'<>]+")
_LONGEST: Final = 2000  # characters of one value in a log line
_LOOKED_AT: Final = 50_000  # characters of a text that are searched at all
_GROWTH: Final = 6  # how many times longer a secret gets when it is written as \\u00e9
_DEEPEST: Final = 4
_HEAD: Final = 4  # the letters by which a secret is looked up
_MOST_SECRETS: Final = 200_000


class Redactor:
    """Knows the secrets of this process, and masks them in values for people.

    A text is looked at once however many secrets there are: at each letter, the next four
    are looked up among the heads of the secrets. Secrets without such a head (shorter, or
    written differently in a URL from the start) are few, and all tried.
    """

    def __init__(self) -> None:
        self._secrets: dict[Secret, None] = {}
        self._by_head: dict[str, list[Secret]] = {}
        self._headless: list[Secret] = []
        self._longest = 0

    def register(self, secret: Secret) -> None:
        """Mask `secret` from now on. The oldest of 200,000 is forgotten: tokens are renewed."""
        if secret in self._secrets or not secret.reveal():
            return
        if len(self._secrets) >= _MOST_SECRETS:
            self._forget(next(iter(self._secrets)))
        self._secrets[secret] = None
        self._longest = max(self._longest, len(secret.reveal()))
        self._place(secret).append(secret)

    def text(self, text: str) -> str:
        """Return `text` without secrets and without the secret parts of the URLs in it.

        Of a text beyond 50,000 characters the rest is left out.
        """
        if len(text) > _LOOKED_AT:
            # The cut may go through a secret: what it left of it goes too.
            clean = self._mask(text[:_LOOKED_AT])
            return clean[: max(len(clean) - self._longest * _GROWTH, 0)] + "…"
        return self._mask(text)

    def _mask(self, text: str) -> str:
        found = self._headless + [
            secret
            for start in range(len(text) - _HEAD + 1)
            for secret in self._by_head.get(text[start : start + _HEAD], ())
        ]
        clean = redact_text(text, found) if found else text
        return _URL.sub(lambda url: redact_url(url.group()), clean)

    def value(self, key: str, value: object, *, depth: int = 0) -> object:
        """Return `value` fit for a log line under `key`: masked, of one line, of bounded length.

        Numbers, booleans and None pass; mappings and lists are walked to a depth of four;
        everything else is written as text.
        """
        if _SECRET_KEY.search(key):
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
        return clip(self.text(text), _LONGEST)

    def _place(self, secret: Secret) -> list[Secret]:
        head = secret.reveal()[:_HEAD]
        if len(head) == _HEAD and head.isascii() and head.isalnum():
            return self._by_head.setdefault(head, [])
        return self._headless

    def _forget(self, secret: Secret) -> None:
        del self._secrets[secret]
        self._place(secret).remove(secret)
