"""The demo as a newcomer runs it: one command, and three vendors' usage within seconds."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.support.processes import exporter, program

pytestmark = pytest.mark.timeout(120)
FAMILIES = (
    "usage_bytes",
    "usage_requests",
    "usage_quantity",
    "usage_cost",
    "usage_projected_ratio",
)
ACCOUNTS = ("video-prod", "saas-prod", "network")


def lint(text: bytes) -> tuple[int, str]:
    done = subprocess.run(  # noqa: S603 - promtool
        [program("promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def test_a_newcomer_sees_three_vendors_within_seconds(tmp_path: Path) -> None:
    began = time.monotonic()
    with exporter(tmp_path, "demo") as demo:
        demo.first(*ACCOUNTS)
        assert time.monotonic() - began < 15
        text = demo.get("/metrics", Accept="text/plain")
        seen = demo.until(lambda seen: all(seen.all(name) for name in FAMILIES))
        page = demo.get("/")
        log = demo.log
    assert {one.labels["account"] for one in seen.all("usage_percent")} == set(ACCOUNTS)
    assert demo.url in log  # it says where to look
    assert lint(text.body) == (0, "")
    assert page.status == 200
    assert all(account in page.text for account in ACCOUNTS)


def test_what_chaos_leaves_is_still_an_exposition(tmp_path: Path) -> None:
    with exporter(tmp_path, "demo", "--chaos") as demo:
        demo.until(lambda seen: len(seen.all("usage_up")) >= 3)
        demo.until(
            lambda seen: any(one.value for one in seen.all("usage_exporter_poll_failures_total"))
        )
        time.sleep(5)
        text = demo.get("/metrics", Accept="text/plain")
        assert demo.get("/-/healthy").status == 200
        assert "Traceback" not in demo.log
    assert lint(text.body) == (0, "")
