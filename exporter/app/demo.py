"""The demo: an exporter whose vendors are fakes in the same process."""

import random
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

import msgspec

from exporter.app.options import Options
from exporter.app.serve import serve
from exporter.config.load import load_text
from exporter.demo.server import FakeVendors
from exporter.demo.vendors import VENDORS, breaks_at_random, config, throttles_now_and_then
from exporter.model.plan import Plan, Rejected
from exporter.model.target import Target
from exporter.web.addresses import Address

PACE = 5.0
"""Seconds between two polls: the fakes have no polite minimum, and a watcher no patience."""


async def demo(
    options: Options, *, chaos: bool, environ: Mapping[str, str], stream: TextIO, out: TextIO
) -> None:
    """Serve the fakes and the exporter until SIGTERM or SIGINT."""
    spoil = breaks_at_random(random.Random(7)) if chaos else throttles_now_and_then()  # noqa: S311
    async with FakeVendors(VENDORS, wall=time.time, spoil=spoil) as vendors:

        def load() -> Plan | Rejected:
            text = config(vendors.origin)
            loaded = load_text(text, name="demo", directory=".", environ=environ)
            return loaded if isinstance(loaded, Rejected) else _hastened(loaded)

        plan = load()
        if isinstance(plan, Rejected):
            raise RuntimeError("; ".join(map(str, plan.problems)))  # noqa: TRY004 - not a type

        def announce(bound: Sequence[Address]) -> None:
            home = f"http://{bound[0] if bound[0].host else Address('127.0.0.1', bound[0].port)}"
            out.write(
                f"usage-exporter demo: three fake vendors at {vendors.origin}\n"
                f"  status page  {home}/\n"
                f"  metrics      {home}{options.telemetry_path}\n"
                "Ctrl-C ends it.\n"
            )
            out.flush()

        await serve(plan, options, load=load, stream=stream, announce=announce)


def _hastened(plan: Plan) -> Plan:
    targets = {name: _hasten(target) for name, target in plan.targets.items()}
    return msgspec.structs.replace(plan, targets=targets)


def _hasten(target: Target) -> Target:
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
        collectors=dict.fromkeys(target.collectors, PACE),
        poll_timeout=4.0,
    )
