"""Vendors' answers and the numbers that were worked out of them by hand.

Each case of `expected.json` says how it is read in a few operations; here they become rules, so
that the numbers come out of the engine itself.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.kernel.jmes import Selector, compile_path
from exporter.kernel.units import Kind, Unit
from exporter.model.definition.roles import Items, Resource
from exporter.model.definition.rows import Rows, Step
from exporter.model.definition.values import Missing, UnitRule, Value
from exporter.model.reading import Known, LimitFact, Unlimited
from exporter.model.target import Target
from tests.unit.mapping.factories import (
    collector,
    instant,
    items,
    reading,
    reduce,
    resource,
    rows,
    target,
    unit,
    unit_at,
    value,
)

FIXTURES = Path(__file__).parent / "fixtures"
SCALES = {"1": "quantity", "cents": "percent"}  # money is tested elsewhere: the factor counts


def _cases() -> Iterator[object]:
    for folder in sorted(FIXTURES.iterdir()):
        expected = json.loads((folder / "expected.json").read_text())
        for sample in expected["samples"]:
            yield pytest.param(folder, sample, id=f"{folder.name}: {sample['metric']}")


@pytest.mark.parametrize(("folder", "sample"), list(_cases()))
def test_the_engine_reads_what_was_worked_out_by_hand(folder: Path, sample: Any) -> None:
    spec = sample["spec"]
    documents = [_document(folder, case, spec) for case in spec["cases"]]
    found = _parts(spec, documents) if "labels" in spec else _total(spec, documents)
    expected = {
        tuple(one["labels"].values()): math.inf if one["value"] == "+Inf" else one["value"]
        for one in sample["expected"]
    }
    assert found == pytest.approx(expected, rel=1e-12)


def _document(folder: Path, case: str, spec: Any) -> object:
    index = json.loads((folder / "index.json").read_text())
    answer = next(one for one in index["exchanges"] if one["case"] == case)["response"]
    if spec.get("from") == "headers":
        return {name.lower(): text for name, text in answer["headers"].items()}
    text = (folder / answer["body"]).read_text()
    if answer["body"].endswith(".jsonl"):
        return [json.loads(line) for line in text.splitlines()]
    return json.loads(text)


def _parts(spec: Any, documents: list[object]) -> dict[tuple[str, ...], float]:
    label = f"to_string([{', '.join(spec['labels'].values())}])"
    rule = items(
        "parts",
        _rows(spec, documents[0]),
        label,
        used=_value(spec),
        unit=_unit(spec),
        reduce=reduce(spec.get("reduce", "sum"), spec.get("by")),
    )
    found = reading(_target(spec, rule), *documents).items
    return {tuple(text or "" for text in json.loads(one.item)): one.value for one in found}


def _total(spec: Any, documents: list[object]) -> dict[tuple[str, ...], float]:
    how = spec.get("reduce")
    timestamp = spec.get("type") == "timestamp"
    rule = resource(
        "total",
        _rows(spec, documents[0]),
        unit=_unit(spec),
        used=None if "sentinel" in spec or timestamp else _value(spec),
        limit=_value(spec) if "sentinel" in spec else None,
        ratio=value("`0`") if timestamp else None,
        as_of=instant(*_paths(spec)) if timestamp else None,
        reduce=None if how is None else reduce(how, spec.get("by")),
    )
    found = [
        _number(one.as_of if timestamp else one.used if one.limit is None else one.limit)
        for one in reading(_target(spec, rule), *documents).usages
    ]
    return dict.fromkeys([()], found[0]) if found and found[0] is not None else {}


def _number(found: float | LimitFact | None) -> float | None:
    match found:
        case Known(value=number):
            return number
        case Unlimited():
            return math.inf
        case _:
            return found


def _target(spec: Any, rule: Resource | Items) -> Target:
    form = "headers" if spec.get("from") == "headers" else "json"
    return target(rule, definition={"collectors": {"usage": collector(form=form)}})


def _rows(spec: Any, document: object) -> Rows:
    steps: list[Step] = []
    if "items" in spec:
        steps.append(Step(path=_listed(spec["items"], document), optional=True))
    for name, path in spec.get("each", ()):
        bare = path.removeprefix("root.")
        start = _listed(bare, document) if bare != path else compile_path(path)
        steps.append(Step(path=start, name=name, optional=True))
    return rows(*steps, where=spec.get("where"))


def _listed(path: str, document: object) -> Selector:
    """A map becomes its entries; here the definition says so."""
    found = compile_path(path)
    return compile_path(f"items({path})") if isinstance(found(document), dict) else found


def _paths(spec: Any) -> list[str]:
    return [spec["value"]] if isinstance(spec["value"], str) else spec["value"]


def _value(spec: Any) -> Value:
    return value(
        *_paths(spec),
        pattern=re.compile(spec["regex"]) if "regex" in spec else None,
        missing=Missing(spec.get("missing", "skip")),
        unlimited=tuple(json.loads(mark) for mark in spec.get("sentinel", ())),
    )


def _unit(spec: Any) -> UnitRule:
    if "unit_from" in spec:
        words = {word: SCALES.get(name, name) for word, name in spec["unit_map"].items()}
        return unit_at(spec["unit_from"], words)
    scale = str(spec.get("scale", "1"))
    if scale.replace(".", "").isdigit():
        return UnitRule(unit=Unit("factor", Kind.QUANTITY, float(scale)))
    return unit(SCALES.get(scale, scale))
