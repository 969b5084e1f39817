"""Events with usual values; a test states only those that it is about."""

from exporter.model.events import PollFinished
from exporter.model.outcome import Exchange, Failure, Poll, Reason, Unchanged
from exporter.model.reading import Reading

NOON = 1_795_348_800.0


def a_poll(
    outcome: Reading | Unchanged | Failure | None = None,
    *,
    target: str = "video-prod",
    provider: str = "tpstreams",
    collector: str = "usage",
    at: float = NOON,
    statuses: tuple[int | None, ...] = (200,),
) -> Poll:
    return Poll(
        target=target,
        provider=provider,
        collector=collector,
        at=at,
        seconds=0.25,
        outcome=outcome or Reading(collector=collector, at=at),
        exchanges=tuple(an_exchange(status) for status in statuses),
    )


def an_exchange(status: int | None) -> Exchange:
    return Exchange(
        method="GET",
        url="https://api.example/usage?token=<secret>",
        request_headers={},
        status=status,
        headers={},
        size=2000,
        seconds=0.2,
    )


def a_failure(reason: Reason = Reason.TIMEOUT, detail: str = "no answer within 30 s") -> Failure:
    return Failure(reason=reason, detail=detail)


def finished(poll: Poll | None = None, *, failures: int = 0) -> PollFinished:
    return PollFinished(
        poll=poll or a_poll(), failures=failures, next_poll=NOON + 300, lateness=0.001
    )
