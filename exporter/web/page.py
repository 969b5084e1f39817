"""The status page: one HTML document without JavaScript, made of a `StatusView`.

- Text is escaped: `tag` and `join` escape all that is not `Markup`, which this module alone makes.
- The page comes in parts of a few milliseconds each, between which other tasks may run: at most 200
  cards, the worst targets first, with 50 resources each; ``/api/v1/targets`` has all.
- Health comes with the view; this module maps it to words and to the classes of the style sheet:
  ``ok``, ``warn``, ``crit``, ``idle``.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from html import escape
from typing import Final, assert_never

from exporter.model.health import Freshness, Health, Wait
from exporter.web import humanize, style
from exporter.web.view import (
    RED,
    YELLOW,
    ApiView,
    CollectorView,
    CostView,
    FailureView,
    Grade,
    ResourceView,
    StatusView,
    TargetView,
    grade,
    worst_ratio,
)


class Markup(str):
    """HTML that is already escaped."""

    __slots__ = ()


NOTHING: Final = Markup("")


def tag(name: str, *children: str | None, **attributes: str | None) -> Markup:
    """Return an element. Children that are no `Markup` and all attribute values are escaped.

    ``class_`` is ``class``, ``aria_label`` is ``aria-label``; None leaves the child or the
    attribute out.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is not None:
            parts.append(f' {key.rstrip("_").replace("_", "-")}="{_text(value)}"')
    parts.append(">")
    parts += [
        child if isinstance(child, Markup) else _text(child)
        for child in children
        if child is not None
    ]
    parts.append(f"</{name}>")
    return Markup("".join(parts))


def join(*children: str | None, separator: str = "") -> Markup:
    """Return the children one after the other; what is None or empty is left out."""
    texts = (child if isinstance(child, Markup) else _text(child) for child in children if child)
    return Markup(_text(separator).join(texts))


def _time(epoch: float, words: str) -> Markup:
    return tag("span", words, title=humanize.moment(epoch))


def _text(value: str) -> str:
    return escape(value).replace("\0", "�")


_COLOURS: Final = {
    Grade.FINE: "ok",
    Grade.WAITING: "idle",
    Grade.YELLOW: "warn",
    Grade.WAITS: "warn",
    Grade.RED: "crit",
    Grade.DOWN: "crit",
}
_WAITS: Final = {
    Wait.THROTTLED: "Throttled",
    Wait.BACKING_OFF: "Backs off",
    Wait.PAUSED: "Paused",
}
_HEALTHS: Final = {
    Health.UP: ("up", "ok-text"),
    Health.NEVER_POLLED: ("not polled yet", None),
    Health.THROTTLED: ("throttled", "crit-text"),
    Health.FAILING: ("failing", "crit-text"),
    Health.PAUSED: ("paused", "crit-text"),
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
    ("balance", "balance"),
)


def target_card(target: TargetView, *, now: float, anchor: str) -> Markup:
    """Return the card of `target`; `anchor` is its id on the page."""
    shown: Iterable[ResourceView] = target.resources
    if len(target.resources) > _MOST_ROWS:  # those next to their limits first
        shown = heapq.nlargest(_MOST_ROWS, shown, key=lambda one: one.ratio or 0.0)
    rows = [_resource(resource, now) for resource in shown]
    left_out = sum(max(len(all_) - _MOST_ROWS, 0) for all_ in (target.resources, target.costs))
    return tag(
        "article",
        _header(target),
        *_reasons(target),
        *rows,
        None if rows or target.costs else _nothing(target),
        *(_cost(cost) for cost in target.costs[:_MOST_ROWS]),
        tag("p", f"{left_out:,} more: see /api/v1/targets.", class_="empty") if left_out else None,
        _footer(target, now),
        _details(target, now),
        class_="card",
        id=anchor,
    )


def colour(ratio: float) -> str:
    """Return the class of a bar: green, yellow from 75 %, red from 90 %."""
    return "crit" if ratio >= RED else "warn" if ratio >= YELLOW else "ok"


def target_state(target: TargetView) -> str:
    """Say in a few words how `target` is."""
    down = [collector for collector in target.collectors if collector.health.failed]
    match grade(target):
        case Grade.DOWN:
            some = "" if len(down) == len(target.collectors) else "partly "
            return f"{some}down: {', '.join(sorted({one.reason for one in down if one.reason}))}"
        case Grade.RED | Grade.YELLOW:
            return _limits(target)
        case Grade.WAITS:
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
        tag("span", target_state(target), class_=f"state {kind}"),
    )


def _reasons(target: TargetView) -> Iterator[Markup]:
    for collector in target.collectors:
        if collector.reason:
            yield tag("p", f"{collector.collector}: {_error(collector)}", class_="why crit")
    if target.wait is not None:
        says_more = target.wait_cause not in {"", target.wait}
        cause = f": {target.wait_cause}" if says_more else ""
        words = f"{_WAITS[target.wait]} for {humanize.span(target.wait_seconds)}{cause}"
        yield tag("p", words, class_="why warn")


def _nothing(target: TargetView) -> Markup:
    expired = any(one.freshness is Freshness.EXPIRED for one in target.collectors)
    words = "No values: the last ones are too old." if expired else "No values yet."
    return tag("p", words, class_="empty")


def _resource(resource: ResourceView, now: float) -> Markup:
    name = f"{resource.account} · {resource.resource}" if resource.account else resource.resource
    ratio = resource.ratio
    return tag(
        "div",
        tag(
            "div",
            tag("span", name, class_="name"),
            tag("span", *_amounts(resource), class_="num"),
            tag(
                "span",
                "" if ratio is None else humanize.percent(ratio),
                class_=f"pct {'' if ratio is None else colour(ratio)}",
            ),
            class_="line",
        ),
        None if ratio is None else _bar(resource, ratio),
        tag("div", join(*_notes(resource, now), separator=" · "), class_="sub"),
        class_="row",
    )


def _amounts(resource: ResourceView) -> Iterator[Markup]:
    if resource.used is not None:
        yield tag("span", _amount(resource, resource.used), title=f"{resource.used:,.15g}")
    if resource.limit is not None:
        slash = " / " if resource.used is not None else "limit "
        yield tag("i", slash + _amount(resource, resource.limit), title=f"{resource.limit:,.15g}")
    elif resource.limit_kind == "unlimited":
        yield tag("i", " / unlimited")


def _amount(resource: ResourceView, value: float) -> str:
    return humanize.amount(value, resource.kind, resource.unit)


def _bar(resource: ResourceView, ratio: float) -> Markup:
    """Return the bar: what is used, lighter what is projected, and a mark at its end."""

    def part(share: float, class_: str) -> Markup:
        width = min(max(share, 0.0), 1.0) * 100
        return tag("rect", width=f"{width:.2f}%", height="100%", class_=class_)

    expected = resource.projected_ratio
    mark = None
    if expected is not None and 0 < expected < 1:
        mark = tag("rect", x=f"{expected * 100:.2f}%", width="2", height="100%", class_="end")
    label = f"{resource.resource}: {humanize.percent(ratio)} of the limit"
    return tag(
        "svg",
        tag("title", label),
        None if expected is None else part(expected, f"more {colour(expected)}"),
        part(ratio, colour(ratio)),
        mark,
        class_="bar",
        role="img",
        aria_label=label,
    )


def _notes(resource: ResourceView, now: float) -> Iterator[str | None]:
    if resource.projected is not None or resource.projected_ratio is not None:
        yield _projection(resource)
    if resource.exhaustion is not None:
        ahead = resource.exhaustion - now
        when = f"in {humanize.span(ahead)}" if ahead > 0 else "about now"
        yield tag("b", f"reaches the limit {when}", title=humanize.moment(resource.exhaustion))
    if resource.period_start is not None and resource.period_end is not None:
        yield f"{humanize.day(resource.period_start)} to {humanize.day(resource.period_end - 1)}"
    if resource.limit is None and resource.ratio is None and resource.limit_kind == "unknown":
        yield "limit unknown"
    if resource.limit_kind == "config" and resource.limit is not None:
        yield "limit from the config"
    if resource.data_time is not None:
        yield _time(resource.data_time, f"data of {humanize.ago(resource.data_time, now)}")
    if resource.kind == "quantity" and resource.unit not in {"", resource.kind}:
        yield f"unit: {resource.unit}"


def _projection(resource: ResourceView) -> str:
    amount = "" if resource.projected is None else _amount(resource, resource.projected)
    share = "" if resource.projected_ratio is None else humanize.percent(resource.projected_ratio)
    both = f"{amount} ({share})" if amount and share else amount or share
    origin = " by the vendor" if resource.projection == "provider" else ""
    return f"projected {both}{origin}"


def _cost(cost: CostView) -> Markup:
    shown = [
        tag("div", tag("b", humanize.money(value, cost.currency)), tag("span", word))
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
        _time(min(successes), f"updated {humanize.ago(min(successes), now)}")
        if successes
        else None,
        _time(min(polls), f"next poll {humanize.until(min(polls), now)}") if polls else None,
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
    words, kind = _HEALTHS[collector.health]
    yield tag("td", collector.collector)
    yield tag("td", words, class_=kind)
    yield tag("td", humanize.span(collector.interval), class_="t")
    for at, text in ((collector.last_success, humanize.ago), (collector.next_poll, humanize.until)):
        yield tag("td", _time(at, text(at, now)) if at is not None else "never", class_="t")
    yield tag("td", _error(collector))


def _error(collector: CollectorView) -> str:
    times = f" ({collector.failures} in a row)" if collector.failures > 1 else ""
    return f"{collector.reason}{times}: {collector.detail}" if collector.reason else ""


def _api(api: ApiView, now: float) -> str:
    others = f"{humanize.percent(api.reserve)} of it is left to others"
    if api.remaining is None:
        return f"The vendor tells no limit of its API; {others} when it does."
    of = "" if api.limit is None else f" of {humanize.number(api.limit)}"
    anew = "" if api.reset is None else f", anew {humanize.until(api.reset, now)}"
    return f"The vendor's API: {humanize.number(api.remaining)}{of} requests left{anew}; {others}."


def _failures(failures: tuple[FailureView, ...], now: float) -> Markup:
    rows = (
        tag(
            "tr",
            tag("td", _time(failure.at, humanize.ago(failure.at, now)), class_="t"),
            tag("td", failure.collector),
            tag("td", failure.reason),
            tag("td", failure.detail),
        )
        for failure in failures
    )
    heads = ("error", "collector", "reason", "detail")
    return tag("table", tag("tr", *(tag("th", head) for head in heads)), *rows)


MOST_CARDS: Final = 200
_MOST_LINKS: Final = 12
_BATCH: Final = 100
"""Targets that are graded in one part."""
_API: Final = "/api/v1/targets"
_LINKS: Final = (_API, "/config", "/-/healthy", "/-/ready")


class _Overview:
    """What all targets together are, and which of them are shown."""

    def __init__(self) -> None:
        self.grades: Counter[Grade] = Counter()
        self.red = 0
        self.waiting = 0
        self.worst: list[tuple[tuple[Grade, float], TargetView]] = []

    def add(self, targets: tuple[TargetView, ...]) -> None:
        """Count a batch of targets, and keep those that need a look first."""
        graded = [((grade(target), worst_ratio(target)), target) for target in targets]
        self.grades.update(one for (one, _), _ in graded)
        self.red += sum(ratio >= RED for (_, ratio), _ in graded)
        self.waiting += sum(target.wait is not None for target in targets)
        both = self.worst + graded
        self.worst = heapq.nlargest(MOST_CARDS, both, key=lambda pair: pair[0])


def status_page(view: StatusView, *, telemetry_path: str) -> Iterator[str]:
    """Give the page in parts, none of which takes long to make; some are empty."""
    overview = _Overview()
    for start in range(0, len(view.targets), _BATCH):
        overview.add(view.targets[start : start + _BATCH])
        yield ""
    # All targets in the config's order, or, of too many, the worst first.
    few = len(view.targets) <= MOST_CARDS
    shown = list(view.targets) if few else [target for _, target in overview.worst]
    yield _head()
    yield _top(view, telemetry_path)
    yield '<main class="in">'
    yield _tiles(len(view.targets), overview)
    yield join(
        _reload_note(view),
        _attention(shown),
        None if few else _note_of_cut(len(shown), len(view.targets)),
    )
    yield '<section class="cards">'
    for place, target in enumerate(shown):
        yield target_card(target, now=view.now, anchor=f"t{place}")
    yield "</section>"
    if not shown:
        yield tag("p", "No targets are configured.", class_="empty")
    yield _foot(view)
    yield "</main></body></html>\n"


def _head() -> Markup:
    return Markup(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="robots" content="noindex"><title>usage-exporter</title>'
        f'<link rel="icon" href="{style.ICON}"><style>{style.CSS}</style></head><body>'
    )


def _top(view: StatusView, telemetry_path: str) -> Markup:
    links = (telemetry_path, *_LINKS)
    return tag(
        "header",
        tag(
            "div",
            tag("h1", "usage-exporter"),
            tag("span", f"version {view.version}", class_="version"),
            tag("nav", *(tag("a", link, href=_relative(link)) for link in links)),
            class_="in",
        ),
        class_="top",
    )


def _tiles(count: int, overview: _Overview) -> Markup:
    grades = overview.grades
    up = count - grades[Grade.DOWN] - grades[Grade.WAITING]
    return tag(
        "div",
        _tile(count, "target" if count == 1 else "targets", ""),
        _tile(up, "up", "ok"),
        _tile(grades[Grade.DOWN], "down", "crit"),
        _tile(overview.red, "at 90 % or more", "crit"),
        _tile(grades[Grade.YELLOW], "from 75 % on", "warn"),
        _tile(overview.waiting, "backing off", "warn"),
        class_="tiles",
    )


def _tile(count: int, words: str, kind: str) -> Markup:
    return tag(
        "div", tag("b", f"{count:,}"), tag("span", words), class_=f"tile {kind * bool(count)}"
    )


def _reload_note(view: StatusView) -> Markup | None:
    if not view.config_problems:
        return None
    return tag(
        "div",
        "The last reload failed; the configuration before it is in force.",
        tag("ul", *(tag("li", problem) for problem in view.config_problems)),
        class_="note crit",
    )


def _attention(shown: list[TargetView]) -> Markup | None:
    worst = [
        tag("a", f"{target.account} ({target_state(target)})", href=f"#t{place}")
        for place, target in enumerate(shown)
        if grade(target) >= Grade.RED
    ]
    if not worst:
        return None
    more = len(worst) - _MOST_LINKS
    return tag(
        "div",
        tag("b", "Look at: "),
        *worst[:_MOST_LINKS],
        f"and {more} more" if more > 0 else None,
        class_="note crit",
    )


def _note_of_cut(shown: int, count: int) -> Markup:
    return tag(
        "div",
        f"The {shown} targets that need a look first, of {count:,}. All of them: ",
        tag("a", _API, href=_relative(_API)),
        class_="note",
    )


def _foot(view: StatusView) -> Markup:
    loaded = view.config_loaded
    return tag(
        "p",
        f"As of {humanize.moment(view.now)}. Running for {humanize.span(view.now - view.started)}.",
        None if loaded is None else f" Configuration loaded {humanize.ago(loaded, view.now)}.",
        " Values are cached between polls: this page asks no vendor.",
        class_="foot",
    )


def _relative(link: str) -> str:
    """Return `link` as seen from the page: a proxy may show it below any path."""
    return f".{link}"
