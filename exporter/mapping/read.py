"""Payload to reading: all rules of a definition that read a collector's answer."""

from collections.abc import Callable
from typing import TypeVar

from exporter.kernel.secrets import clip
from exporter.kernel.select import SelectError
from exporter.mapping.asked import Asked
from exporter.mapping.breakdown import items
from exporter.mapping.gathered import Gathered, combined
from exporter.mapping.labels import label_at
from exporter.mapping.misfit import Misfit, told
from exporter.mapping.money import money
from exporter.mapping.resources import usages
from exporter.mapping.scene import ROWS, Scene
from exporter.model.definition import AccountPlan, Format, NameParts
from exporter.model.outcome import Failure, Payload, Reason
from exporter.model.reading import Note, Reading
from exporter.model.target import Target

_DETAIL = 400  # characters of a failure: place, path and finding, each already cut
_KEYS = 8  # of an answer in which nothing matched
_Rule = TypeVar("_Rule")
_Read = TypeVar("_Read")


def read(
    target: Target, collector: str, payloads: tuple[Payload, ...], at: float
) -> Reading | Failure:
    """Return all that the answers to one poll of `collector` say, or why they cannot be read.

    `at` is the instant (epoch seconds) that the request was rendered for: calendar periods and
    dates of the request are worked out from it. Payloads without pages give an empty reading.
    One rule that does not fit fails the whole: half an answer would be published as the whole.
    """
    gathered = Gathered()
    try:
        for payload in payloads:
            if payload.pages:
                _read_payload(target, collector, payload, at, gathered)
                gathered.trim(target.max_series)
    except Misfit as misfit:
        return Failure(reason=Reason.SCHEMA, detail=clip(str(misfit), _DETAIL))
    return gathered.reading(collector, at, target.max_series)


def drift(before: Reading, after: Reading) -> tuple[Note, ...]:
    """Return a note for each path that gave something in `before` and gives nothing in `after`.

    That is how a renamed field looks. A path below a list that has no rows now is not gone, and
    neither is anything where the vendor says that there is nothing.
    """
    lists = tuple(f"{path} " for path in after.matched if path.endswith(ROWS))
    gone = [
        path
        for path in sorted(before.matched - after.matched)
        if not path.endswith(ROWS) and (f"{ROWS} " not in path or path.startswith(lists))
    ]
    return tuple(Note(reason="path_gone", detail=path) for path in gone if after.matched)


def _read_payload(
    target: Target, collector: str, payload: Payload, at: float, gathered: Gathered
) -> None:
    scene = Scene(
        target=target,
        asked=Asked(target, payload.account, at),
        documents=[page.document for page in payload.pages],
        account=payload.account,
    )
    learned = gathered.size()
    rules = _apply_rules(scene, collector, gathered) - scene.left_out
    nothing = gathered.size() == learned and not scene.matched and not scene.answered
    if rules > 0 and nothing and not _is_headers(target, collector):
        met = _outline(scene.documents[0])
        raise Misfit("", f"none of {rules} rule(s) found a value in the answer: it is {met}.")
    gathered.notes = [*combined([*gathered.notes, *scene.notes])] if scene.notes else gathered.notes
    gathered.dropped += scene.dropped
    gathered.matched |= scene.matched


def _outline(document: object) -> str:
    """Say what an answer is: for a map its first keys, which tell an error from a new shape."""
    if not isinstance(document, dict) or not document:
        return told(document)
    shown = ", ".join(list(document)[:_KEYS]) + (", …" if len(document) > _KEYS else "")
    return f"a map of {clip(shown, 120)}"


def _is_headers(target: Target, collector: str) -> bool:
    """Headers may well be absent: that is how some vendors say that there is no limit."""
    known = target.definition.collectors.get(collector)
    return known is not None and known.format is Format.HEADERS


def _apply_rules(scene: Scene, collector: str, gathered: Gathered) -> int:
    """Apply every rule of `collector`; return how many there were."""
    definition = scene.target.definition
    resources = [rule for rule in definition.resources if rule.collector == collector]
    costs = [rule for rule in definition.costs if rule.collector == collector]
    parts = [
        rule
        for rule in definition.items
        if rule.collector == collector and (rule.always or scene.target.items)
    ]
    for resource in resources:
        gathered.usages += _applied(usages, resource, scene, "resources", resource.name)
    for cost in costs:
        gathered.money += _applied(money, cost, scene, "costs", ())
    for part in parts:
        gathered.items += _applied(items, part, scene, "items", part.resource)
    plan = definition.plan
    if plan is not None and plan.collector == collector and (named := _plan(plan, scene)):
        gathered.plans[scene.account] = named
    return len(resources) + len(costs) + len(parts)


def _applied(
    apply: Callable[[_Rule, Scene], list[_Read]],
    rule: _Rule,
    scene: Scene,
    section: str,
    name: NameParts,
) -> list[_Read]:
    try:
        return apply(rule, scene)
    except (Misfit, SelectError) as error:
        parts = [part if isinstance(part, str) else f"{{{part.text}}}" for part in name]
        place = f"{section}[{''.join(parts)}]" if parts else section
        misfit = error if isinstance(error, Misfit) else Misfit("", str(error))
        raise misfit.at(place) from error.__cause__


def _plan(rule: AccountPlan, scene: Scene) -> str:
    try:
        text, _ = label_at(rule.paths, scene.documents[0], scene.matched)
    except (Misfit, SelectError) as error:
        misfit = error if isinstance(error, Misfit) else Misfit("", str(error))
        raise misfit.at("plan") from error.__cause__
    return text
