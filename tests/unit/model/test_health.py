"""The words for health, waits and freshness, and what they follow from."""

import pytest

from exporter.model.health import Freshness, Health, Wait, WaitCause, freshness, worst
from exporter.model.outcome import Reason


def test_every_reason_of_a_failure_makes_a_failed_health() -> None:
    healths = {reason: reason.health for reason in Reason}
    assert all(health.failed for health in healths.values())
    assert {reason for reason, health in healths.items() if health is Health.THROTTLED} == {
        Reason.RATE_LIMITED,
        Reason.QUOTA_EXHAUSTED,
    }
    assert {reason for reason, health in healths.items() if health is Health.PAUSED} == {
        Reason.AUTH,
        Reason.FORBIDDEN,
    }


def test_only_the_network_and_the_vendors_servers_fail_transiently() -> None:
    assert {reason for reason in Reason if reason.transient} == {
        Reason.TIMEOUT,
        Reason.CONNECT,
        Reason.TLS,
        Reason.HTTP_5XX,
    }


@pytest.mark.parametrize(
    ("healths", "wanted"),
    [
        ((), Health.NEVER_POLLED),
        ((Health.UP, Health.UP), Health.UP),
        ((Health.NEVER_POLLED, Health.UP), Health.NEVER_POLLED),
        ((Health.THROTTLED, Health.NEVER_POLLED), Health.THROTTLED),
        ((Health.THROTTLED, Health.FAILING, Health.UP), Health.FAILING),
        ((Health.FAILING, Health.PAUSED), Health.PAUSED),
    ],
)
def test_a_target_is_as_well_as_its_worst_collector(
    healths: tuple[Health, ...], wanted: Health
) -> None:
    assert worst(healths) is wanted


def test_a_wait_is_the_vendors_our_own_or_a_pause() -> None:
    by_wait = {wait: {cause for cause in WaitCause if cause.wait is wait} for wait in Wait}
    assert by_wait[Wait.THROTTLED] == {WaitCause.THROTTLED, WaitCause.QUOTA}
    assert by_wait[Wait.PAUSED] == {WaitCause.REFUSED, WaitCause.FORBIDDEN}
    assert by_wait[Wait.BACKING_OFF] == {
        WaitCause.RESERVE,
        WaitCause.PACED,
        WaitCause.RECOVERING,
        WaitCause.RATE,
        WaitCause.FAILURES,
    }


@pytest.mark.parametrize(
    ("health", "published", "succeeded", "wanted"),
    [
        (Health.NEVER_POLLED, False, False, Freshness.NONE),
        (Health.FAILING, False, False, Freshness.NONE),
        (Health.UP, True, True, Freshness.FRESH),
        (Health.THROTTLED, True, True, Freshness.CACHED),
        (Health.PAUSED, False, True, Freshness.EXPIRED),
    ],
)
def test_freshness_tells_which_poll_the_values_are_of(
    health: Health,
    published: bool,  # noqa: FBT001
    succeeded: bool,  # noqa: FBT001
    wanted: Freshness,
) -> None:
    assert freshness(health, published=published, succeeded=succeeded) is wanted
