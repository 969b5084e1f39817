"""A definition: a vendor's API in one file."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from exporter.config.grammar.auth import AuthText
from exporter.config.grammar.requests import CollectorText
from exporter.config.grammar.rules import (
    CostText,
    EachText,
    ItemsText,
    PeriodText,
    PlanText,
    ResourceText,
)
from exporter.config.grammar.words import (
    Count,
    Duration,
    Name,
    Path,
    Paths,
    Scalar,
    Strict,
    Template,
)


class ParamText(Strict, kw_only=True, frozen=True):
    """A parameter that targets set."""

    description: Annotated[str, Meta(description="What it is, for people.")] = ""
    required: Annotated[bool, Meta(description="A target must set it.")] = False
    default: Annotated[
        Scalar | UnsetType, Meta(description="Its value where a target says nothing.")
    ] = UNSET
    pattern: Annotated[
        str | UnsetType, Meta(description="A regular expression that the whole value must match.")
    ] = UNSET
    choices: Annotated[list[str], Meta(description="The values that it may have.")] = field(
        default_factory=list
    )
    multiple: Annotated[bool, Meta(description="A target may give a list.")] = False
    unless: Annotated[
        list[Name],
        Meta(description="Parameters that take the default's place: with one, it does not count."),
    ] = field(default_factory=list)


class CredentialText(Strict, kw_only=True, frozen=True):
    """A secret that targets set."""

    description: Annotated[str, Meta(description="What it is and where to get it.")] = ""


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
    burst: Annotated[Count, Meta(description="How many requests may come at once.")] = 1
    reserve: Annotated[
        str | int | float | UnsetType,
        Meta(description="The share of the remaining requests that others keep: 20%."),
    ] = UNSET
    max_wait: Annotated[
        Duration | UnsetType, Meta(description="The longest wait that an answer may ask for.")
    ] = UNSET
    headers: Annotated[LimitHeadersText, Meta(description="The headers that tell the limit.")] = (
        field(default_factory=LimitHeadersText)
    )


class AccountsText(Strict, kw_only=True, frozen=True):
    """Fan-out: the collectors are polled once for each account that is found."""

    collector: Annotated[CollectorText, Meta(description="The request that lists the accounts.")]
    each: Annotated[EachText, Meta(description="The accounts' rows.")]
    where: Annotated[Path | UnsetType, Meta(description="A condition on the rows.")] = UNSET
    id: Annotated[Path, Meta(description="The account's id: {account.id} in requests.")]
    label: Annotated[Path | UnsetType, Meta(description="Its name, for people.")] = UNSET


class DefinitionText(Strict, kw_only=True, frozen=True):
    """A vendor's API: what to ask, and how the answer becomes usage metrics."""

    title: Annotated[str, Meta(description="The vendor's name, for people.")]
    documentation: Annotated[str, Meta(description="The address of the API's documentation.")] = ""
    base_url: Annotated[
        Template | UnsetType,
        Meta(description="The API's address; without it each target must give its own."),
    ] = UNSET
    interval: Annotated[
        Duration | UnsetType, Meta(description="Time between polls, unless a target says more.")
    ] = UNSET
    min_interval: Annotated[Duration | UnsetType, Meta(description="Never faster than this.")] = (
        UNSET
    )
    data_cadence: Annotated[
        Duration | UnsetType, Meta(description="How often the vendor's data changes.")
    ] = UNSET
    zone: Annotated[
        str, Meta(description="The zone of calendar words, and of times without a zone.")
    ] = "UTC"
    permission: Annotated[str, Meta(description="What the credential must be allowed.")] = ""
    unconfirmed: Annotated[
        list[str], Meta(description="What the vendor does not document and was inferred.")
    ] = field(default_factory=list)
    params: Annotated[
        dict[Name, ParamText], Meta(description="What targets set: {params.NAME}.")
    ] = field(default_factory=dict)
    credentials: Annotated[
        dict[Name, CredentialText], Meta(description="Secrets of targets: {credentials.NAME}.")
    ] = field(default_factory=dict)
    auth: Annotated[
        AuthText | list[AuthText],
        Meta(description="How requests are signed; of a list the first that the target can use."),
    ] = field(default_factory=list)
    throttling: Annotated[
        ThrottlingText, Meta(description="The vendor's limit on its own API.")
    ] = field(default_factory=ThrottlingText)
    collectors: Annotated[
        dict[Name, CollectorText], Meta(description="The requests; the names become labels.")
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
        Paths | PlanText | UnsetType, Meta(description="Where the account's plan is named.")
    ] = UNSET
    period: Annotated[
        PeriodText | UnsetType, Meta(description="The billing period of all flows and costs.")
    ] = UNSET
