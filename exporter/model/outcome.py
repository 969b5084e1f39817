"""How a poll ended, and what travels between fetch and mapping."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from exporter.model.health import Health
from exporter.model.reading import RateLimit, Reading


class Reason(StrEnum):
    """Why a poll failed: the ``reason`` label. Closed: dashboards and alerts name these."""

    AUTH = "auth"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    TIMEOUT = "timeout"
    CONNECT = "connect"
    TLS = "tls"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    NOT_JSON = "not_json"
    TOO_LARGE = "too_large"
    SCHEMA = "schema"
    PAGING = "paging"
    INTERNAL = "internal"

    @property
    def health(self) -> Health:
        """The health of a collector whose last poll failed for this reason."""
        match self:
            case Reason.RATE_LIMITED | Reason.QUOTA_EXHAUSTED:
                return Health.THROTTLED
            case Reason.AUTH | Reason.FORBIDDEN:
                return Health.PAUSED
            case _:
                return Health.FAILING

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed soon: the network or the vendor's servers failed."""
        return self in _TRANSIENT


_TRANSIENT = frozenset({Reason.TIMEOUT, Reason.CONNECT, Reason.TLS, Reason.HTTP_5XX})


class Failure(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why nothing was learned.

    ``detail`` is one line for people, without secrets. ``wait`` is the vendor's own word on when to
    come again, in seconds from the answer: a floor. None: it said nothing.
    """

    reason: Reason
    detail: str
    wait: float | None = None
    status: int | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One good answer: the decoded document (or header map) and its headers, lower-case names.

    ``continues``: the sign of further rows that the definition does not ask for, "" for none.
    """

    document: object
    headers: Mapping[str, str]
    continues: str = ""


class Payload(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All pages of one collector's request for one account, in order.

    No pages: the vendor says that there is nothing (an ``absent`` status).
    """

    pages: tuple[Page, ...]
    account: str = ""


class Unchanged(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """304: the last reading still holds."""


class Exchange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request and its answer as told to people and counters: no secret in it.

    ``status`` is None when no answer came. ``started`` is loop time, ``seconds`` the duration.
    """

    method: str
    url: str
    request_headers: Mapping[str, str]
    status: int | None
    headers: Mapping[str, str]
    size: int
    seconds: float
    excerpt: str = ""


class Fetched(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a fetch brought: payloads (one per account), or nothing new, or a failure.

    ``rate`` is what the last answer's headers said of the API's throttle; ``exchanges`` every
    request that was made, log-ins included, also of a failed fetch.
    """

    result: tuple[Payload, ...] | Unchanged | Failure
    rate: RateLimit | None = None
    exchanges: tuple[Exchange, ...] = ()


class Poll(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt of a collector of a target. ``at`` is epoch seconds, ``seconds`` the duration."""

    target: str
    provider: str
    collector: str
    at: float
    seconds: float
    outcome: Reading | Unchanged | Failure
    rate: RateLimit | None = None
    exchanges: tuple[Exchange, ...] = ()
