"""A configuration after every check: targets, and the plan that holds them all.

A target is a provider, an account, its credentials, and how often to ask. All durations are
seconds, all paths absolute, all limits in base units. A secret is kept as the place where it is
read again at each use, unless the configuration holds it itself.
"""

from collections.abc import Mapping
from typing import ClassVar, TypeAlias

import msgspec

from exporter.kernel.calendar import find_zone
from exporter.kernel.problems import Problem
from exporter.kernel.secrets import Secret
from exporter.kernel.templates import Clock, TemplateValues
from exporter.kernel.units import Kind
from exporter.model.definition.auth import Auth
from exporter.model.definition.params import ENV_SUFFIX, FILE_SUFFIX, resolve
from exporter.model.definition.provider import Definition


class LiteralSecret(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The secret stands in the config itself."""

    suffix: ClassVar[str] = ""

    value: Secret


class FileSecret(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The secret is a file's content, read again when it changes. ``path`` is absolute."""

    suffix: ClassVar[str] = FILE_SUFFIX

    path: str


class EnvSecret(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The secret is an environment variable of the process."""

    suffix: ClassVar[str] = ENV_SUFFIX

    variable: str


SecretSource: TypeAlias = LiteralSecret | FileSecret | EnvSecret
"""``suffix`` of each is what a target adds to the credential's name."""


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


_LAST_DAY = 31


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

    def clock(self, now: float) -> Clock:
        """Return what dates of templates refer to: the definition's zone and its billing day.

        A day that cannot be one is left to `mapping.period`, which tells what is wrong.
        """
        clock = Clock(now, find_zone(self.definition.zone))
        period = self.definition.period
        if period is None or period.anchor_day is None:
            return clock
        day = period.anchor_day.render(self.values(clock).texts, clock) or ""
        if not (day.isascii() and day.isdigit()):
            return clock
        return Clock(now, clock.zone, min(max(int(day), 1), _LAST_DAY))

    def values(self, clock: Clock) -> TemplateValues:
        """Return what templates of requests, and of what is read, see of the parameters."""
        return resolve(self.definition.params, self.params, clock)


class Concurrency(msgspec.Struct, frozen=True, kw_only=True):
    """How many polls may run at once: in all, and on one host."""

    polls: int = 64
    per_host: int = 16


AT_ONCE = Concurrency()


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a configuration as it was read, or a pattern and the files that it stood for.

    `state` changes when the file or the files do; "" for a file that could not be read. `read`:
    the plan is made of its text; else it is only looked at (a certificate).
    """

    path: str
    state: str
    pattern: bool = False
    read: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All targets by name, and the settings that a reload may change.

    ``state_file`` is absolute, "" for memory only. ``warnings`` did not stop the load.
    ``sources`` are what the plan was read from, for auto-reload. ``without_secret`` are the
    targets of which a secret could not be read: their budgets are other ones once it can.
    ``text`` is the configuration for ``/config``, with each secret as ``<secret>``.
    """

    targets: Mapping[str, Target]
    concurrency: Concurrency = AT_ONCE
    state_file: str = ""
    redis_url: str = ""
    warnings: tuple[Problem, ...] = ()
    sources: tuple[Source, ...] = ()
    without_secret: frozenset[str] = frozenset()
    text: str = ""


class PlanDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload changes: target names. Unchanged targets keep timers, budgets and series."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration that cannot run: every problem, sorted by position.

    ``sources`` are all files that were looked at: when one is repaired, the load is worth a try.
    """

    problems: tuple[Problem, ...]
    sources: tuple[Source, ...] = ()
