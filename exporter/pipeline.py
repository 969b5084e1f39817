"""One poll: fetch, then map. The runner, ``once`` and ``explain`` all poll through here.

The deadline of the whole poll, all pages and the mapping included, is set here, for all
callers. Nothing here retries: a failed poll is an outcome like any other.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from exporter.fetch.client import Client
from exporter.fetch.offload import SLOW
from exporter.kernel.calendar import format_duration
from exporter.kernel.problems import type_and_place
from exporter.mapping.read import read_payload
from exporter.model.outcome import Exchange, Failure, Fetched, Poll, Reason, Unchanged
from exporter.model.reading import Reading
from exporter.model.target import Target


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """What a poll needs of the world: the client, the wall clock and the loop's clock."""

    client: Client
    wall: Callable[[], float]
    clock: Callable[[], float]

    async def collect(self, target: Target, collector: str) -> Poll:
        """Poll one collector of a target once. Every trouble is in the outcome, none is raised."""
        at, begin = self.wall(), self.clock()
        seen: list[Exchange] = []
        try:
            async with asyncio.timeout(target.poll_timeout):
                fetched = await self.client.fetch(
                    target, target.definition.collectors[collector], at=at, on_exchange=seen.append
                )
                outcome = await self._learn(target, collector, fetched, at)
        except TimeoutError:
            outcome = too_late(target, len(seen))
            fetched = Fetched(result=outcome, exchanges=tuple(seen))
        except Exception as error:  # noqa: BLE001 - our own bug must not end who polls
            detail = f"our own bug: {type_and_place(error)}"
            outcome = Failure(reason=Reason.INTERNAL, detail=detail)
            fetched = Fetched(result=outcome, exchanges=tuple(seen))
        finally:
            self.client.offload.leave()
        if isinstance(outcome, Failure):
            self.client.forget(target, collector)
        return Poll(
            target=target.name,
            provider=target.provider,
            collector=collector,
            at=at,
            seconds=self.clock() - begin,
            outcome=outcome,
            rate=fetched.rate,
            exchanges=fetched.exchanges,
        )

    async def _learn(
        self, target: Target, collector: str, fetched: Fetched, at: float
    ) -> Reading | Unchanged | Failure:
        match fetched.result:
            case Failure() | Unchanged() as result:
                return result
            case tuple() as payloads:
                size = sum(exchange.size for exchange in fetched.exchanges)
                work = partial(read_payload, target, collector, payloads, at)
                return await self.client.offload.call(work, size=size, large=SLOW, finishing=True)


def too_late(target: Target, answered: int) -> Failure:
    """Return the failure of a poll that was ended at its deadline."""
    return Failure(
        reason=Reason.TIMEOUT,
        detail=f"no complete answer within {format_duration(target.poll_timeout)}"
        f" ({answered} answered); raise poll_timeout if the vendor is just slow",
    )
