"""Usages: what a resource's rule reads from an answer."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from exporter.kernel.units import Kind, Unit
from exporter.mapping.labels import fixed, name
from exporter.mapping.misfit import Misfit
from exporter.mapping.period import instant
from exporter.mapping.reduce import adds, empty_total
from exporter.mapping.scene import Scene
from exporter.mapping.scope import Row
from exporter.mapping.values import Amount, Measure, agreed, measures
from exporter.model.definition import Resource, UnitRule, Value
from exporter.model.reading import LimitFact, Note, Usage

_ROLES = ("used", "limit", "remaining", "ratio", "projected", "next_period", "overage")
_ACCRUED = ("used", "overage")
"""The roles of which no rows mean zero; of a limit or a projection they mean nothing."""
_SHOWN = 5  # new keys that a note names
_RATIO = "ratio"
_WHOLE = UnitRule(unit=Unit("ratio", Kind.RATIO, 1.0))
_Role: TypeAlias = tuple[str, Value, UnitRule]


class _Numbers(NamedTuple):
    by_role: dict[str, Amount]
    measure: Measure


def usages(rule: Resource, scene: Scene) -> list[Usage]:
    """Return one usage for each name among the rows of `rule`. Raises Misfit."""
    found = scene.rows(rule.rows)
    if not found.rows:
        return _of_no_rows(rule, scene) if found.present and fixed(rule.name) else []
    roles = _roles(rule)
    read = []
    groups = _by_name(rule, found.rows, scene)
    most = scene.target.max_series
    scene.dropped += max(len(groups) - most, 0)
    for series, rows in itertools.islice(groups.items(), most):
        try:
            usage = _usage(rule, roles, series, rows, scene)
        except Misfit as misfit:
            raise misfit if fixed(rule.name) else misfit.at(series) from misfit.__cause__
        if usage is not None:
            read.append(usage)
    scene.remember(rule.rows)
    return read


def _by_name(rule: Resource, rows: list[Row], scene: Scene) -> dict[str, list[Row]]:
    """Group rows by their common name. Two keys of one name are rows of one series."""
    groups: dict[str, list[Row]] = {}
    if fixed(rule.name):
        key = name(rule.name, None, scene.seen)
        groups[rule.rename.get(key, key)] = rows
    else:
        for row in rows:
            key = name(rule.name, row[0], scene.seen)
            groups.setdefault(rule.rename.get(key, key), []).append(row)
    if rule.known:
        new = [key for key in groups if key not in rule.known]
        if new:
            shown = ", ".join(new[:_SHOWN]) + (", …" if len(new) > _SHOWN else "")
            scene.notes.append(Note(reason="new_key", detail=shown, count=len(new)))
    if rule.only is None:
        return groups
    return {key: rows for key, rows in groups.items() if key in rule.only}


def _usage(
    rule: Resource, roles: Sequence[_Role], series: str, rows: list[Row], scene: Scene
) -> Usage | None:
    numbers, found = _numbers(rule, roles, rows, scene)
    limit = scene.limit(rule.limit, numbers, series)
    known = {
        role: number
        for role, number in numbers.items()
        if isinstance(number, float) and role != "limit"
    }
    if limit is None and not known:
        return None
    return _stated(rule, series, rows, scene, measure=found, known=known, limit=limit)


def _of_no_rows(rule: Resource, scene: Scene) -> list[Usage]:
    """Return what an empty list says: a sum is 0, and the last of nothing is nothing."""
    totals: dict[str, float] = {}
    for role in _ACCRUED:
        value: Value | None = getattr(rule, role)
        total = None if value is None else empty_total(value.reduce or rule.reduce)
        if total is not None:
            totals[role] = total
    unit = rule.unit if rule.used is None or rule.used.unit is None else rule.used.unit
    if not totals or unit.unit is None:  # without a row there is no word for its unit
        return []
    measure = Measure(unit.unit, unit.unit.name)
    series = next(iter(_by_name(rule, [], scene)), None)
    if series is None:
        return []
    return [_stated(rule, series, (), scene, measure=measure, known=totals, limit=None)]


def _stated(
    rule: Resource,
    series: str,
    rows: Sequence[Row],
    scene: Scene,
    *,
    measure: Measure,
    known: Mapping[str, float],
    limit: LimitFact | None,
) -> Usage:
    level = rule.level or series in rule.levels
    sums = len(scene.documents) > 1 and adds(rule, _ROLES)
    period, closed = scene.billing(rule.period, rows, level=level, adds=sums)
    return Usage(
        resource=series,
        kind=measure.unit.kind,
        unit=measure.word,
        account=scene.account,
        level=level,
        used=known.get("used"),
        limit=limit,
        remaining=known.get("remaining"),
        ratio=known.get("ratio"),
        projected=known.get("projected"),
        next_period=known.get("next_period"),
        overage=known.get("overage"),
        as_of=_as_of(rule, rows, scene),
        period=period,
        closed=closed,
    )


def _numbers(rule: Resource, roles: Sequence[_Role], rows: list[Row], scene: Scene) -> _Numbers:
    """Read every role. All but the ratio must be measured in one kind of unit."""
    numbers: dict[str, Amount] = {}
    common: Measure | None = None
    own: list[Measure] | None = None
    for role, value, unit in roles:
        try:
            if unit is not rule.unit:
                found = measures(unit, rows, scene.seen)
            else:
                found = own = own or measures(unit, rows, scene.seen)
            number = scene.number(value, rows, found, rule.reduce)
            if role != _RATIO:
                common = common or found[0]
                agreed(common, found[0])
        except Misfit as misfit:
            raise misfit.at(role) from misfit.__cause__
        if number is not None:
            numbers[role] = number
    return _Numbers(numbers, common or measures(rule.unit, rows, scene.seen)[0])


def _roles(rule: Resource) -> list[_Role]:
    """Return the roles that `rule` has, each with its unit. A ratio's is not the resource's."""
    found = []
    for role in _ROLES:
        value: Value | None = getattr(rule, role)
        if value is not None:
            otherwise = _WHOLE if role == _RATIO else rule.unit
            found.append((role, value, value.unit or otherwise))
    return found


def _as_of(rule: Resource, rows: Sequence[Row], scene: Scene) -> float | None:
    if rule.as_of is None:
        return None
    try:
        times = [instant(rule.as_of, row[0], scene.seen) for row in rows]
    except Misfit as misfit:
        raise misfit.at("as_of") from misfit.__cause__
    return max((time for time in times if time is not None), default=None)
