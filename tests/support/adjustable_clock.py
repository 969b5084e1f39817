"""An event loop with real sockets whose clock a test can put forward.

looptime jumps over every idle moment, so nothing on a real socket would arrive in time. Here the
clock goes on as usual and jumps only when the test says so: three days pass between two requests,
and none of the requests times out.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from exporter.kernel.override import override

_Given = ParamSpec("_Given")


class AdjustableLoop(asyncio.SelectorEventLoop):
    """The usual loop, with a clock that can be ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0

    @override
    def time(self) -> float:
        return super().time() + self.ahead


def adjustable_clock(
    test: Callable[_Given, Coroutine[Any, Any, None]],
) -> Callable[_Given, None]:
    """Run a test in an `AdjustableLoop`. Tasks that it leaves behind are cancelled, loudly."""

    @functools.wraps(test)
    def run(*args: _Given.args, **kwargs: _Given.kwargs) -> None:
        with asyncio.Runner(loop_factory=AdjustableLoop) as runner:
            runner.run(_alone(test(*args, **kwargs)))

    return run


async def _alone(test: Coroutine[Any, Any, None]) -> None:
    await test
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not left, f"tasks that were left behind: {left}"


def advance(seconds: float) -> None:
    """Put the clock of the running loop forward; what is due by then fires at the next turn."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, AdjustableLoop)
    loop.ahead += seconds
