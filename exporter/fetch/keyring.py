"""The credentials of a target as they were read, and what is made of them."""

from collections.abc import Callable

from exporter.fetch.auth import AuthError, Token
from exporter.fetch.request import Signature
from exporter.fetch.telling import Teller, secret_headers, secret_userinfo
from exporter.fetch.values import Values
from exporter.kernel.secrets import Secret
from exporter.model.target import SecretSource, Target


class Keyring:
    """Secrets, and the signature that they make; it holds until a secret changes.

    ``texts`` are the values of templates, the secrets among them. ``signature`` is made when it is
    first needed, with ``token`` where a log-in is. ``log_in_key`` tells log-ins apart. ``teller``
    knows all the secrets.
    """

    def __init__(self, target: Target, values: Values, secrets: dict[str, Secret]) -> None:
        revealed = {f"credentials.{name}": secret.reveal() for name, secret in secrets.items()}
        self.secrets = secrets
        self.values = Values(texts={**values.texts, **revealed}, several=values.several)
        self.signature: Signature | None = None
        self.token: Token | None = None
        self.log_in_key: tuple[object, ...] | None = None
        self._base = [
            *secrets.values(),
            *secret_headers(target.http.headers),
            *secret_userinfo(target.http.proxy_url),
        ]
        self.teller = Teller(self._base)

    def learn(self, signature: Signature) -> None:
        """Let the teller know the base64 of a user name and password."""
        for value in signature.headers.values():
            scheme, _, packed = value.partition(" ")
            if scheme == "Basic":
                self._base.append(Secret(packed))
                self.teller.learn(Secret(packed))

    def take(self, token: Token) -> None:
        """Put a token in the place of the last one; the teller knows both."""
        old = [] if self.token is None else [Secret(self.token.value)]
        self.token = token
        self.signature = None
        self.teller = Teller([*self._base, *old, Secret(token.value)])


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
