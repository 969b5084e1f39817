"""Authentication at work: how requests are signed, and where the tokens of log-ins come from.

- `apply_auth` makes a `Signature` of an authentication and the values of its templates.
- `Credentials` are the secrets of a target as they were read, with the signature made of them and
  the redactor that knows them.
- `Tokens` keeps the tokens of log-ins: shared, renewed ahead of their end, never asked for in a
  rush. Vendors count log-ins and live tokens (20 for each organization at one of them), so that a
  log-in that fails, or whose token is refused at once, is not repeated with every poll.
- `Digest` answers the challenges of servers that offer more than one way to sign.
"""

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from types import SimpleNamespace
from typing import Final, assert_never, cast
from urllib.parse import quote_plus, unquote, urlsplit

import aiohttp
import msgspec
from aiohttp.client_middleware_digest_auth import DigestFunctions

from exporter.fetch.decode import FindError, find
from exporter.fetch.http import HttpRequest
from exporter.fetch.request import RequestError, Signature, check_header
from exporter.kernel.calendar import parse_timestamp
from exporter.kernel.jmes import Selector
from exporter.kernel.override import override
from exporter.kernel.redactor import Redactor
from exporter.kernel.secrets import MASK, Secret, is_secret_name, looks_secret
from exporter.kernel.templates import Clock, Template, TemplateValues
from exporter.model.definition.auth import (
    Auth,
    BasicAuth,
    DigestAuth,
    HeaderAuth,
    NoAuth,
    QueryAuth,
    TokenAuth,
)
from exporter.model.outcome import Failure, Reason
from exporter.model.target import SecretSource, Target

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


def apply_auth(
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
            return Signature(headers={"Authorization": f"Basic {basic_header(user, password)}"})
        case DigestAuth():
            return Signature(digest=_pair(auth, values, clock))
        case TokenAuth():
            known = values if token is None else {**values, "token": token}
            return apply_auth(auth.apply, known, clock)
        case _:
            assert_never(auth)


def basic_header(user: str, password: str) -> str:
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


def _lifetime(auth: TokenAuth, document: object, now: float) -> float | None:
    """Return the seconds that a token lives; None where the answer gives no usable time."""
    lifetime = _first(auth.expires_in, document)
    try:
        if lifetime is not None and not isinstance(lifetime, bool):
            seconds = float(str(lifetime))
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


_USER_NAMES: Final = frozenset({"account", "client_id", "email", "login", "user", "username"})
"""Credentials that are names: a short one, such as "api", stands in many documents."""


class Credentials:
    """Secrets, and the signature that they make; it holds until a secret changes.

    ``values`` are those of templates, the secrets among them. ``signature`` is made when it is
    first needed, with ``token`` where a log-in is. ``log_in_key`` tells log-ins apart.
    ``redactor`` knows all the secrets.
    """

    def __init__(self, target: Target, values: TemplateValues, secrets: dict[str, Secret]) -> None:
        revealed = {f"credentials.{name}": secret.reveal() for name, secret in secrets.items()}
        self.secrets = secrets
        self.values = values.with_texts(revealed)
        self.signature: Signature | None = None
        self.token: Token | None = None
        self.log_in_key: tuple[object, ...] | None = None
        self._base = [
            *(secret for name, secret in secrets.items() if name not in _USER_NAMES),
            *secret_headers(target.http.headers),
            *secret_userinfo(target.http.proxy_url),
        ]
        self._names = [secret for name, secret in secrets.items() if name in _USER_NAMES]
        self.redactor = self._make_redactor()
        self._shown: tuple[HttpRequest, Redactor, str, Mapping[str, str]] | None = None

    def sign(self, auth: Auth, clock: Clock) -> Signature:
        """Make the signature, with the token where a log-in gave one. Raises AuthError."""
        token = None if self.token is None else self.token.value
        signature = apply_auth(auth, self.values.texts, clock, token)
        self.learn(signature)
        self.signature = signature
        return signature

    def learn(self, signature: Signature) -> None:
        """Let the redactor know what a signature is made of: the base64 of user and password."""
        parts = [value.partition(" ") for value in signature.headers.values()]
        derived = [Secret(packed) for scheme, _, packed in parts if scheme == "Basic"]
        self._base += derived
        self.redactor.learn(*derived)
        self._shown = None

    def take(self, token: Token) -> None:
        """Put a token in the place of the last one; the redactor knows both."""
        old = [] if self.token is None else [Secret(self.token.value)]
        self.token = token
        self.signature = None
        self.redactor = self._make_redactor(*old, Secret(token.value))

    def shown_request(
        self, request: HttpRequest, own_headers: Mapping[str, str]
    ) -> tuple[str, Mapping[str, str]]:
        """Return the URL and headers of a request as they may be shown; `own_headers` never are.

        Most polls send the same request as the last one.
        """
        shown = self._shown
        if shown is None or shown[0] is not request or shown[1] is not self.redactor:
            hidden = {name.lower() for name in own_headers}
            headers = {
                name: MASK if name.lower() in hidden else self.redactor.text(value)
                for name, value in request.headers.items()
            }
            shown = (request, self.redactor, self.redactor.url(request.url), headers)
            self._shown = shown
        return shown[2:]

    def _make_redactor(self, *more: Secret) -> Redactor:
        redactor = Redactor([*self._base, *more])
        redactor.learn(*self._names, in_documents=False)
        return redactor


def secret_headers(headers: Mapping[str, str]) -> list[Secret]:
    """Return the values of a target's own headers whose name or look says that they are secret."""
    found: list[Secret] = []
    for name, value in headers.items():
        if is_secret_name(name) or looks_secret(value):
            found += [Secret(value), Secret(value.rpartition(" ")[2])]
    return found


def secret_userinfo(url: str) -> list[Secret]:
    """Return the password in a URL, and the user name, which may be a key itself."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return []
    written = [text for text in (parts.password, parts.username) if text]
    return [Secret(text) for one in written for text in dict.fromkeys((one, unquote(one)))]


def read_secrets(target: Target, read: Callable[[SecretSource], Secret]) -> dict[str, Secret]:
    """Read the credentials that the authentication of a target uses.

    Raises AuthError for one that cannot be read; one that the target does not set is left out.
    """
    secrets: dict[str, Secret] = {}
    for name in target.auth.needs:
        source = target.credentials.get(name)
        if source is None:
            continue
        try:
            secrets[name] = read(source)
        except Exception as error:
            raise AuthError(f"the credential {name} cannot be read: {error}") from error
    return secrets


LogIn = Callable[[], Awaitable[Token | Failure]]
TOO_FRESH: Final = Failure(
    reason=Reason.AUTH,
    detail="the log-in was less than a minute ago, so no other token is asked for",
)
"""A token was refused at once: another one would fare no better."""
_PAUSE = 60.0  # seconds between log-ins after trouble, at least
_LONGEST_PAUSE = 86_400.0
_KEPT_UNUSED = 86_400.0
_SWEPT_EVERY = 3_600.0


class _Login:
    """What is known about one log-in. Times are epoch seconds."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.token: Token | None = None
        self.failure: Failure | None = None
        self.tried_at = 0.0
        self.used_at = 0.0

    def usable(self, refused: Token | None, now: float) -> Token | None:
        """Return the token if it is alive and not the one that was refused."""
        token = self.token
        if token is None or token is refused:
            return None
        return token if token.renew_at is None or now < token.renew_at else None

    def held(self, refused: Token | None, now: float) -> Failure | None:
        """Return a failure if it is too early to log in again."""
        since = now - self.tried_at
        if since < 0:  # the clock was set back
            return None
        if self.failure is not None:
            pause = min(max(_PAUSE, self.failure.wait or 0.0), _LONGEST_PAUSE)
            left = pause - since
            return msgspec.structs.replace(self.failure, wait=left) if left > 0 else None
        is_fresh = refused is not None and self.token is refused and since < _PAUSE
        return TOO_FRESH if is_fresh else None


class Tokens:
    """All tokens of the process, by what identifies their log-in."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._logins: dict[Hashable, _Login] = {}
        self._swept_at = 0.0

    async def get(
        self, key: Hashable, log_in: LogIn, *, refused: Token | None = None
    ) -> Token | Failure:
        """Return the token of `key`, from memory or by `log_in`; of many callers one logs in.

        `refused` is the token that the vendor just answered 401 to: another one is wanted.
        """
        now = self._wall()
        login = self._logins.get(key)
        if login is None:
            if not 0 <= now - self._swept_at < _SWEPT_EVERY:  # there may be 50,000 log-ins
                self._swept_at = now
                unused = [k for k, one in self._logins.items() if now - one.used_at > _KEPT_UNUSED]
                for old in unused:
                    del self._logins[old]
            login = self._logins[key] = _Login()
        login.used_at = now
        token = login.usable(refused, now)
        if token is not None:
            return token
        async with login.lock:
            now = self._wall()
            # Another caller may have logged in while this one waited for the lock.
            found = login.usable(refused, now) or login.held(refused, now)
            if found is not None:
                return found
            result = await log_in()
            login.tried_at = self._wall()
            login.token = result if isinstance(result, Token) else None
            login.failure = result if isinstance(result, Failure) else None
            return result


_VALUE = r'(?:"(?:[^"\\]|\\.)*"|[^\s,"]+)'
_PARAM = rf"[\w-]+\s*=\s*{_VALUE}"
_CHALLENGE = re.compile(rf"(?:^|,)\s*([\w-]+)\s+({_PARAM}(?:\s*,\s*{_PARAM})*)")
_PARTS = re.compile(rf"([\w-]+)\s*=\s*({_VALUE})")
_MOST_LINES, _LONGEST = 16, 4096  # header lines, and characters of each, that are read
_QUALITIES = frozenset({"auth", "auth-int"})


class Digest(aiohttp.DigestAuthMiddleware):
    """aiohttp's digest, on the first challenge of an answer that it understands.

    A server may name several challenges, in one header line or in several, and Basic first. aiohttp
    answers the first of the first line alone.
    """

    @override
    def _authenticate(self, response: aiohttp.ClientResponse) -> bool:
        lines = response.headers.getall("www-authenticate", [])
        challenge = next(challenges(lines), None)
        if challenge is None:
            return False
        headers = {"www-authenticate": challenge}
        one = SimpleNamespace(status=response.status, url=response.url, headers=headers)
        return super()._authenticate(cast("aiohttp.ClientResponse", one))


def challenges(lines: list[str]) -> Iterator[str]:
    """Yield the Digest challenges of ``WWW-Authenticate`` lines that can be answered.

    Where a server takes "auth" as well as "auth-int", the body is left out, as curl does: servers
    that announce "auth-int" do not all know it.
    """
    for line in lines[:_MOST_LINES]:
        for scheme, params in _CHALLENGE.findall(line[:_LONGEST]):
            parts = {name.lower(): value for name, value in _PARTS.findall(params)}
            qualities = {one.strip() for one in parts.get("qop", "auth").strip('"').split(",")}
            algorithm = parts.get("algorithm", "MD5").strip('"').upper()
            is_known = algorithm in DigestFunctions and parts.get("nonce", "").strip('"')
            if scheme.lower() != "digest" or not is_known or "realm" not in parts:
                continue
            if not qualities & _QUALITIES:
                continue
            if "auth" in qualities and "qop" in parts:
                parts["qop"] = '"auth"'
            yield "Digest " + ", ".join(f"{name}={value}" for name, value in parts.items())
