"""One attempt of a poll, whatever it does: a deadline, and every escape closed."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from exporter.model.outcome import Failure, Poll, Reason
from exporter.schedule.job import Job


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """How an attempt ended. `error` is type and place of our own bug; "" when there is none."""

    poll: Poll
    error: str = ""


async def attempt(
    poll: Callable[[Job], Awaitable[Poll]], job: Job, *, wall: Callable[[], float]
) -> Attempt:
    """Poll once within the job's time. Raises only if it was cancelled, or by Ctrl-C."""
    loop = asyncio.get_running_loop()
    at, began = wall(), loop.time()
    deadline = asyncio.timeout(job.timeout)
    try:
        async with deadline:
            result = await poll(job)
    except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as raised:  # noqa: BLE001 - a dead task is impossible
        seconds = loop.time() - began
        if deadline.expired():
            detail = f"no complete answer within {job.timeout:g} s"
            failure = Failure(reason=Reason.TIMEOUT, detail=detail)
            return Attempt(failed(job, failure, at=at, seconds=seconds))
        return crashed(job, place_of(raised), at=at, seconds=seconds)
    if isinstance(result, Poll):
        return Attempt(result)
    error = f"a poll returned {type(result).__name__}"  # type: ignore[unreachable]
    return crashed(job, error, at=at, seconds=loop.time() - began)


def crashed(job: Job, error: str, *, at: float, seconds: float) -> Attempt:
    """Return the attempt of a poll that failed by our own bug."""
    failure = Failure(reason=Reason.INTERNAL, detail=error)
    return Attempt(failed(job, failure, at=at, seconds=seconds), error)


def failed(job: Job, failure: Failure, *, at: float, seconds: float) -> Poll:
    """Return the poll of a job of which nothing is known but that it failed."""
    return Poll(
        target=job.target,
        provider=job.provider,
        collector=job.collector,
        at=at,
        seconds=seconds,
        outcome=failure,
    )


def place_of(error: BaseException) -> str:
    """Return the type of `error` and where it was raised. Its text may hold values: never that."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = type(error).__name__
    if trace is None:
        return name
    code = trace.tb_frame.f_code
    return f"{name} in {code.co_qualname} ({code.co_filename.rpartition('/')[2]}:{trace.tb_lineno})"
