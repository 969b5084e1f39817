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
_BATCH: Final = 20


def page(view: StatusView, *, telemetry_path: str) -> Iterator[str]:
    """Give the page in parts, none of which takes long to make."""
    shown = _shown(view.targets)
    yield _head()
    yield _top(view, telemetry_path)
    yield '<main class="in">'
    yield _tiles(view.targets)
    yield join(_reload_note(view), _attention(shown), _cut_note(view.targets, shown))
    yield '<section class="cards">'
    for start in range(0, len(shown), _BATCH):
        batch = shown[start : start + _BATCH]
        yield join(
            *(
                card(target, now=view.now, anchor=_anchor(start + place))
                for place, target in enumerate(batch)
            )
        )
    yield "</section>"
    yield join(None if shown else _no_targets(), _foot(view))
    yield "</main></body></html>\n"


def _shown(targets: tuple[TargetView, ...]) -> list[TargetView]:
    """Return all targets in the config's order, or, of too many, the worst first."""
    if len(targets) <= MOST_CARDS:
        return list(targets)
    return heapq.nlargest(MOST_CARDS, targets, key=lambda one: (grade(one), worst_ratio(one)))


def _head() -> Markup:
    return Markup(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="robots" content="noindex"><title>usage-exporter</title>'
        f'<link rel="icon" href="{style.ICON}"><style>{style.CSS}</style></head><body>'
    )


def _top(view: StatusView, telemetry_path: str) -> Markup:
    links = (telemetry_path, "/api/v1/targets", "/config", "/-/healthy", "/-/ready")
    return tag(
        "header",
        tag(
            "div",
            tag("h1", "usage-exporter"),
            tag("span", f"version {view.version}", class_="version"),
            tag("nav", *(tag("a", link, href=link) for link in links)),
            class_="in",
        ),
        class_="top",
    )


def _tiles(targets: tuple[TargetView, ...]) -> Markup:
    grades = Counter(map(grade, targets))
    red = sum(worst_ratio(target) >= RED for target in targets)
    waiting = sum(target.backoff > 0 for target in targets)
    up = len(targets) - grades[Grade.DOWN] - grades[Grade.WAITING]
    return tag(
        "div",
        _tile(len(targets), "target" if len(targets) == 1 else "targets", ""),
        _tile(up, "up", "ok"),
        _tile(grades[Grade.DOWN], "down", "crit"),
        _tile(red, "at 90 % or more", "crit"),
        _tile(grades[Grade.YELLOW], "from 75 % on", "warn"),
        _tile(waiting, "backing off", "warn"),
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
        tag("a", "/api/v1/targets", href="/api/v1/targets"),
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


def _anchor(place: int) -> str:
    return f"t{place}"
