"""Reloads of a running daemon: by signal, by POST, by a changed file, and the bad ones."""

import asyncio
import signal
from pathlib import Path

import pytest

from exporter.demo.server import Close, Pause
from tests.support.adjustable_clock import adjustable_clock, advance
from tests.support.daemon import Exporter, exporting
from tests.support.metered_vendor import TOKEN, MeteredVendor, target, write_config

HANGS = (Pause(3600.0), Close())


@adjustable_clock
async def test_a_reload_by_signal_and_by_post(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
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


@adjustable_clock
async def test_a_bad_config_changes_nothing_and_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
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


@adjustable_clock
async def test_a_reload_that_crashes_does_not_end_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: object, **more: object) -> None:
        raise RecursionError(f"{TOKEN} stood here")

    meter = MeteredVendor()
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


@adjustable_clock
async def test_a_changed_file_is_read_again_when_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        home, work = target(meter, "home"), target(meter, "work")
        path = write_config(tmp_path, home)
        async with exporting(path, monkeypatch, auto_reload=True) as exporter:
            await exporter.first("home")
            write_config(tmp_path, home, work)
            await exporter.first("home", "work")


@adjustable_clock
async def test_without_the_lifecycle_option_nobody_reloads_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        async with exporting(path, monkeypatch) as exporter:
            assert (await exporter.post("/-/reload")).status == 403


@adjustable_clock
async def test_the_state_cannot_move_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
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


OWN = """\
title: Own
documentation: https://own.example/docs
base_url: http://127.0.0.1:1
permission: none
collectors: {usage: {request: {path: /u}}}
resources: [{name: alpha, used: used, unit: requests}]
"""


def loads(exporter: Exporter) -> int:
    return exporter.log.count("configuration loaded")


def rejections(exporter: Exporter) -> int:
    return exporter.log.count("configuration rejected")


async def look(exporter: Exporter) -> None:
    """Let the exporter look at its files."""
    for _ in range(12):
        advance(0.5)
        await asyncio.sleep(0.02)


def replace(path: Path, text: str) -> None:
    """Write as editors do: another file takes the place."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.replace(path)


@adjustable_clock
async def test_a_new_file_of_a_pattern_and_a_deleted_one_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
    (tmp_path / "defs").mkdir()
    (tmp_path / "defs" / "one.yaml").write_text(OWN)
    async with meter.vendor:
        files = {"files": ["meter.yaml", "defs/*.yaml"]}
        path = write_config(tmp_path, target(meter), providers=files)
        async with exporting(path, monkeypatch, auto_reload=True) as exporter:
            await exporter.first("home")
            await look(exporter)
            assert loads(exporter) == 1
            (tmp_path / "defs" / "two.yaml").write_text(OWN)
            await look(exporter)
            assert loads(exporter) == 2
            (tmp_path / "defs" / "one.yaml").unlink()
            await look(exporter)
            assert loads(exporter) == 3
            replace(tmp_path / "defs" / "two.yaml", OWN.replace("alpha", "gamma"))
            await look(exporter)
            assert loads(exporter) == 4
            (tmp_path / "defs" / "two.yaml").touch()
            await look(exporter)
            assert loads(exporter) == 4


@adjustable_clock
async def test_a_repaired_file_of_a_rejected_configuration_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        async with exporting(path, monkeypatch, auto_reload=True) as exporter:
            await exporter.first("home")
            (tmp_path / "own.yaml").write_text("title: [broken\n")
            tls = {"tls_config": {"ca_file": "ca.pem"}}
            own = {"name": "own", "provider": "own", "http": tls}
            files = {"files": ["meter.yaml", "own.yaml"]}
            write_config(tmp_path, target(meter), own, providers=files)
            await look(exporter)
            assert rejections(exporter) == 1
            await look(exporter)
            assert rejections(exporter) == 1
            (tmp_path / "own.yaml").write_text(OWN.replace("http:", "https:"))
            await look(exporter)
            assert rejections(exporter) == 2  # the certificate is still missing
            (tmp_path / "ca.pem").touch()
            await look(exporter)
            assert (rejections(exporter), loads(exporter)) == (2, 2)


@adjustable_clock
async def test_a_configuration_that_is_away_for_a_moment_is_read_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        text = path.read_text()
        async with exporting(path, monkeypatch, auto_reload=True) as exporter:
            await exporter.first("home")
            path.unlink()
            await look(exporter)
            assert rejections(exporter) == 1
            path.write_text(text)
            await look(exporter)
            assert loads(exporter) == 2
            seen = await exporter.scrape()
    assert seen.get("usage_exporter_config_last_reload_successful") == 1
    assert seen.get("usage_bytes", account="home") == 250


@adjustable_clock
async def test_a_load_that_crashes_is_not_tried_again_before_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*arguments: object, **more: object) -> None:
        raise RecursionError

    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        async with exporting(path, monkeypatch, auto_reload=True) as exporter:
            await exporter.first("home")
            with monkeypatch.context() as patch:
                patch.setattr("tests.support.daemon.load_plan", crash)
                write_config(tmp_path, target(meter), target(meter, "work"))
                await look(exporter)
                await look(exporter)
                assert rejections(exporter) == 1
            write_config(tmp_path, target(meter), target(meter, "shop"))
            await look(exporter)
            assert loads(exporter) == 2
