"""One poll, whatever comes of it: an outcome, and the exchanges that were made."""

import asyncio
import threading
from pathlib import Path

import pytest

from exporter.demo.server import Close, Pause, VendorRequest, VendorResponse, json_response
from exporter.fetch.client import Client
from exporter.mapping.read import read_payload
from exporter.model.outcome import Failure, Poll, Reason, Unchanged
from exporter.model.reading import Reading
from exporter.pipeline import Pipeline
from tests.support.engine_harness import plan_of
from tests.support.fetching import a_client
from tests.support.metered_vendor import MeteredVendor, row, rows, target, write_config
from tests.support.vendor import NOW


class Poller:
    """Polls one target of a vendor, as often as it is asked to."""

    def __init__(
        self, folder: Path, meter: MeteredVendor, client: Client, timeout: str = "5s"
    ) -> None:
        ours = target(meter, collectors={"seats": True}, poll_timeout=timeout)
        self.target = plan_of(write_config(folder, ours)).targets["home"]
        clock = asyncio.get_running_loop().time
        self.pipeline = Pipeline(client=client, wall=lambda: NOW, clock=clock)

    async def poll(self, collector: str = "usage") -> Poll:
        return await self.pipeline.collect(self.target, collector)


def failure(poll: Poll) -> Failure:
    assert isinstance(poll.outcome, Failure), poll.outcome
    return poll.outcome


async def test_a_good_answer_becomes_a_reading(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor, a_client() as client:
        poll = await Poller(tmp_path, meter, client).poll()
    assert isinstance(poll.outcome, Reading)
    assert [usage.used for usage in poll.outcome.usages] == [250]
    assert (poll.target, poll.provider, poll.collector, poll.at) == ("home", "meter", "usage", NOW)
    assert [exchange.status for exchange in poll.exchanges] == [200]
    assert poll.seconds > 0


async def test_an_answer_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=json_response({"rows": "none"}))
    async with meter.vendor, a_client() as client:
        poll = await Poller(tmp_path, meter, client).poll()
    assert failure(poll).reason is Reason.SCHEMA
    assert [exchange.status for exchange in poll.exchanges] == [200]


async def test_the_deadline_tells_how_far_it_came(tmp_path: Path) -> None:
    def pages(asked: VendorRequest) -> VendorResponse | tuple[Pause | Close, ...]:
        if asked.argument("page") == "3":
            return (Pause(60.0), Close())
        page = int(asked.argument("page", "1")) + 1
        return rows(row(), next=f"{asked.origin}/usage?page={page}")

    meter = MeteredVendor(usage=pages)
    async with meter.vendor, a_client(read_timeout=60) as client:
        poll = await Poller(tmp_path, meter, client, "300ms").poll()
    assert failure(poll).reason is Reason.TIMEOUT
    assert "no complete answer within 300ms (2 answered)" in failure(poll).detail
    assert [exchange.status for exchange in poll.exchanges] == [200, 200]
    assert 0.3 <= poll.seconds < 5


async def test_an_unchanged_answer_is_told_as_one(tmp_path: Path) -> None:
    def seats(asked: VendorRequest) -> VendorResponse:
        version = (("ETag", '"v1"'),)
        if "if-none-match" in asked.headers:
            return VendorResponse(status=304, headers=version)
        return VendorResponse(headers=version, body=b'{"used": 3}')

    meter = MeteredVendor(seats=seats)
    async with meter.vendor, a_client() as client:
        poller = Poller(tmp_path, meter, client)
        outcomes = [(await poller.poll("seats")).outcome for _ in range(3)]
    assert isinstance(outcomes[0], Reading)
    assert outcomes[1:] == [Unchanged(), Unchanged()]


async def test_what_could_not_be_read_is_asked_for_as_a_whole_again(tmp_path: Path) -> None:
    meter = MeteredVendor(
        seats=VendorResponse(headers=(("ETag", '"v1"'),), body=b'{"used": "plenty"}')
    )
    async with meter.vendor, a_client() as client:
        poller = Poller(tmp_path, meter, client)
        polls = [await poller.poll("seats") for _ in range(2)]
    assert [failure(poll).reason for poll in polls] == [Reason.SCHEMA, Reason.SCHEMA]
    assert "if-none-match" not in meter.asked[1].headers


@pytest.mark.parametrize(("count", "here"), [(10, True), (5_000, False)])
async def test_large_answers_are_read_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, *, here: bool
) -> None:
    threads: list[bool] = []

    def noted(*arguments: object) -> object:
        threads.append(threading.current_thread() is threading.main_thread())
        return read_payload(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("exporter.pipeline.read_payload", noted)
    meter = MeteredVendor(usage=rows(*[row()] * count))
    async with meter.vendor, a_client() as client:
        poll = await Poller(tmp_path, meter, client).poll()
    assert isinstance(poll.outcome, Reading)
    assert threads == [here]


@pytest.mark.parametrize(
    "where", ["exporter.pipeline.read_payload", "exporter.fetch.client.Client.fetch"]
)
async def test_our_own_bug_is_a_failure_that_names_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def crash(*arguments: object, **more: object) -> None:
        raise ZeroDivisionError("42 secrets")

    monkeypatch.setattr(where, crash)
    meter = MeteredVendor()
    async with meter.vendor, a_client() as client:
        poll = await Poller(tmp_path, meter, client).poll()
    assert failure(poll).reason is Reason.INTERNAL
    assert failure(poll).detail.startswith("our own bug: ZeroDivisionError in crash (")
    assert "secrets" not in failure(poll).detail


async def test_a_poll_that_is_called_off_is_no_failure(tmp_path: Path) -> None:
    meter = MeteredVendor(usage=(Pause(60.0), Close()))
    async with meter.vendor, a_client() as client:
        poller = Poller(tmp_path, meter, client)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await poller.poll()
