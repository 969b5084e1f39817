"""The tools of definition authors as processes of their own, behind pipes and in terminals."""

import asyncio
import json
import os
import pty
import sys
from pathlib import Path

from exporter.config.library import shipped_names
from tests.support.cli_process import ROOT, exporter
from tests.support.vendor import NOW


async def test_the_list_is_one_line_a_provider_in_a_pipe() -> None:
    done = await exporter("providers", "list", environ={"COLUMNS": ""})
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()] == ["PROVIDER", *shipped_names()]


async def test_a_terminal_gets_a_table_that_fits() -> None:
    shown = await in_terminal("providers", "list", columns=72)
    assert max(map(len, shown)) <= 72
    assert "…" in "".join(shown)


async def in_terminal(*words: str, columns: int) -> list[str]:
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    environ = {name: text for name, text in os.environ.items() if name != "COLUMNS"}
    process = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        f'stty cols {columns} <&1; exec "$@"',
        "sh",
        sys.executable,
        "-m",
        "exporter",
        *words,
        cwd=ROOT,
        env=environ,
        stdout=theirs,
    )
    os.close(theirs)
    told = b""
    while process.returncode is None or told[-1:] != b"":
        try:
            piece = os.read(ours, 65536)
        except BlockingIOError:
            await asyncio.sleep(0.01)
            continue
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        told += piece
    await process.wait()
    os.close(ours)
    return told.decode().splitlines()


async def test_a_reader_who_has_seen_enough_is_no_trouble() -> None:
    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m exporter providers show github | head -1",
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"GITHUB\n", b"")


async def test_a_schema_is_json_whatever_the_locale() -> None:
    done = await exporter("schema", "provider", environ={"LC_ALL": "C", "PYTHONUTF8": "0"})
    assert done.code == 0
    assert json.loads(done.out)["title"] == "usage-exporter: definition of a provider"


async def test_a_definition_is_guessed_tested_and_shown(tmp_path: Path) -> None:
    answers = tmp_path / "answers"
    answers.mkdir()
    usage = {"emails": {"used": 3, "limit": 9}, "storage_gb": {"used": 1.5, "limit": 5}}
    (answers / "usage.json").write_text(json.dumps({"usage": usage}))
    file = str(tmp_path / "pigeon.yaml")

    new = await exporter("providers", "new", file, f"--from-sample={answers / 'usage.json'}")
    test = await exporter("providers", "test", file, f"--answers={answers}", at=NOW)
    shown = await exporter("providers", "show", file, environ={"LC_ALL": "C.UTF-8"})

    assert [one.code for one in (new, test, shown)] == [0, 0, 0], test.err
    assert test.exposed().get("usage_bytes", resource="storage") == 1.5e9
    assert test.exposed().get("usage_percent", resource="storage") == 30
    assert "GET https://api.example.com/v1/usage" in shown.out
