"""Settings that every test shares."""

import asyncio
import os
from collections.abc import Generator

import pytest
import structlog  # noqa: F401 - imported late by us, to the cost of the first test
from hypothesis import settings

from tests.support.callback_timer import CallbackTimer

# looptime asks the policy for a loop before synchronous tests, too, and with warnings as
# errors an implicit loop that nobody closes fails whichever test comes next.
asyncio.set_event_loop(None)

settings.register_profile("dev", max_examples=50, deadline=None, database=None)
settings.register_profile("ci", max_examples=500, deadline=None, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

STALL = 0.050
"""Seconds of CPU that no callback of an event loop may take, in any test."""
TRACED = 5.0
"""Times as long where coverage counts every line."""

SLOW = 300.0
"""Seconds that a test marked `slow` may take, on a machine that does other things, too."""

stopwatch = CallbackTimer()
stopwatch.install()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests their time."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOW))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test in which a callback held the event loop for long."""
    stopwatch.reset()
    yield
    most = STALL * (TRACED if item.config.pluginmanager.hasplugin("_cov") else 1.0)
    if stopwatch.longest > most:
        pytest.fail(f"The event loop stood still: {stopwatch}", pytrace=False)
