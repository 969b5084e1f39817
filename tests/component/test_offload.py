"""Large answers are worked on in a thread: one at a time, and scrapes do not wait for many."""

import asyncio
import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.demo.server import VendorResponse
from exporter.fetch.classify import Classified, classify_response
from exporter.fetch.offload import LARGE, Offload
from exporter.mapping.read import read_payload
from exporter.model.outcome import Failure
from exporter.model.reading import Reading
from tests.support.adjustable_clock import adjustable_clock, advance
from tests.support.daemon import exporting
from tests.support.metered_vendor import MeteredVendor, row, target, write_config
from tests.support.parsed_exposition import ParsedExposition

POLLS = "usage_exporter_polls_total"


class Works:
    """Works that last until they are let go, and what became of them."""

    def __init__(self) -> None:
        self.offload = Offload()
        self.order: list[str] = []
        self.gate = threading.Event()

    def work(self, name: str) -> Callable[[], str]:
        def work() -> str:
            assert threading.current_thread() is not threading.main_thread()
            self.gate.wait(5)
            self.order.append(name)
            return name

        return work

    async def begin(
        self, group: asyncio.TaskGroup, name: str, *, finishing: bool = False
    ) -> "asyncio.Task[str]":
        call = self.offload.call(self.work(name), size=LARGE + 1, finishing=finishing)
        task = group.create_task(call)
        await asyncio.sleep(0)
        return task


async def test_what_is_small_is_done_at_once() -> None:
    def here() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert await Offload().call(here, size=LARGE)


async def test_large_works_are_done_one_by_one_and_what_is_begun_is_finished_first() -> None:
    works = Works()
    async with asyncio.TaskGroup() as group:
        tasks = [await works.begin(group, name) for name in ("one", "two", "three")]
        tasks.append(await works.begin(group, "finish", finishing=True))
        works.gate.set()
    assert [task.result() for task in tasks] == ["one", "two", "three", "finish"]
    works.offload.close()
    assert works.order == ["one", "finish", "two", "three"]


async def test_who_is_called_off_while_he_waits_holds_up_nobody() -> None:
    works = Works()
    async with asyncio.TaskGroup() as group:
        first = await works.begin(group, "one")
        second = await works.begin(group, "two")
        third = await works.begin(group, "three")
        second.cancel()
        works.gate.set()
        assert (await first, await third) == ("one", "three")
    await asyncio.wait_for(works.offload.call(works.work("four"), size=LARGE + 1), 5)
    works.offload.close()
    assert works.order == ["one", "three", "four"]


async def test_who_is_called_off_at_his_turn_passes_it_on() -> None:
    async def first() -> None:
        await works.offload.call(works.work("one"), size=LARGE + 1)
        second.cancel()  # its turn has come, and it does not know yet

    works = Works()
    async with asyncio.TaskGroup() as group:
        group.create_task(first())
        await asyncio.sleep(0)
        second = await works.begin(group, "two")
        third = await works.begin(group, "three")
        works.gate.set()
        assert await third == "three"
    works.offload.close()
    assert works.order == ["one", "three"]


async def test_an_error_is_the_callers_and_the_next_has_his_turn() -> None:
    def crash() -> None:
        raise ZeroDivisionError

    works = Works()
    works.gate.set()
    with pytest.raises(ZeroDivisionError):
        await works.offload.call(crash, size=LARGE + 1)
    assert await works.offload.call(works.work("one"), size=LARGE + 1) == "one"
    works.offload.close()


LARGE_BODY = json.dumps({"rows": [row(used=1, note="x" * 1_600) for _ in range(3_000)]}).encode()


class Held:
    """How many answers are in memory as objects: judged, and not yet read."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = self.most = 0
        patch.setattr("exporter.fetch.client.classify_response", self.judge)
        patch.setattr("exporter.pipeline.read_payload", self.read)

    def judge(self, *arguments: Any, **more: Any) -> Classified:
        self.now += 1
        self.most = max(self.most, self.now)
        return classify_response(*arguments, **more)

    def read(self, *arguments: Any) -> Reading | Failure:
        found = read_payload(*arguments)
        self.now -= 1
        return found


@pytest.mark.slow
@adjustable_clock
async def test_scrapes_have_their_turn_while_fifty_polls_read_five_megabytes_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def done(seen: ParsedExposition) -> float:
        return sum(one.value for one in seen.all(POLLS))

    tokens = [f"meter-token-{number}" for number in range(50)]
    meter = MeteredVendor(usage=VendorResponse(body=LARGE_BODY))
    meter.accepted.update(tokens)
    scrapes: list[float] = []
    held = Held(monkeypatch)
    async with meter.vendor:
        targets = [
            target(meter, f"t{number}", credentials={"token": token})
            for number, token in enumerate(tokens)
        ]
        async with exporting(write_config(tmp_path, *targets), monkeypatch) as exporter:
            advance(3)
            while not scrapes or scrapes[-1] < len(tokens):
                scrapes.append(done(await exporter.scrape()))
            seen = await exporter.scrape()
    assert len(LARGE_BODY) > 5_000_000
    assert {one.value for one in seen.all("usage_bytes")} == {3_000}
    assert len(seen.all("usage_bytes")) == 50
    assert held.most <= 3
    assert max(later - earlier for earlier, later in itertools.pairwise(scrapes)) <= 10
