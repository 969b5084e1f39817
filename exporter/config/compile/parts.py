"""A rule is split by where its numbers come from: one part for each collector and set of rows."""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from exporter.config.compile.leaves import Scope
from exporter.config.compile.rows import Names, rows
from exporter.config.findings import Place
from exporter.config.grammar import rules as grammar
from exporter.config.grammar.rules import RowsText, ValueText
from exporter.kernel.problems import did_you_mean
from exporter.model.definition import Rows


class Terms(msgspec.Struct, frozen=True):
    """What the rules of a definition may refer to; `read` collects the collectors they do."""

    collectors: tuple[str, ...]
    scope: Scope
    zone: str
    read: set[str] = msgspec.field(default_factory=set)

    def collector(self, place: Place, text: str | UnsetType) -> str:
        """Return the collector that is meant, by default the first."""
        name = self.collectors[0] if isinstance(text, UnsetType) and self.collectors else str(text)
        if name not in self.collectors:
            hint = did_you_mean(name, self.collectors)
            place.error(f'There is no collector "{name}".{hint}')
        self.read.add(name)
        return name


class Part(msgspec.Struct, frozen=True):
    """The roles of a rule that are read from the same rows."""

    collector: str
    rows: Rows
    names: Names
    roles: dict[str, grammar.Value]


def parts(
    place: Place, text: RowsText, roles: Mapping[str, grammar.Value | UnsetType], terms: Terms
) -> list[Part]:
    """Split a rule. The first part is the rule's own rows, unless no role reads these."""
    written = {role: value for role, value in roles.items() if not isinstance(value, UnsetType)}
    elsewhere = {
        role: value
        for role, value in written.items()
        if isinstance(value, ValueText) and _is_elsewhere(value)
    }
    here = {role: value for role, value in written.items() if role not in elsewhere}
    collector = terms.collector(place / "collector", text.collector)
    found, names = rows(place, text.each, text.where, text.join)
    split = [Part(collector, found, names, here)] if here or not elsewhere else []
    seen: list[tuple[object, Part]] = []
    for role, value in elsewhere.items():
        key = (value.source, value.each, value.where)
        part = next((part for other, part in seen if other == key), None)
        if part is None:
            part = _part(place / role, value, collector, terms)
            seen.append((key, part))
        part.roles[role] = value
    return split + [part for _, part in seen]


def _is_elsewhere(value: ValueText) -> bool:
    return any(own is not UNSET for own in (value.source, value.each, value.where))


def _part(place: Place, value: ValueText, collector: str, terms: Terms) -> Part:
    if not isinstance(value.source, UnsetType):
        collector = terms.collector(place / "from", value.source)
    found, names = rows(place, value.each, value.where, [])
    return Part(collector, found, names, {})
