"""Payloads to a reading: all rules of a definition that read one collector's answer.

One rule that does not fit fails the whole poll. What is odd and does not fail it is a note; equal
notes are counted together. `drift` compares a reading with the one before.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec

from exporter.kernel.jmes import SelectError, quoted
from exporter.kernel.secrets import clip
from exporter.mapping.extract import ROWS, PayloadContext, read_items, read_money, read_usages
from exporter.mapping.period import RequestVariables, check_dates
from exporter.mapping.values import MappingError, label_at
from exporter.model.definition.roles import AccountPlan
from exporter.model.definition.rows import NameParts
from exporter.model.families import COST_ROLES, RESOURCE_ROLES, read_roles
from exporter.model.outcome import Failure, Payload, Reason
from exporter.model.reading import Item, Money, Note, Reading, Usage
from exporter.model.target import Target

_DETAILS = 20  # different notes of one reason that are told one by one
_USAGE = tuple(role.key for role in read_roles(RESOURCE_ROLES))
_MONEY = tuple(role.key for role in read_roles(COST_ROLES))
_FURTHER = "and others like these"


class ReadingBuilder(msgspec.Struct):
    """Lists that grow with each payload (one per account of a fan-out)."""

    usages: list[Usage] = msgspec.field(default_factory=list)
    money: list[Money] = msgspec.field(default_factory=list)
    items: list[Item] = msgspec.field(default_factory=list)
    notes: list[Note] = msgspec.field(default_factory=list)
    matched: set[str] = msgspec.field(default_factory=set)
    plans: dict[str, str] = msgspec.field(default_factory=dict)
    dropped: int = 0

    def trim(self, most: int) -> None:
        """Keep the first `most` usages and amounts of money and the largest items.

        The others are counted. Called after each payload, so that many accounts do not gather what
        is dropped at the end.
        """
        if len(self.items) > most:
            self.dropped += len(self.items) - most
            self.items = heapq.nlargest(most, self.items, key=lambda one: one.value)
        for kept in (self.usages, self.money):
            self.dropped += max(len(kept) - most, 0)
            del kept[most:]

    def size(self) -> int:
        """Return how much was learned so far."""
        return len(self.usages) + len(self.money) + len(self.items) + len(self.plans)

    def reading(self, collector: str, at: float, most: int) -> Reading:
        """Return the reading. Beyond `most` usages or items the later and the smaller go.

        That bounds the memory of a reading; the series are counted by the join.
        """
        self.trim(most)
        if self.dropped:
            self.notes.append(Note(reason="series_limit", detail=collector, count=self.dropped))
        return Reading(
            collector=collector,
            at=at,
            usages=tuple(self.usages),
            money=tuple(self.money),
            items=tuple(self.items),
            plans=tuple(self.plans.items()),
            notes=combined(self.notes) if self.notes else (),
            matched=frozenset(self.matched),
        )


def combined(notes: list[Note]) -> tuple[Note, ...]:
    """Return the notes, equal ones counted together, and all those beyond the first of a reason.

    Each note is a line of the log: an answer with thousands of odd rows gets some of them.
    """
    counts: dict[tuple[str, str], int] = {}
    details: Counter[str] = Counter()
    for note in notes:
        key = (note.reason, note.detail)
        if key not in counts:
            details[note.reason] += 1
            if details[note.reason] > _DETAILS:
                key = (note.reason, _FURTHER)
        counts[key] = counts.get(key, 0) + note.count
    return tuple(
        Note(reason=reason, detail=detail, count=count)
        for (reason, detail), count in counts.items()
    )


_DETAIL = 400  # characters of a failure: place, path and finding, each already cut
_CONTINUES = (
    "the answer has further pages, and the definition declares no paging; write its paging, or "
    "complete: optional where the first rows are what is wanted"
)
_KEYS = 8  # of an answer in which nothing matched
_Rule = TypeVar("_Rule")
_Read = TypeVar("_Read")
_Stated = TypeVar("_Stated", Usage, Money)


def read_payload(
    target: Target, collector: str, payloads: tuple[Payload, ...], at: float
) -> Reading | Failure:
    """Return all that the answers to one poll of `collector` say, or why they cannot be read.

    `at` is the instant (epoch seconds) that the request was rendered for: calendar periods and
    dates of the request are worked out from it. Payloads without pages give an empty reading.
    One rule that does not fit fails the whole: half an answer would be published as the whole.
    """
    builder = ReadingBuilder()
    try:
        for payload in payloads:
            if payload.pages:
                _read_payload(target, collector, payload, at, builder)
                builder.trim(target.max_series)
    except MappingError as error:
        return Failure(reason=Reason.SCHEMA, detail=clip(str(error), _DETAIL))
    return builder.reading(collector, at, target.max_series)


def drift(before: Reading, after: Reading) -> tuple[Note, ...]:
    """Return a note for each path that gave something in `before` and gives nothing in `after`.

    That is how a renamed field looks. A path below a list that has no rows now is not gone, and
    neither is anything where the vendor says that there is nothing. Series that are gone, or are of
    another family now, are noted too: those of an open map share their paths.
    """
    lists = tuple(f"{path} " for path in after.matched if path.endswith(ROWS))
    gone = [
        path
        for path in sorted(before.matched - after.matched)
        if not path.endswith(ROWS) and (f"{ROWS} " not in path or path.startswith(lists))
    ]
    notes = [Note(reason="path_gone", detail=path) for path in gone if after.matched]
    return combined([*notes, *_lost_series(before, after)])


def _lost_series(before: Reading, after: Reading) -> Iterator[Note]:
    """Note the numbers of `before` that `after` has not, and those with another kind of unit."""
    usages = {(one.account, one.resource): one for one in after.usages}
    for usage in before.usages:
        now = usages.get((usage.account, usage.resource))
        name = f"{usage.account}/{usage.resource}" if usage.account else usage.resource
        if now is None:
            yield Note(reason="series_gone", detail=name)
        elif now.kind is not usage.kind:
            detail = f"{name}: it was measured in {usage.kind}, now in {now.kind}"
            yield Note(reason="family_changed", detail=detail)
        else:
            lost = [one for one in _USAGE if _is_lost(getattr(usage, one), getattr(now, one))]
            yield from (Note(reason="series_gone", detail=f"{name}: {one}") for one in lost)
    money = {(one.account, one.currency): one for one in after.money}
    for paid in before.money:
        then = money.get((paid.account, paid.currency))
        name = f"{paid.account}/{paid.currency}" if paid.account else paid.currency
        if then is None:
            yield Note(reason="series_gone", detail=name)
        else:
            lost = [one for one in _MONEY if _is_lost(getattr(paid, one), getattr(then, one))]
            yield from (Note(reason="series_gone", detail=f"{name}: {one}") for one in lost)


def _is_lost(before: object, now: object) -> bool:
    return before is not None and now is None


def _read_payload(
    target: Target, collector: str, payload: Payload, at: float, builder: ReadingBuilder
) -> None:
    context = PayloadContext(
        target=target,
        asked=RequestVariables(target, payload.account, at),
        documents=[page.document for page in payload.pages],
        account=payload.account,
    )
    builder.notes += [
        Note(reason="continues", detail=f"{page.continues}: {_CONTINUES}")
        for page in payload.pages
        if page.continues
    ]
    known = target.definition.collectors.get(collector)
    if known is not None and known.within is not None:
        check_dates(known.within, context.documents, context.asked)
    learned = builder.size()
    stated = len(builder.usages), len(builder.money), len(builder.items)
    rules = _apply_rules(context, collector, builder) - context.left_out
    nothing = builder.size() == learned and not context.matched and not context.answered
    # Headers may well be absent: that is how some vendors say that there is no limit.
    if rules > 0 and nothing and (known is None or known.format.has_body):
        met = _outline(context.documents[0])
        raise MappingError("", f"none of {rules} rule(s) found a value in the answer: it is {met}.")
    _refuse_doubles(builder.usages[stated[0] :], "resource", _NUMBERS_OF_USAGE)
    _refuse_doubles(builder.money[stated[1] :], "currency", _NUMBERS_OF_MONEY)
    items = Counter(
        (one.resource, one.group, one.item, one.kind, one.currency)
        for one in builder.items[stated[2] :]
    )
    twice = next((key for key, count in items.items() if count > 1), None)
    if twice is not None:
        raise MappingError("", _TWICE.format(f'the item "{twice[2]}" of {twice[0]}')).at("items")
    if context.notes:
        builder.notes = list(combined([*builder.notes, *context.notes]))
    builder.dropped += context.dropped
    builder.matched |= context.matched


_NUMBERS_OF_USAGE = tuple(role.key for role in read_roles(RESOURCE_ROLES) if role.kinds)
_NUMBERS_OF_MONEY = tuple(role.key for role in read_roles(COST_ROLES) if role.kinds)
_TWICE = "two rules of the definition give {} a number, and two numbers are not added."


def _refuse_doubles(found: Sequence[_Stated], name: str, roles: Sequence[str]) -> None:
    """Raise MappingError where two rules give one number of one series.

    Parts of one series that come from several rules are joined later.
    """
    known: set[tuple[str, str]] = set()
    for one in found:
        series = getattr(one, name)
        for role in roles:
            if getattr(one, role) is None:
                continue
            if (series, role) in known:
                raise MappingError("", _TWICE.format(f"{role} of {series}"))
            known.add((series, role))


def _outline(document: object) -> str:
    """Say what an answer is: for a map its first keys, which tell an error from a new shape."""
    if not isinstance(document, dict) or not document:
        return quoted(document)
    shown = ", ".join(list(document)[:_KEYS]) + (", …" if len(document) > _KEYS else "")
    return f"a map of {clip(shown, 120)}"


def _apply_rules(context: PayloadContext, collector: str, builder: ReadingBuilder) -> int:
    """Apply every rule of `collector`; return how many there were."""
    definition = context.target.definition
    resources = [rule for rule in definition.resources if rule.collector == collector]
    costs = [rule for rule in definition.costs if rule.collector == collector]
    parts = [
        rule
        for rule in definition.items
        if rule.collector == collector and (rule.always or context.target.items)
    ]
    for resource in resources:
        builder.usages += _applied(read_usages, resource, context, "resources", resource.name)
    for cost in costs:
        builder.money += _applied(read_money, cost, context, "costs", ())
    for part in parts:
        builder.items += _applied(read_items, part, context, "items", part.resource)
    plan = definition.plan
    if plan is not None and plan.collector == collector:
        for named in _applied(_read_plan, plan, context, "plan", ()):
            builder.plans[context.account] = named
    return len(resources) + len(costs) + len(parts)


def _applied(
    apply: Callable[[_Rule, PayloadContext], list[_Read]],
    rule: _Rule,
    context: PayloadContext,
    section: str,
    name: NameParts,
) -> list[_Read]:
    try:
        return apply(rule, context)
    except (MappingError, SelectError) as error:
        parts = [part if isinstance(part, str) else f"{{{part.text}}}" for part in name]
        place = f"{section}[{''.join(parts)}]" if parts else section
        refused = error if isinstance(error, MappingError) else MappingError("", str(error))
        raise refused.at(place) from error.__cause__


def _read_plan(rule: AccountPlan, context: PayloadContext) -> list[str]:
    text, _ = label_at(rule.paths, context.documents[0], context.matched)
    return [text] if text else []
