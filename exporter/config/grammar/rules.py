"""How answers become resources, costs and breakdowns, as text."""

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, UnsetType, field

from exporter.config.grammar.words import Count, Name, Path, Paths, Scalar, Strict, Template


class StepText(Strict, kw_only=True, frozen=True):
    """One level of iteration."""

    path: Annotated[Path, Meta(description="The rows: a list, or items(map).")]
    name: Annotated[
        Name | UnsetType,
        Meta(description="A name for the row; it stays in scope for all that is below."),
    ] = field(name="as", default=UNSET)
    optional: Annotated[bool, Meta(description="An absent list means no rows.")] = False


EachText: TypeAlias = Path | StepText | list[Path | StepText]


class JoinText(Strict, kw_only=True, frozen=True):
    """Another part of the answer, looked up by key."""

    name: Annotated[Name, Meta(description="The name of what is found.")] = field(name="as")
    table: Annotated[Path, Meta(description="A map, or with `on` a list, in the answer.")]
    key: Annotated[Path, Meta(description="The key to look up, from the row.")]
    on: Annotated[
        Path | UnsetType, Meta(description="What the key is compared with, in each row of a list.")
    ] = UNSET


How: TypeAlias = Literal["sum", "max", "min", "count", "first", "last"]


class ReduceText(Strict, kw_only=True, frozen=True):
    """How the rows of one series become one number."""

    how: Annotated[How, Meta(description="The operation.")]
    by: Annotated[Path | UnsetType, Meta(description="The time that `first` and `last` go by.")] = (
        UNSET
    )


class UnitText(Strict, kw_only=True, frozen=True):
    """The unit stands in the answer, as the vendor's own word."""

    source: Annotated[Path, Meta(description="Where the word stands.")] = field(name="from")
    words: Annotated[
        dict[str, str],
        Meta(description="What the vendor's own words mean: {users: quantity}; GB is known."),
    ] = field(default_factory=dict)
    otherwise: Annotated[
        str | UnsetType, Meta(description="What unknown words mean; without it they are a failure.")
    ] = UNSET
    regex: Annotated[
        str | UnsetType, Meta(description="Takes group 1 out of the text: GB out of 12.5 GB.")
    ] = UNSET


class ValueText(Strict, kw_only=True, frozen=True):
    """How one number is read."""

    path: Annotated[
        Paths | UnsetType, Meta(description="Where it stands; of a list the first that is there.")
    ] = UNSET
    add: Annotated[
        list[Path], Meta(description="Places of which the sum is taken, instead of `path`.")
    ] = field(default_factory=list)
    regex: Annotated[str | UnsetType, Meta(description="Takes group 1 out of a text.")] = UNSET
    words: Annotated[
        dict[str, int | float], Meta(description="Texts that stand for numbers: {on: 1}.")
    ] = field(default_factory=dict)
    missing: Annotated[
        Literal["skip", "zero", "fail"], Meta(description="What null or absent means.")
    ] = "skip"
    unlimited: Annotated[
        list[str | int | float | bool | None],
        Meta(description='Values that mean "no limit": [-1, null, unlimited].'),
    ] = field(default_factory=list)
    zero: Annotated[
        Literal["limit", "unknown", "unlimited"], Meta(description="What a limit of 0 means.")
    ] = "limit"
    unit: Annotated[
        str | UnitText | UnsetType, Meta(description="This number's unit, if not the rule's.")
    ] = UNSET
    reduce: Annotated[
        How | ReduceText | UnsetType,
        Meta(description="This number's reduction, if not the rule's."),
    ] = UNSET
    source: Annotated[
        str | UnsetType, Meta(description="The collector that it comes from, if not the rule's.")
    ] = field(name="from", default=UNSET)
    each: Annotated[EachText | UnsetType, Meta(description="This number's own rows.")] = UNSET
    where: Annotated[
        Path | UnsetType, Meta(description="A condition on this number's own rows.")
    ] = UNSET


Value: TypeAlias = Path | list[Path] | ValueText


class InstantText(Strict, kw_only=True, frozen=True):
    """A time in the answer."""

    path: Annotated[Paths, Meta(description="Where it stands.")]
    zone: Annotated[
        str | UnsetType, Meta(description="The zone of times without one, if not the definition's.")
    ] = UNSET


Instant: TypeAlias = Path | list[Path] | InstantText


class PeriodText(Strict, kw_only=True, frozen=True):
    """The billing period: from the answer, from what was asked, or from the calendar."""

    start: Annotated[Instant | UnsetType, Meta(description="Its start, in the answer.")] = UNSET
    end: Annotated[Instant | UnsetType, Meta(description="Its end, in the answer.")] = UNSET
    asked_start: Annotated[
        Template | UnsetType, Meta(description="The start that the request asked for.")
    ] = UNSET
    asked_end: Annotated[
        Template | UnsetType, Meta(description="The end that the request asked for.")
    ] = UNSET
    inclusive_end: Annotated[
        bool, Meta(description="The end is the last day or second, not the first after it.")
    ] = False
    cycle: Annotated[
        Literal["day", "week", "month", "year"] | UnsetType,
        Meta(description="The calendar's cycle, for a side that nothing else tells."),
    ] = UNSET
    anchor_day: Annotated[
        Scalar | UnsetType, Meta(description="The day of the month on which a cycle starts.")
    ] = UNSET
    zone: Annotated[
        str | UnsetType, Meta(description="The calendar's zone, if not the definition's.")
    ] = UNSET


class RowsText(Strict, kw_only=True, frozen=True):
    """Which rows a rule reads, and of which collector."""

    collector: Annotated[
        str | UnsetType, Meta(description="The collector whose answer is read; default the first.")
    ] = UNSET
    each: Annotated[
        EachText | UnsetType, Meta(description="The rows; without it the answer is the one row.")
    ] = UNSET
    where: Annotated[Path | UnsetType, Meta(description="A condition on the rows.")] = UNSET
    join: Annotated[
        list[JoinText], Meta(description="Other parts of the answer to look things up in.")
    ] = field(default_factory=list)


class ResourceText(RowsText, kw_only=True, frozen=True):
    """How one resource, or one for each row, is read."""

    name: Annotated[
        str, Meta(description='Its name; "{metric.key}" takes it from the row, in snake_case.')
    ]
    unit: Annotated[
        str | UnitText, Meta(description="The vendor's unit: B, GB, GiB, requests, minutes.")
    ] = "quantity"
    level: Annotated[
        bool, Meta(description="What there is now (storage, seats), not what was used so far.")
    ] = False
    levels: Annotated[
        list[Name], Meta(description="Which of the names from the rows are levels.")
    ] = field(default_factory=list)
    rename: Annotated[
        dict[str, Name], Meta(description="Snake-cased names and what they are called here.")
    ] = field(default_factory=dict)
    only: Annotated[
        list[Name] | UnsetType, Meta(description="The names to keep; without it all.")
    ] = UNSET
    known: Annotated[
        list[Name], Meta(description="The names that are expected; others are noted in the log.")
    ] = field(default_factory=list)
    reduce: Annotated[
        How | ReduceText | UnsetType, Meta(description="How several rows become one number.")
    ] = UNSET
    used: Annotated[Value | UnsetType, Meta(description="Used so far, or there now.")] = UNSET
    limit: Annotated[Value | UnsetType, Meta(description="The limit.")] = UNSET
    remaining: Annotated[Value | UnsetType, Meta(description="What is left of the limit.")] = UNSET
    ratio: Annotated[
        Value | UnsetType, Meta(description="The vendor's own share, 1 = at the limit.")
    ] = UNSET
    percent: Annotated[
        Value | UnsetType, Meta(description="The vendor's own share, 100 = at the limit.")
    ] = UNSET
    projected: Annotated[
        Value | UnsetType, Meta(description="The vendor's forecast for the period's end.")
    ] = UNSET
    next_period: Annotated[
        Value | UnsetType, Meta(description="The vendor's forecast for the next period.")
    ] = UNSET
    overage: Annotated[Value | UnsetType, Meta(description="Use beyond what is included.")] = UNSET
    as_of: Annotated[Instant | UnsetType, Meta(description="The time of the data itself.")] = UNSET
    period: Annotated[
        PeriodText | UnsetType, Meta(description="The billing period, if not the definition's.")
    ] = UNSET


class CurrencyText(Strict, kw_only=True, frozen=True):
    """The currency stands in the answer."""

    path: Annotated[Paths, Meta(description="Where its ISO 4217 code stands, in any case.")]


Currency: TypeAlias = Template | CurrencyText


class CostText(RowsText, kw_only=True, frozen=True):
    """How money is read."""

    currency: Annotated[
        Currency | UnsetType,
        Meta(description='An ISO 4217 code, "{params.currency}", or {path: …}.'),
    ] = UNSET
    reduce: Annotated[
        How | ReduceText | UnsetType, Meta(description="How several rows become one number.")
    ] = UNSET
    cost: Annotated[Value | UnsetType, Meta(description="What it costs so far.")] = UNSET
    base: Annotated[Value | UnsetType, Meta(description="The fixed part.")] = UNSET
    overage: Annotated[Value | UnsetType, Meta(description="The part beyond the plan.")] = UNSET
    limit: Annotated[Value | UnsetType, Meta(description="The budget.")] = UNSET
    remaining: Annotated[Value | UnsetType, Meta(description="What is left of it.")] = UNSET
    projected: Annotated[
        Value | UnsetType, Meta(description="The vendor's forecast for the period's end.")
    ] = UNSET
    period: Annotated[
        PeriodText | UnsetType, Meta(description="The billing period, if not the definition's.")
    ] = UNSET


class ItemsText(RowsText, kw_only=True, frozen=True):
    """A breakdown: one series an item."""

    resource: Annotated[str, Meta(description='The resource that is broken down, or "spend".')]
    group: Annotated[Name, Meta(description="The kind of the items: test, model, project.")]
    item: Annotated[Paths, Meta(description="Where the item's name stands.")]
    used: Annotated[Value | UnsetType, Meta(description="What the item uses.")] = UNSET
    cost: Annotated[Value | UnsetType, Meta(description="What the item costs.")] = UNSET
    currency: Annotated[Currency | UnsetType, Meta(description="The currency of `cost`.")] = UNSET
    unit: Annotated[str | UnitText, Meta(description="The vendor's unit of `used`.")] = "quantity"
    reduce: Annotated[
        How | ReduceText, Meta(description="How several rows of one item become one number.")
    ] = "sum"
    top: Annotated[
        Count | UnsetType, Meta(description='Keep the largest, sum the rest as "other".')
    ] = UNSET
    lower: Annotated[bool, Meta(description="Write the item's name in small letters.")] = False
    always: Annotated[bool, Meta(description="Publish it also without `items: true`.")] = False


class PlanText(Strict, kw_only=True, frozen=True):
    """Where the account's plan is named."""

    path: Annotated[Paths, Meta(description="Where its name stands.")]
    collector: Annotated[
        str | UnsetType, Meta(description="The collector whose answer is read; default the first.")
    ] = UNSET
