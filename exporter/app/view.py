"""The status page's values: what the series of a target say, and how its polls go."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from exporter import __version__
from exporter.app.engine import Engine
from exporter.mapping.samples import target_samples
from exporter.model.families import IDENTITY, MEASURED, Sample
from exporter.model.health import freshness, worst
from exporter.model.reading import RateLimit
from exporter.model.target import Target
from exporter.observe.history import PollHistory
from exporter.schedule.status import BudgetStatus, JobStatus
from exporter.web.response import TimeSlice
from exporter.web.view import (
    ApiView,
    CollectorView,
    CostView,
    FailureView,
    ResourceView,
    StatusView,
    TargetView,
)

_SHARED = {
    "usage_ratio": "ratio",
    "usage_projected_ratio": "projected_ratio",
    "usage_exhaustion_timestamp_seconds": "exhaustion",
    "usage_period_start_timestamp_seconds": "period_start",
    "usage_period_end_timestamp_seconds": "period_end",
    "usage_data_timestamp_seconds": "data_time",
}
_MEASURES = {
    f"{prefix}{kind.value}": (field, kind.value)
    for prefix, field in (
        ("usage_", "used"),
        ("usage_limit_", "limit"),
        ("usage_projected_", "projected"),
    )
    for kind in MEASURED
}
_COSTS = {
    "usage_cost": "cost",
    "usage_cost_base": "base",
    "usage_cost_overage": "overage",
    "usage_cost_limit": "limit",
    "usage_cost_projected": "projected",
}
_IDENTITY = len(IDENTITY)


class Viewer:
    """Builds the view when somebody looks: nothing is kept for it."""

    def __init__(
        self,
        engine: Engine,
        history: PollHistory,
        *,
        wall: Callable[[], float],
        problems: Callable[[], tuple[str, ...]],
    ) -> None:
        self._engine = engine
        self._history = history
        self._wall = wall
        self._problems = problems
        self._started = wall()

    async def status(self) -> StatusView:
        """Return the view of all targets, letting others have their turn in between."""
        time_slice = TimeSlice()
        views = []
        for target in list(self._engine.plan.targets.values()):
            views.append(self._target(target))
            await time_slice.pause()
        return StatusView(
            version=__version__,
            now=self._wall(),
            started=self._started,
            config_problems=self._problems(),
            targets=tuple(views),
        )

    def _target(self, target: Target) -> TargetView:
        engine, now = self._engine, self._wall()
        readings = engine.board.readings(target.name, now, target.stale_after)
        found, _ = target_samples(target, readings, now, engine.chronicle.of(target.name))
        statuses = engine.runner.statuses_of(target.name)
        longest = max(statuses, key=lambda status: status.wait, default=None)
        info = next((one for one in found if one.family == "usage_account_info"), None)
        return TargetView(
            provider=target.provider,
            account=target.name,
            title=target.definition.title,
            plan=info.labels[2] if info else "",
            labels=target.labels,
            health=worst(status.health for status in statuses),
            wait=longest.cause.wait if longest and longest.cause else None,
            wait_seconds=longest.wait if longest else 0.0,
            wait_cause=longest.cause.value if longest and longest.cause else "",
            resources=_resources(target, found),
            costs=_costs(target, found),
            collectors=tuple(
                _collector(status, published=status.collector in readings) for status in statuses
            ),
            failures=tuple(
                FailureView(
                    at=mishap.at,
                    collector=mishap.collector,
                    reason=mishap.reason.value,
                    detail=mishap.detail,
                )
                for mishap in self._history.recent(target.name).failures
            ),
            api=_api(statuses[0].budget) if statuses else None,
        )


def _resources(target: Target, found: Iterable[Sample]) -> tuple[ResourceView, ...]:
    fields: dict[tuple[str, str], dict[str, object]] = defaultdict(dict)
    for sample in found:
        if len(sample.labels) < _IDENTITY or sample.family.startswith("usage_item_"):
            continue
        held = fields[sample.labels[1], sample.labels[2]]
        if sample.family in _MEASURES:
            field, kind = _MEASURES[sample.family]
            held |= {field: sample.value, "kind": kind}
        elif sample.family in _SHARED:
            held[_SHARED[sample.family]] = sample.value
        elif sample.family == "usage_info":
            unit, limit_kind, _, projection = sample.labels[_IDENTITY:]
            held |= {"unit": unit, "limit_kind": limit_kind, "projection": projection}
    return tuple(
        _resource(target, account, resource, held)
        for (account, resource), held in fields.items()
        if len(held) > 0
    )


def _resource(
    target: Target, account: str, resource: str, held: Mapping[str, object]
) -> ResourceView:
    whose = "" if account == target.name else account
    values = {"kind": "ratio", **held}
    return ResourceView(resource=resource, account=whose, **values)  # type: ignore[arg-type]


def _costs(target: Target, found: Iterable[Sample]) -> tuple[CostView, ...]:
    fields: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for sample in found:
        if sample.family in _COSTS:
            fields[sample.labels[1], sample.labels[2]][_COSTS[sample.family]] = sample.value
    return tuple(
        CostView(currency=currency, account="" if account == target.name else account, **held)
        for (account, currency), held in fields.items()
    )


def _api(budget: BudgetStatus) -> ApiView:
    told = budget.rate or RateLimit()
    return ApiView(
        reserve=budget.reserve, limit=told.limit, remaining=told.remaining, reset=told.reset_at
    )


def _collector(status: JobStatus, *, published: bool) -> CollectorView:
    return CollectorView(
        collector=status.collector,
        health=status.health,
        freshness=freshness(
            status.health, published=published, succeeded=status.last_success is not None
        ),
        interval=status.interval,
        last_success=status.last_success,
        next_poll=status.next_poll,
        failures=status.failures,
        reason="" if status.reason is None else status.reason.value,
        detail=status.detail,
    )
