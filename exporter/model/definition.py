"""A provider as the stages see it: parsed, checked and compiled.

``config.grammar`` is the text form that users write; ``config.compile`` turns it into these values.
Nothing here is a string that still has to be understood: paths are selectors, texts with variables
are templates, durations are seconds, units are factors.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

from exporter.kernel.cycles import Cycle
from exporter.kernel.select import Selector
from exporter.kernel.templates import Template
from exporter.kernel.units import Unit

# --------------------------------------------------------------------------- what a target must say


class Param(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter that a target sets: ``params.<name>`` in templates.

    Set to "" it is left out even where it has a default.
    ``multiple`` lets a target give a list; each value then becomes one value of the query argument.
    """

    name: str
    description: str
    required: bool = False
    default: Template | None = None  # may hold dates: {month.start:date}
    pattern: re.Pattern[str] | None = None
    choices: tuple[str, ...] = ()
    multiple: bool = False


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that a target sets: ``credentials.<name>`` in templates of the authentication."""

    name: str
    description: str


# --------------------------------------------------------------------------------- the request


class ArrayStyle(StrEnum):
    """How several values of one query argument are written."""

    REPEAT = "repeat"  # a=1&a=2
    BRACKETS = "brackets"  # a[]=1&a[]=2
    COMMA = "comma"  # a=1,2


class Argument(msgspec.Struct, frozen=True, kw_only=True):
    """One query or form argument. A value whose template lacks a variable is left out."""

    name: str
    values: tuple[Template, ...]
    style: ArrayStyle = ArrayStyle.REPEAT


Json: TypeAlias = "bool | int | float | Template | tuple[Json, ...] | Mapping[str, Json] | None"
"""A JSON body with templates in the place of its strings."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request of a collector, a log-in or a discovery.

    ``path`` is joined to the target's base URL; a rendered path that starts with ``http`` stands
    for itself. ``item_query`` is added when the target asks for breakdowns (``items: true``).
    At most one of ``json`` and ``form`` is set.
    """

    method: str = "GET"
    path: Template
    query: tuple[Argument, ...] = ()
    item_query: tuple[Argument, ...] = ()
    headers: Mapping[str, Template] = {}
    json: Json = None
    form: tuple[Argument, ...] = ()


# --------------------------------------------------------------------------------- authentication


class NoAuth(msgspec.Struct, frozen=True, kw_only=True):
    """The API is open, or this target goes without a credential."""

    needs: frozenset[str] = frozenset()


class HeaderAuth(msgspec.Struct, frozen=True, kw_only=True):
    """Named headers, of which some carry secrets: bearer, a free scheme word, API keys."""

    headers: Mapping[str, Template]
    needs: frozenset[str]


class QueryAuth(msgspec.Struct, frozen=True, kw_only=True):
    """Secrets as query arguments."""

    query: Mapping[str, Template]
    needs: frozenset[str]


class BasicAuth(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 7617. The user name may be an e-mail address or a secret itself."""

    username: Template
    password: Template
    needs: frozenset[str]


class DigestAuth(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 7616, by aiohttp's middleware."""

    username: Template
    password: Template
    needs: frozenset[str]


class TokenAuth(msgspec.Struct, frozen=True, kw_only=True):
    """A token is fetched first, kept, and applied to each request as ``{token}``.

    The log-in of a vendor and OAuth2 client credentials are both this. The token is renewed before
    it expires (``expires_at`` holds a time, ``expires_in`` seconds, ``lifetime`` is the
    definition's own word, in seconds) and once when an answer is 401.
    """

    request: Request
    login: "NoAuth | BasicAuth | HeaderAuth" = NoAuth()  # how the token request itself is signed
    token: tuple[Selector, ...]
    expires_at: tuple[Selector, ...] = ()
    expires_in: tuple[Selector, ...] = ()
    lifetime: float | None = None
    apply: "HeaderAuth | QueryAuth"
    needs: frozenset[str]


Auth: TypeAlias = NoAuth | HeaderAuth | QueryAuth | BasicAuth | DigestAuth | TokenAuth
"""``needs`` of each names the credentials that its templates use."""


# ----------------------------------------------------------------------------------------- paging


class NoPaging(msgspec.Struct, frozen=True, kw_only=True):
    """One request, one answer."""


class NextUrl(msgspec.Struct, frozen=True, kw_only=True):
    """The next page's address stands in the body: absolute, relative, or a HAL link."""

    next: tuple[Selector, ...]
    max_pages: int


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """A cursor from the body (the id of the last row counts) goes into an argument.

    Ends when the cursor is null, absent or empty, when ``more`` is there and false, or when
    ``rows`` is there and empty. ``body`` puts the cursor into the JSON or form body.
    """

    cursor: tuple[Selector, ...]
    param: str
    more: Selector | None = None
    rows: Selector | None = None
    body: bool = False
    max_pages: int


class PageNumber(msgspec.Struct, frozen=True, kw_only=True):
    """Pages are numbered from ``start``.

    The end is told by whichever of these is set: ``next_page`` (null or absent), ``total_pages``,
    ``total_rows`` (with ``size``), ``more`` (false), and else by a page with fewer than ``size``
    rows, or none at all.
    """

    param: str
    start: int = 1
    size_param: str | None = None
    size: int | None = None
    rows: Selector | None = None
    next_page: Selector | None = None
    total_pages: Selector | None = None
    total_rows: Selector | None = None
    more: Selector | None = None
    max_pages: int


class Offset(msgspec.Struct, frozen=True, kw_only=True):
    """Rows are skipped: ``param`` counts rows, ``limit_param`` asks for ``limit`` of them."""

    param: str
    limit_param: str | None = None
    limit: int
    rows: Selector
    total_rows: Selector | None = None
    more: Selector | None = None
    max_pages: int


class LinkHeader(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 8288: ``Link: <…>; rel="next"``.

    ``unless`` names attributes that end the paging although the link is there, such as
    ``{"results": "false"}``.
    """

    rel: str = "next"
    unless: Mapping[str, str] = {}
    max_pages: int


Paging: TypeAlias = NoPaging | NextUrl | Cursor | PageNumber | Offset | LinkHeader


# ---------------------------------------------------------------------------- verdict, throttling


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on an answer: one of the statuses, and where given both conditions hold.

    ``headers`` is evaluated on the map of headers (lower-case names), ``body`` on the decoded body;
    each holds when its result is neither null, false, empty nor zero.
    """

    statuses: frozenset[int]
    headers: Selector | None = None
    body: Selector | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer means. The first rule that fits wins, in the order of the fields.

    ``quota_exhausted`` and ``throttled`` are refusals, ``forbidden`` a lack of permission whatever
    the status; ``absent`` means "there is none" (no samples, no failure); ``accepted`` statuses
    carry a payload. ``guard`` must then hold on the body. ``error`` are the places of the vendor's
    own error text.
    """

    quota_exhausted: tuple[Match, ...] = ()
    throttled: tuple[Match, ...] = ()
    forbidden: tuple[Match, ...] = ()
    absent: tuple[Match, ...] = ()
    accepted: frozenset[int] = frozenset({200})
    guard: Selector | None = None
    error: tuple[Selector, ...] = ()


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


class Throttling(msgspec.Struct, frozen=True, kw_only=True):
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


# ---------------------------------------------------------------------------------------- mapping


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One level of iteration: rows at ``path``; a named row stays in scope for what is below.

    ``optional``: an absent list means no rows; otherwise it is a ``schema`` failure.
    """

    path: Selector
    name: str | None = None
    optional: bool = False


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """Another part of the answer, looked up by key and put into the scope as ``name``.

    ``table`` gives a map (looked up by ``key``) or a list (its row whose ``on`` equals ``key``).
    Absent rows are null in the scope, never an error.
    """

    name: str
    table: Selector
    key: Selector
    on: Selector | None = None


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows a rule reads.

    Without steps the document is the one row. A path sees the row itself when no step is named and
    nothing is joined, else the scope: every name, ``root`` (the document) and ``row`` (the last).
    """

    steps: tuple[Step, ...] = ()
    joins: tuple[Join, ...] = ()
    where: Selector | None = None


class How(StrEnum):
    """How the rows of one series become one number."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"
    COUNT = "count"
    FIRST = "first"
    LAST = "last"


class Reduce(msgspec.Struct, frozen=True, kw_only=True):
    """``first`` and ``last`` go by the time at ``by``, or by position where it is not given."""

    how: How
    by: Selector | None = None


class Missing(StrEnum):
    """What null or absent means."""

    SKIP = "skip"  # no sample
    ZERO = "zero"
    FAIL = "fail"  # a schema failure


class Zero(StrEnum):
    """What a limit of 0 means."""

    LIMIT = "limit"  # nothing is allowed: a limit like any other
    UNKNOWN = "unknown"  # not applicable, not known yet
    UNLIMITED = "unlimited"


class UnitRule(msgspec.Struct, frozen=True, kw_only=True):
    """A fixed unit, or the vendor's word at ``path`` with its meaning.

    A word that is not in ``words`` is ``otherwise``, or where that is not set a schema failure.
    """

    unit: Unit | None = None
    path: Selector | None = None
    words: Mapping[str, Unit] = {}
    otherwise: Unit | None = None


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """How one number is read: the first path that gives something, or the sum of all (``add``).

    ``pattern`` takes group 1 of a text; ``words`` turns texts into numbers; ``unlimited`` are the
    sentinel values (numbers compare by value, texts without regard to case) of a limit;
    ``unit`` and ``reduce`` override the rule's.
    """

    paths: tuple[Selector, ...]
    add: bool = False
    pattern: re.Pattern[str] | None = None
    words: Mapping[str, float] = {}
    missing: Missing = Missing.SKIP
    unlimited: tuple[bool | float | str | None, ...] = ()
    zero: Zero = Zero.LIMIT
    unit: UnitRule | None = None
    reduce: Reduce | None = None


class Instant(msgspec.Struct, frozen=True, kw_only=True):
    """A time in the answer, in any form that ``kernel.timestamps`` reads.

    ``zone`` names the zone of times that carry none.
    """

    paths: tuple[Selector, ...]
    zone: str = "UTC"


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """The billing period: from the answer, from what was asked, or from the calendar.

    Each side is the first of: the instant in the answer (``start``, ``end``), the text that the
    request carried (``asked_start``, ``asked_end``: a date or a time), and the calendar's
    ``cycle``, which also finds the other side where only one is known. ``inclusive_end`` makes the
    end exclusive: a date by a day, a time by a second. ``anchor_day`` renders to 1..31.
    """

    start: Instant | None = None
    end: Instant | None = None
    asked_start: Template | None = None
    asked_end: Template | None = None
    inclusive_end: bool = False
    cycle: Cycle | None = None
    anchor_day: Template | None = None
    zone: str = "UTC"


NameParts: TypeAlias = tuple[str | Selector, ...]
"""A text with paths into the row: ``units_{g.aid}``. The result is snake-cased."""


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """How one resource, or one resource per row, is read from one collector's answer.

    ``level``: the value is what there is now (storage, seats), not what was used in the period;
    ``levels`` names those of an open map. Without a ``period`` of its own a flow has the
    definition's and a level has none.
    ``rename`` maps snake-cased names to the common ones; ``only`` lists the names to keep.
    A definition's roles that come from several collectors become several of these of one name.
    """

    collector: str
    name: NameParts
    rows: Rows
    level: bool = False
    levels: frozenset[str] = frozenset()
    unit: UnitRule
    rename: Mapping[str, str] = {}
    only: frozenset[str] | None = None
    reduce: Reduce | None = None
    used: Value | None = None
    limit: Value | None = None
    remaining: Value | None = None
    ratio: Value | None = None  # in whatever unit: percent, or ratio
    projected: Value | None = None
    next_period: Value | None = None
    overage: Value | None = None
    as_of: Instant | None = None
    period: Period | None = None
    known: frozenset[str] = frozenset()  # names that an open map is known to hold; others are noted


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Money of one collector's answer, by currency.

    ``currency`` gives the code from the answer, or ``fixed_currency`` renders to it (a parameter).
    """

    collector: str
    rows: Rows
    currency: tuple[Selector, ...] = ()
    fixed_currency: Template | None = None
    reduce: Reduce | None = None
    cost: Value | None = None
    base: Value | None = None
    overage: Value | None = None
    limit: Value | None = None
    remaining: Value | None = None
    projected: Value | None = None
    period: Period | None = None


class Items(msgspec.Struct, frozen=True, kw_only=True):
    """A breakdown of a resource, or of the cost: one series an item.

    ``group`` names the kind of the breakdown (test, model, project), ``item`` finds the label's
    text (null is ""). Exactly one of ``used`` and ``cost`` is set. ``top`` keeps the largest and
    sums the rest as ``other``. Rows of one item are reduced by ``reduce``, by default summed.
    """

    collector: str
    resource: NameParts
    group: str
    item: tuple[Selector, ...]
    lower: bool = False
    rows: Rows
    unit: UnitRule
    used: Value | None = None
    cost: Value | None = None
    currency: tuple[Selector, ...] = ()
    fixed_currency: Template | None = None
    reduce: Reduce = Reduce(how=How.SUM)
    top: int | None = None
    always: bool = False  # published without `items: true`


class AccountPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer names the account's plan: the ``plan`` label of ``usage_account_info``."""

    collector: str
    paths: tuple[Selector, ...]


# -------------------------------------------------------------------------------------- definition


class Format(StrEnum):
    """What an answer is read as."""

    JSON = "json"
    JSONL = "jsonl"
    HEADERS = "headers"  # the map of response headers, names in lower case


class Collector(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a provider, with its paging.

    ``enabled``: polled unless the target switches it off. ``interval`` and ``min_interval`` are
    seconds and override the definition's. ``conditional``: the last ETag goes along; 304 keeps the
    values.
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
    max_bytes: int = 32 * 1024 * 1024


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
