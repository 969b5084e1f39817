"""Many rows of one series become one number."""

from collections.abc import Callable, Iterable, Sequence

from exporter.mapping.misfit import Misfit
from exporter.mapping.scope import Row
from exporter.mapping.times import epochs
from exporter.mapping.values import UNLIMITED, Amount, total
from exporter.model.definition import Cost, How, Reduce, Resource, Value
from exporter.model.reading import Unlimited


def reduced(
    rule: Reduce | None, rows: Sequence[Row], amounts: Sequence[Amount | None]
) -> Amount | None:
    """Return the one number of `rows`, whose numbers `amounts` are; rows without one are passed.

    None: no row gave a number. A sum or a maximum with an unlimited part is unlimited. Raises
    Misfit for several rows without a rule, and for a time that cannot be read.
    """
    if rule is None:
        if len(rows) > 1:
            raise Misfit("", _AMBIGUOUS.format(len(rows)))
        return amounts[0] if amounts else None
    if rule.how is How.COUNT:
        return float(sum(amount is not None for amount in amounts))
    if rule.how is How.FIRST or rule.how is How.LAST:
        return _by_time(rule, rows, amounts)
    numbers = [amount for amount in amounts if isinstance(amount, float)]
    endless = any(isinstance(amount, Unlimited) for amount in amounts)
    if endless and (rule.how is not How.MIN or not numbers):
        return UNLIMITED
    return _FOLDS[rule.how](numbers) if numbers else None


def empty_total(rule: Reduce | None) -> float | None:
    """Return what no rows at all come to, where the list itself was there: a sum is 0."""
    return 0.0 if rule is not None and rule.how in (How.SUM, How.COUNT) else None


def adds(rule: Resource | Cost, roles: Iterable[str]) -> bool:
    """Tell whether a role of `rule` is a sum of all rows, so that all must be of one period."""
    values: list[Value | None] = [getattr(rule, role) for role in roles]
    rules = [rule.reduce, *(value.reduce for value in values if value is not None)]
    return any(one is not None and one.how in (How.SUM, How.COUNT) for one in rules)


_AMBIGUOUS = (
    "{} rows give this series a value. The definition says `reduce: sum` (or max, min, first, "
    "last), or names the series apart."
)


_FOLDS: dict[How, Callable[[Sequence[float]], float]] = {
    How.SUM: total,
    How.MAX: max,
    How.MIN: min,
}


def _by_time(rule: Reduce, rows: Sequence[Row], amounts: Sequence[Amount | None]) -> Amount | None:
    given = [number for number, amount in enumerate(amounts) if amount is not None]
    if not given:
        return None
    if rule.by is None:
        return amounts[given[0 if rule.how is How.FIRST else -1]]
    by = rule.by
    times = epochs([by(rows[number][0]) for number in given], by.text)
    # Of rows with one time, such as a day that was restated, position decides.
    ordered = zip(times, given, strict=True)
    return amounts[(min if rule.how is How.FIRST else max)(ordered)[1]]
