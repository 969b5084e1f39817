"""What the end of a poll means to others: the events of it."""

from collections.abc import Iterator

from exporter.model.event import Event, PollCrashed, PollFinished, WaitCut
from exporter.schedule.attempt import Attempt
from exporter.schedule.budget import Cut
from exporter.schedule.lanes import Entry
from exporter.schedule.memory import Clocks


def ending(entry: Entry, ended: Attempt, clocks: Clocks, cut: Cut | None) -> Iterator[Event]:
    """Yield the events of every ended poll: that it crashed, that it ended, that a wait was cut."""
    job, after = entry.job, entry.state
    if ended.error:
        yield crash(entry, ended.error)
    yield PollFinished(
        poll=ended.poll,
        failures=after.failures,
        next_poll=clocks.epoch(max(clocks.now, after.due, entry.lane.budget.until)),
        lateness=entry.lateness,
        interval=after.interval,
    )
    if cut is not None:
        yield WaitCut(
            provider=job.provider, target=job.target, asked=cut.asked, applied=cut.applied
        )


def crash(entry: Entry, error: str) -> PollCrashed:
    """Return the event of our own bug in a poll."""
    job = entry.job
    return PollCrashed(
        provider=job.provider, target=job.target, collector=job.collector, error=error
    )
