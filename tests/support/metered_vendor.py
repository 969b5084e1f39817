"""A fake vendor with a small definition of its own, for tests that are not about definitions."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from exporter.demo.server import Script, VendorRequest, VendorResponse, json_response
from tests.support.vendor import Vendor

TOKEN = "meter-token-1"  # noqa: S105 - a fake vendor's fake token
MONTH_START, MONTH_END = 1_793_491_200.0, 1_796_083_200.0  # November 2026
DEFINITION = """\
title: Meter
documentation: https://meter.example/docs
interval: 5m
credentials: {token: {description: The key.}}
params: {site: {description: One of the sites.}}
auth: {kind: bearer}
collectors:
  usage:
    request: {path: /usage, query: {site: "{params.site}"}}
    paging: {kind: next_url, next: next}
    success: {error: [detail]}
  seats:
    enabled: false
    interval: 10m
    conditional: true
    request: {path: /seats}
resources:
  - name: "{line.name}"
    each: {path: rows, as: line}
    unit: bytes
    reduce: sum
    used: line.used
    limit: line.limit
    period: {start: line.start, end: line.end}
  - {name: seats, collector: seats, level: true, used: used, limit: limit}
"""

Reply: TypeAlias = VendorResponse | Script | Callable[[VendorRequest], VendorResponse | Script]


def row(name: str = "traffic", used: float = 250.0, **more: Any) -> dict[str, Any]:
    """Return one row of an answer: 250 of 1,000 bytes of November."""
    usual = {"limit": 1000, "start": MONTH_START, "end": MONTH_END}
    return {"name": name, "used": used, **usual, **more}


def rows(*found: Mapping[str, Any], **more: Any) -> VendorResponse:
    """Return an answer with rows."""
    return json_response({"rows": list(found) or [row()], **more})


class MeteredVendor:
    """Answers by path; a test changes `answers` as it goes on.

    Only the tokens in `accepted` are let in.
    """

    def __init__(self, **answers: Reply) -> None:
        self.answers: dict[str, Reply] = {"usage": rows(), "seats": json_response({"used": 3})}
        self.answers |= answers
        self.accepted = {TOKEN}
        self.vendor = Vendor(self._reply)

    @property
    def asked(self) -> list[VendorRequest]:
        """All requests so far."""
        return self.vendor.asked

    @property
    def base_url(self) -> str:
        """The address for a target."""
        return self.vendor.base_url

    def _reply(self, asked: VendorRequest) -> VendorResponse | Script:
        scheme, _, token = asked.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.accepted:
            return json_response({"detail": "bad key"}, status=401)
        reply = self.answers[asked.path.strip("/")]
        return reply(asked) if callable(reply) else reply


def target(meter: MeteredVendor, name: str = "home", **more: Any) -> dict[str, Any]:
    """Return a target as the configuration writes it."""
    credentials = {"token": TOKEN}
    usual = {"name": name, "provider": "meter", "base_url": meter.base_url}
    return {**usual, "credentials": credentials, **more}


def write_config(folder: Path, *targets: Mapping[str, Any], **more: Any) -> Path:
    """Write a configuration, and the definition beside it; JSON is YAML."""
    (folder / "meter.yaml").write_text(DEFINITION)
    document = {"providers": {"files": ["meter.yaml"]}, "targets": list(targets), **more}
    path = folder / "config.yaml"
    path.write_text(json.dumps(document))
    return path
