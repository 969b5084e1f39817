"""Money: what a cost's rule reads from an answer, by currency."""

from collections.abc import Mapping, Sequence

from exporter.kernel.secrets import clip
from exporter.kernel.select import Selector
from exporter.kernel.templates import Template
from exporter.kernel.units import Kind, Unit, find_unit, is_currency, minor_factor
from exporter.mapping.misfit import Misfit, told
from exporter.mapping.reduce import adds, empty_total
from exporter.mapping.scene import Scene
from exporter.mapping.scope import Row
from exporter.mapping.values import Amount, Measure, first, measures
from exporter.model.definition import Cost, Reduce, UnitRule, Value
from exporter.model.reading import LimitFact, Money

_ROLES = ("cost", "base", "overage", "limit", "remaining", "projected")
_ACCRUED = ("cost", "base", "overage")
_MAJOR = UnitRule(unit=find_unit("major"))
_MINOR = "minor"  # the unit whose size the currency decides


def money(rule: Cost, scene: Scene) -> list[Money]:
    """Return one entry for each currency among the rows of `rule`. Raises Misfit."""
    found = scene.rows(rule.rows)
    if not found.rows:
        return _of_no_rows(rule, scene) if found.present else []
    read = []
    for code, rows in _by_currency(rule, found.rows, scene).items():
        try:
            one = _money(rule, code, rows, scene)
        except Misfit as misfit:
            raise misfit.at(code) if code else misfit from misfit.__cause__
        if one is not None:
            read.append(one)
    scene.remember(rule.rows)
    return read


def _by_currency(rule: Cost, rows: list[Row], scene: Scene) -> dict[str, list[Row]]:
    if not rule.currency:
        return {currency((), rule.fixed_currency, None, scene): rows}
    groups: dict[str, list[Row]] = {}
    for row in rows:
        code = currency(rule.currency, rule.fixed_currency, row[0], scene)
        groups.setdefault(code, []).append(row)
    return groups


def currency(
    paths: tuple[Selector, ...], fixed: Template | None, view: object, scene: Scene
) -> str:
    """Return the ISO 4217 code of a row in capitals; "" where neither row nor rule names one.

    Raises Misfit for a text that is no code: money is never guessed.
    """
    found = first(paths, view, scene.seen)
    if found is None or found == "":
        found = scene.asked.text(fixed, scene.target.definition.zone) or ""
    code = found.strip().upper() if isinstance(found, str) else None
    if code is None or (code and not is_currency(code)):
        shown = f'"{clip(found, 20)}"' if isinstance(found, str) else told(found)
        path = paths[0].text if paths else ""
        raise Misfit(path, f"{shown} is no currency of ISO 4217 (USD, EUR, JPY).").at("currency")
    return code


def charged(
    value: Value, code: str, rows: Sequence[Row], otherwise: Reduce | None, scene: Scene
) -> Amount | None:
    """Return an amount of money in major units. Raises Misfit for one without a currency."""
    found = measures(value.unit or _MAJOR, rows, scene.seen)
    if code and any(one.unit.name == _MINOR for one in found):
        minor = Measure(Unit(_MINOR, Kind.MONEY, minor_factor(code)), _MINOR)
        found = [minor if one.unit.name == _MINOR else one for one in found]
    number = scene.number(value, rows, found, otherwise)
    if number is not None and not code:
        raise Misfit(value.paths[0].text, "there is money here, but no currency.")
    return number


def _money(rule: Cost, code: str, rows: list[Row], scene: Scene) -> Money | None:
    numbers: dict[str, Amount] = {}
    for role in _ROLES:
        value: Value | None = getattr(rule, role)
        if value is None:
            continue
        try:
            number = charged(value, code, rows, rule.reduce, scene)
        except Misfit as misfit:
            raise misfit.at(role) from misfit.__cause__
        if number is not None:
            numbers[role] = number
    limit = scene.limit(rule.limit, numbers, code)
    known = {
        role: number
        for role, number in numbers.items()
        if isinstance(number, float) and role != "limit"
    }
    if limit is None and not known:
        return None
    return _stated(rule, code, rows, scene, known=known, limit=limit)


def _of_no_rows(rule: Cost, scene: Scene) -> list[Money]:
    """Return 0 where no row was charged and the currency does not stand in the rows."""
    code = currency((), rule.fixed_currency, None, scene)
    totals: dict[str, float] = {}
    for role in _ACCRUED:
        value: Value | None = getattr(rule, role)
        total = None if value is None else empty_total(value.reduce or rule.reduce)
        if total is not None:
            totals[role] = total
    if not code or not totals:
        return []
    return [_stated(rule, code, (), scene, known=totals, limit=None)]


def _stated(
    rule: Cost,
    code: str,
    rows: Sequence[Row],
    scene: Scene,
    *,
    known: Mapping[str, float],
    limit: LimitFact | None,
) -> Money:
    sums = len(scene.documents) > 1 and adds(rule, _ROLES)
    period, closed = scene.billing(rule.period, rows, level=False, adds=sums)
    return Money(
        currency=code,
        account=scene.account,
        cost=known.get("cost"),
        base=known.get("base"),
        overage=known.get("overage"),
        limit=limit,
        remaining=known.get("remaining"),
        projected=known.get("projected"),
        period=period,
        closed=closed,
    )
