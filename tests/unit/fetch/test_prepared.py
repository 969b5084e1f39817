"""What is rendered once holds until the target or the day changes, and no longer."""

from exporter.fetch.client import Prepared
from exporter.kernel.templates import compile_template
from exporter.model.definition.auth import HeaderAuth
from exporter.model.definition.params import Param
from exporter.model.definition.period import Period
from tests.support.fetching import a_collector, a_definition, a_request, a_target, argument
from tests.support.vendor import NOW

DAY = 86_400.0
MIDNIGHT = NOW + DAY / 2


def billing_day(text: str) -> Period:
    return Period(anchor_day=compile_template(text))


def test_a_request_without_dates_holds_for_ever() -> None:
    target, collector = a_target(), a_collector()
    prepared = Prepared(target, collector, NOW)
    assert prepared.serves(target, collector, NOW + 1000 * DAY)


def test_another_target_or_collector_needs_its_own() -> None:
    target, collector = a_target(), a_collector()
    prepared = Prepared(target, collector, NOW)
    assert not prepared.serves(a_target(), collector, NOW)
    assert not prepared.serves(target, a_collector(), NOW)


def test_a_request_with_dates_holds_for_the_day() -> None:
    target = a_target()
    collector = a_collector("/u/{month.start:date}")
    prepared = Prepared(target, collector, NOW)
    assert prepared.serves(target, collector, MIDNIGHT - 1)
    assert not prepared.serves(target, collector, MIDNIGHT)
    assert not prepared.serves(target, collector, NOW - DAY)


def test_the_day_is_that_of_the_definitions_zone() -> None:
    target = a_target(definition=a_definition(zone="America/New_York"))
    collector = a_collector("/u/{today:date}")
    prepared = Prepared(target, collector, NOW)
    assert prepared.serves(target, collector, MIDNIGHT + 4 * 3600)
    assert not prepared.serves(target, collector, MIDNIGHT + 5 * 3600)


def test_a_request_with_the_time_holds_for_one_poll() -> None:
    target = a_target()
    collector = a_collector(request=a_request("/u", query=(argument("to", "{now-1h:epoch}"),)))
    assert not Prepared(target, collector, NOW).serves(target, collector, NOW + 1)


def test_dates_in_defaults_and_in_signatures_count() -> None:
    start = Param(name="start", description="", default=compile_template("{month.start:date}"))
    by_default = a_target(definition=a_definition(params={"start": start}))
    dated = HeaderAuth(headers={"X-Date": compile_template("{now}")}, needs=frozenset())
    by_signature = a_target(auth=dated)
    for target in (by_default, by_signature):
        collector = a_collector()
        assert not Prepared(target, collector, NOW).serves(target, collector, NOW + DAY)


def test_a_request_for_each_account_is_not_rendered_yet() -> None:
    collector = a_collector("/{account.id}/u")
    assert Prepared(a_target(accounts=("a",)), collector, NOW).draft is None
    assert Prepared(a_target(accounts=("a",)), a_collector(), NOW).draft is not None


def test_a_billing_day_comes_from_the_parameters() -> None:
    day = Param(name="day", description="")
    definition = a_definition(params={"day": day}, period=billing_day("{params.day}"))
    for given, expected in (("5", 5), ("31", 31), ("99", 31), ("0", 1), ("first", 1), ("", 1)):
        target = a_target(definition=definition, params={"day": (given,)})
        assert target.clock(NOW).anchor_day == expected


def test_without_a_billing_day_months_start_on_the_first() -> None:
    assert a_target().clock(NOW).anchor_day == 1
    assert a_target(definition=a_definition(period=Period())).clock(NOW).anchor_day == 1
