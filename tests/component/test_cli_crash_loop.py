"""A real `usage-exporter run`, killed again and again: by its polls, or at any other moment."""

import asyncio
import itertools
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.demo.server import VendorRequest, VendorResponse, json_response
from tests.support.metered_vendor import MeteredVendor, row, target, write_config

INTERVAL = 3.0
LASTS = 8.0  # seconds of the crash loop
CONFIG = {"state": {"file": "state.db"}}


async def live(config: Path) -> asyncio.subprocess.Process:
    """Start the exporter as a process of its own."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", "run", f"--config.file={config}"),
        "--web.listen-address=127.0.0.1:0",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
    )


class Times(list[float]):
    """When the vendor was asked, and a bell that rings at each."""

    def __init__(self) -> None:
        super().__init__()
        self.bell = asyncio.Event()

    def note(self) -> None:
        self.append(time.monotonic())
        self.bell.set()

    async def soon(self, seconds: float) -> None:
        """Return when the vendor is asked, or after a while."""
        self.bell.clear()
        try:
            async with asyncio.timeout(seconds):
                await self.bell.wait()
        except TimeoutError:
            pass


def noting(times: Times, answer: VendorResponse) -> Callable[[VendorRequest], VendorResponse]:
    def reply(_: VendorRequest) -> VendorResponse:
        times.note()
        return answer

    return reply


@pytest.mark.slow
async def test_a_crash_loop_polls_no_faster_than_the_interval(tmp_path: Path) -> None:
    rng, well, down, lives = random.Random(4), Times(), Times(), 0  # noqa: S311 - no secret
    down.bell = well.bell
    meter = MeteredVendor(usage=noting(well, json_response({"rows": [row()]})))
    other = MeteredVendor(usage=noting(down, json_response({}, status=500)))
    async with meter.vendor, other.vendor:
        pace = {"poll_interval": f"{INTERVAL:.0f}s", "poll_timeout": "1s"}
        config = write_config(
            tmp_path, target(meter, "well", **pace), target(other, "down", **pace), **CONFIG
        )
        end, patience = time.monotonic() + LASTS, 60.0  # the first life lasts until it has polled
        while time.monotonic() < end or min(map(len, (well, down))) < 2:
            process, began = await live(config), time.monotonic()
            lives += 1
            await well.soon(patience)
            if patience == 60.0:
                patience = 1.5 + time.monotonic() - began  # of which a busy machine takes its share
            await asyncio.sleep(rng.choice((0.0, 0.005, 0.05, 0.3)))  # at once, or in the midst
            process.send_signal(signal.SIGKILL)
            await process.wait()
    assert lives > max(len(well), len(down))
    for times in (well, down):
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert gaps, "it must poll all the same"
        # What arrives late makes the next gap short; a poll at each start would come in a second.
        assert min(gaps) > 0.7 * INTERVAL


@pytest.mark.slow
async def test_a_wait_is_kept_over_a_kill(tmp_path: Path) -> None:
    times = Times()
    refusal = json_response({}, status=429, headers={"Retry-After": "3600"})

    meter = MeteredVendor(usage=noting(times, refusal))
    async with meter.vendor:
        one = target(meter, poll_interval="1s", poll_timeout="1s")
        config = write_config(tmp_path, one, **CONFIG)
        for patience in (20.0, 1.5, 1.5):  # the first life lasts until it was refused
            process = await live(config)
            await times.soon(patience)
            await asyncio.sleep(1.0)  # what was told a second ago is known
            process.send_signal(signal.SIGKILL)
            await process.wait()
    assert len(times) == 1
