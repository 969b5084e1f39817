"""One payload in the light of its target: what the rules read from, and what they add to."""

from collections.abc import Sequence

import msgspec

from exporter.kernel.timestamps import format_rfc3339
from exporter.mapping.asked import Asked
from exporter.mapping.misfit import Misfit
from exporter.mapping.period import NO_PERIOD, Billing, billing, rolled_over
from exporter.mapping.reduce import reduced
from exporter.mapping.scope import Row, Scope, scope
from exporter.mapping.values import (
    UNLIMITED,
    Amount,
    Measure,
    amount,
    converted,
    limit_fact,
    plain_amounts,
)
from exporter.model.definition import Period, Reduce, Rows, Value, Zero
from exporter.model.reading import Known, LimitFact, Note, Unlimited
from exporter.model.target import Target

ROWS = " /"
"""What stands behind the place of rows in `Reading.matched`: ``results /``, with the paths of the
row after it: ``results / bandwidth_used``."""


_ROLLED_OVER = (
    "one page tells of a period that ends at {}, another of one that begins at {}: their sum would "
    "be of neither. It ended while the pages were turned; the next poll reads the new one."
)


class Scene(msgspec.Struct, kw_only=True):
    """What one payload is read with. Notes and matched paths gather here.

    `seen` are the paths of the present rule that gave something, as they stand in the definition.
    `answered`: a list that a rule iterates was there, so that an answer without rows is an answer.
    `dropped`: series that were not even read, because there are more than the target may have.
    `left_out`: the rules whose optional list was not there; those expect nothing of an answer.
    """

    target: Target
    asked: Asked
    documents: Sequence[object]
    account: str
    notes: list[Note] = msgspec.field(default_factory=list)
    matched: set[str] = msgspec.field(default_factory=set)
    seen: set[str] = msgspec.field(default_factory=set)
    answered: bool = False
    left_out: int = 0
    dropped: int = 0
    _periods: dict[tuple[int, ...], Billing] = msgspec.field(default_factory=dict)
    _rooted: dict[int, bool] = msgspec.field(default_factory=dict)
    _scopes: dict[int, Scope] = msgspec.field(default_factory=dict)

    def rows(self, rows: Rows) -> Scope:
        """Return the rows of all pages; rules with the same rows share one list of them."""
        found = self._scopes.get(id(rows))
        if found is None:
            found = self._scopes[id(rows)] = scope(rows, self.documents)
        if rows.steps:
            if found.present or len(rows.steps) > 1:
                self.answered = True
            else:
                self.left_out += 1
            if found.rows:
                self.matched.add(rows.place + ROWS)
        return found

    def remember(self, rows: Rows) -> None:
        """Keep the paths of a rule that gave something, with the place of its rows."""
        if rows.steps:
            place = rows.place + ROWS
            self.matched.update([f"{place} {path}" for path in self.seen])
        else:
            self.matched |= self.seen
        self.seen.clear()

    def billing(
        self, own: Period | None, rows: Sequence[Row], *, level: bool, adds: bool = False
    ) -> Billing:
        """Return the period of a series: its rule's own, else for a flow the definition's.

        The paths of a rule's own period see what its other paths see, those of the definition's
        the document. Of rows with different periods the latest counts; but a sum that `adds` pages
        of two periods is the sum of neither: raises Misfit.
        """
        default = self.target.definition.period
        if own is not None and own is not default:
            if own.start is None and own.end is None:
                return self._kept((own,), own, None)
            if len(rows) == 1 and self._is_rooted(own, rows[0]):
                return self._kept((own, rows[0][1]), own, rows[0][0])
            found = [self._billing(own, row[0]) for row in rows] or [self._billing(own, None)]
            self._check(found, rows, adds=adds)
            return max(found, key=lambda one: 0.0 if one.period is None else one.period.end)
        if default is None or (level and own is None):
            return NO_PERIOD
        if len(self.documents) == 1:  # and so one period
            return self._kept((default, self.documents[0]), default, self.documents[0])
        documents = [row[1] for row in rows] or self.documents[-1:]
        found = [self._kept((default, document), default, document) for document in documents]
        self._check(found, rows, adds=adds)
        return found[-1]

    def _check(self, found: Sequence[Billing], rows: Sequence[Row], *, adds: bool) -> None:
        """Notice that a period ended while the pages were turned."""
        if adds:
            pages = [id(row[1]) for row in rows]
            seam = rolled_over([one.period for one in found], pages)
            if seam is not None:
                raise Misfit("", _ROLLED_OVER.format(*map(format_rfc3339, seam))).at("period")

    def _kept(self, same: tuple[object, ...], rule: Period, view: object) -> Billing:
        """Work a period out once for all that has the `same` rule and document."""
        key = tuple(map(id, same))
        known = self._periods.get(key)
        if known is None:
            known = self._periods[key] = self._billing(rule, view)
        return known

    def _is_rooted(self, rule: Period, row: Row) -> bool:
        """Tell whether a period reads nothing of its row but the document that it is from."""
        known = self._rooted.get(id(rule))
        if known is None:
            view, document = row
            named = isinstance(view, dict) and view.get("root") is document
            sides = [side for side in (rule.start, rule.end) if side is not None]
            paths = [path.plain for side in sides for path in side.paths]
            known = named and all(path is not None and path[0] == "root" for path in paths)
            self._rooted[id(rule)] = known
        return known

    def _billing(self, rule: Period, view: object) -> Billing:
        try:
            return billing(rule, view, self.asked, seen=self.matched, notes=self.notes)
        except Misfit as misfit:
            raise misfit.at("period") from misfit.__cause__

    def number(
        self,
        value: Value,
        rows: Sequence[Row],
        units: Sequence[Measure],
        otherwise: Reduce | None,
    ) -> Amount | None:
        """Return the one number that `value` has for the rows of a series, in its base unit.

        `units` are those of the rows; `otherwise` is the rule's reduction.
        """
        rule = value.reduce or otherwise
        if rule is None and len(rows) == 1:
            return converted(amount(value, rows[0][0], self.seen), units[0].unit.factor)
        amounts: Sequence[Amount | None] | None = plain_amounts(value, rows, units, self.seen)
        if amounts is not None:
            return reduced(rule, rows, amounts)
        amounts = [
            converted(amount(value, row[0], self.seen), one.unit.factor)
            for row, one in zip(rows, units, strict=True)
        ]
        return reduced(rule, rows, amounts)

    def limit(
        self, value: Value | None, numbers: dict[str, Amount], series: str
    ) -> LimitFact | None:
        """Return what the numbers of the roles ``limit`` and ``remaining`` say of the limit.

        A limit below zero means nothing, and is noted: a vendor that begins to write -1 for
        "unlimited" must not turn every ratio around.
        """
        fact = limit_fact(numbers.get("limit"), Zero.LIMIT if value is None else value.zero)
        if isinstance(fact, Known) and fact.value < 0:
            detail = f"{series}: {fact.value:g}. If it has a meaning, `unlimited` lists it."
            self.notes.append(Note(reason="negative_limit", detail=detail))
            return None
        if fact is None and isinstance(numbers.get("remaining"), Unlimited):
            return UNLIMITED
        return fact
