"""The runner over days and a month, in a loop whose time passes at once."""

from exporter.model.outcome import Reason
from tests.support.schedule import DAY, World, a_failure, a_job, simulate


def test_a_dead_key_is_tried_a_few_times_a_day_however_many_targets_use_it() -> None:
    async def main() -> None:
        world = World(*(a_job(f"t{n}", interval=300.0) for n in range(50)))
        for n in range(50):
            world.outcomes[f"t{n}"] = [a_failure(Reason.AUTH)] * 1000
        await world.run(2 * DAY)
        starts = sorted(start for starts in world.starts.values() for start in starts)
        assert sum(start - starts[0] < DAY for start in starts) == 7
        assert sum(start - starts[0] >= DAY for start in starts) == 4

    simulate(main())


def test_a_target_that_may_not_is_tried_a_few_times_a_day_and_the_others_go_on() -> None:
    async def main() -> None:
        world = World(a_job("one", interval=300.0), a_job("two", interval=300.0))
        world.outcomes["one"] = [a_failure(Reason.FORBIDDEN)] * 100
        await world.run(DAY)
        assert len(world.starts["one"]) == 6
        assert len(world.starts["two"]) == 288

    simulate(main())


def test_a_target_refused_by_a_key_that_serves_others_does_not_stop_them() -> None:
    async def main() -> None:
        world = World(a_job("one", interval=300.0), a_job("two", interval=300.0))
        world.outcomes["one"] = [a_failure(Reason.AUTH)] * 100
        await world.run(DAY)
        assert len(world.starts["one"]) == 6
        assert len(world.starts["two"]) == 288

    simulate(main())
