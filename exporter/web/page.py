"""The frame of the status page: head, summary, notes, and the cards that fit."""

import heapq
from collections import Counter
from collections.abc import Iterator
from typing import Final

from exporter.web import human, style
from exporter.web.card import card, state
from exporter.web.markup import Markup, join, tag
from exporter.web.view import RED, Grade, StatusView, TargetView, grade, worst_ratio

MOST_CARDS: Final = 200
_MOST_LINKS: Final = 12
_BATCH: Final = 100
"""Targets that are graded before the caller may let somebody else have the event loop."""


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
        self.waiting += sum(target.backoff > 0 for target in targets)
        both = self.worst + graded
        self.worst = heapq.nlargest(MOST_CARDS, both, key=lambda pair: pair[0])


def page(view: StatusView, *, telemetry_path: str) -> Iterator[str]:
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
    yield join(_reload_note(view), _attention(shown), _cut_note(view.targets, shown))
    yield '<section class="cards">'
    for place, target in enumerate(shown):
        yield card(target, now=view.now, anchor=_anchor(place))
    yield "</section>"
    yield join(None if shown else _no_targets(), _foot(view))
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
        tag("a", f"{target.account} ({state(target)})", href=f"#{_anchor(place)}")
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


def _cut_note(targets: tuple[TargetView, ...], shown: list[TargetView]) -> Markup | None:
    if len(shown) == len(targets):
        return None
    return tag(
        "div",
        f"The {len(shown)} targets that need a look first, of {len(targets):,}. All of them: ",
        tag("a", _API, href=_relative(_API)),
        class_="note",
    )


def _no_targets() -> Markup:
    return tag("p", "No targets are configured.", class_="empty")


def _foot(view: StatusView) -> Markup:
    loaded = view.config_loaded
    return tag(
        "p",
        f"As of {human.moment(view.now)}. Running for {human.span(view.now - view.started)}.",
        None if loaded is None else f" Configuration loaded {human.ago(loaded, view.now)}.",
        " Values are cached between polls: this page asks no vendor.",
        class_="foot",
    )


def _relative(link: str) -> str:
    """Return `link` as seen from the page: a proxy may show it below any path."""
    return f".{link}"


def _anchor(place: int) -> str:
    return f"t{place}"
