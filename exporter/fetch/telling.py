"""What is told about a poll: exchanges, details and documents with every secret taken out."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from exporter.fetch.decode import excerpt
from exporter.fetch.wire import Answer, Wire
from exporter.kernel.secrets import MASK, Secret, redact_text, redact_url
from exporter.model.outcome import Exchange

_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")
_HIDDEN = frozenset({"set-cookie", "set-cookie2", "location"})
_HARMLESS = frozenset({"content-length", "content-type", "date", "retry-after", "server", "via"})
_TELLING_NAME = re.compile(r"auth|key|token|secret|cookie|passw|credential|session", re.IGNORECASE)
_LONG_ENOUGH = 8
"""Letters of a secret that is looked for in documents: a user name such as "api" stands in many."""


class Teller:
    """Knows the secrets of one poll, and takes them out of whatever is told about it.

    It learns more on the way: the token that a log-in answers, the base64 of a user and password.
    """

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._secrets: tuple[Secret, ...] = ()
        self._needles: tuple[str, ...] = ()
        self._sought: tuple[tuple[Secret, bytes], ...] = ()  # in documents; b"": in many forms
        self._plain = True
        self._last: tuple[Wire, str, Mapping[str, str]] | None = None
        self.learn(*secrets)

    def learn(self, *secrets: Secret) -> None:
        """Add secrets; the empty one hides nothing."""
        written = [form for secret in secrets for form in _spellings(secret)]
        new = [secret for secret in written if secret.reveal() and secret not in self._secrets]
        self._secrets += tuple(new)
        self._needles += tuple(secret.reveal() for secret in new)
        self._sought += tuple(
            (secret, _needle(secret)) for secret in new if len(secret.reveal()) >= _LONG_ENOUGH
        )
        self._plain = self._plain and all(map(_needle, new))
        self._last = None

    def text(self, text: str) -> str:
        """Return `text` without the secrets."""
        if self._plain and not any(needle in text for needle in self._needles):
            return text
        return redact_text(text, self._secrets)

    def url(self, url: str) -> str:
        """Return `url` without userinfo, secrets, and what its keys say are secrets."""
        return redact_url(self.text(url))

    def headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return `headers` without the secrets; the same map when there are none in it."""
        told = "\n".join(headers.values())
        if self.text(told) == told:
            return headers
        return {name: self.text(value) for name, value in headers.items()}

    def document(self, document: object, body: bytes) -> object:
        """Return a decoded `body` without the secrets that a vendor echoes, keys included.

        The same object where there are none. Raises RecursionError for what is nested very deep.
        """
        echoed = [secret for secret, needle in self._sought if _echoes(body, secret, needle)]
        return _masked(document, echoed) if echoed else document

    def exchange(
        self, wire: Wire, answer: Answer | None, seconds: float, *, closed: bool = False
    ) -> Exchange:
        """Tell of a request and its answer; None: there was none.

        `closed`: the answer is a log-in's, so that nothing in it is shown but what is harmless.
        """
        headers = {} if answer is None else self.headers(_open_headers(answer, closed=closed))
        url, request_headers = self._request(wire)
        return Exchange(
            method=wire.method,
            url=url,
            request_headers=request_headers,
            status=None if answer is None else answer.status,
            headers=headers,
            size=0 if answer is None else len(answer.body),
            seconds=seconds,
        )

    def _request(self, wire: Wire) -> tuple[str, Mapping[str, str]]:
        if self._last is None or self._last[0] is not wire:
            self._last = (wire, self.url(wire.url), self.headers(wire.headers))
        return self._last[1], self._last[2]

    def excerpt(self, answer: Answer) -> str:
        """Return the beginning of an answer's body."""
        return excerpt(answer.body, clean=self.text)


def secret_headers(headers: Mapping[str, str]) -> list[Secret]:
    """Return the values of a target's own headers whose names say that they are secret."""
    found: list[Secret] = []
    for name, value in headers.items():
        if _TELLING_NAME.search(name):
            found += [Secret(value), Secret(value.rpartition(" ")[2])]
    return found


def secret_userinfo(url: str) -> list[Secret]:
    """Return the password in a URL, and the user name, which may be a key itself."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return []
    return [Secret(text) for text in (parts.password, parts.username) if text]


def _spellings(secret: Secret) -> list[Secret]:
    """Return a secret, and what a vendor reads who takes our UTF-8 for Latin-1."""
    text = secret.reveal()
    if text.isascii():
        return [secret]
    return [secret, Secret(text.encode("utf-8", "replace").decode("latin-1"))]


def _needle(secret: Secret) -> bytes:
    """Return the one form of a secret whose letters look the same in a URL, JSON and a header.

    The others have many forms: b"".
    """
    text = secret.reveal()
    return text.encode() if _PLAIN.fullmatch(text) else b""


def _echoes(body: bytes, secret: Secret, needle: bytes) -> bool:
    if needle:
        return needle in body
    text = body.decode("utf-8", "replace")
    return redact_text(text, [secret]) != text


def _masked(value: object, secrets: list[Secret]) -> object:
    match value:
        case str():
            return redact_text(value, secrets)
        case list():
            return [_masked(item, secrets) for item in value]
        case dict():
            return {redact_text(k, secrets): _masked(item, secrets) for k, item in value.items()}
        case _:
            return value


def _open_headers(answer: Answer, *, closed: bool) -> Mapping[str, str]:
    hidden = {
        name: redact_url(value) if name == "location" else MASK
        for name, value in answer.headers.items()
        if name in _HIDDEN or (closed and name not in _HARMLESS and "rate" not in name)
    }
    return {**answer.headers, **hidden} if hidden else answer.headers
