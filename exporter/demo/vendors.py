"""The demo's cast: which fake vendors there are, how often they throttle, who asks them."""

import itertools
from collections.abc import Callable

from exporter.demo import billing_usage, thousandeyes, tpstreams
from exporter.demo.chaos import targets
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
    credentials: {{token: {billing_usage}}}
    labels: {{team: product}}
  - name: network
    provider: thousandeyes
    base_url: {origin}/thousandeyes/v7
    credentials: {{token: {thousandeyes}}}
    items: true
    collectors: {{units_tests: true, units_enterprise_agents: true, quotas: true}}
    labels: {{team: network}}
"""


TOKENS = {
    "tpstreams": tpstreams.TOKEN,
    "billing_usage": billing_usage.TOKEN,
    "thousandeyes": thousandeyes.TOKEN,
}


def config(origin: str, *, chaos: bool = False) -> str:
    """Return the configuration of an exporter that polls the fake vendors at ``origin``.

    With ``chaos`` there is also an account for each fault that the vendors know.
    """
    usual = _CONFIG.format(origin=origin, **TOKENS)
    return usual + targets(origin, TOKENS) if chaos else usual


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
