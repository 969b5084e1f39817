"""Reloads of a running daemon: by signal, by POST, by a changed file, and the bad ones."""

import asyncio
import signal
from pathlib import Path

import pytest

from exporter.demo.wire import Close, Pause
from tests.support.daemon import exporting
from tests.support.meter import TOKEN, Meter, target, write_config
from tests.support.warp import warped

HANGS = (Pause(3600.0), Close())


@warped
async def test_a_reload_by_signal_and_by_post(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = Meter()
    async with meter.vendor:
        home, work, shop = (target(meter, name) for name in ("home", "work", "shop"))
        path = write_config(tmp_path, home)
        async with exporting(path, monkeypatch, lifecycle=True) as exporter:
            await exporter.first("home")
            write_config(tmp_path, home, work)
            signal.raise_signal(signal.SIGHUP)
            await exporter.first("home", "work")
            write_config(tmp_path, work, shop)
            answer = await exporter.post("/-/reload")
            at_once = await exporter.scrape()
            await exporter.first("work", "shop")
            refused = await exporter.get("/-/reload")
    assert answer.status == 200
    assert at_once.all("usage_bytes", account="home") == []
    assert at_once.get("usage_exporter_polls_total", account="home") is None
    assert at_once.get("usage_bytes", account="work") == 250
    assert at_once.get("usage_exporter_targets", provider="meter") == 2
    assert refused.status == 405


@warped
async def test_a_bad_config_changes_nothing_and_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = Meter()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        async with exporting(path, monkeypatch, lifecycle=True) as exporter:
            before = await exporter.first("home")
            path.write_text("targets: [{nam: x}]\n")
            answer = await exporter.post("/-/reload")
            seen = await exporter.scrape()
            page = (await exporter.get("/")).text
            good = write_config(tmp_path, target(meter))
            again = await exporter.post("/-/reload")
            after = await exporter.scrape()
            log = exporter.log
    assert good == path
    assert answer.status == 500
    assert 'Did you mean "name"?' in answer.text
    assert seen.get("usage_exporter_config_last_reload_successful") == 0
    assert seen.all("usage_bytes") == before.all("usage_bytes")
    assert "nam" in page
    assert "configuration rejected" in log
    assert again.status == 200
    assert after.get("usage_exporter_config_last_reload_successful") == 1


@warped
async def test_a_reload_that_crashes_does_not_end_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: object, **more: object) -> None:
        raise RecursionError(f"{TOKEN} stood here")

    meter = Meter()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        async with exporting(path, monkeypatch, lifecycle=True) as exporter:
            await exporter.first("home")
            with monkeypatch.context() as patch:
                patch.setattr("tests.support.daemon.load_plan", crash)
                answer = await exporter.post("/-/reload")
                signal.raise_signal(signal.SIGHUP)
                await asyncio.sleep(0.05)
            assert (await exporter.scrape()).get("usage_bytes") == 250
            assert (await exporter.post("/-/reload")).status == 200
            log = exporter.log
    assert answer.status == 500
    assert "RecursionError" in answer.text
    assert TOKEN not in answer.text + log


@warped
async def test_a_changed_file_is_read_again_when_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = Meter()
    async with meter.vendor:
        home, work = target(meter, "home"), target(meter, "work")
        path = write_config(tmp_path, home)
        async with exporting(path, monkeypatch, auto_reload=True) as exporter:
            await exporter.first("home")
            write_config(tmp_path, home, work)
            await exporter.first("home", "work")


@warped
async def test_without_the_lifecycle_option_nobody_reloads_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = Meter()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        async with exporting(path, monkeypatch) as exporter:
            assert (await exporter.post("/-/reload")).status == 403


@warped
async def test_the_state_cannot_move_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = Meter()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        async with exporting(path, monkeypatch, lifecycle=True) as exporter:
            await exporter.first("home")
            write_config(tmp_path, target(meter), state={"file": "other.db"})
            answer = await exporter.post("/-/reload")
            seen = await exporter.scrape()
    assert answer.status == 500
    assert "the state cannot move while the exporter runs" in answer.text
    assert seen.get("usage_exporter_config_last_reload_successful") == 0
    assert not (tmp_path / "other.db").exists()
