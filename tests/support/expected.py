"""The values that were worked out by hand, looked for among the lines of an exposition."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from exporter.kernel.snake import snake
from exporter.kernel.units import find_unit

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_UNLIMITED = "+Inf"


class Line(msgspec.Struct, frozen=True):
    """A series: family, label values by name, value."""

    family: str
    labels: dict[str, str]
    value: float


class Wanted(msgspec.Struct, frozen=True):
    """One value of expected.json: a number, or "+Inf" for no limit."""

    labels: dict[str, str]
    value: float | str


class Metric(msgspec.Struct, frozen=True):
    """One sample set of expected.json, read from the exchanges `cases`."""

    name: str
    cases: tuple[str, ...]
    wanted: tuple[Wanted, ...]


def metrics(folder: Path) -> list[Metric]:
    """Return what expected.json of a provider says."""
    tree = json.loads((folder / "expected.json").read_text())
    return [
        Metric(
            name=one["metric"],
            cases=tuple(one["spec"]["cases"]),
            wanted=tuple(msgspec.convert(one["expected"], list[Wanted])),
        )
        for one in tree["samples"]
    ]


def parse(lines: Iterable[str]) -> list[Line]:
    """Split lines of an exposition."""
    return [_line(line) for line in lines]


def missing(
    metric: Metric, lines: Sequence[Line], *, unit: str = "", any_labels: bool = False
) -> list[Wanted]:
    """Return the wanted values that no line has, under labels of the same words.

    `unit` is that of values which expected.json leaves as the vendor wrote them; a value whose
    labels name a unit may be in it, too.
    """
    return [
        wanted
        for wanted in metric.wanted
        if not any(
            _is(line, wanted, factor) and (any_labels or _has(line, wanted))
            for line in lines
            for factor in (1.0, _factor(unit), _factor(wanted.labels.get("unit", "")))
        )
    ]


def _factor(unit: str) -> float:
    try:
        return find_unit(unit).factor
    except ValueError:  # messages, numbers: the vendor's own word for one of them
        return 1.0


def _line(line: str) -> Line:
    name, _, value = line.rpartition(" ")
    family, _, labels = name.partition("{")
    return Line(family, dict(_LABEL.findall(labels)), float(value))


def _is(line: Line, wanted: Wanted, factor: float) -> bool:
    if wanted.value == _UNLIMITED:
        return line.labels.get("limit_kind") == "unlimited"
    return math.isclose(line.value, float(wanted.value) * factor, rel_tol=1e-12, abs_tol=0.0)


def _has(line: Line, wanted: Wanted) -> bool:
    """Compare words, not spellings: apiCalls is the resource api_calls. A unit is converted."""
    words = {snake(text) for text in line.labels.values()} | set(line.labels.values())
    return all(
        text in words or snake(text) in words or any(word.endswith(snake(text)) for word in words)
        for name, text in wanted.labels.items()
        if name != "unit"
    )
