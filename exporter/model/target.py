"""A target: a provider, an account, its credentials, and how often to ask."""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from exporter.kernel.secrets import Secret
from exporter.kernel.units import Kind
from exporter.model.definition import Auth, Definition


class LiteralSecret(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The secret stands in the config itself."""

    value: Secret


class FileSecret(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The secret is a file's content, read again when it changes. ``path`` is absolute."""

    path: str


class EnvSecret(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The secret is an environment variable of the process."""

    variable: str


SecretSource: TypeAlias = LiteralSecret | FileSecret | EnvSecret


class Limit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A limit from the config, in base units; ``currency`` for money (``spend``) alone."""

    value: float
    kind: Kind | None  # None: a bare number, in the resource's own base unit
    currency: str = ""


class Tls(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Prometheus' ``tls_config``: paths are absolute."""

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    insecure_skip_verify: bool = False


class Http(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How the vendor is reached: Prometheus' ``http_config`` words."""

    proxy_url: str = ""
    tls: Tls = Tls()
    headers: Mapping[str, str] = {}


class Target(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of ``targets``, joined with its definition. All durations are seconds.

    ``collectors`` maps the collectors to poll to their intervals. ``stale_after`` 0 means never.
    ``budget`` is the key of the throttling state that this target shares: host and a digest of
    the credential, never the credential itself.
    """

    name: str
    definition: Definition
    base_url: str
    auth: Auth
    params: Mapping[str, tuple[str, ...]] = {}
    credentials: Mapping[str, SecretSource] = {}
    accounts: tuple[str, ...] = ()
    limits: Mapping[str, Limit] = {}
    labels: Mapping[str, str] = {}
    items: bool = False
    collectors: Mapping[str, float]
    poll_timeout: float
    stale_after: Mapping[str, float]
    max_series: int = 1000
    reserve: float = 0.2
    adaptive: bool = False
    http: Http = Http()
    user_agent: str
    budget: str

    @property
    def provider(self) -> str:
        """The definition's name: the ``provider`` label."""
        return self.definition.name
