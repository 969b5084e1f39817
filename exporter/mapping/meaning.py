"""What a value of an answer becomes, in words: each conversion on its way to the base unit."""

from exporter.kernel.cycles import find_zone
from exporter.kernel.timestamps import format_rfc3339
from exporter.kernel.units import Kind, find_unit
from exporter.mapping.labels import label
from exporter.mapping.misfit import number_text
from exporter.mapping.times import epoch
from exporter.mapping.values import Measure, amount, converted, limit_fact, measure
from exporter.model.definition import UnitRule, Value
from exporter.model.reading import Unlimited

NO_LIMIT = "no limit"
_MAJOR = Measure(find_unit("major"), "")
_BASES = {
    Kind.MONEY: "",
    Kind.QUANTITY: "(quantity)",
    Kind.BYTE_SECONDS: "byte-seconds",
    Kind.RATIO: "(ratio)",
}
_UNKNOWN = "an unknown limit, which is not published"


def number_meant(value: Value, unit: UnitRule | None, view: object, *, is_limit: bool) -> str:
    """Return what a number becomes: ``42.5 GB = 42500000000 bytes``. Raises Misfit.

    Without a unit it is money in major units, or a share.
    """
    found = amount(value, view, set())
    if found is None:
        return ""
    if isinstance(found, Unlimited):
        return NO_LIMIT
    known = _MAJOR if unit is None else measure(unit, view, set())
    number = converted(found, known.unit.factor)
    fact = limit_fact(number, value.zero) if is_limit else number
    if fact is None:
        return _UNKNOWN
    if isinstance(fact, Unlimited) or isinstance(number, Unlimited) or number is None:
        return NO_LIMIT
    return _in_base(found, known, number)


def instant_meant(found: object, path: str, zone: str) -> str:
    """Return the instant that a value means. Raises Misfit for what is no time."""
    when = epoch(found, path, find_zone(zone))
    return "no time" if when is None else format_rfc3339(when)


def text_meant(found: object) -> str:
    """Return the label that a value becomes. Raises Misfit for a map or a list."""
    return label(found, "")[0]


def _in_base(found: float, known: Measure, number: float) -> str:
    base = _BASES.get(known.unit.kind, known.unit.kind.value)
    told = f"{number_text(number)} {base}".rstrip()
    if known.unit.factor == 1:
        return told
    return f"{number_text(found)} {known.word} = {told}"
