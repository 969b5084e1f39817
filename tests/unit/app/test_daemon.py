"""What the daemon says of itself before it runs and after it was told to stop."""

import asyncio
import io

from exporter.app.daemon import Daemon
from exporter.app.engine import World
from exporter.app.observability import Observability
from exporter.app.options import Options
from exporter.config.credentials import SecretReader
from exporter.kernel.redactor import Redactor
from exporter.model.target import Plan
from tests.support.vendor import NOW


async def until_ready(daemon: Daemon) -> None:
    turn = asyncio.sleep
    while daemon.not_ready():
        await turn(0.001)


async def test_it_is_not_ready_before_the_start_and_after_the_end() -> None:
    options = Options(listen=("127.0.0.1:0",))
    clock = asyncio.get_running_loop().time
    observability = Observability(
        options, stream=io.StringIO(), wall=lambda: NOW, clock=clock, redactor=Redactor()
    )
    world = World(
        wall=lambda: NOW,
        clock=clock,
        random=lambda: 0.0,
        read_secret=SecretReader({}).read,
        emit=lambda event: None,
    )
    plan = Plan(targets={})
    daemon = Daemon(plan, options, load=lambda: plan, world=world, observability=observability)
    assert daemon.not_ready() == "it is starting"
    async with asyncio.TaskGroup() as group:
        group.create_task(daemon.run())
        await until_ready(daemon)
        daemon.stop()
        assert daemon.not_ready() == "it is stopping"
