"""How a target is: the samples that are there whether or not its values are known."""

from collections.abc import Iterable, Iterator

from exporter.model.reading import RateLimit
from exporter.model.sample import Sample
from exporter.schedule.view import JobStatus


def health(statuses: Iterable[JobStatus]) -> Iterator[Sample]:
    """Yield the health samples of the jobs of one target.

    ``usage_up`` and the last success are there from the first attempt and the first success on:
    before, nothing is known.
    """
    for status in statuses:
        labels = (status.provider, status.target, status.collector)
        if status.last_attempt is not None:
            up = 0.0 if status.failures else 1.0
            yield Sample(family="usage_up", labels=labels, value=up)
        if status.last_success is not None:
            yield Sample(
                family="usage_last_success_timestamp_seconds",
                labels=labels,
                value=round(status.last_success, 3),
            )
        yield Sample(
            family="usage_next_poll_timestamp_seconds",
            labels=labels,
            value=round(status.next_poll, 3),
        )


def throttle(provider: str, account: str, rate: RateLimit | None) -> Iterator[Sample]:
    """Yield what the vendor's headers last said of its API's own throttle."""
    if rate is None:
        return
    for family, value in (
        ("usage_api_rate_limit", rate.limit),
        ("usage_api_rate_limit_remaining", rate.remaining),
        ("usage_api_rate_limit_reset_timestamp_seconds", rate.reset_at),
    ):
        if value is not None:
            yield Sample(family=family, labels=(provider, account), value=value)
