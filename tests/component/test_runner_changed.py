"""What stays known of a target that is asked in another way, or is another account."""

import pytest

from exporter.model.outcome import Reason, Unchanged
from exporter.schedule.status import JobStatus
from tests.support.schedule import World, a_failure, a_job

pytestmark = pytest.mark.looptime


async def test_a_changed_target_keeps_how_it_went_but_begins_to_count_anew() -> None:
    world = World(a_job())
    world.outcomes["video"] = [Unchanged(), *[a_failure(Reason.AUTH)] * 3]
    loop, runner = world.loop, world.runner
    loop.call_later(2000.0, lambda: runner.swap([a_job(budget="host#new")]))
    seen: list[JobStatus] = []
    loop.call_later(2000.1, lambda: seen.extend(runner.statuses()))
    await world.run(2990.0)
    assert [event.failures for event in world.finished("video")] == [0, 1, 2, 3, 0]
    assert world.gaps("video")[3] == pytest.approx(900.0, abs=2.0)
    (status,) = seen
    assert (status.reason, status.failures) == (Reason.AUTH, 2)
    assert status.last_success is not None


async def test_a_target_that_became_another_account_forgets_how_it_went() -> None:
    job = a_job()
    world = World(job)
    world.outcomes["video"] = [Unchanged(), a_failure(Reason.SCHEMA)]
    seen: list[JobStatus] = []

    def replace() -> None:
        world.runner.swap([job], replaced={"video"})
        seen.extend(world.runner.statuses())

    world.loop.call_later(400.0, replace)
    await world.run(410.0)
    (status,) = seen
    assert (status.reason, status.last_success, status.last_attempt) == (None, None, None)
