"""The past in memory: a value for every quarter of a day, five weeks of it."""

from exporter.store.readings import UsageHistory

DAY = 86_400.0
STEP = UsageHistory.STEP
KEY = ("video", "bandwidth")


def test_nothing_is_known_of_a_target_before_its_first_value() -> None:
    assert UsageHistory().of("a") == {}


def test_the_last_value_of_each_step_stays() -> None:
    history = UsageHistory()
    for turn, at in enumerate([0.0, 300.0, STEP - 1, STEP, 2 * STEP + 5]):
        history.add("a", at, {KEY: float(turn)})
    assert history.of("a") == {KEY: ((STEP - 1, 2.0), (STEP, 3.0), (2 * STEP + 5, 4.0))}


def test_the_points_of_a_series_are_those_of_the_steps_before() -> None:
    history = UsageHistory()
    for turn, at in enumerate([0.0, STEP, 2 * STEP, 2 * STEP + 5]):
        history.add("a", at, {KEY: float(turn)})
        assert history.points("a", *KEY, 2 * STEP + 7) == ((0.0, 0.0), (STEP, 1.0))[: turn + 1]
    assert history.points("a", *KEY, STEP + 1) == ((0.0, 0.0),)
    assert history.points("a", *KEY, 9 * STEP)[-1] == (2 * STEP + 5, 3.0)
    assert history.points("a", "video", "other", STEP) == ()
    assert history.points("b", *KEY, STEP) == ()


def test_values_older_than_35_days_go() -> None:
    history = UsageHistory()
    for day in range(40):
        history.add("a", day * DAY, {KEY: float(day)})
    (points,) = history.of("a").values()
    assert points[0] == (4 * DAY, 4.0)
    assert len(points) == 36


def test_values_of_a_clock_that_was_wrong_go_when_it_is_put_right() -> None:
    history = UsageHistory()
    for at in (0.0, DAY, 2 * DAY, 3 * DAY):
        history.add("a", at, {KEY: at})
    history.add("a", DAY + 60, {KEY: 7.0})
    assert history.of("a") == {KEY: ((0.0, 0.0), (DAY + 60, 7.0))}


def test_what_the_ledger_knows_is_taken_over_and_a_target_can_be_forgotten() -> None:
    points = {KEY: ((0.0, 1.0), (DAY, 2.0)), ("video", "storage"): ((0.0, 3.0),)}
    history = UsageHistory()
    history.put("a", points)
    history.put("b", points)
    history.forget("a")
    history.forget("never there")
    assert history.of("a") == {}
    assert history.of("b") == points


def test_a_clock_that_jumps_ahead_and_back_wipes_nothing() -> None:
    history = UsageHistory()
    for day in range(30):
        history.add("a", day * DAY, {KEY: float(day)})
    history.add("a", 90 * DAY, {KEY: 30.0})
    assert history.points("a", *KEY, 91 * DAY) == ((90 * DAY, 30.0),)
    history.add("a", 30 * DAY, {KEY: 30.0})
    assert history.of("a") == {KEY: tuple((day * DAY, float(day)) for day in range(31))}


def test_a_series_holds_a_bounded_number_of_points() -> None:
    history = UsageHistory()
    for number in range(500):
        history.add("a", number * STEP, {KEY: float(number)})
    (points,) = history.of("a").values()
    assert len(points) == UsageHistory.MOST == 141
