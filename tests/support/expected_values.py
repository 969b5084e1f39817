"""The values that were worked out by hand, looked for among the lines of an exposition."""

import json
import math
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from exporter.kernel.units import find_unit, snake

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_UNLIMITED = "+Inf"
BASE = "base"
"""In the unit that is published."""


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


def series(name: str, provider: str) -> str:
    """Return the whole name of a series that cases.yaml writes without provider and account.

    ``usage_bytes{resource="storage"}`` is short for the series of the account ``test``.
    """
    family, _, labels = name.removesuffix("}").partition("{")
    others = f",{labels}" if labels else ""
    return f'{family}{{provider="{provider}",account="test"{others}}}'


def published(lines: Iterable[str]) -> dict[str, float]:
    """Return the values of an exposition by series."""
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def in_base_unit(wanted: Wanted, unit: str) -> float:
    """Return what must be published: the value, which expected.json leaves in `unit`.

    No limit is published as 1, by the label ``limit_kind`` of the series.
    """
    if wanted.value == _UNLIMITED:
        return 1.0
    return float(wanted.value) * (1.0 if unit == BASE else find_unit(unit).factor)


def same(value: float | None, wanted: float) -> bool:
    """Tell whether two numbers are the same but for the rounding of sums."""
    return value is not None and math.isclose(value, wanted, rel_tol=1e-12, abs_tol=0.0)


def traces(metric: Metric, lines: Iterable[str]) -> list[str]:
    """Return the lines that could be a value of the metric, raw or converted, by number and labels.

    For what must not be published at all: every way that it could be there counts.
    """
    return [
        line
        for line in lines
        for wanted in metric.wanted
        if any(
            same(float(line.rpartition(" ")[2]), in_base_unit(wanted, unit))
            for unit in _units(wanted)
        )
        and _has(line, wanted)
    ]


def _units(wanted: Wanted) -> list[str]:
    try:
        find_unit(wanted.labels.get("unit", ""))
    except ValueError:  # messages, numbers: the vendor's own word for one of them
        return [BASE]
    return [BASE, wanted.labels["unit"]]


def _has(line: str, wanted: Wanted) -> bool:
    """Compare words, not spellings: apiCalls is the resource api_calls. A unit is converted."""
    labels = dict(_LABEL.findall(line))
    words = {snake(text) for text in labels.values()} | set(labels.values())
    return all(
        text in words or snake(text) in words or any(word.endswith(snake(text)) for word in words)
        for name, text in wanted.labels.items()
        if name != "unit"
    )
