"""Recorded cases of a provider, a target each, polled by one ``once`` in a process of its own.

The wall clock of the process stands at the instant that the recordings refer to.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from exporter.demo.server import FakeVendors
from tests.support.cli_process import Done, once
from tests.support.parsed_exposition import ParsedExposition
from tests.support.replay import RecordedVendor, exchanges_of
from tests.support.vendor import NOW

Cases: TypeAlias = Mapping[str, tuple[tuple[str, ...], Mapping[str, Any]]]
"""By name: the recorded exchanges, and what the target has of its own."""


class RecordedTargets:
    """One run of ``once`` on all cases of a provider, each a target of its own."""

    def __init__(self, done: Done, replays: Mapping[str, RecordedVendor]) -> None:
        self.done = done
        self.replays = replays
        self.seen: ParsedExposition = done.exposed()

    def values(self, account: str, name: str) -> dict[str, float]:
        """Return a metric of a case, by resource."""
        return {one.labels["resource"]: one.value for one in self.seen.all(name, account=account)}

    def learned(self, account: str) -> set[str]:
        """Return the names of what was learned of a case, health apart."""
        health = ("usage_up", "usage_last", "usage_exporter", "usage_api")
        names = self.seen.names(account=account)
        return {name for name in names if not name.startswith(health)}


async def play(
    folder: Path,
    provider: str,
    cases: Cases,
    usual: Mapping[str, Any],
    suffix: str = "",
) -> RecordedTargets:
    exchanges = exchanges_of(provider)
    replays = {
        name: RecordedVendor(exchanges, *wanted, exact=not name.startswith("error"))
        for name, (wanted, _) in cases.items()
    }
    async with FakeVendors(replays, wall=lambda: NOW) as vendors:
        targets = [
            {
                "name": name,
                "provider": provider,
                "base_url": f"{vendors.origin}/{name}{suffix}",
                "credentials": {"token": "test-token"},
                **usual,
                **more,
                "params": {**usual.get("params", {}), **more.get("params", {})},
            }
            for name, (_, more) in cases.items()
        ]
        path = folder / "config.yaml"
        path.write_text(json.dumps({"targets": targets}))
        return RecordedTargets(await once(path), replays)


def refused(found: RecordedTargets, case: str, reason: str, words: str) -> None:
    assert found.seen.get("usage_exporter_polls_total", account=case) == 1
    assert found.seen.failed(case) == {reason: 1}
    assert found.seen.get("usage_up", account=case) == 0
    assert found.learned(case) == set()
    line = found.done.line("level=warn", f"account={case} ")
    assert f"reason={reason}" in line
    assert words in line
