"""What takes more than one poll, or more than the exposition, to see."""

import asyncio

from exporter.config.credentials import SecretReader
from exporter.fetch.client import Client
from exporter.model.outcome import Unchanged
from exporter.model.reading import RateLimit, Reading
from exporter.pipeline import Pipeline
from tests.support.provider_cases import NOW, Case, run, target_of
from tests.support.replay import PROVIDERS, Replay, read_exchanges


async def test_github_answers_304_to_the_second_poll_and_nothing_changes() -> None:
    folder = PROVIDERS / "github"
    reader = SecretReader({})
    async with (
        Replay(read_exchanges(folder).values()) as replay,
        Client(read_secret=reader.read, wall=lambda: NOW) as client,
    ):
        replay.serve = ["billing_usage", "not_modified"]
        target = target_of(folder, replay.origin, {})
        clock = asyncio.get_running_loop().time
        pipeline = Pipeline(client=client, wall=lambda: NOW, clock=clock)

        first = await pipeline.collect(target, "billing")
        second = await pipeline.collect(target, "billing")

    assert isinstance(first.outcome, Reading)
    assert isinstance(second.outcome, Unchanged)
    assert replay.asked == ["billing_usage", "not_modified"]


async def test_the_limits_of_the_apis_themselves_are_read_from_their_headers() -> None:
    assert await rate_of("github", "rate_limit", "rate_limit") == RateLimit(
        limit=5000, remaining=4211, reset_at=NOW + 1800
    )
    assert await rate_of("hetzner", "servers", "servers_first_days") == RateLimit(
        limit=3600, remaining=3597, reset_at=NOW + 3
    )
    assert await rate_of("datadog", "estimated_cost", "estimated_cost") == RateLimit(
        limit=30, remaining=28, reset_at=NOW + 31
    )
    assert await rate_of("thousandeyes", "usage", "usage_expanded") == RateLimit(
        limit=240, remaining=231, reset_at=NOW + 34
    )


async def rate_of(name: str, collector: str, served: str) -> RateLimit | None:
    trial = await run(PROVIDERS / name, Case(collector=collector, serve=[served]))
    return trial.polls[0].rate


async def test_a_retry_after_with_a_good_answer_is_no_failure() -> None:
    trial = await run(PROVIDERS / "netlify", Case(collector="bandwidth", serve=["bandwidth"]))

    assert trial.failures == []
    assert trial.polls[0].exchanges[0].headers["retry-after"] == "2026-11-15 12:10:00 UTC"
