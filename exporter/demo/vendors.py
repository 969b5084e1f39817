"""The demo's cast: which fake vendors there are, how often they throttle, who asks them."""

import itertools
import time
from collections.abc import Callable
from typing import Protocol

from exporter.demo import billing_usage, thousandeyes, tpstreams
from exporter.demo.faults import FAULTS
from exporter.demo.server import Spoil, Vendor
from exporter.demo.wire import Answer, Asked, Script, json_answer, plainly

VENDORS: dict[str, Vendor] = {
    "tpstreams": tpstreams.answer,
    "billing_usage": billing_usage.answer,
    "thousandeyes": thousandeyes.answer,
}

_CONFIG = """\
global:
  poll_interval: 1h
targets:
  - name: video-prod
    provider: tpstreams
    base_url: {origin}/tpstreams
    credentials: {{token: {tpstreams}}}
    params: {{organization_id: 9q94nm}}
    limits: {{bandwidth: 5 TB, storage: 500 GB, spend: 200 USD}}
    labels: {{team: video}}
  - name: saas-prod
    provider: billing_usage
    base_url: {origin}/billing_usage
    credentials: {{token: {billing}}}
    labels: {{team: product}}
  - name: network
    provider: thousandeyes
    base_url: {origin}/thousandeyes/v7
    credentials: {{token: {thousandeyes}}}
    items: true
    collectors: {{units_tests: true, units_enterprise_agents: true, quotas: true}}
    labels: {{team: network}}
"""


def config(origin: str) -> str:
    """Return the configuration of an exporter that polls the fake vendors at ``origin``."""
    return _CONFIG.format(
        origin=origin,
        tpstreams=tpstreams.TOKEN,
        billing=billing_usage.TOKEN,
        thousandeyes=thousandeyes.TOKEN,
    )


def throttles_now_and_then(every: int = 14, wait: int = 8) -> Spoil:
    """Return a fault that refuses each ``every``-th request with 429 and ``Retry-After``."""
    counters: dict[str, Callable[[], int]] = {}

    def spoil(vendor: str, asked: Asked, answer: Answer) -> Script | None:
        count = counters.setdefault(vendor, itertools.count(1).__next__)()
        if count % every:
            return None
        refusal = {"detail": f"Request was throttled. Expected available in {wait} seconds."}
        return plainly(json_answer(refusal, status=429, headers={"Retry-After": str(wait)}))

    return spoil


class Dice(Protocol):
    """Chance, as ``random.Random`` has it."""

    def random(self) -> float: ...
    def choice(self, names: list[str], /) -> str: ...


def breaks_at_random(
    dice: Dice, often: float = 0.3, wall: Callable[[], float] = time.time
) -> Spoil:
    """Return a fault that breaks a share of the answers, each in one of all the known ways."""
    names = sorted(FAULTS)

    def spoil(vendor: str, asked: Asked, answer: Answer) -> Script | None:
        if dice.random() >= often:
            return None
        return FAULTS[dice.choice(names)](asked, answer, wall())

    return spoil
