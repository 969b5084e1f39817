"""The credentials of a target as they were read, and what is made of them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from exporter.fetch.auth import AuthError, Token
from exporter.fetch.request import Signature
from exporter.fetch.values import Values
from exporter.fetch.wire import Wire
from exporter.kernel.secrets import MASK, Redactor, Secret, is_secret_name, looks_secret
from exporter.model.target import SecretSource, Target

_USER_NAMES: Final = frozenset({"account", "client_id", "email", "login", "user", "username"})
"""Credentials that are names: a short one, such as "api", stands in many documents."""


class Keyring:
    """Secrets, and the signature that they make; it holds until a secret changes.

    ``texts`` are the values of templates, the secrets among them. ``signature`` is made when it is
    first needed, with ``token`` where a log-in is. ``log_in_key`` tells log-ins apart.
    ``redactor`` knows all the secrets.
    """

    def __init__(self, target: Target, values: Values, secrets: dict[str, Secret]) -> None:
        revealed = {f"credentials.{name}": secret.reveal() for name, secret in secrets.items()}
        self.secrets = secrets
        self.values = Values(texts={**values.texts, **revealed}, several=values.several)
        self.signature: Signature | None = None
        self.token: Token | None = None
        self.log_in_key: tuple[object, ...] | None = None
        self._base = [
            *(secret for name, secret in secrets.items() if name not in _USER_NAMES),
            *secret_headers(target.http.headers),
            *secret_userinfo(target.http.proxy_url),
        ]
        self._names = [secret for name, secret in secrets.items() if name in _USER_NAMES]
        self.redactor = self._knowing()
        self._shown: tuple[Wire, Redactor, str, Mapping[str, str]] | None = None

    def learn(self, signature: Signature) -> None:
        """Let the redactor know what a signature is made of: the base64 of user and password."""
        derived = [Secret(value) for value in _signed_values(signature)]
        self._base += derived
        self.redactor.learn(*derived)
        self._shown = None

    def take(self, token: Token) -> None:
        """Put a token in the place of the last one; the redactor knows both."""
        old = [] if self.token is None else [Secret(self.token.value)]
        self.token = token
        self.signature = None
        self.redactor = self._knowing(*old, Secret(token.value))

    def shown_request(
        self, wire: Wire, own_headers: Mapping[str, str]
    ) -> tuple[str, Mapping[str, str]]:
        """Return the URL and headers of a request as they may be shown; `own_headers` never are.

        Most polls send the same request as the last one.
        """
        shown = self._shown
        if shown is None or shown[0] is not wire or shown[1] is not self.redactor:
            hidden = {name.lower() for name in own_headers}
            headers = {
                name: MASK if name.lower() in hidden else self.redactor.text(value)
                for name, value in wire.headers.items()
            }
            shown = (wire, self.redactor, self.redactor.url(wire.url), headers)
            self._shown = shown
        return shown[2:]

    def _knowing(self, *more: Secret) -> Redactor:
        redactor = Redactor([*self._base, *more])
        redactor.learn(*self._names, in_documents=False)
        return redactor


def _signed_values(signature: Signature) -> Iterator[str]:
    for value in signature.headers.values():
        scheme, _, packed = value.partition(" ")
        if scheme == "Basic":
            yield packed


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
