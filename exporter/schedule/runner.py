"""The poll loop: one heap of due times, one timer, and the polls that run.

The runner is the only part that waits, retries and cancels. What follows from an event is decided
by the pure steps in `state` and `budget`; the runner calls them, and keeps the bookkeeping of
`queue` and `job_table` true. A poll goes this way: `_start` creates a task and books its slots,
`run_attempt` bounds it by the job's deadline, `_ended` gets its end, `_take_in` gives the outcome
to the budget and the state, `_release` lets those go on that waited for it.

Waiting counts in loop time. The wall clock is only asked for what is shown or stored, so that its
jumps change nothing.

Exceptions in a step rebuild the heap from the entries (`_recover`) and are reported as our bug;
exceptions of listeners are reported and ignored; polls that raise or hang are failed polls.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TypeVar

import msgspec

from exporter.kernel.problems import type_and_place
from exporter.model.events import (
    Event,
    PollCrashed,
    PollFinished,
    ProcessResumed,
    RunnerRecovered,
    WaitCut,
)
from exporter.model.health import Health
from exporter.model.outcome import Failure, Poll, Reason
from exporter.model.target import AT_ONCE, Concurrency
from exporter.schedule import budget, state, status
from exporter.schedule.job import Job
from exporter.schedule.job_table import JobTable, Names
from exporter.schedule.persistence import Forgotten, Snapshot
from exporter.schedule.queue import (
    BudgetQueue,
    ConcurrencyLimiter,
    JobEntry,
    Place,
    RunningPoll,
    Timer,
    TimerHeap,
)
from exporter.schedule.state import Clocks, PollEnd
from exporter.schedule.status import JobStatus

_Result = TypeVar("_Result")
BATCH = 256  # due items in one turn of the loop: after a long sleep it must not stand still
CHECK_EVERY = 30.0  # seconds between two checks for a lost timer and hanging polls
LATE_TIMER = 1.0  # seconds that the timer may be behind before that is a fault
PAUSE = 5.0  # seconds until anything is polled after such a fault
SUSPENDED = CHECK_EVERY + 10.0  # seconds without any check: the process did not run
HUNG = 5.0  # seconds past its deadline after which a poll is cancelled once more


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
    except BaseException as raised:  # noqa: BLE001 - a poll that raises must not end the loop
        seconds = loop.time() - began
        if deadline.expired():
            detail = f"no complete answer within {job.timeout:g} s"
            failure = Failure(reason=Reason.TIMEOUT, detail=detail)
            return Attempt(_failed_poll(job, failure, at=at, seconds=seconds))
        return _crashed(job, type_and_place(raised), at=at, seconds=seconds)
    if isinstance(result, Poll):
        return Attempt(result)
    error = f"a poll returned {type(result).__name__}"  # type: ignore[unreachable]
    return _crashed(job, error, at=at, seconds=loop.time() - began)


def _crashed(job: Job, error: str, *, at: float, seconds: float) -> Attempt:
    """Return the attempt of a poll that failed by our own bug."""
    failure = Failure(reason=Reason.INTERNAL, detail=error)
    return Attempt(_failed_poll(job, failure, at=at, seconds=seconds), error)


def _failed_poll(job: Job, failure: Failure, *, at: float, seconds: float) -> Poll:
    return Poll(
        target=job.target,
        provider=job.provider,
        collector=job.collector,
        at=at,
        seconds=seconds,
        outcome=failure,
    )


class Runner:
    """Polls every job when it is due, one poll of a target at a time.

    `poll` makes one attempt and returns how it ended; whatever else it does (raise, hang) is taken
    for a failed poll. `emit` gets the events, `wall` is the clock of epoch seconds, `random` gives
    numbers in [0, 1). `concurrency` bounds the polls at once, `per_budget` those of one budget.
    `seed` moves the phases of first polls. `started` gets the target of each poll that starts.
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
        random: Callable[[], float],
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
        self._random = random
        self._started = started
        self._loop = asyncio.get_running_loop()
        self._table = JobTable(seed)
        self._timers: TimerHeap[JobEntry | BudgetQueue | Timer] = TimerHeap()
        self._limiter = ConcurrencyLimiter(
            concurrency=concurrency,
            per_budget=per_budget,
            start=self._start,
            come_back=self._timers.put,
        )
        self._seed = seed
        self._seen = self._loop.time()  # when the clock was last looked at
        self._resumed = -math.inf  # when a suspension ended
        self._timer: asyncio.Handle | None = None
        self._timer_due = math.inf
        self._group: asyncio.TaskGroup | None = None
        self._recoveries = 0
        self._all_attempted = False

    # -------------------------------------------------------------------- what to poll, and how

    def swap(self, jobs: Iterable[Job], *, changed: Names = (), replaced: Names = ()) -> Forgotten:
        """Make `jobs` the scheduled ones, at once and as a whole.

        Unchanged jobs keep state, timers and budget. Running polls of removed ones are cancelled,
        and what they bring is discarded. The request or credential of targets in `changed` is
        another one; those in `replaced` are other accounts, so that how their polls ended is
        forgotten too. Raises ValueError, and changes nothing, if a target has two jobs of one
        collector. Returns what is forgotten of jobs that are gone.
        """
        change = self._table.swap(jobs, self._loop.time(), changed=changed, replaced=replaced)
        for entry in change.removed:
            self._timers.drop(entry)
        self._cancel_polls(change.removed)
        for entry in (*change.added, *change.rescheduled):
            if entry.place is Place.TIMER:
                self._timers.put(entry, entry.state.due)
        for queue in change.closed:
            self._timers.drop(queue)
        self._try_all_queues()
        return change.forgotten

    def forget_idle(self) -> Forgotten:
        """Forget what is kept of removed jobs and holds nothing back any more."""
        return self._table.forget_idle(self._loop.time())

    def limit(self, concurrency: Concurrency) -> None:
        """Bound the polls at once, from the next start or end of one on."""
        self._limiter.concurrency = concurrency

    def wake(self, target: str) -> None:
        """Poll `target` at once: its secret changed. A wait for throttling stays a wait."""
        now = self._loop.time()
        for entry in self._table.targets.get(target, ()):
            entry.queue.budget = budget.secret_changed(entry.queue.budget)
            if entry.running is not None:
                entry.running.wake_after = entry.running.started < now
            else:
                self._wake(entry, now)
        self._try_all_queues()

    def known_as(self, budget: str, other: str) -> None:
        """Keep a budget under another key, too: its secret was changed."""
        self._table.known_as(budget, other)

    def at(self, epoch: float, callback: Callable[[], object]) -> Timer:
        """Call back at `epoch`; the timer that is returned can be cancelled."""
        timer = Timer(callback, self._timers.drop)
        self._timers.put(timer, self._loop.time() + epoch - self._wall())
        self._set_timer()
        return timer

    def clock_moved(self, by: float) -> None:
        """Keep the ages as they are: the wall clock was set forward by so many seconds."""
        self._table.clock_moved(by)

    def snapshot(self) -> Snapshot:
        """Return what must survive a restart, in wall time."""
        return self._table.snapshot(self._clocks())

    def snapshot_of(self, target: str) -> Snapshot:
        """Return what must survive of one target's jobs, and of the budgets that they share."""
        return self._table.snapshot_of(target, self._clocks())

    def restore(self, snapshot: Snapshot) -> None:
        """Remember what an earlier process knew. Call it before the first `swap`.

        A snapshot may be put together of parts; its `at` is then the newest part's.
        """
        self._table.restore(snapshot, self._clocks())

    # ----------------------------------------------------------------------------- how jobs are

    def attempted(self) -> bool:
        """Return whether every target had its first attempt, at least once."""
        self._all_attempted = self._all_attempted or all(
            entry.state.health is not Health.NEVER_POLLED for entry in self._table.entries()
        )
        return self._all_attempted

    def statuses(self, targets: Iterable[str] | None = None) -> tuple[JobStatus, ...]:
        """Return the status of every job, or of those of `targets`."""
        clocks, names = self._clocks(), self._table.targets if targets is None else targets
        entries = [entry for name in names for entry in self._table.targets.get(name, ())]
        queues = {entry.queue.key: entry.queue for entry in entries}
        budgets = {key: status.budget_status(queue, clocks) for key, queue in queues.items()}
        return tuple(
            status.job_status(entry, budgets[entry.queue.key], clocks) for entry in entries
        )

    def statuses_of(self, target: str) -> tuple[JobStatus, ...]:
        """Return the status of the jobs of one target."""
        return self.statuses((target,))

    def waits(self) -> dict[tuple[str, str], float]:
        """Return the seconds left by (provider, target), for those alone that wait.

        Asked at each scrape: the cost depends on how many wait, not on how many there are.
        """
        return self._table.waits(self._loop.time())

    def sharing(self, target: str) -> tuple[str, ...]:
        """Return the targets whose jobs share a budget with those of `target`, itself included."""
        keys = dict.fromkeys(entry.queue.key for entry in self._table.targets.get(target, ()))
        sharing = (entry.job.target for key in keys for entry in self._table.members(key))
        return tuple(dict.fromkeys(sharing))

    def lateness(self) -> float:
        """Return the seconds by which the poll that waits longest for us is late; 0 when none."""
        now = self._loop.time()
        due = self._timers.next_time()
        behind = 0.0 if due is None else now - due
        return max(0.0, behind, self._limiter.lateness(now))

    # ---------------------------------------------------------------------------------- the loop

    async def run(self) -> None:
        """Poll until cancelled; then cancel the running polls, and wait for them to end."""
        if self._group is not None:
            raise RuntimeError("the runner runs already")
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._limiter.closed = False
                self._seen = self._loop.time()
                self._try_all_queues()
                try:
                    while True:
                        await asyncio.sleep(CHECK_EVERY)
                        self._guard(self._check)
                finally:
                    # Start nothing more. The group cancels what runs, whose end is then ours.
                    self._limiter.closed = True
                    self._group = None
                    for _, running in self._limiter.overdue(math.inf):
                        running.discarded = True
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _check(self) -> None:
        """Find what should be impossible: a timer that was lost, a poll that does not end."""
        if self.notice_suspension():
            return  # nothing of that time is a fault
        now, due = self._loop.time(), self._timers.next_time()
        if due is not None and now - due > LATE_TIMER and self._timer is None:
            self._recover("the timer of the poll loop was lost")
        for entry, running in self._limiter.overdue(now - HUNG):
            if not running.hung:
                running.hung = True
                running.cancel()
                self._emit(_crash_event(entry.job, "a poll went on after its deadline"))
            elif entry.running is running:
                self._finish(entry, running, self._crash(entry, running, "a poll does not end"))
                self._set_timer()

    def notice_suspension(self) -> bool:
        """Poll soon what came due while the process did not run; return whether it did not.

        The polls are spread as first ones are. A loop whose timers stand still in a suspension
        must be asked for this every few seconds. A poll whose time ran down meanwhile is cancelled:
        its connection is as old.
        """
        now = self._loop.time()
        gap, self._seen = now - self._seen, now
        if gap < SUSPENDED or self._group is None:
            return False
        self._resumed = now
        self._cancel_polls([entry for entry, _ in self._limiter.overdue(now)])
        self._emit(ProcessResumed(seconds=gap))
        if self._timer is not None:  # it was set by the time that stood still
            self._timer.cancel()
            self._timer = None
        self._set_timer()
        return True

    def _set_timer(self) -> None:
        """Set the one timer to the first due time."""
        due = self._timers.next_time()
        if due is None or self._group is None:
            return
        if self._timer is not None:
            # Kept here: uvloop's handle of what is due at once has no `when`.
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._timer_fired, due)
        self._timer_due = due

    def _timer_fired(self, due: float) -> None:
        self._timer = None
        _ = self.notice_suspension()
        # A timer may fire a clock tick early; what it was set for is due nevertheless.
        self._guard(self._run_due, max(due, self._loop.time()))
        self._set_timer()

    def _run_due(self, now: float) -> None:
        for _ in range(BATCH):
            match self._timers.pop_due(now):
                case None:
                    return
                case JobEntry() as entry:
                    waiting = len(self._timers)
                    if entry.state.due < self._resumed and waiting > state.FIRST_PER_SECOND:
                        # Of many that came due in a suspension, all would start in one second.
                        phase = state.phase(self._seed, entry.job.target, entry.job.collector)
                        spread = state.first_spread(waiting, entry.job.interval)
                        due = self._resumed + phase * spread
                        entry.state = msgspec.structs.replace(entry.state, due=due)
                        self._schedule(entry)
                    else:
                        self._limiter.push(entry)
                        self._limiter.start_due(entry.queue, now)
                case BudgetQueue() as queue:
                    self._limiter.start_due(queue, now)
                case Timer() as timer:
                    self._call(timer.callback)

    def _try_all_queues(self) -> None:
        """Let every queue try to start polls: what holds it may have changed."""
        self._limiter.line_up(self._table.queues.values())
        self._guard(self._limiter.serve_line, self._loop.time())
        self._set_timer()

    # ---------------------------------------------------------------------------------- one poll

    def _start(self, entry: JobEntry, now: float) -> None:
        if self._group is None:
            return
        queue, cost = entry.queue, entry.state.cost
        task = self._group.create_task(run_attempt(self._poll, entry.job, wall=self._wall))
        queue.budget = budget.poll_started(
            queue.budget,
            queue.limits,
            now,
            cost=cost,
            in_flight=queue.in_flight,
            demand=queue.demand,
        )
        running = RunningPoll(now, cost, queue.host, task.cancel)
        entry.lateness = max(0.0, now - max(entry.state.due, queue.held_until))
        self._limiter.occupy(entry, running)
        task.add_done_callback(partial(self._ended, entry, running))
        if self._started is not None:
            self._call(partial(self._started, entry.job.target))

    def _ended(self, entry: JobEntry, running: RunningPoll, task: asyncio.Task[Attempt]) -> None:
        if entry.running is not running:
            return  # the poll hung and was given up: what it brings now does not count
        ended: Attempt | None = None
        if not task.cancelled() and task.exception() is None:
            ended = task.result()
        elif not running.discarded:
            ended = self._crash(entry, running, "a poll was cancelled by somebody else")
        self._guard(self._finish, entry, running, ended)
        self._set_timer()

    def _crash(self, entry: JobEntry, running: RunningPoll, error: str) -> Attempt:
        seconds = self._loop.time() - running.started
        return _crashed(entry.job, error, at=self._wall() - seconds, seconds=seconds)

    def _finish(self, entry: JobEntry, running: RunningPoll, ended: Attempt | None) -> None:
        """Take in the end of a poll; None: we cancelled it."""
        self._limiter.free(entry, running)
        clocks = self._clocks()
        if ended is not None:
            self._take_in(entry, running, ended, clocks)
        elif entry.place is not Place.REMOVED:
            if self._group is None:
                entry.state = state.process_stopped(entry.job, entry.state, running.started)
                entry.queue.budget = budget.process_died(entry.queue.budget, running.started)
            else:
                entry.state = state.poll_cancelled(entry.job, entry.state, running.started)
            self._schedule(entry)
        if running.wake_after and entry.place is Place.TIMER:
            self._wake(entry, clocks.now)
        self._release(entry, running, clocks.now)

    def _take_in(
        self, entry: JobEntry, running: RunningPoll, ended: Attempt, clocks: Clocks
    ) -> None:
        """Give the outcome of a poll to its budget and its state, and emit the events."""
        queue, job, before, poll = entry.queue, entry.job, entry.state, ended.poll
        waited = queue.budget.until
        end = PollEnd(
            now=clocks.now, wall=clocks.wall, started=running.started, chance=self._random()
        )
        queue.budget, cut = budget.poll_ended(
            queue.budget,
            queue.limits,
            poll,
            end,
            cost=running.cost,
            spent=len(poll.exchanges) or running.cost,  # none is reported: as many as expected
            interval=job.interval,
            period_end=before.period_end,
        )
        if queue.budget.until > waited:
            # A running poll goes on to its next page, which would be a request inside the wait.
            self._cancel_polls(queue.running)
        if entry.place is Place.REMOVED:
            self._table.note(entry, clocks.now)
            return
        entry.state, events = state.poll_ended(
            job,
            before,
            poll,
            end,
            budget_wait=queue.budget.until,
            ratio=self._call(partial(self._learn, poll)),
        )
        queue.demand += (entry.state.cost - before.cost) / job.interval
        self._table.note(entry, clocks.now)
        self._schedule(entry)
        if ended.error:
            self._emit(_crash_event(job, ended.error))
        self._emit(
            PollFinished(
                poll=poll,
                failures=entry.state.failures,
                next_poll=clocks.epoch(max(clocks.now, entry.state.due, queue.budget.until)),
                lateness=entry.lateness,
                interval=entry.state.interval,
            )
        )
        if cut is not None:
            self._emit(
                WaitCut(
                    provider=job.provider, target=job.target, asked=cut.asked, applied=cut.applied
                )
            )
        for event in events:
            self._emit(event)

    def _release(self, entry: JobEntry, running: RunningPoll, now: float) -> None:
        """Let those go on that waited for a poll: its target, its budget, its host, the line."""
        for sibling in self._table.targets.get(entry.job.target, ()):
            if sibling.place is Place.TARGET_BUSY:
                self._limiter.push(sibling)
                self._limiter.line_up((sibling.queue,))
        queue = entry.queue
        if queue.jobs == 0 and not queue.running:
            self._timers.drop(queue)
            self._table.close(queue)
        else:
            self._limiter.line_up((queue,))
        self._limiter.serve_host(running.host, now)
        self._limiter.serve_line(now)

    def _cancel_polls(self, entries: Iterable[JobEntry]) -> None:
        """Cancel the running polls of `entries`, and discard what they bring."""
        for entry in entries:
            if entry.running is not None:
                entry.running.discarded = True
                entry.running.cancel()

    def _schedule(self, entry: JobEntry) -> None:
        entry.place = Place.TIMER
        self._timers.put(entry, entry.state.due)

    def _wake(self, entry: JobEntry, now: float) -> None:
        woken = state.secret_changed(entry.job, entry.state, now)
        if woken is not entry.state and entry.place is Place.TIMER:
            entry.state = woken
            self._schedule(entry)

    # --------------------------------------------------------------------------------- the guards

    def _clocks(self) -> Clocks:
        return Clocks(now=self._loop.time(), wall=self._wall())

    def _emit(self, event: Event) -> None:
        self._call(partial(self._listener, event))

    def _call(self, callback: Callable[[], _Result]) -> _Result | None:
        """Call code that is not ours: its exceptions are reported to the loop, and ignored."""
        try:
            return callback()
        except Exception as error:  # noqa: BLE001 - the runner outlives its listeners
            message = f"a listener of the poll loop failed: {type_and_place(error)}"
            self._loop.call_exception_handler({"message": message})
            return None

    def _guard(self, step: Callable[..., None], *arguments: object) -> None:
        try:
            step(*arguments)
        except Exception as error:  # noqa: BLE001 - the loop outlives its own bugs
            self._recover(type_and_place(error))

    def _recover(self, error: str) -> None:
        """Rebuild the heap from the entries after an exception in a step."""
        self._recoveries += 1
        self._emit(RunnerRecovered(error=error, times=self._recoveries))
        now = self._loop.time()
        for entry in self._table.entries():
            if entry.running is None:
                # A poll that just ended comes after an interval: a bug must not become a hammer.
                wait = entry.state.interval if entry.place is Place.RUNNING else PAUSE
                entry.place = Place.TIMER
                self._timers.put(entry, max(entry.state.due, now + wait))
        self._set_timer()


def _crash_event(job: Job, error: str) -> PollCrashed:
    return PollCrashed(
        provider=job.provider, target=job.target, collector=job.collector, error=error
    )
