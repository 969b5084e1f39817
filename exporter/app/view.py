"""The status page's values: how the resources of a target stand, and how its polls go."""

from collections.abc import Callable

from exporter import __version__
from exporter.app.engine import Engine
from exporter.kernel.units import Kind
from exporter.mapping.status import UsageStatus
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
        status = self._engine.publisher.status(target)
        spend = [one for one in status.money if one.main and one.limit is not None]
        statuses = self._engine.runner.statuses_of(target.name)
        longest = max(statuses, key=lambda status: status.wait, default=None)
        return TargetView(
            provider=target.provider,
            account=target.name,
            title=target.definition.title,
            plan=status.plans.get(target.name, ""),
            labels=target.labels,
            health=worst(status.health for status in statuses),
            wait=longest.cause.wait if longest and longest.cause else None,
            wait_seconds=longest.wait if longest else 0.0,
            wait_cause=longest.cause.value if longest and longest.cause else "",
            resources=tuple(_resource(target, one) for one in (*spend, *status.usages)),
            costs=tuple(_cost(target, one) for one in status.money),
            collectors=tuple(
                _collector(job, published=job.collector in status.readings) for job in statuses
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


def _resource(target: Target, one: UsageStatus) -> ResourceView:
    """Show a resource; of money, the share of its budget: the amounts are shown as a cost."""
    amounts = (None,) * 3 if one.kind is Kind.MONEY else (one.used, one.limit, one.projected)
    used, limit, projected = amounts
    return ResourceView(
        resource=one.resource,
        account="" if one.account == target.name else one.account,
        kind="ratio" if amounts == (None,) * 3 else one.kind.value,
        unit=one.unit,
        used=used,
        limit=limit,
        limit_kind=one.limit_kind,
        ratio=one.ratio,
        projected=projected,
        projected_ratio=one.projected_ratio,
        projection=one.projection,
        exhaustion=one.exhausted_at,
        period_start=one.period_start,
        period_end=one.period_end,
        data_time=one.as_of,
    )


def _cost(target: Target, one: UsageStatus) -> CostView:
    return CostView(
        currency=one.unit,
        account="" if one.account == target.name else one.account,
        cost=one.used,
        base=one.base,
        overage=one.overage,
        limit=one.limit,
        projected=one.projected,
        balance=one.balance,
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
