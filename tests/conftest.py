"""Settings that every test shares."""

import asyncio
import os

from hypothesis import settings

# looptime asks the policy for a loop before synchronous tests, too, and with warnings as
# errors an implicit loop that nobody closes fails whichever test comes next.
asyncio.set_event_loop(None)

settings.register_profile("dev", max_examples=50, deadline=None, database=None)
settings.register_profile("ci", max_examples=500, deadline=None, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
