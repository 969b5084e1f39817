"""A vendor that echoes the secrets of its requests in many forms, and a search for these."""

import base64
import contextlib
import functools
import html
import itertools
import json
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus

from exporter.demo.server import VendorRequest, VendorResponse, json_response


@functools.cache
def forms(secret: str) -> frozenset[str]:
    """Return the ways in which a secret could stand in a text."""
    plain = secret.encode()
    found = {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret)[1:-1].replace("/", "\\/"),  # as PHP writes it
        html.escape(secret),
        repr(secret)[1:-1],
        base64.b64encode(plain).decode(),
        base64.b64encode(plain).decode().rstrip("="),
        base64.urlsafe_b64encode(plain).decode().rstrip("="),
        plain.hex(),
        plain.hex().upper(),
        "\0".join(secret),
        "�".join(secret),  # what is left of its zeros in a line of text
        quote(quote(secret, safe=""), safe=""),
        quote(secret, safe="").lower(),
        "".join(f"\\u{ord(letter):04x}" for letter in secret),
        "".join(f"&#x{ord(letter):x};" for letter in secret),
        html.escape(html.escape(secret)),
    }
    for before in range(3):  # base64 within more base64: what does not depend on its neighbours
        packed = base64.b64encode(bytes(before) + plain).decode().rstrip("=")
        found.add(packed[-(-before * 8 // 6) : (before + len(plain)) * 8 // 6])
    return frozenset(found)


def leaks(text: str, secrets: Iterable[str], *, least: int = 12) -> list[str]:
    """Return what of the secrets stands in a text: whole ones, or their first letters."""
    found = [form for secret in secrets for form in forms(secret) if form in text]
    return found + [secret[:least] for secret in secrets if secret[:least] in text]


def _told(asked: VendorRequest) -> list[str]:
    """Return all that a request tells: header values, arguments, body."""
    token = asked.headers.get("authorization", "").partition(" ")[2]
    told = [token, asked.headers.get("x-api-key", ""), *(value for _, value in asked.query)]
    if asked.body:
        told += [str(value) for value in json.loads(asked.body).values()]
    with contextlib.suppress(ValueError):
        told += base64.b64decode(token, validate=True).decode().split(":", 1)
    return [text for text in told if text]


def _html(asked: VendorRequest, text: str) -> VendorResponse:
    page = f"<html><head><title>No: {html.escape(text)}</title></head></html>"
    headers = (("Content-Type", "text/html"), ("X-Echo", quote(text)))
    return VendorResponse(status=500, headers=headers, body=page.encode())


def _php(asked: VendorRequest, text: str) -> VendorResponse:
    body = json.dumps({"oops": text}).replace("/", "\\/")
    return VendorResponse(
        status=400, headers=(("Content-Type", "application/json"),), body=body.encode()
    )


def _redirect(asked: VendorRequest, text: str) -> VendorResponse:
    there = (
        f"https://user:{quote(text, safe='')}@elsewhere.example/{quote(text)}?next={quote(text)}"
    )
    return VendorResponse(status=302, headers=(("Location", there),))


def _values(asked: VendorRequest, text: str) -> VendorResponse:
    row = {"name": text, "used": 1, "limit": 2, f"x {text}": text}
    return json_response({"rows": [row], "plan": text, "next": None})


def _next(asked: VendorRequest, text: str) -> VendorResponse:
    there = f"https://elsewhere.example/usage?token={quote(text)}&{quote(text)}"
    return json_response({"rows": [], "next": there})


def _late(asked: VendorRequest, text: str) -> VendorResponse:
    """Fill the line, so that a cut goes through the secret wherever lines are cut."""
    document = {f"detail{n}": "x" * n for n in range(3)} | {"detail": f"{'y' * 240} {text}"}
    return json_response(document, status=400)


def _late_body(asked: VendorRequest, text: str) -> VendorResponse:
    return VendorResponse(status=400, body=f"{'z' * 190} {text}".encode())


def _escaped(asked: VendorRequest, text: str) -> VendorResponse:
    """Escape each character, as some JSON encoders can be told to."""
    told = "".join(f"\\u{ord(letter):04x}" for letter in text)
    row = f'{{"name": "{told}", "used": 1, "limit": 2}}'
    return VendorResponse(body=f'{{"rows": [{row}], "plan": "{told}"}}'.encode())


def _wide(asked: VendorRequest, text: str) -> VendorResponse:
    row = {"name": text, "used": 1, "limit": 2}
    return VendorResponse(body=json.dumps({"rows": [row], "plan": text}).encode("utf-16"))


def _wide_error(asked: VendorRequest, text: str) -> VendorResponse:
    return VendorResponse(status=400, body=f"no such key: {text}".encode("utf-16-le"))


def _encoded(write: Callable[[str], str]) -> Callable[[VendorRequest, str], VendorResponse]:
    """Return a reply that puts an encoded secret where labels come from."""

    def reply(asked: VendorRequest, text: str) -> VendorResponse:
        rows = [{"name": write(part), "used": 1, "limit": 2} for part in dict.fromkeys([text])]
        return json_response({"rows": rows, "plan": write(text), "next": None})

    return reply


def _encoded_error(write: Callable[[str], str]) -> Callable[[VendorRequest, str], VendorResponse]:
    return lambda asked, text: json_response({"error": write(text)}, status=400)


WAYS: tuple[Callable[[str], str], ...] = (
    lambda text: base64.b64encode(f"id:{text}".encode()).decode(),
    lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    lambda text: text.encode().hex(),
    lambda text: text.encode().hex().upper(),
    lambda text: quote(quote(text, safe=""), safe=""),
    lambda text: quote(text, safe="").lower(),
    lambda text: "".join(f"&#x{ord(letter):x};" for letter in text),
    lambda text: html.escape(html.escape(text)),
    lambda text: json.dumps(json.dumps(text)),
)


REPLIES: tuple[Callable[[VendorRequest, str], VendorResponse], ...] = (
    lambda asked, text: json_response({"detail": f"{text} is no key"}, status=401),
    lambda asked, text: json_response({"error": {"message": quote(text)}}, status=403),
    lambda asked, text: json_response({text: {text: [text]}}, status=400),
    _html,
    _php,
    _redirect,
    _values,
    _next,
    _late,
    _late_body,
    lambda asked, text: VendorResponse(body=f'{{"half": "{text}'.encode()),
    lambda asked, text: json_response({"rows": text}),
    lambda asked, text: json_response({"rows": [{"name": "a", "used": text}]}),
    lambda asked, text: json_response(
        {"detail": text}, status=429, headers={"Retry-After": quote(text), "X-Key": quote(text)}
    ),
    _escaped,
    _wide,
    _wide_error,
    *map(_encoded, WAYS),
    *map(_encoded_error, WAYS),
)


class EchoingVendor:
    """Answers every request with something that it should not have repeated."""

    def __init__(self) -> None:
        self.told: set[str] = set()
        self._turn = itertools.count()

    def __call__(self, asked: VendorRequest) -> VendorResponse:
        texts = _told(asked)
        self.told |= set(texts)
        if asked.path == "/login":
            return json_response({"access": LOGIN_TOKEN, "note": " ".join(texts)})
        turn = next(self._turn)
        return REPLIES[turn % len(REPLIES)](asked, " ".join(texts))


LOGIN_TOKEN = 'login-"issued"/token+7c1d=='  # noqa: S105 - planted, to be looked for
