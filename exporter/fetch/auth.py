"""How requests are signed, and how the tokens of log-ins are asked for and read."""

import base64
from collections.abc import Mapping
from typing import assert_never
from urllib.parse import quote_plus

import msgspec

from exporter.fetch.finding import FindError, find
from exporter.fetch.request import RequestError, Signature, check_header
from exporter.kernel.select import Selector
from exporter.kernel.templates import Clock, Template
from exporter.kernel.timestamps import parse_timestamp
from exporter.model.definition import (
    Auth,
    BasicAuth,
    DigestAuth,
    HeaderAuth,
    NoAuth,
    QueryAuth,
    TokenAuth,
)

_UNSIGNED = Signature()
_LONGEST_TOKEN = 16_384
_LEEWAY = 60.0  # seconds ahead of its end at which a token is renewed, at most
_LEEWAY_SHARE = 0.1  # of its lifetime, for the short ones


class AuthError(ValueError):
    """A request cannot be signed, or a log-in's answer not read. No secret is in the text."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What a log-in answered. ``renew_at`` is epoch seconds, None: when it is refused."""

    value: str
    renew_at: float | None = None


def apply(
    auth: Auth, values: Mapping[str, str], clock: Clock, token: str | None = None
) -> Signature:
    """Return what signs a request. `values` hold ``credentials.<name>`` and the parameters.

    For a TokenAuth `token` is needed. Raises AuthError for what is missing or cannot be sent.
    """
    match auth:
        case NoAuth():
            return _UNSIGNED
        case HeaderAuth():
            texts = _filled(auth.headers, values, clock)
            return Signature(headers={name: _sendable(name, texts[name]) for name in texts})
        case QueryAuth():
            return Signature(query=tuple(_filled(auth.query, values, clock).items()))
        case BasicAuth():
            user, password = _pair(auth, values, clock)
            if auth.encoded:
                user, password = quote_plus(user), quote_plus(password)
            return Signature(headers={"Authorization": f"Basic {basic(user, password)}"})
        case DigestAuth():
            return Signature(digest=_pair(auth, values, clock))
        case TokenAuth():
            known = values if token is None else {**values, "token": token}
            return apply(auth.apply, known, clock)
        case _:
            assert_never(auth)


def basic(user: str, password: str) -> str:
    """Return the credentials of RFC 7617, in UTF-8."""
    return base64.b64encode(f"{user}:{password}".encode("utf-8", "replace")).decode()


def read_token(auth: TokenAuth, document: object, now: float) -> Token:
    """Read the token and when to renew it from a log-in's answer.

    A lifetime in seconds is preferred to an instant, which would depend on the vendor's clock and
    ours. Raises AuthError when there is no token.
    """
    value = _first(auth.token, document)
    if not isinstance(value, str) or not value:
        paths = " or ".join(f'"{path.text}"' for path in auth.token)
        raise AuthError(f"the answer has no token at {paths}")
    if len(value) > _LONGEST_TOKEN:
        raise AuthError(
            f"the token has {len(value)} characters; more than {_LONGEST_TOKEN} fit into no header"
        )
    _sendable("token", value)
    lifetime = _lifetime(auth, document, now)
    if lifetime is None:
        return Token(value=value)
    leeway = min(_LEEWAY, _LEEWAY_SHARE * lifetime)
    return Token(value=value, renew_at=now + lifetime - leeway)


def templates_of(auth: Auth) -> tuple[Template, ...]:
    """Return the templates that a signature is made from."""
    match auth:
        case NoAuth():
            return ()
        case HeaderAuth():
            return tuple(auth.headers.values())
        case QueryAuth():
            return tuple(auth.query.values())
        case BasicAuth() | DigestAuth():
            return (auth.username, auth.password)
        case TokenAuth():
            return templates_of(auth.apply)
        case _:
            assert_never(auth)


def _lifetime(auth: TokenAuth, document: object, now: float) -> float | None:
    """Return the seconds that a token lives; None when nobody says, or says nonsense."""
    told = _first(auth.expires_in, document)
    try:
        if told is not None and not isinstance(told, bool):
            seconds = float(str(told))
        else:
            instant = parse_timestamp(_first(auth.expires_at, document))
            seconds = 0.0 if instant is None else instant - now
    except ValueError:
        seconds = 0.0
    return seconds if 0 < seconds < float("inf") else auth.lifetime


def _first(paths: tuple[Selector, ...], document: object) -> object:
    """Return what the first path gives that gives something."""
    for path in paths:
        try:
            found = find(path, document)
        except FindError as error:
            raise AuthError(str(error)) from error
        if found not in (None, ""):
            return found
    return None


def _pair(auth: BasicAuth | DigestAuth, values: Mapping[str, str], clock: Clock) -> tuple[str, str]:
    texts = _filled({"username": auth.username, "password": auth.password}, values, clock)
    return texts["username"], texts["password"]


def _filled(
    templates: Mapping[str, Template], values: Mapping[str, str], clock: Clock
) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, template in templates.items():
        text = template.render(values, clock)
        if text is None:
            missing = ", ".join(sorted(template.variables - values.keys()))
            raise AuthError(f"the authentication needs {missing}, which has no value")
        texts[name] = text
    return texts


def _sendable(name: str, text: str) -> str:
    try:
        check_header(name, text)
    except RequestError as error:
        raise AuthError(f"{error}; look for a stray line in the secret") from error
    return text
