"""The demo: an exporter whose vendors are fakes in the same process."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

import msgspec

from exporter.app.daemon import serve
from exporter.app.options import Options
from exporter.config.plan import load_text
from exporter.demo.faults import FAULTS, ChaosFaults, occasional_throttling
from exporter.demo.server import FakeVendors
from exporter.demo.vendors import VENDORS, demo_config
from exporter.model.target import Plan, Rejected, Target
from exporter.web.address import Address

POLL_INTERVAL = 5.0
"""Seconds between two polls: fake vendors need no minimum, and a demo has to show something."""
CHAOS_POLL_INTERVAL = 20.0
"""The same for accounts that break at every second poll: their log must stay readable."""


async def demo(
    options: Options, *, chaos: bool, environ: Mapping[str, str], stream: TextIO, out: TextIO
) -> None:
    """Serve the fakes and the exporter until SIGTERM or SIGINT."""
    inject = occasional_throttling()
    if chaos:
        inject = ChaosFaults(inject, time.time)
    async with FakeVendors(VENDORS, wall=time.time, inject=inject) as vendors:

        def load() -> Plan | Rejected:
            text = demo_config(vendors.origin, chaos=chaos)
            plan = load_text(text, name="demo", directory=".", environ=environ)
            if isinstance(plan, Rejected):
                return plan
            interval = CHAOS_POLL_INTERVAL if chaos else POLL_INTERVAL
            targets = {name: _poll_every(interval, one) for name, one in plan.targets.items()}
            return msgspec.structs.replace(plan, targets=targets)

        plan = await asyncio.to_thread(load)
        if isinstance(plan, Rejected):
            raise RuntimeError("; ".join(map(str, plan.problems)))  # noqa: TRY004 - not a type

        def announce(bound: Sequence[Address]) -> None:
            home = f"http://{bound[0] if bound[0].host else Address('127.0.0.1', bound[0].port)}"
            home += options.route_prefix
            broken = f", {len(FAULTS)} accounts that break, each in its way" if chaos else ""
            out.write(
                f"usage-exporter demo: three fake vendors at {vendors.origin}{broken}\n"
                f"  status page  {home}/\n"
                f"  metrics      {home}{options.telemetry_path}\n"
                "Ctrl-C ends it.\n"
            )
            out.flush()

        await serve(plan, options, load=load, stream=stream, announce=announce)


def _poll_every(interval: float, target: Target) -> Target:
    """Return the target without the minimum intervals of its definition."""
    definition = target.definition
    collectors = {
        name: msgspec.structs.replace(collector, min_interval=None)
        for name, collector in definition.collectors.items()
    }
    return msgspec.structs.replace(
        target,
        definition=msgspec.structs.replace(
            definition, min_interval=0.0, data_cadence=None, collectors=collectors
        ),
        collectors=dict.fromkeys(target.collectors, interval),
        poll_timeout=4.0,
    )
