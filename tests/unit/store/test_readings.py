"""Age and absence: which readings are alive, and when that changes."""

from exporter.kernel.calendar import Span
from exporter.kernel.units import Kind
from exporter.model.reading import Money, Reading, Usage
from exporter.store.readings import ReadingCache

HOUR = 3600.0
ALWAYS = {"usage": 0.0, "quotas": 0.0}


def a_reading(collector: str = "usage", *, used: float = 1.0, ends: float | None = None) -> Reading:
    period = None if ends is None else Span(ends - 1000, ends)
    usage = Usage(resource="bandwidth", kind=Kind.BYTES, used=used, period=period)
    return Reading(collector=collector, at=100.0, usages=(usage,))


def test_before_the_first_success_nothing_is_alive() -> None:
    cache = ReadingCache()
    assert cache.readings("a", 100.0, ALWAYS) == {}
    assert cache.successes("a").get("usage") is None
    assert cache.next_change("a", 100.0, ALWAYS) is None


def test_a_reading_replaces_the_one_of_its_collector_alone() -> None:
    cache = ReadingCache()
    quotas = a_reading("quotas")
    cache.accept("a", a_reading(used=1), 100.0)
    cache.accept("a", quotas, 100.0)
    cache.accept("b", a_reading(used=9), 100.0)
    cache.accept("a", a_reading(used=2), 200.0)
    assert cache.readings("a", 200.0, ALWAYS) == {"usage": a_reading(used=2), "quotas": quotas}
    assert cache.successes("a").get("usage") == 200.0
    assert cache.successes("a").get("quotas") == 100.0


def test_a_failed_poll_keeps_the_values_until_they_are_stale() -> None:
    cache = ReadingCache()
    cache.accept("a", a_reading(), 100.0)
    stale_after = {"usage": HOUR}
    assert cache.readings("a", 100.0 + HOUR - 0.001, stale_after)
    assert cache.readings("a", 100.0 + HOUR, stale_after) == {}
    assert cache.successes("a").get("usage") == 100.0


def test_each_collector_ages_by_its_own_limit() -> None:
    cache = ReadingCache()
    cache.accept("a", a_reading("usage"), 100.0)
    cache.accept("a", a_reading("quotas"), 100.0)
    assert list(cache.readings("a", 100.0 + HOUR, {"usage": HOUR, "quotas": 2 * HOUR})) == [
        "quotas"
    ]


def test_zero_means_never_stale() -> None:
    cache = ReadingCache()
    cache.accept("a", a_reading(), 100.0)
    assert cache.readings("a", 1e12, {"usage": 0.0})
    assert cache.next_change("a", 100.0, {"usage": 0.0}) is None


def test_not_modified_renews_the_age() -> None:
    cache = ReadingCache()
    cache.accept("a", a_reading(), 100.0)
    cache.unchanged("a", "usage", 100.0 + HOUR)
    assert cache.readings("a", 100.0 + 1.5 * HOUR, {"usage": HOUR}) == {"usage": a_reading()}
    assert cache.successes("a").get("usage") == 100.0 + HOUR


def test_not_modified_without_a_reading_invents_none() -> None:
    cache = ReadingCache()
    cache.unchanged("a", "usage", 100.0)
    cache.accept("a", a_reading("quotas"), 100.0)
    cache.unchanged("a", "usage", 200.0)
    assert list(cache.readings("a", 200.0, ALWAYS)) == ["quotas"]
    assert cache.successes("a").get("usage") is None


def test_a_collector_that_is_no_longer_polled_is_not_alive() -> None:
    cache = ReadingCache()
    cache.accept("a", a_reading("quotas"), 100.0)
    assert cache.readings("a", 100.0, {"usage": HOUR}) == {}


def test_a_removed_target_is_forgotten() -> None:
    cache = ReadingCache()
    cache.accept("a", a_reading(), 100.0)
    cache.remove("a")
    cache.remove("a")
    assert cache.readings("a", 100.0, ALWAYS) == {}
    assert cache.successes("a").get("usage") is None


def test_the_next_change_is_the_earliest_staleness_or_period_end() -> None:
    cache = ReadingCache()
    cache.accept("a", a_reading("usage", ends=5000.0), 100.0)
    cache.accept("a", a_reading("quotas"), 200.0)
    stale_after = {"usage": HOUR, "quotas": 2 * HOUR}
    assert cache.next_change("a", 200.0, stale_after) == 100.0 + HOUR
    cache.unchanged("a", "usage", 2000.0)
    assert cache.next_change("a", 2000.0, stale_after) == 5000.0
    assert cache.next_change("a", 5000.0, stale_after) == 2000.0 + HOUR
    assert cache.next_change("a", 2000.0 + HOUR, stale_after) == 200.0 + 2 * HOUR
    assert cache.next_change("a", 200.0 + 2 * HOUR, stale_after) is None


def test_the_period_of_money_ends_too() -> None:
    money = Money(currency="USD", cost=5.0, period=Span(0.0, 900.0))
    cache = ReadingCache()
    cache.accept("a", Reading(collector="usage", at=100.0, money=(money,)), 100.0)
    assert cache.next_change("a", 100.0, ALWAYS) == 900.0


def test_a_period_that_was_closed_when_it_was_asked_for_does_not_end() -> None:
    span = Span(0.0, 900.0)
    usage = Usage(resource="bandwidth", kind=Kind.BYTES, used=1.0, period=span, closed=True)
    money = Money(currency="USD", cost=5.0, period=span, closed=True)
    reading = Reading(collector="usage", at=100.0, usages=(usage,), money=(money,))
    cache = ReadingCache()
    cache.accept("a", reading, 100.0)
    assert cache.next_change("a", 100.0, ALWAYS) is None


def test_a_stale_reading_announces_no_change() -> None:
    cache = ReadingCache()
    cache.accept("a", a_reading(ends=9e9), 100.0)
    assert cache.next_change("a", 100.0 + 2 * HOUR, {"usage": HOUR}) is None


def test_a_clock_that_went_back_makes_nothing_stale() -> None:
    cache = ReadingCache()
    cache.accept("a", a_reading(used=1), 10_000.0)
    assert cache.readings("a", 10_000.0 - HOUR, {"usage": 60.0})
    cache.accept("a", a_reading(used=2), 10_000.0 - HOUR)
    assert cache.readings("a", 10_000.0 - HOUR, {"usage": 60.0}) == {"usage": a_reading(used=2)}
