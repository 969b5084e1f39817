"""One attempt of a poll, whatever it does: a deadline, and every escape closed.

What the end of a poll means to others: the events of it.

The runner: one heap of due times, one timer, and the polls that run.

The only owner of waiting and retrying. What is decided, the pure modules beside it decide; the
runner turns them, and sees to it that nothing can stop the turning. Waiting counts in loop time:
the wall clock is only asked what to show and to store, so that its jumps change nothing.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

import msgspec

from exporter.kernel.problems import type_and_place
from exporter.model.events import (
    Event,
    PollCrashed,
    PollFinished,
    ProcessResumed,
    RunnerMended,
    WaitCut,
)
from exporter.model.health import Health
from exporter.model.outcome import Failure, Poll, Reason
from exporter.model.target import AT_ONCE, Concurrency
from exporter.schedule import budget, state, status
from exporter.schedule.budget import Cut
from exporter.schedule.job import Job
from exporter.schedule.job_table import JobNames, JobTable
from exporter.schedule.persistence import Forgotten, Snapshot
from exporter.schedule.queue import (
    BudgetQueue,
    ConcurrencyLimiter,
    JobEntry,
    QueuePlace,
    RunningPoll,
    Timer,
    TimerHeap,
)
from exporter.schedule.state import Clocks, PollEnd
from exporter.schedule.status import JobStatus

_Result = TypeVar("_Result")


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """How an attempt ended. `error` is type and place of our own bug; "" when there is none."""

    poll: Poll
    error: str = ""


async def run_attempt(
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
        return crashed(job, type_and_place(raised), at=at, seconds=seconds)
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


def ending_events(
    entry: JobEntry, ended: Attempt, clocks: Clocks, cut: Cut | None
) -> Iterator[Event]:
    """Yield the events of every ended poll: that it crashed, that it ended, that a wait was cut."""
    job, after = entry.job, entry.state
    if ended.error:
        yield crash_event(entry, ended.error)
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


def crash_event(entry: JobEntry, error: str) -> PollCrashed:
    """Return the event of our own bug in a poll."""
    job = entry.job
    return PollCrashed(
        provider=job.provider, target=job.target, collector=job.collector, error=error
    )


BATCH = 256  # due items in one turn of the loop: after a long sleep it must not stand still
WATCH = 30.0  # seconds between two looks whether everything still turns
STUCK = 1.0  # seconds that the timer may be behind before that is a fault
PAUSE = 5.0  # seconds until anything is polled after such a fault
SUSPENDED = WATCH + 10.0  # seconds without any look: the process did not run
DEAF = 5.0  # seconds past its deadline after which a poll is told once more to end


class Runner:
    """Polls every job when it is due, one poll of a target at a time.

    `poll` makes one attempt and returns how it ended; whatever else it does (raise, hang) is taken
    for a failed poll. `emit` gets the events, `wall` is the clock of epoch seconds, `dice` gives
    numbers in [0, 1). `concurrency` bounds the polls at once, `per_budget` those of one budget.
    `seed` moves the phases of first polls. `started` is told the target of each poll that starts.
    `learn` takes in each poll that ended, before the next one is scheduled, and returns the highest
    ratio of used to limit that it speaks of: adaptive jobs come faster near a limit.

    To be made inside the running loop. `swap` gives it work, before or during `run`.
    """

    def __init__(
        self,
        *,
        poll: Callable[[Job], Awaitable[Poll]],
        emit: Callable[[Event], None],
        wall: Callable[[], float],
        dice: Callable[[], float],
        concurrency: Concurrency = AT_ONCE,
        per_budget: int = 2,
        seed: str = "",
        started: Callable[[str], None] | None = None,
        learn: Callable[[Poll], float | None] = lambda _: None,
    ) -> None:
        self._poll = poll
        self._learn = learn
        self._listener = emit
        self._wall = wall
        self._dice = dice
        self._started = started
        self._loop = asyncio.get_running_loop()
        self._roster = JobTable(seed)
        self._agenda: TimerHeap[JobEntry | BudgetQueue | Timer] = TimerHeap()
        self._slots = ConcurrencyLimiter(
            concurrency=concurrency,
            per_budget=per_budget,
            start=self._start,
            postpone=self._agenda.put,
        )
        self._seed = seed
        self._seen = self._loop.time()  # when the clock was last looked at
        self._resumed = -math.inf  # when a suspension ended
        self._timer: asyncio.Handle | None = None
        self._timer_due = math.inf
        self._group: asyncio.TaskGroup | None = None
        self._mended = 0
        self._all_attempted = False

    # --------------------------------------------------------------------------- what others do

    def swap(
        self, jobs: Iterable[Job], *, changed: JobNames = (), replaced: JobNames = ()
    ) -> Forgotten:
        """Make `jobs` the scheduled ones, at once and as a whole.

        Unchanged jobs keep state, timers and budget. Removed ones vanish: their running polls are
        cancelled and whatever those bring is dropped. Targets named in `changed` begin anew; those
        in `replaced`, which are other accounts now, also forget how their polls ended. Raises
        ValueError, and changes nothing, if a target has two jobs of one collector. Returns whom it
        forgot.
        """
        change = self._roster.swap(jobs, self._loop.time(), changed=changed, replaced=replaced)
        for entry in change.retired:
            self._agenda.drop(entry)
        self._call_off(change.retired)
        for entry in change.admitted:
            self._agenda.put(entry, entry.state.due)
        for entry in change.refitted:
            if entry.place is QueuePlace.AGENDA:
                self._agenda.put(entry, entry.state.due)
        for lane in change.closed:
            self._agenda.drop(lane)
        self._give_turns()
        return change.forgotten

    def forget_idle(self) -> Forgotten:
        """Forget what is kept of the gone and holds nothing back any more."""
        return self._roster.forget_idle(self._loop.time())

    def limit(self, concurrency: Concurrency) -> None:
        """Bound the polls at once anew, from the next start or end of one on."""
        self._slots.concurrency = concurrency

    def wake(self, target: str) -> None:
        """Poll `target` at once: its secret changed. A wait for throttling stays a wait."""
        now = self._loop.time()
        for entry in self._roster.targets.get(target, ()):
            entry.lane.budget = budget.secret_changed(entry.lane.budget)
            if entry.running is not None:
                entry.running.again = entry.running.started < now
            else:
                self._wake(entry, now)
        self._give_turns()

    def known_as(self, budget: str, other: str) -> None:
        """Keep a budget under another key, too: its secret was changed."""
        self._roster.known_as(budget, other)

    def notice_suspension(self) -> bool:
        """Poll soon what came due while the process did not run; return whether it did not.

        The polls are spread as first ones are. A loop of which timers stand still in a suspension
        needs to be asked for this every few seconds. A poll whose time ran down meanwhile is called
        off: its connection is as old.
        """
        now = self._loop.time()
        gap, self._seen = now - self._seen, now
        if gap < SUSPENDED or self._group is None:
            return False
        self._resumed = now
        self._call_off([entry for entry, _ in self._slots.overdue(now)])
        self._emit(ProcessResumed(seconds=gap))
        if self._timer is not None:  # it was set by the time that stood still
            self._timer.cancel()
            self._timer = None
        self._arm()
        return True

    def clock_moved(self, by: float) -> None:
        """Keep the ages as they are: the wall clock was set forward by so many seconds."""
        self._roster.clock_moved(by)

    def at(self, epoch: float, callback: Callable[[], object]) -> Timer:
        """Call back at `epoch`; the timer that is returned can be cancelled."""
        timer = Timer(callback, self._agenda.drop)
        self._agenda.put(timer, self._loop.time() + epoch - self._wall())
        self._arm()
        return timer

    def attempted(self) -> bool:
        """Tell whether every target had its first attempt, at least once."""
        self._all_attempted = self._all_attempted or all(
            entry.state.health is not Health.NEVER_POLLED for entry in self._roster.entries()
        )
        return self._all_attempted

    def statuses(self, targets: Iterable[str] | None = None) -> tuple[JobStatus, ...]:
        """Return what there is to know of every job, or of those of `targets`."""
        clocks, names = self._clocks(), self._roster.targets if targets is None else targets
        entries = [entry for name in names for entry in self._roster.targets.get(name, ())]
        lanes = {entry.lane.key: entry.lane for entry in entries}
        of_lanes = {key: status.budget_status(lane, clocks) for key, lane in lanes.items()}
        return tuple(
            status.job_status(entry, of_lanes[entry.lane.key], clocks) for entry in entries
        )

    def statuses_of(self, target: str) -> tuple[JobStatus, ...]:
        """Return what there is to know of the jobs of one target."""
        clocks = self._clocks()
        return tuple(
            status.job_status(entry, status.budget_status(entry.lane, clocks), clocks)
            for entry in self._roster.targets.get(target, ())
        )

    def waits(self) -> dict[tuple[str, str], float]:
        """Return the seconds left by (provider, target), for those alone that wait.

        Asked at each scrape: the cost depends on how many wait, not on how many there are.
        """
        return self._roster.waits(self._loop.time())

    def sharing(self, target: str) -> tuple[str, ...]:
        """Return the targets whose jobs share a budget with those of `target`, itself included."""
        budgets = dict.fromkeys(entry.lane.key for entry in self._roster.targets.get(target, ()))
        return tuple(
            dict.fromkeys(
                entry.job.target for key in budgets for entry in self._roster.members(key)
            )
        )

    def lateness(self) -> float:
        """Return the seconds by which the poll that waits longest for us is late; 0 when none."""
        now = self._loop.time()
        due = self._agenda.next_time()
        behind = 0.0 if due is None else now - due
        return max(0.0, behind, self._slots.owed(now))

    def snapshot(self) -> Snapshot:
        """Return what must survive a restart, in wall time."""
        return self._roster.snapshot(self._clocks())

    def snapshot_of(self, target: str) -> Snapshot:
        """Return what must survive of one target's jobs, and of the budgets that they share."""
        return self._roster.snapshot_of(target, self._clocks())

    def restore(self, snapshot: Snapshot) -> None:
        """Remember what an earlier process knew. Call it before the first `swap`.

        A snapshot may be put together of parts; its `at` is then the newest part's.
        """
        self._roster.restore(snapshot, self._clocks())

    async def run(self) -> None:
        """Poll until cancelled; then cancel the running polls, and wait for them to end."""
        if self._group is not None:
            raise RuntimeError("the runner runs already")
        try:
            async with asyncio.TaskGroup() as self._group:
                self._slots.closed = False
                self._seen = self._loop.time()
                self._give_turns()
                await self._watch()
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    # ------------------------------------------------------------------------------- the turning

    async def _watch(self) -> None:
        try:
            while True:
                await asyncio.sleep(WATCH)
                self._guard(self._look)
        finally:
            self._stop()

    def _look(self) -> None:
        """Notice what should be impossible: a heap that stands still, a poll that does not end."""
        if self.notice_suspension():
            return  # nothing of that time is a fault
        now, due = self._loop.time(), self._agenda.next_time()
        if due is not None and now - due > STUCK and self._timer is None:
            self._mend("the timer of the poll loop was lost")
        for entry, running in self._slots.overdue(now - DEAF):
            if not running.deaf:
                running.deaf = True
                running.cancel()
                self._emit(crash_event(entry, "a poll went on after its deadline"))
            elif entry.running is running:
                self._conclude(entry, running, self._crash(entry, running, "a poll does not end"))
                self._arm()

    def _stop(self) -> None:
        """Start nothing more; the group is about to cancel what runs, and we let it."""
        self._slots.closed = True
        self._group = None
        for _, running in self._slots.overdue(math.inf):
            running.dropped = True

    def _arm(self) -> None:
        """Set the one timer to the first due time."""
        due = self._agenda.next_time()
        if due is None or self._group is None:
            return
        if self._timer is not None:
            # Kept here: uvloop's handle of what is due at once has no `when`.
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._tick, due)
        self._timer_due = due

    def _tick(self, due: float) -> None:
        self._timer = None
        _ = self.notice_suspension()
        # A timer may fire a clock tick early; what it was set for is due nevertheless.
        self._guard(self._turn, max(due, self._loop.time()))
        self._arm()

    def _turn(self, now: float) -> None:
        for _ in range(BATCH):
            match self._agenda.pop_due(now):
                case None:
                    return
                case JobEntry() as entry if entry.state.due < self._resumed and self._is_crowd():
                    self._spread(entry)
                case JobEntry() as entry:
                    self._slots.push(entry)
                    self._slots.pump(entry.lane, now)
                case BudgetQueue() as lane:
                    self._slots.pump(lane, now)
                case Timer() as timer:
                    self._call(timer.callback)

    def _is_crowd(self) -> bool:
        return len(self._agenda) > state.FIRST_PER_SECOND

    def _spread(self, entry: JobEntry) -> None:
        """Let a poll that came due in a suspension come soon, and not in the same second as all."""
        job = entry.job
        share = state.phase(self._seed, job.target, job.collector)
        spread = state.first_spread(len(self._agenda), job.interval)
        due = self._resumed + share * spread
        entry.state = msgspec.structs.replace(entry.state, due=due)
        self._put(entry)

    def _give_turns(self) -> None:
        """Look at every lane again: what holds it may have changed."""
        self._slots.enlist(self._roster.lanes.values())
        self._guard(self._slots.drain, self._loop.time())
        self._arm()

    # ---------------------------------------------------------------------------------- one poll

    def _start(self, entry: JobEntry, now: float) -> None:
        if self._group is None:
            return
        lane, cost = entry.lane, entry.state.cost
        task = self._group.create_task(run_attempt(self._poll, entry.job, wall=self._wall))
        lane.budget = budget.poll_started(
            lane.budget, lane.limits, now, cost=cost, in_flight=lane.in_flight, demand=lane.demand
        )
        running = RunningPoll(now, cost, lane.host, task.cancel)
        entry.lateness = max(0.0, now - max(entry.state.due, lane.excused))
        self._slots.take(entry, running)
        task.add_done_callback(partial(self._ended, entry, running))
        if self._started is not None:
            self._call(partial(self._started, entry.job.target))

    def _ended(self, entry: JobEntry, running: RunningPoll, task: asyncio.Task[Attempt]) -> None:
        if entry.running is not running:
            return  # it was given up, and what it brings now is nobody's
        ended: Attempt | None = None
        if not task.cancelled() and task.exception() is None:
            ended = task.result()
        elif not running.dropped:
            ended = self._crash(entry, running, "a poll was cancelled by somebody else")
        self._guard(self._conclude, entry, running, ended)
        self._arm()

    def _crash(self, entry: JobEntry, running: RunningPoll, error: str) -> Attempt:
        seconds = self._loop.time() - running.started
        return crashed(entry.job, error, at=self._wall() - seconds, seconds=seconds)

    def _conclude(self, entry: JobEntry, running: RunningPoll, ended: Attempt | None) -> None:
        """Take in the end of a poll; None: we called it off."""
        self._slots.free(entry, running)
        clocks = self._clocks()
        if ended is not None:
            self._settle(entry, running, ended, clocks)
        elif entry.place is not QueuePlace.GONE:
            if self._group is None:
                entry.state = state.process_stopped(entry.job, entry.state, running.started)
                entry.lane.budget = budget.process_died(entry.lane.budget, running.started)
            else:
                entry.state = state.poll_cancelled(entry.job, entry.state, running.started)
            self._put(entry)
        if running.again and entry.place is QueuePlace.AGENDA:
            self._wake(entry, clocks.now)
        self._release(entry, running, clocks.now)

    def _release(self, entry: JobEntry, running: RunningPoll, now: float) -> None:
        """Let those go on who waited for this poll: its siblings, its host, its lane, the line."""
        for sibling in self._roster.targets.get(entry.job.target, ()):
            if sibling.place is QueuePlace.PARKED:
                self._slots.push(sibling)
                self._slots.enlist((sibling.lane,))
        lane = entry.lane
        if lane.jobs == 0 and not lane.running:
            self._agenda.drop(lane)
            self._roster.close(lane)
        else:
            self._slots.enlist((lane,))
        self._slots.pass_on(running.host, now)
        self._slots.drain(now)

    def _settle(
        self, entry: JobEntry, running: RunningPoll, ended: Attempt, clocks: Clocks
    ) -> None:
        """Take in how a poll ended: budget, state, events."""
        lane, job, old = entry.lane, entry.job, entry.state
        waited = lane.budget.until
        end = PollEnd(
            now=clocks.now, wall=clocks.wall, started=running.started, chance=self._dice()
        )
        lane.budget, cut = budget.poll_ended(
            lane.budget,
            lane.limits,
            ended.poll,
            end,
            cost=running.cost,
            spent=len(ended.poll.exchanges) or running.cost,  # no exchange is reported: as expected
            interval=job.interval,
            period_end=old.period_end,
        )
        if lane.budget.until > waited:
            self._call_off(lane.running)
        if entry.place is QueuePlace.GONE:
            self._roster.note(entry, clocks.now)
            return
        entry.state, events = state.poll_ended(
            job,
            old,
            ended.poll,
            end,
            budget_wait=lane.budget.until,
            ratio=self._call(partial(self._learn, ended.poll)),
        )
        lane.demand += (entry.state.cost - old.cost) / job.interval
        self._roster.note(entry, clocks.now)
        self._put(entry)
        for event in (*ending_events(entry, ended, clocks, cut), *events):
            self._emit(event)

    def _call_off(self, entries: Iterable[JobEntry]) -> None:
        """Cancel polls, and drop what they bring: removed, or their budget must wait.

        A poll goes on to its next page, which would be a request inside the wait.
        """
        for entry in entries:
            if entry.running is not None:
                entry.running.dropped = True
                entry.running.cancel()

    def _put(self, entry: JobEntry) -> None:
        entry.place = QueuePlace.AGENDA
        self._agenda.put(entry, entry.state.due)

    def _wake(self, entry: JobEntry, now: float) -> None:
        woken = state.secret_changed(entry.job, entry.state, now)
        if woken is not entry.state and entry.place is QueuePlace.AGENDA:
            entry.state = woken
            self._put(entry)

    # --------------------------------------------------------------------------------- the guards

    def _clocks(self) -> Clocks:
        return Clocks(now=self._loop.time(), wall=self._wall())

    def _emit(self, event: Event) -> None:
        self._call(partial(self._listener, event))

    def _call(self, callback: Callable[[], _Result]) -> _Result | None:
        """Call somebody else's code: what it raises is reported, and stops nothing."""
        try:
            return callback()
        except Exception as error:  # noqa: BLE001 - the runner outlives its listeners
            message = f"a listener of the poll loop failed: {type_and_place(error)}"
            self._loop.call_exception_handler({"message": message})
            return None

    def _guard(self, step: Callable[..., None], *arguments: object) -> None:
        try:
            step(*arguments)
        except Exception as error:  # noqa: BLE001 - the heap must turn
            self._mend(type_and_place(error))

    def _mend(self, error: str) -> None:
        """Set the heap going again, from the entries, which are the truth."""
        self._mended += 1
        self._emit(RunnerMended(error=error, times=self._mended))
        now = self._loop.time()
        for entry in self._roster.entries():
            if entry.running is None:
                # Whose poll just ended comes after an interval: a bug must not become a hammer.
                wait = entry.state.interval if entry.place is QueuePlace.RUNNING else PAUSE
                entry.place = QueuePlace.AGENDA
                self._agenda.put(entry, max(entry.state.due, now + wait))
        self._arm()
