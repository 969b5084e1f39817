"""A target on the status page."""

import heapq
import math
from collections.abc import Iterable, Iterator
from typing import Final, assert_never

from exporter.web import human
from exporter.web.markup import Markup, join, tag
from exporter.web.view import (
    RED,
    YELLOW,
    ApiView,
    CollectorView,
    CostView,
    FailureView,
    Grade,
    ResourceView,
    TargetView,
    grade,
    worst_ratio,
)

_COLOURS: Final = {
    Grade.FINE: "ok",
    Grade.WAITING: "idle",
    Grade.YELLOW: "warn",
    Grade.PAUSED: "warn",
    Grade.RED: "crit",
    Grade.DOWN: "crit",
}
_NAMES: Final = 3  # what fits in a heading
_MOST_ROWS: Final = 50
"""Resources, and amounts of money, on one card: a thousand of them take 50 ms."""
_NEARNESS: Final = (
    (math.nextafter(1, 2), "over the limit"),
    (1.0, "at the limit"),
    (YELLOW, "near the limit"),
)
_CURRENCY_WORDS: Final = (
    ("cost", "so far"),
    ("base", "base"),
    ("overage", "overage"),
    ("projected", "projected"),
    ("limit", "budget"),
)


def card(target: TargetView, *, now: float, anchor: str) -> Markup:
    """Return the card of `target`; `anchor` is its id on the page."""
    rows = [_resource(resource, now) for resource in _worst(target.resources)]
    return tag(
        "article",
        _header(target),
        *_trouble(target),
        *rows,
        None if rows or target.costs else _nothing(target),
        *(_cost(cost) for cost in target.costs[:_MOST_ROWS]),
        _left_out(target),
        _footer(target, now),
        _details(target, now),
        class_="card",
        id=anchor,
    )


def _worst(resources: tuple[ResourceView, ...]) -> Iterable[ResourceView]:
    """Return the resources in their order, or, of too many, those next to their limits first."""
    if len(resources) <= _MOST_ROWS:
        return resources
    return heapq.nlargest(_MOST_ROWS, resources, key=lambda one: one.ratio or 0.0)


def _left_out(target: TargetView) -> Markup | None:
    more = sum(max(len(all_) - _MOST_ROWS, 0) for all_ in (target.resources, target.costs))
    return tag("p", f"{more:,} more: see /api/v1/targets.", class_="empty") if more else None


def colour(ratio: float) -> str:
    """Return the class of a bar: green, yellow from 75 %, red from 90 %."""
    return "crit" if ratio >= RED else "warn" if ratio >= YELLOW else "ok"


def state(target: TargetView) -> str:
    """Say in a few words how `target` is."""
    down = [collector for collector in target.collectors if collector.up is False]
    match grade(target):
        case Grade.DOWN:
            some = "" if len(down) == len(target.collectors) else "partly "
            return f"{some}down: {', '.join(sorted({one.reason for one in down if one.reason}))}"
        case Grade.RED | Grade.YELLOW:
            return _limits(target)
        case Grade.PAUSED:
            return "waits"
        case Grade.WAITING:
            return "waits for its first poll"
        case Grade.FINE:
            return "up"
        case _ as never:
            assert_never(never)


def _limits(target: TargetView) -> str:
    worst = worst_ratio(target)
    floor, words = next(pair for pair in _NEARNESS if worst >= pair[0])
    names = [one.resource for one in target.resources if (one.ratio or 0.0) >= floor]
    return f"{', '.join(names)} {words}" if len(names) <= _NAMES else f"{len(names)} {words}"


def _header(target: TargetView) -> Markup:
    kind = _COLOURS[grade(target)]
    return tag(
        "header",
        tag("span", class_=f"dot {kind}"),
        tag("h2", target.account),
        tag("span", target.provider, class_="chip", title=target.title or None),
        tag("span", target.plan, class_="chip", title="plan") if target.plan else None,
        *(tag("span", f"{key}: {value}", class_="chip") for key, value in target.labels.items()),
        tag("span", state(target), class_=f"state {kind}"),
    )


def _trouble(target: TargetView) -> Iterator[Markup]:
    for collector in target.collectors:
        if collector.reason:
            yield tag("p", f"{collector.collector}: {_error(collector)}", class_="why crit")
    if target.backoff > 0:
        reason = f": {target.backoff_reason}" if target.backoff_reason else ""
        yield tag("p", f"Backs off for {human.span(target.backoff)}{reason}", class_="why warn")


def _nothing(target: TargetView) -> Markup:
    polled = any(collector.last_success for collector in target.collectors)
    words = "No values: the last ones are too old." if polled else "No values yet."
    return tag("p", words, class_="empty")


def _resource(resource: ResourceView, now: float) -> Markup:
    name = f"{resource.account} · {resource.resource}" if resource.account else resource.resource
    return tag(
        "div",
        tag(
            "div",
            tag("span", name, class_="name"),
            tag("span", *_amounts(resource), class_="num"),
            tag("span", _share(resource.ratio), class_=f"pct {_colour_of(resource.ratio)}"),
            class_="line",
        ),
        _bar(resource) if resource.ratio is not None else None,
        tag("div", *_more(resource, now), class_="sub"),
        class_="row",
    )


def _colour_of(ratio: float | None) -> str:
    return "" if ratio is None else colour(ratio)


def _share(ratio: float | None) -> str:
    return "" if ratio is None else human.percent(ratio)


def _amounts(resource: ResourceView) -> Iterator[Markup]:
    if resource.used is not None:
        yield tag("span", _amount(resource, resource.used), title=f"{resource.used:,.15g}")
    if resource.limit is not None:
        slash = " / " if resource.used is not None else "limit "
        yield tag("i", slash + _amount(resource, resource.limit), title=f"{resource.limit:,.15g}")
    elif resource.limit_kind == "unlimited":
        yield tag("i", " / unlimited")


def _amount(resource: ResourceView, value: float) -> str:
    return human.amount(value, resource.kind, resource.unit)


def _bar(resource: ResourceView) -> Markup:
    ratio = resource.ratio or 0.0
    expected = resource.projected_ratio
    label = f"{resource.resource}: {human.percent(ratio)} of the limit"
    return tag(
        "svg",
        tag("title", label),
        _part(expected, f"more {colour(expected)}") if expected is not None else None,
        _part(ratio, colour(ratio)),
        _end(expected) if expected is not None and 0 < expected < 1 else None,
        class_="bar",
        role="img",
        aria_label=label,
    )


def _part(ratio: float, kind: str) -> Markup:
    width = min(max(ratio, 0.0), 1.0) * 100
    return tag("rect", width=f"{width:.2f}%", height="100%", class_=kind)


def _end(ratio: float) -> Markup:
    return tag("rect", x=f"{ratio * 100:.2f}%", width="2", height="100%", class_="end")


def _more(resource: ResourceView, now: float) -> Iterator[Markup]:
    notes = [note for note in _notes(resource, now) if note]
    yield join(*notes, separator=" · ")


def _notes(resource: ResourceView, now: float) -> Iterator[str | None]:
    if resource.projected is not None or resource.projected_ratio is not None:
        yield _projection(resource)
    if resource.exhaustion is not None:
        ahead = resource.exhaustion - now
        when = f"in {human.span(ahead)}" if ahead > 0 else "about now"
        yield tag("b", f"reaches the limit {when}", title=human.moment(resource.exhaustion))
    if resource.period_start is not None and resource.period_end is not None:
        yield f"{human.day(resource.period_start)} to {human.day(resource.period_end - 1)}"
    if resource.limit is None and resource.ratio is None and resource.limit_kind == "unknown":
        yield "limit unknown"
    if resource.limit_kind == "config" and resource.limit is not None:
        yield "limit from the config"
    if resource.data_time is not None:
        yield _time(resource.data_time, f"data of {human.ago(resource.data_time, now)}")
    if resource.kind == "quantity" and resource.unit not in {"", resource.kind}:
        yield f"unit: {resource.unit}"


def _projection(resource: ResourceView) -> str:
    amount = "" if resource.projected is None else _amount(resource, resource.projected)
    share = "" if resource.projected_ratio is None else human.percent(resource.projected_ratio)
    both = f"{amount} ({share})" if amount and share else amount or share
    origin = " by the vendor" if resource.projection == "provider" else ""
    return f"projected {both}{origin}"


def _cost(cost: CostView) -> Markup:
    shown = [
        tag("div", tag("b", human.money(value, cost.currency)), tag("span", word))
        for key, word in _CURRENCY_WORDS
        if (value := getattr(cost, key)) is not None
    ]
    account = tag("div", tag("b", cost.account), tag("span", "account")) if cost.account else None
    return tag("div", account, *shown, class_="costs")


def _footer(target: TargetView, now: float) -> Markup:
    successes = [one.last_success for one in target.collectors if one.last_success is not None]
    polls = [one.next_poll for one in target.collectors if one.next_poll is not None]
    return tag(
        "footer",
        _time(min(successes), f"updated {human.ago(min(successes), now)}") if successes else None,
        _time(min(polls), f"next poll {human.until(min(polls), now)}") if polls else None,
    )


def _details(target: TargetView, now: float) -> Markup | None:
    if not target.collectors:
        return None
    errors = f", {_count(len(target.failures), 'recent error')}" if target.failures else ""
    collectors = _count(len(target.collectors), "collector")
    return tag(
        "details",
        tag("summary", collectors + errors),
        tag("div", _collectors(target, now), class_="wide"),
        tag("p", _api(target.api, now), class_="sub") if target.api else None,
        tag("div", _failures(target.failures, now), class_="wide") if target.failures else None,
    )


def _count(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _collectors(target: TargetView, now: float) -> Markup:
    heads = ("collector", "state", "every", "last success", "next poll", "last error")
    rows = (tag("tr", *_collector(collector, now)) for collector in target.collectors)
    return tag("table", tag("tr", *(tag("th", head) for head in heads)), *rows)


def _collector(collector: CollectorView, now: float) -> Iterator[Markup]:
    words = {True: "up", False: "down", None: "not polled yet"}[collector.up]
    kind = {True: "ok-text", False: "crit-text", None: None}[collector.up]
    yield tag("td", collector.collector)
    yield tag("td", words, class_=kind)
    yield tag("td", human.span(collector.interval), class_="t")
    for at, text in ((collector.last_success, human.ago), (collector.next_poll, human.until)):
        yield tag("td", _time(at, text(at, now)) if at is not None else "never", class_="t")
    yield tag("td", _error(collector))


def _error(collector: CollectorView) -> str:
    times = f" ({collector.failures} in a row)" if collector.failures > 1 else ""
    return f"{collector.reason}{times}: {collector.detail}" if collector.reason else ""


def _api(api: ApiView, now: float) -> str:
    others = f"{human.percent(api.reserve)} of it is left to others"
    if api.remaining is None:
        return f"The vendor tells no limit of its API; {others} when it does."
    of = "" if api.limit is None else f" of {human.number(api.limit)}"
    anew = "" if api.reset is None else f", anew {human.until(api.reset, now)}"
    return f"The vendor's API: {human.number(api.remaining)}{of} requests left{anew}; {others}."


def _failures(failures: tuple[FailureView, ...], now: float) -> Markup:
    rows = (
        tag(
            "tr",
            tag("td", _time(failure.at, human.ago(failure.at, now)), class_="t"),
            tag("td", failure.collector),
            tag("td", failure.reason),
            tag("td", failure.detail),
        )
        for failure in failures
    )
    heads = ("error", "collector", "reason", "detail")
    return tag("table", tag("tr", *(tag("th", head) for head in heads)), *rows)


def _time(epoch: float, words: str) -> Markup:
    return tag("span", words, title=human.moment(epoch))
