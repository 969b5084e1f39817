"""A definition: a vendor's API in one file, with its collectors.

The text form is what users write in YAML; the compiled form is what the stages see: paths are
selectors, texts with variables are templates, durations are seconds, units are factors.
``config.check_definition`` compiles a definition and checks its parts against each other.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from exporter.kernel.jmes import Selector
from exporter.kernel.problems import ErrorLocation
from exporter.kernel.templates import Template
from exporter.model.definition import parsers
from exporter.model.definition.auth import Auth, AuthText
from exporter.model.definition.paging import (
    CompletenessText,
    NoPaging,
    Paging,
    PagingText,
    compile_paging,
)
from exporter.model.definition.params import Credential, CredentialText, Param, ParamText
from exporter.model.definition.parsers import (
    DurationStr,
    NameStr,
    PathOrPaths,
    PathStr,
    Strict,
    TemplateScope,
    TemplateStr,
)
from exporter.model.definition.period import (
    AskedRange,
    AskedRangeText,
    Period,
    PeriodText,
    compile_asked_range,
)
from exporter.model.definition.ratelimit import RateLimitRules, ThrottlingText
from exporter.model.definition.request import (
    Request,
    RequestText,
    compile_request,
)
from exporter.model.definition.responses import ResponseRules, SuccessText, compile_responses
from exporter.model.definition.roles import (
    AccountPlan,
    Cost,
    CostText,
    Items,
    ItemsText,
    PlanText,
    Resource,
    ResourceText,
)
from exporter.model.definition.rows import EachText, Rows, compile_rows
from exporter.model.definition.values import compile_scoped_path


class Format(StrEnum):
    """What an answer is read as."""

    JSON = "json"
    JSONL = "jsonl"  # one row a line
    HEADERS = "headers"  # the map of response headers, names in lower case

    @property
    def has_body(self) -> bool:
        """Whether the body is read, and not the headers."""
        return self is not Format.HEADERS

    def describe(self) -> str:
        """Say what is read; "" for a JSON body."""
        return _FORMATS_IN_WORDS[self]


_FORMATS_IN_WORDS = {
    Format.JSON: "",
    Format.JSONL: "The answer is JSON Lines: one row a line.",
    Format.HEADERS: "The answer is read from its headers.",
}


class CollectorText(Strict, kw_only=True, frozen=True):
    """One request of the provider, with its paging."""

    title: Annotated[str, Meta(description="What it asks for, for people.")] = ""
    request: Annotated[RequestText, Meta(description="The (first) request.")]
    paging: Annotated[
        PagingText | UnsetType, Meta(description="How to come to the further pages.")
    ] = UNSET
    within: Annotated[
        AskedRangeText | UnsetType,
        Meta(description="The dates that were asked for; rows of others are no answer."),
    ] = UNSET
    complete: Annotated[
        CompletenessText,
        Meta(
            description="Without paging: what a sign of further rows does. `required` fails the"
            " poll, `expected` notes it, `optional` wants no more than the first rows."
        ),
    ] = "expected"
    success: Annotated[SuccessText | UnsetType, Meta(description="What an answer means.")] = UNSET
    format: Annotated[
        Literal["json", "jsonl", "headers"],
        Meta(description="What is read: the body, its lines, or the map of headers."),
    ] = "json"
    enabled: Annotated[
        bool, Meta(description="False: a target switches it on under `collectors`.")
    ] = True
    interval: Annotated[
        DurationStr | UnsetType, Meta(description="Time between polls, if not the definition's.")
    ] = UNSET
    min_interval: Annotated[
        DurationStr | UnsetType,
        Meta(description="Never faster than this, if not the definition's."),
    ] = UNSET
    conditional: Annotated[
        bool, Meta(description="Send the last ETag along; 304 keeps the values.")
    ] = False
    max_size: Annotated[
        str,
        Meta(
            description="The largest answer, each page by itself: 64 MiB. It may hold a key or"
            " value for each 64 bytes, at least 131,072."
        ),
    ] = "8 MiB"


class Collector(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a provider, with its paging.

    ``enabled``: polled unless the target switches it off. ``interval`` and ``min_interval`` are
    seconds and override the definition's. ``conditional``: the last ETag goes along; 304 keeps the
    values. ``max_bytes`` is the largest answer, each page by itself: usage is told in kilobytes, so
    that what has many megabytes is something else.
    """

    name: str
    title: str = ""
    request: Request
    paging: Paging = NoPaging()
    within: AskedRange | None = None
    verdict: ResponseRules = ResponseRules()
    format: Format = Format.JSON
    enabled: bool = True
    interval: float | None = None
    min_interval: float | None = None
    conditional: bool = False
    max_bytes: int = 8 * 1024 * 1024


def compile_collector(
    place: ErrorLocation, name: str, text: CollectorText, scope: TemplateScope
) -> Collector:
    """Compile a collector."""
    interval = parsers.parse_positive_interval(place / "interval", text.interval)
    min_interval = parsers.parse_interval(place / "min_interval", text.min_interval)
    parsers.check_not_faster(place / "interval", interval, min_interval)
    if text.request.method == "HEAD" and text.format != "headers":
        (place / "request" / "method").error(
            "The answer to HEAD has no body. Write format: headers, or method: GET."
        )
    return Collector(
        name=name,
        title=text.title,
        request=compile_request(place / "request", text.request, scope),
        paging=compile_paging(
            place / "paging",
            text.paging,
            complete=text.complete,
            has_body=text.request.has_body,
        ),
        within=compile_asked_range(place / "within", text.within, scope),
        verdict=compile_responses(place / "success", text.success),
        format=Format(text.format),
        enabled=text.enabled,
        interval=interval,
        min_interval=min_interval,
        conditional=text.conditional,
        max_bytes=parsers.parse_size(place / "max_size", text.max_size),
    )


class AccountsText(Strict, kw_only=True, frozen=True):
    """Fan-out: the collectors are polled once for each account that is found."""

    collector: Annotated[CollectorText, Meta(description="The request that lists the accounts.")]
    each: Annotated[EachText, Meta(description="The accounts' rows.")]
    where: Annotated[PathStr | UnsetType, Meta(description="A condition on the rows.")] = UNSET
    id: Annotated[PathStr, Meta(description="The account's id: {account.id} in requests.")]
    label: Annotated[PathStr | UnsetType, Meta(description="Its name, for people.")] = UNSET


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """Fan-out: each row of ``rows`` is an account, ``{account.id}`` in the collectors' requests."""

    collector: Collector
    rows: Rows
    id: Selector
    label: Selector | None = None


ACCOUNTS = "accounts"
"""The name of the collector that finds the accounts."""


def compile_accounts(
    place: ErrorLocation, text: AccountsText | UnsetType, scope: TemplateScope
) -> Accounts | None:
    """Compile a fan-out."""
    if isinstance(text, UnsetType):
        return None
    rows, names = compile_rows(place, text.each, text.where, [])
    label = None
    if not isinstance(text.label, UnsetType):
        label = compile_scoped_path(place / "label", text.label, names)
    return Accounts(
        collector=compile_collector(place / "collector", ACCOUNTS, text.collector, scope),
        rows=rows,
        id=compile_scoped_path(place / "id", text.id, names),
        label=label,
    )


class DefinitionText(Strict, kw_only=True, frozen=True):
    """A vendor's API: what to ask, and how the answer becomes usage metrics."""

    title: Annotated[str, Meta(description="The vendor's name, for people.")]
    documentation: Annotated[str, Meta(description="The address of the API's documentation.")] = ""
    base_url: Annotated[
        TemplateStr | UnsetType,
        Meta(description="The API's address; without it each target must give its own."),
    ] = UNSET
    interval: Annotated[
        DurationStr | UnsetType, Meta(description="Time between polls, unless a target says more.")
    ] = UNSET
    min_interval: Annotated[
        DurationStr | UnsetType, Meta(description="Never faster than this.")
    ] = UNSET
    data_cadence: Annotated[
        DurationStr | UnsetType, Meta(description="How often the vendor's data changes.")
    ] = UNSET
    zone: Annotated[
        str, Meta(description="The zone of calendar words, and of times without a zone.")
    ] = "UTC"
    permission: Annotated[str, Meta(description="What the credential must be allowed.")] = ""
    unconfirmed: Annotated[
        list[str], Meta(description="What the vendor does not document and was inferred.")
    ] = field(default_factory=list)
    params: Annotated[
        dict[NameStr, ParamText], Meta(description="What targets set: {params.NAME}.")
    ] = field(default_factory=dict)
    credentials: Annotated[
        dict[NameStr, CredentialText], Meta(description="Secrets of targets: {credentials.NAME}.")
    ] = field(default_factory=dict)
    auth: Annotated[
        AuthText | list[AuthText],
        Meta(description="How requests are signed; of a list the first that the target can use."),
    ] = field(default_factory=list)
    throttling: Annotated[
        ThrottlingText, Meta(description="The vendor's limit on its own API.")
    ] = field(default_factory=ThrottlingText)
    collectors: Annotated[
        dict[NameStr, CollectorText], Meta(description="The requests; the names become labels.")
    ]
    accounts: Annotated[
        AccountsText | UnsetType, Meta(description="Finds the accounts to ask for.")
    ] = UNSET
    resources: Annotated[list[ResourceText], Meta(description="What is used.")] = field(
        default_factory=list
    )
    costs: Annotated[list[CostText], Meta(description="What it costs.")] = field(
        default_factory=list
    )
    items: Annotated[list[ItemsText], Meta(description="Breakdowns, off by default.")] = field(
        default_factory=list
    )
    plan: Annotated[
        PathOrPaths | PlanText | UnsetType, Meta(description="Where the account's plan is named.")
    ] = UNSET
    period: Annotated[
        PeriodText | UnsetType, Meta(description="The billing period of all flows and costs.")
    ] = UNSET


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """A vendor's API, ready for use. ``origin`` is the file it was read from."""

    name: str
    title: str
    documentation: str
    origin: str
    base_url: Template | None
    params: Mapping[str, Param] = {}
    credentials: Mapping[str, Credential] = {}
    auth: tuple[Auth, ...]
    throttling: RateLimitRules = RateLimitRules()
    interval: float = 300.0
    min_interval: float = 0.0
    data_cadence: float | None = None
    zone: str = "UTC"
    collectors: Mapping[str, Collector]
    accounts: Accounts | None = None
    resources: tuple[Resource, ...] = ()
    costs: tuple[Cost, ...] = ()
    items: tuple[Items, ...] = ()
    plan: AccountPlan | None = None
    period: Period | None = None
    permission: str = ""
    unconfirmed: tuple[str, ...] = ()

    def interval_of(self, collector: Collector) -> float:
        """Return the seconds between two polls where no target says anything."""
        least = collector.min_interval or self.min_interval
        return max(collector.interval or self.interval, least)

    def optional_params(self) -> frozenset[str]:
        """Return the parameters that may have no value, as templates name them: ``params.NAME``."""
        return frozenset(f"params.{one.name}" for one in self.params.values() if one.optional)

    def calls_per_day(self) -> float:
        """Return the requests a day of a target that sets only what it must; pages count as one."""
        optional = self.optional_params()
        return sum(
            86_400 / self.interval_of(one)
            for one in self.collectors.values()
            if one.enabled and not one.request.path.variables & optional
        )
