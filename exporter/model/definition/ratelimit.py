"""The vendor's limit on its own API: who shares it, how fast it is, which headers tell it.

A definition declares what the vendor documents; headers of answers are believed over it. Headers of
other families than the declared ones count where their limit is used up.
``fetch.ratelimit`` reads the headers, ``schedule.budget`` keeps to the limit.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from exporter.kernel.calendar import format_duration
from exporter.kernel.problems import ErrorLocation
from exporter.model.definition import parsers
from exporter.model.definition.parsers import CodeFormat, DurationStr, PositiveInt, Strict


class ResetKind(StrEnum):
    """How a reset header counts; ``auto`` tells by its size."""

    AUTO = "auto"
    EPOCH = "epoch"
    EPOCH_MS = "epoch_ms"
    DELTA = "delta"
    DATE = "date"


class BudgetScope(StrEnum):
    """Who shares one throttling state."""

    CREDENTIAL = "credential"  # same host, same credential: the default
    HOST = "host"  # all that talk to the host
    TARGET = "target"  # each target alone

    @property
    def one_key(self) -> bool:
        """Whether all that share the state use one credential, so that a refusal concerns all."""
        return self is not BudgetScope.HOST

    def key(self, host: str, target: str, credential: str) -> str:
        """Return the key of the throttling state; `credential` is a digest, "" for none."""
        own = {BudgetScope.HOST: "", BudgetScope.TARGET: f"target {target}"}.get(self, credential)
        return f"{host} {own}".rstrip()

    def describe(self) -> str:
        """Say who shares the vendor's limits."""
        return _SCOPES_IN_WORDS[self]


_SCOPES_IN_WORDS = {
    BudgetScope.CREDENTIAL: "All targets with the same host and credential share them.",
    BudgetScope.HOST: "All targets with the same host share them.",
    BudgetScope.TARGET: "Each target has its own.",
}


class LimitHeadersText(Strict, kw_only=True, frozen=True):
    """The headers in which the vendor tells its rate limit."""

    limit: Annotated[str | list[str], Meta(description="Requests allowed in the window.")] = field(
        default_factory=list
    )
    remaining: Annotated[str | list[str], Meta(description="Requests left.")] = field(
        default_factory=list
    )
    reset: Annotated[str | list[str], Meta(description="When the window ends.")] = field(
        default_factory=list
    )
    reset_kind: Annotated[
        Literal["auto", "epoch", "epoch_ms", "delta", "date"],
        Meta(description="How `reset` counts; auto tells by its size."),
    ] = "auto"


class ThrottlingText(Strict, kw_only=True, frozen=True):
    """The vendor's limit on its own API."""

    scope: Annotated[
        Literal["credential", "host", "target"],
        Meta(description="Who shares the limit: host and credential, the host, or no one."),
    ] = "credential"
    rate: Annotated[
        str | UnsetType,
        Meta(description="Requests per time: 240/1m.", extra_json_schema={"examples": ["240/1m"]}),
    ] = UNSET
    burst: Annotated[PositiveInt, Meta(description="How many requests may come at once.")] = 1
    reserve: Annotated[
        str | int | float | UnsetType,
        Meta(description="The share of the remaining requests that others keep: 20%."),
    ] = UNSET
    max_wait: Annotated[
        DurationStr | UnsetType, Meta(description="The longest wait that an answer may ask for.")
    ] = UNSET
    headers: Annotated[
        LimitHeadersText,
        Meta(description="The headers that tell the limit; others count where they are used up."),
    ] = field(default_factory=LimitHeadersText)


class RateLimitRules(msgspec.Struct, frozen=True, kw_only=True):
    """The vendor's limit on its own API.

    ``rate`` is requests per second as declared by the vendor, ``burst`` how many may come at once.
    ``reserve`` is the share of the remaining requests that is left to the key's other users.
    The header names are lower case; empty tuples mean the usual ``x-ratelimit-*`` family.
    """

    scope: BudgetScope = BudgetScope.CREDENTIAL
    rate: float | None = None
    burst: int = 1
    reserve: float = 0.2
    limit_headers: tuple[str, ...] = ()
    remaining_headers: tuple[str, ...] = ()
    reset_headers: tuple[str, ...] = ()
    reset_kind: ResetKind = ResetKind.AUTO
    max_wait: float = 86_400.0

    def describe(self, code: CodeFormat = str) -> Iterator[str]:
        """Yield sentences: the limit, who shares it, what is left to others, where it is read."""
        if self.rate is not None:
            yield f"{_rate_in_words(self.rate)}, {self.burst} at once."
        yield self.scope.describe()
        yield f"{self.reserve:.0%} of what is left stays with the key's other users."
        named = (*self.limit_headers, *self.remaining_headers, *self.reset_headers)
        if named:
            yield f"Read from {', '.join(map(code, named))} (reset: {self.reset_kind})."
        else:
            usual = f"{code('Retry-After')} and the usual {code('X-RateLimit-*')}"
            yield f"Read from {usual}, where they are sent."
        yield f"A wait is at most {format_duration(self.max_wait)} long."


def _rate_in_words(rate: float) -> str:
    """Return a rate in the smallest unit of time that makes it a whole number."""
    for word, seconds in (("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400)):
        count = rate * seconds
        if count >= 1 and abs(count - round(count)) < 1e-6:  # noqa: PLR2004 - floats
            return f"{round(count)} requests a {word}"
    return f"{rate:g} requests a second"


def compile_ratelimit(place: ErrorLocation, text: ThrottlingText) -> RateLimitRules:
    """Compile the throttling rules of a definition."""
    usual = RateLimitRules()
    headers = text.headers
    reserve = parsers.parse_share(place / "reserve", text.reserve)
    max_wait = parsers.parse_positive_interval(place / "max_wait", text.max_wait)
    return RateLimitRules(
        scope=BudgetScope(text.scope),
        rate=parsers.parse_rate(place / "rate", text.rate),
        burst=text.burst,
        reserve=usual.reserve if reserve is None else reserve,
        limit_headers=_names(headers.limit),
        remaining_headers=_names(headers.remaining),
        reset_headers=_names(headers.reset),
        reset_kind=ResetKind(headers.reset_kind),
        max_wait=usual.max_wait if max_wait is None else max_wait,
    )


def _names(text: str | list[str]) -> tuple[str, ...]:
    names = [text] if isinstance(text, str) else text
    return tuple(name.lower() for name in names)
