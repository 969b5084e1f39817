"""A provider as the stages see it: parsed, checked and compiled.

``config.grammar`` is the text form that users write; ``config.compile`` turns it into these values.
Nothing here is a string that still has to be understood: paths are selectors, texts with variables
are templates, durations are seconds, units are factors.
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from exporter.kernel.select import Selector
from exporter.kernel.templates import Template
from exporter.model.auth import (
    Auth,
    BasicAuth,
    DigestAuth,
    HeaderAuth,
    NoAuth,
    QueryAuth,
    TokenAuth,
)
from exporter.model.paging import Cursor, LinkHeader, NextUrl, NoPaging, Offset, PageNumber, Paging
from exporter.model.request import Argument, ArrayStyle, Credential, Json, Param, Request
from exporter.model.rules import (
    AccountPlan,
    Cost,
    How,
    Instant,
    Items,
    Join,
    Missing,
    NameParts,
    Period,
    Reduce,
    Resource,
    Rows,
    Step,
    UnitRule,
    Value,
    Zero,
)
from exporter.model.verdict import BudgetScope, Match, ResetKind, Throttling, Verdict

__all__ = [
    "AccountPlan",
    "Accounts",
    "Argument",
    "ArrayStyle",
    "Auth",
    "BasicAuth",
    "BudgetScope",
    "Collector",
    "Cost",
    "Credential",
    "Cursor",
    "Definition",
    "DigestAuth",
    "Format",
    "HeaderAuth",
    "How",
    "Instant",
    "Items",
    "Join",
    "Json",
    "LinkHeader",
    "Match",
    "Missing",
    "NameParts",
    "NextUrl",
    "NoAuth",
    "NoPaging",
    "Offset",
    "PageNumber",
    "Paging",
    "Param",
    "Period",
    "QueryAuth",
    "Reduce",
    "Request",
    "ResetKind",
    "Resource",
    "Rows",
    "Step",
    "Throttling",
    "TokenAuth",
    "UnitRule",
    "Value",
    "Verdict",
    "Zero",
]


class Format(StrEnum):
    """What an answer is read as."""

    JSON = "json"
    JSONL = "jsonl"
    HEADERS = "headers"  # the map of response headers, names in lower case


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
    verdict: Verdict = Verdict()
    format: Format = Format.JSON
    enabled: bool = True
    interval: float | None = None
    min_interval: float | None = None
    conditional: bool = False
    max_bytes: int = 8 * 1024 * 1024


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """Fan-out: each row of ``rows`` is an account, ``{account.id}`` in the collectors' requests."""

    collector: Collector
    rows: Rows
    id: Selector
    label: Selector | None = None


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
    throttling: Throttling = Throttling()
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
