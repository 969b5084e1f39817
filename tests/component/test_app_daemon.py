"""The daemon with its web side, its signals and its secrets, in one process."""

import asyncio
import base64
import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import bcrypt
import pytest

from exporter.demo.server import Close, Pause, json_response
from tests.support.adjustable_clock import adjustable_clock, advance
from tests.support.daemon import exporting
from tests.support.metered_vendor import TOKEN, MeteredVendor, row, rows, target, write_config
from tests.support.parsed_exposition import ParsedExposition
from tests.support.vendor import NOW

HANGS = (Pause(3600.0), Close())


def is_up(seen: ParsedExposition) -> bool:
    return seen.get("usage_up", account="home") == 1


def is_down(seen: ParsedExposition) -> bool:
    return seen.get("usage_up", account="home") == 0


@adjustable_clock
async def test_every_address_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        async with exporting(path, monkeypatch) as exporter:
            seen = await exporter.first("home")
            statuses = {
                address: (await exporter.get(address)).status
                for address in (
                    "/",
                    "/metrics",
                    "/-/healthy",
                    "/-/ready",
                    "/probe?target=home",
                    "/probe?target=nobody",
                    "/config",
                    "/api/v1/targets",
                    "/nothing",
                )
            }
            page = (await exporter.get("/")).text
            shown = (await exporter.get("/config")).text
            probed = ParsedExposition((await exporter.get("/probe?target=home")).text)
    assert statuses.pop("/nothing") == 404
    assert statuses.pop("/probe?target=nobody") == 400
    assert set(statuses.values()) == {200}
    assert "home" in page
    assert "<secret>" in shown
    assert [one for one in seen.series if not one.name.startswith(("usage_exporter", "p"))] == list(
        probed.series
    )


@adjustable_clock
async def test_it_is_ready_after_the_first_attempts_whatever_came_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = MeteredVendor(), MeteredVendor(usage=HANGS)
    async with good.vendor, bad.vendor:
        path = write_config(tmp_path, target(good, "home"), target(bad, "work"))
        async with exporting(path, monkeypatch) as exporter:
            early = await exporter.get("/-/ready")
            healthy = await exporter.get("/-/healthy")
            await exporter.first("home")
            waiting = await exporter.get("/-/ready")
            advance(31)
            await exporter.first("work")
            late = await exporter.get("/-/ready")
    assert (early.status, waiting.status, late.status) == (503, 503, 200)
    assert "first polls" in waiting.text
    assert healthy.status == 200


@adjustable_clock
async def test_it_is_ready_after_half_a_minute_even_if_a_vendor_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor(usage=HANGS)
    async with meter.vendor:
        path = write_config(tmp_path, target(meter, poll_timeout="2m"))
        async with exporting(path, monkeypatch) as exporter:
            while not meter.asked:
                advance(0.5)
                await asyncio.sleep(0.002)
            advance(31)
            assert (await exporter.get("/-/ready")).status == 200


@adjustable_clock
async def test_a_scrape_is_the_same_plain_and_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        async with exporting(path, monkeypatch) as exporter:
            await exporter.first("home")
            packed = await exporter.get("/metrics", Accept_Encoding="gzip")
            plain = await exporter.get("/metrics")
            open_metrics = await exporter.get(
                "/metrics", Accept="application/openmetrics-text;version=1.0.0"
            )
    assert packed.headers["content-encoding"] == "gzip"
    packed_names = ParsedExposition(gzip.decompress(packed.body).decode()).names()
    assert packed_names == ParsedExposition(plain.text).names()
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text;")
    assert open_metrics.text.endswith("# EOF\n")


@adjustable_clock
async def test_self_metrics_tell_how_polls_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor(usage=json_response({"detail": "no"}, status=500))
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        async with exporting(path, monkeypatch) as exporter:
            seen = await exporter.until(is_down)
    assert seen.failed("home") == {"http_5xx": 1}
    assert len(seen.all("usage_exporter_poll_failures_total", account="home")) == 14
    assert seen.get("usage_exporter_polls_total", account="home") == 1
    assert seen.get("usage_exporter_http_requests_total", provider="meter", code="500") == 1
    assert seen.get("usage_exporter_poll_duration_seconds_count", provider="meter") == 1
    assert seen.get("usage_exporter_poll_interval_seconds", account="home") == 300
    assert seen.get("usage_exporter_targets", provider="meter") == 1
    assert (seen.get("usage_exporter_backoff_seconds", account="home") or 0) > 250
    assert seen.get("usage_exporter_config_last_reload_successful") == 1
    assert seen.get("usage_exporter_log_messages_total", level="warn") == 1
    assert seen.get("usage_exporter_series") == 2


@adjustable_clock
async def test_a_refusal_pauses_until_the_secret_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
    key = tmp_path / "key"
    key.write_text("worn-out-token\n")
    async with meter.vendor:
        path = write_config(tmp_path, target(meter, credentials={"token_file": "key"}))
        async with exporting(path, monkeypatch) as exporter:
            await exporter.until(is_down)
            advance(600)
            await asyncio.sleep(0.05)
            assert len(meter.asked) == 1
            key.write_text(f"{TOKEN}\n")
            began = time.time()
            await exporter.until(is_up)
            assert time.time() - began < 12
            log = exporter.log
    assert 'msg="secret changed, polling at once" account=home' in log
    assert TOKEN not in log


@adjustable_clock
async def test_a_swapped_kubernetes_secret_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter, other = MeteredVendor(), MeteredVendor()
    mount = tmp_path / "secrets"
    for name, token in (("..1", "worn-out-token"), ("..2", TOKEN)):
        (mount / name).mkdir(parents=True)
        (mount / name / "key").write_text(token)
    (mount / "..data").symlink_to("..1")
    (mount / "key").symlink_to("..data/key")
    async with meter.vendor, other.vendor:
        ours = target(meter, credentials={"token_file": "secrets/key"})
        path = write_config(tmp_path, ours, target(other, "work"))
        async with exporting(path, monkeypatch) as exporter:
            await exporter.until(is_down)
            await exporter.first("work")
            (mount / "..data_tmp").symlink_to("..2")
            (mount / "..data_tmp").rename(mount / "..data")
            await exporter.until(is_up)
    assert len(meter.asked) == 2
    assert len(other.asked) == 1  # nobody else was touched


@adjustable_clock
async def test_a_secret_that_is_away_for_a_moment_is_an_auth_failure_and_mends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
    key = tmp_path / "key"
    key.write_text(TOKEN)
    key.chmod(0o400)
    async with meter.vendor:
        path = write_config(tmp_path, target(meter, credentials={"token_file": "key"}))
        async with exporting(path, monkeypatch) as exporter:
            await exporter.until(is_up)
            key.unlink()
            seen = await exporter.until(is_down, step=20)
            assert seen.failed("home") == {"auth": 1}
            assert seen.get("usage_bytes") == 250
            key.write_text(TOKEN)
            key.chmod(0o400)
            await exporter.until(is_up)
            log = exporter.log
    assert f'\\"{key}\\" does not exist' in log or f'"{key}\\" does not exist' in log


@adjustable_clock
async def test_a_secret_that_was_changed_while_it_was_down_is_tried_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
    key = tmp_path / "key"
    key.write_text("worn-out-token")
    async with meter.vendor:
        ours = target(meter, credentials={"token_file": "key"})
        path = write_config(tmp_path, ours, state={"file": "state.db"})
        async with exporting(path, monkeypatch) as exporter:
            await exporter.until(is_down)
        async with exporting(path, monkeypatch, start=NOW + 60) as exporter:
            seen = await exporter.first("home")
            assert seen.get("usage_up", account="home") == 0
            assert (seen.get("usage_exporter_backoff_seconds", account="home") or 0) > 700
            advance(20)
            await asyncio.sleep(0.05)
            assert len(meter.asked) == 1
        key.write_text(TOKEN)
        async with exporting(path, monkeypatch, start=NOW + 120) as exporter:
            await exporter.until(is_up)
            assert "secret changed" in exporter.log
    assert len(meter.asked) == 2


@adjustable_clock
async def test_an_observer_that_fails_is_logged_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grumble(*arguments: object, **more: object) -> None:
        raise RuntimeError(f"{TOKEN} stood here")

    meter = MeteredVendor()
    monkeypatch.setattr("exporter.observe.history.PollHistory.__call__", grumble)
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        async with exporting(path, monkeypatch) as exporter:
            seen = await exporter.until(is_up)
            log = exporter.log
    assert seen.get("usage_exporter_polls_total", account="home") == 1
    assert "observer=PollHistory" in log
    assert TOKEN not in log


@adjustable_clock
async def test_an_address_that_fails_is_logged_and_answers_500(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grumble(*arguments: object, **more: object) -> None:
        raise RuntimeError(f"{TOKEN} stood here")

    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        async with exporting(path, monkeypatch) as exporter:
            await exporter.until(is_up)
            monkeypatch.setattr("exporter.app.view.TargetView", grumble)
            answer = await exporter.get("/api/v1/targets")
            assert (await exporter.get("/metrics")).status == 200
            log = exporter.log
    assert answer.status == 500
    assert "an address failed" in log
    assert TOKEN not in answer.text + log


@adjustable_clock
async def test_sigterm_ends_it_while_a_vendor_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor(usage=HANGS)
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        began = time.perf_counter()
        async with exporting(path, monkeypatch):
            while not meter.asked:
                advance(0.5)
                await asyncio.sleep(0.002)
    assert time.perf_counter() - began < 5


@adjustable_clock
async def test_the_status_api_tells_what_the_series_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor(usage=rows(row("traffic", 900)))
    async with meter.vendor:
        path = write_config(tmp_path, target(meter, labels={"team": "video"}))
        async with exporting(path, monkeypatch) as exporter:
            await exporter.until(is_up)
            (shown,) = (await exporter.targets()).values()
    (resource,) = shown["resources"]
    assert (resource["resource"], resource["used"], resource["limit"]) == ("traffic", 900, 1000)
    assert resource["ratio"] == 0.9
    assert shown["labels"] == {"team": "video"}
    assert shown["collectors"][0]["health"] == shown["health"] == "up"


@adjustable_clock
async def test_the_log_tells_edges_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        async with exporting(path, monkeypatch, log_format="json") as exporter:
            await exporter.until(is_up)
            meter.answers["usage"] = json_response({"detail": "no"}, status=500)
            await exporter.until(lambda seen: seen.failed("home").get("http_5xx", 0) > 2, step=20)
            meter.answers["usage"] = rows()
            await exporter.until(is_up, step=20)
            lines = [json.loads(line) for line in exporter.log.splitlines()]
    assert [line["msg"] for line in lines] == [
        "listening",
        "configuration loaded",
        "target is down",
        "target is back",
    ]
    assert lines[2]["reason"] == "http_5xx"
    assert "no" in lines[2]["detail"]


@adjustable_clock
async def test_the_web_configuration_may_change_and_may_not_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def users(password: bytes) -> str:
        hashed = bcrypt.hashpw(password, bcrypt.gensalt(4)).decode()
        return f"basic_auth_users: {{me: '{hashed}'}}"

    def pair(password: str) -> str:
        return "Basic " + base64.b64encode(f"me:{password}".encode()).decode()

    meter, web = MeteredVendor(), tmp_path / "web.yaml"
    web.write_text(users(b"one"))
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        async with exporting(path, monkeypatch, web_config_file=str(web)) as exporter:
            refused = await exporter.get("/metrics")
            first = await exporter.get("/metrics", Authorization=pair("one"))
            web.write_text(users(b"two"))
            advance(2)
            second = await exporter.get("/metrics", Authorization=pair("two"))
            web.write_text("users: {}")
            advance(2)
            third = await exporter.get("/metrics", Authorization=pair("two"))
            log = exporter.log
    assert [answer.status for answer in (refused, first, second, third)] == [401, 200, 200, 200]
    assert "the web configuration cannot be used, the old one stays" in log


@adjustable_clock
async def test_the_status_page_of_many_targets_takes_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, *(target(meter, f"t{n}") for n in range(120)))
        async with exporting(path, monkeypatch) as exporter:
            assert len(await exporter.targets()) == 120


def test_the_web_configuration_is_loaded_only_where_there_is_one() -> None:
    code = "import sys, exporter.app.daemon; print('exporter.web.access' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter
    assert done.stdout == "False\n"
