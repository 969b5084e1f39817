"""One target of one vendor, polled by an engine."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from exporter.model.events import Event
from tests.support.meter import Meter, target, write_config
from tests.support.rig import Rig, plan_of, running


@contextlib.asynccontextmanager
async def one(
    meter: Meter, folder: Path, also: Callable[[Event], None] | None = None, **more: Any
) -> AsyncIterator[Rig]:
    """Poll one target of a vendor; `also` is told every event."""
    async with meter.vendor:
        plan = plan_of(write_config(folder, target(meter, **more)))
        async with running(plan, also=also) as rig:
            yield rig
