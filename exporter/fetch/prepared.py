"""What stays the same from poll to poll of one collector, so that a poll is little but its wire.

Parameters, request and rules are rendered once and hold until the target or the day changes:
anew for each poll they would cost as much as the exchange itself.
"""

import re
from collections.abc import Iterator

from exporter.fetch.auth import templates_of as auth_templates
from exporter.fetch.decode import most_values
from exporter.fetch.keyring import Keyring
from exporter.fetch.request import Draft, Signature, draft, uses_account
from exporter.fetch.request import templates_of as request_templates
from exporter.fetch.values import known_values
from exporter.fetch.verdict import Rules
from exporter.fetch.wire import Wire
from exporter.kernel.cycles import Cycle, Span, find_zone, span
from exporter.kernel.templates import DATE_WORDS, Clock, Template
from exporter.model.definition import Collector
from exporter.model.target import Target

_LAST_DAY = 31
_NOW = re.compile(r"\{now\b")
_DATED = re.compile(rf"\{{(?:{'|'.join(map(re.escape, DATE_WORDS))})\b")


class Prepared:
    """The request of one collector of one target, rendered.

    ``draft`` is None where each account of a fan-out has one of its own. ``first`` is the first
    page's wire with the signature that it was made with, ``keyring`` the secrets of the last poll.
    """

    def __init__(self, target: Target, collector: Collector, now: float) -> None:
        self.target = target
        self.collector = collector
        self.moment = clock_of(target, now)
        self.values = known_values(target, self.moment)
        self.rules = rules_of(target, collector)
        fans_out = bool(target.accounts) or target.definition.accounts is not None
        self.draft: Draft | None = None
        if not (fans_out and uses_account(collector.request)):
            self.draft = draft(collector.request, target, self.values, self.moment)
        self.first: tuple[Signature, Wire] | None = None
        self.keyring: Keyring | None = None
        self._span = _lifetime(target, collector, self.moment)

    def serves(self, target: Target, collector: Collector, now: float) -> bool:
        """Tell whether all of this holds for a poll at `now`."""
        if self.target is not target or self.collector is not collector:
            return False
        return self._span is None or self._span.start <= now < self._span.end


def rules_of(target: Target, collector: Collector) -> Rules:
    """Return what a collector's answers are judged by."""
    return Rules(
        verdict=collector.verdict,
        format=collector.format,
        throttling=target.definition.throttling,
        most_values=most_values(collector.max_bytes),
    )


def clock_of(target: Target, now: float) -> Clock:
    """Return the clock of a target's templates: its zone, and its billing day where it has one."""
    zone = find_zone(target.definition.zone)
    moment = Clock(now, zone)
    period = target.definition.period
    if period is None or period.anchor_day is None:
        return moment
    day = period.anchor_day.render(known_values(target, moment).texts, moment) or ""
    if not (day.isascii() and day.isdigit()):
        return moment
    return Clock(now, zone, min(max(int(day), 1), _LAST_DAY))


def _lifetime(target: Target, collector: Collector, moment: Clock) -> Span | None:
    """Return how long the rendered texts stay true: for ever (None), this day, this instant.

    All words for dates but ``now`` change only when a day of the definition's zone begins.
    """
    texts = [template.text for template in _templates(target, collector)]
    if any(map(_NOW.search, texts)):
        return Span(moment.now, moment.now + 1e-6)
    if any(map(_DATED.search, texts)):
        return span(Cycle.DAY, moment.now, zone=moment.zone)
    return None


def _templates(target: Target, collector: Collector) -> Iterator[Template]:
    yield from request_templates(collector.request)
    yield from auth_templates(target.auth)
    for param in target.definition.params.values():
        if param.default is not None:
            yield param.default
