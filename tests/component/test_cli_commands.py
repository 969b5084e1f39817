"""``once``, ``explain``, ``run`` and ``demo`` on real sockets, and their exit codes."""

import asyncio
import contextlib
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from exporter.cli.main import main
from exporter.demo.server import Close, Pause, json_response
from tests.support.cli_process import ROOT, Done, exporter
from tests.support.metered_vendor import TOKEN, MeteredVendor, row, rows, target, write_config
from tests.support.parsed_exposition import ParsedExposition
from tests.support.vendor import NOW

Command = Callable[..., Coroutine[Any, Any, Done]]
DOWN = json_response({"detail": "maintenance"}, status=503)


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in a thread of this process, with a wall clock that stands at `NOW`."""
    monkeypatch.setattr(time, "time", lambda: NOW)

    async def run(*words: str) -> Done:
        capfd.readouterr()
        code = await asyncio.to_thread(main, list(words))
        told = capfd.readouterr()
        return Done(code, told.out, told.err)

    return run


@asynccontextmanager
async def two(folder: Path, home: MeteredVendor, work: MeteredVendor) -> AsyncIterator[Path]:
    async with home.vendor, work.vendor:
        yield write_config(folder, target(home, "home"), target(work, "work"))


async def test_once_prints_all_and_ends_with_0(tmp_path: Path, command: Command) -> None:
    async with two(tmp_path, MeteredVendor(), MeteredVendor()) as path:
        done = await command("once", f"--config.file={path}")
    seen = done.exposed()
    assert (done.code, done.err) == (0, "")
    assert [one.value for one in seen.all("usage_bytes")] == [250, 250]
    assert seen.get("usage_last_success_timestamp_seconds", account="home") == NOW
    assert seen.get("usage_exporter_polls_total", account="home") == 1


async def test_once_prints_what_it_has_and_ends_with_5(tmp_path: Path, command: Command) -> None:
    async with two(tmp_path, MeteredVendor(), MeteredVendor(usage=DOWN)) as path:
        done = await command("once", f"--config.file={path}")
    seen = done.exposed()
    assert done.code == 5
    assert seen.get("usage_up", account="home") == 1
    assert seen.get("usage_up", account="work") == 0
    assert [one.labels["account"] for one in seen.all("usage_bytes")] == ["home"]
    assert "maintenance" in done.line("account=work")


async def test_once_polls_the_one_target_that_is_named(tmp_path: Path, command: Command) -> None:
    home, work = MeteredVendor(), MeteredVendor(usage=DOWN)
    async with two(tmp_path, home, work) as path:
        done = await command("once", f"--config.file={path}", "--target=home")
        wrong = await command("once", f"--config.file={path}", "--target=hom")
    assert done.code == 0
    assert {one.labels["account"] for one in done.exposed().series} == {"home"}
    assert work.asked == []
    assert wrong.code == 2
    assert 'Did you mean "home"?' in wrong.err


async def test_once_replaces_a_file_as_a_whole(tmp_path: Path, command: Command) -> None:
    out = tmp_path / "out" / "usage.prom"
    out.parent.mkdir()
    out.write_text("old")
    async with two(tmp_path, MeteredVendor(), MeteredVendor()) as path:
        done = await command("once", f"--config.file={path}", f"--output={out}")
    assert (done.code, done.out) == (0, "")
    assert ParsedExposition(out.read_text()).get("usage_bytes", account="home") == 250
    assert stat.S_IMODE(out.stat().st_mode) == 0o644  # node_exporter is another user
    assert [path.name for path in out.parent.iterdir()] == ["usage.prom"]


@pytest.mark.parametrize("place", ["missing/usage.prom", "config.yaml/usage.prom", "folder"])
async def test_once_says_when_it_cannot_write(tmp_path: Path, place: str, command: Command) -> None:
    (tmp_path / "folder").mkdir()
    async with two(tmp_path, MeteredVendor(), MeteredVendor()) as path:
        done = await command("once", f"--config.file={path}", f"--output={tmp_path / place}")
    assert done.code == 1
    assert done.err.startswith(f"--output: cannot write {tmp_path / place}: ")
    assert "Traceback" not in done.err
    assert sorted(os.listdir(tmp_path)) == ["config.yaml", "folder", "meter.yaml"]  # noqa: PTH208


async def test_once_follows_links_and_keeps_the_file_s_permissions(
    tmp_path: Path, command: Command
) -> None:
    real = tmp_path / "real" / "usage.prom"
    real.parent.mkdir()
    real.write_text("old")
    real.chmod(0o640)
    (tmp_path / "link").symlink_to("real/usage.prom")
    (tmp_path / "first").symlink_to("link")
    (tmp_path / "new").symlink_to(real.with_name("new.prom"))
    before = real.stat().st_ino
    async with two(tmp_path, MeteredVendor(), MeteredVendor()) as path:
        for name in ("first", "new"):
            done = await command("once", f"--config.file={path}", f"--output={tmp_path / name}")
            assert (done.code, done.out, done.err) == (0, "", "")
    assert all((tmp_path / name).is_symlink() for name in ("first", "link", "new"))
    for written, mode in ((real, 0o640), (real.with_name("new.prom"), 0o644)):
        assert ParsedExposition(written.read_text()).get("usage_bytes", account="home") == 250
        assert stat.S_IMODE(written.stat().st_mode) == mode
    assert real.stat().st_ino != before  # replaced as a whole: no reader sees half of it
    assert len(list(real.parent.iterdir())) == 2


async def test_once_writes_to_a_pipe_and_does_not_replace_it(
    tmp_path: Path, command: Command
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with two(tmp_path, MeteredVendor(), MeteredVendor()) as path:
        unread = await command("once", f"--config.file={path}", f"--output={pipe}")
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(asyncio.to_thread(pipe.read_text))
            code = 1
            while code:  # until the reader has the pipe open
                code = (await command("once", f"--config.file={path}", f"--output={pipe}")).code
    assert (unread.code, unread.err) == (
        1,
        f"--output: cannot write {pipe}: no process reads this pipe. Start the reader first.\n",
    )
    assert ParsedExposition(reader.result()).get("usage_bytes", account="home") == 250
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1", "link"])
async def test_once_writes_to_what_stdout_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to("/dev/stdout")
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        done = await exporter("once", f"--config.file={path}", f"--output={tmp_path / name}")
    assert (done.code, done.err) == (0, "")
    assert done.exposed().get("usage_bytes", account="home") == 250


async def test_once_appends_to_a_file_that_is_open_under_a_number(
    tmp_path: Path, command: Command
) -> None:
    (tmp_path / "all.log").write_text("# before\n")
    async with two(tmp_path, MeteredVendor(), MeteredVendor()) as path:
        with (tmp_path / "all.log").open("ab") as file:
            number = file.fileno()
            done = await command("once", f"--config.file={path}", f"--output=/dev/fd/{number}")
    assert (done.code, done.err) == (0, "")
    text = (tmp_path / "all.log").read_text()
    assert text.startswith("# before\n")
    assert ParsedExposition(text).get("usage_bytes", account="home") == 250


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("folder", "it is a folder. Name a file in it: "),
        ("folder/", "it is a folder. Name a file in it: "),
        ("to_folder", "it is a folder. Name a file in it: "),
        ("socket", "it is a socket. Name a file, a pipe or a terminal."),
        ("read_only", "it is read-only. Delete it, or allow writing: chmod u+w."),
        ("to_read_only", "it is read-only. Delete it, or allow writing: chmod u+w."),
        ("circle", "Too many levels of symbolic links"),
        ("to_nowhere", "there is no folder "),
        ("missing/usage.prom", "there is no folder "),
    ],
)
async def test_once_refuses_what_it_cannot_write_before_it_asks_a_vendor(
    tmp_path: Path, name: str, why: str, command: Command
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "to_folder").symlink_to("folder")
    (tmp_path / "read_only").write_text("old")
    (tmp_path / "read_only").chmod(0o444)
    (tmp_path / "to_read_only").symlink_to("read_only")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "to_nowhere").symlink_to("missing/usage.prom")
    meter = MeteredVendor()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(tmp_path / "socket"))
        async with meter.vendor:
            path = write_config(tmp_path, target(meter))
            before = everything(tmp_path)
            done = await command("once", f"--config.file={path}", f"--output={tmp_path}/{name}")
    assert done.code == 1
    assert done.err.startswith(f"--output: cannot write {tmp_path}/{name}: {why}")
    assert everything(tmp_path) == before
    assert (tmp_path / "read_only").read_text() == "old"
    assert meter.asked == []


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


async def test_once_ends_in_time_when_a_vendor_hangs(tmp_path: Path, command: Command) -> None:
    hangs = MeteredVendor(usage=(Pause(60.0), Close()))
    async with hangs.vendor:
        path = write_config(tmp_path, target(hangs, poll_timeout="500ms"))
        async with asyncio.timeout(10):
            done = await command("once", f"--config.file={path}")
    assert done.code == 5
    assert done.exposed().failed("home") == {"timeout": 1}
    assert "no complete answer within 500ms" in done.line("account=home")


async def test_once_refuses_two_series_that_are_one(tmp_path: Path, command: Command) -> None:
    meter = MeteredVendor(usage=rows(row("a b"), row("a_b")))
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        done = await command("once", f"--config.file={path}")
    assert "Traceback" not in done.err
    assert len(done.exposed().all("usage_bytes")) <= 1


async def test_explain_tells_the_story_of_a_poll(tmp_path: Path, command: Command) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        done = await command("explain", f"--config.file={path}", "home")
    assert (done.code, done.err) == (0, "")
    for words in (
        f"GET {meter.base_url}/usage",
        "Authorization: Bearer <secret>",
        "← 200",
        "rows: list of 1",
        "rows / line.used",
        "traffic: the number 250 → 250 bytes",
        'usage_bytes{provider="meter",account="home",resource="traffic"} 250',
    ):
        assert words in done.out
    assert TOKEN not in done.out


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (DOWN, "http_5xx: 127.0.0.1"),
        (json_response({"rows": "none"}), 'found the text "none" in the place of a list'),
        ((Pause(60.0), Close()), "timeout: no complete answer within 500ms"),
        (json_response({}, status=429, headers={"Retry-After": "7"}), "come again in 7 s"),
    ],
    ids=["down", "schema", "hangs", "throttled"],
)
async def test_explain_tells_why_it_failed(
    tmp_path: Path, reply: object, words: str, command: Command
) -> None:
    meter = MeteredVendor()
    meter.answers["usage"] = reply  # type: ignore[assignment]
    async with meter.vendor:
        path = write_config(tmp_path, target(meter, poll_timeout="500ms"))
        async with asyncio.timeout(10):
            done = await command("explain", f"--config.file={path}", "home")
    assert done.code == 5
    assert words in done.out
    assert "Traceback" not in done.err


async def test_explain_knows_its_targets(tmp_path: Path, command: Command) -> None:
    async with two(tmp_path, MeteredVendor(), MeteredVendor()) as path:
        done = await command("explain", f"--config.file={path}", "hom")
    assert done.code == 2
    assert 'Did you mean "home"?' in done.err


async def test_run_says_that_an_address_is_taken(tmp_path: Path) -> None:
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            listen = f"--web.listen-address=127.0.0.1:{port}"
            done = await exporter("run", f"--config.file={path}", listen)
    assert done.code == 4
    assert f'cannot listen on "127.0.0.1:{port}": address already in use.' in done.err
    assert "Traceback" not in done.err
    assert meter.asked == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("tls_server_config: {cert_file: nowhere.pem, key_file: nowhere.key}", "nowhere"),
        ("basic_auth_users: {me: plain}", "me"),
        ("users: {}", "users: unknown key"),
    ],
    ids=["missing", "no certificate", "no hash", "unknown key"],
)
async def test_run_refuses_a_bad_web_config(tmp_path: Path, text: str | None, words: str) -> None:
    web = tmp_path / "web.yaml"
    if text is not None:
        web.write_text(text)
    meter = MeteredVendor()
    async with meter.vendor:
        path = write_config(tmp_path, target(meter))
        listen = "--web.listen-address=127.0.0.1:0"
        config = (f"--config.file={path}", f"--web.config.file={web}")
        done = await exporter("run", *config, listen)
    assert done.code == 1
    assert words in done.err
    assert "Traceback" not in done.err


@asynccontextmanager
async def demo() -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    """Start the demo; give the process and its log as soon as it says where it listens."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "exporter", "demo", "--web.listen-address=127.0.0.1:0"),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.timeout(10):
            told = await process.stdout.readuntil(b"Ctrl-C ends it.")
            assert b"metrics      http://127.0.0.1:" in told
            yield process, process.stderr
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_demo_ends_with_0_however_early_it_is_told_to(number: int) -> None:
    async with demo() as (process, log):
        process.send_signal(number)
        told = await log.read()
        assert await process.wait() == 0
    assert b"Traceback" not in told


async def test_a_hangup_at_the_start_is_a_reload_and_no_end() -> None:
    async with demo() as (process, log):
        process.send_signal(signal.SIGHUP)
        loaded = 0
        while loaded < 2:
            line = await log.readuntil(b"\n")
            loaded += b"configuration loaded" in line
        process.terminate()
        assert await process.wait() == 0
