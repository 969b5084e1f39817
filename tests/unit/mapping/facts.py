"""What collectors say, made up: usages, bills, parts, and the samples that come of them."""

from collections.abc import Mapping

from exporter.kernel.calendar import Span
from exporter.kernel.units import Kind
from exporter.mapping.forecast import Points
from exporter.mapping.samples import samples
from exporter.mapping.status import History, target_status
from exporter.model.families import Sample
from exporter.model.reading import Item, Money, Note, Reading, Usage
from exporter.model.target import Target
from tests.unit.mapping.factories import NOVEMBER, NOW, collector, target

MONTH = Span(*NOVEMBER)
DAY = 86400.0


def made(**more: object) -> Target:
    names = ("usage", "limits", "costs")
    return target(definition={"collectors": {name: collector(name) for name in names}}, **more)


def usage(resource: str = "bandwidth", **more: object) -> Usage:
    more = {"kind": Kind.BYTES, "unit": "GB", **more}
    return Usage(resource=resource, **more)  # type: ignore[arg-type]


def item(name: str, value: float, **more: object) -> Item:
    more = {"resource": "bandwidth", "kind": Kind.BYTES, "group": "test", **more}
    return Item(item=name, value=value, **more)  # type: ignore[arg-type]


def reading(
    *facts: Usage | Money | Item, collector: str = "usage", at: float = NOW, **more: object
) -> Reading:
    return Reading(
        collector=collector,
        at=at,
        usages=tuple(one for one in facts if isinstance(one, Usage)),
        money=tuple(one for one in facts if isinstance(one, Money)),
        items=tuple(one for one in facts if isinstance(one, Item)),
        **more,  # type: ignore[arg-type]
    )


def published(
    *facts: Usage | Money | Item, of: Target | None = None, now: float = NOW
) -> tuple[list[Sample], tuple[Note, ...]]:
    found, notes = samples(target_status(of or made(), {"usage": reading(*facts)}, now))
    return list(found), notes


def lines(found: list[Sample]) -> dict[str, float]:
    """Write samples as ``family{account,rest}``; the provider is always the same."""
    assert all(one.labels[0] == "acme" for one in found)
    return {f"{one.family}{{{','.join(one.labels[1:])}}}": one.value for one in found}


def past(points: Mapping[tuple[str, str], Points]) -> History:
    """Return a history of these points, by account label and resource."""
    return lambda account, resource, before: points.get((account, resource), ())


def bill(**more: object) -> Money:
    more = {"currency": "USD", "cost": 50.0, **more}
    return Money(**more)  # type: ignore[arg-type]
