"""What the commands do where stdout or stderr is odd: no UTF-8, no room, no reader, not there."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli_process import ROOT
from tests.support.processes import uncovered_environ

COMMANDS = {
    "list": ("providers", "list"),
    "show": ("providers", "show", "openai"),
    "yaml": ("providers", "show", "openai", "--yaml"),
    "schema": ("schema",),
    "help": ("--help",),
    "version": ("--version",),
}
command = pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)


def call(
    *words: str, streams: str = "", before: Callable[[], object] | None = None, **environ: str
) -> subprocess.CompletedProcess[bytes]:
    program = [sys.executable, "-m", "exporter", *words]
    started = ["sh", "-c", f'exec "$@" {streams}', "sh", *program] if streams else program
    return subprocess.run(  # noqa: S603 - our own program
        started,
        cwd=ROOT,
        env=uncovered_environ() | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
        preexec_fn=before,
    )


@command
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252:strict"])
def test_a_terminal_without_utf_8_shows_question_marks(
    words: tuple[str, ...], encoding: str
) -> None:
    done = call(*words, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode("utf-8" if "--yaml" in words else encoding.partition(":")[0])


def test_a_definition_is_printed_byte_by_byte_whatever_the_terminal() -> None:
    file = ROOT / "exporter/providers/openai.yaml"
    assert call("providers", "show", str(file), "--yaml", PYTHONIOENCODING="ascii").stdout == (
        file.read_bytes()
    )


def test_messages_with_letters_that_stderr_lacks_are_shown(tmp_path: Path) -> None:
    config = tmp_path / "größe-\udcff.yaml"
    config.write_text("targets: [{name: ü, provider: nö}]\n", "utf-8")
    done = call("check", f"--config.file={config}", PYTHONIOENCODING="ascii:strict")
    assert done.returncode == 1
    assert b"targets[0]" in done.stderr
    assert b"Traceback" not in done.stderr


def no_room() -> None:
    """Let no file grow: a full disk, for one process, that says EFBIG."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@command
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_stdout_is_one_line(
    words: tuple[str, ...], unbuffered: str, tmp_path: Path
) -> None:
    streams = f"> '{tmp_path / 'out'}'"
    done = call(*words, streams=streams, before=no_room, PYTHONUNBUFFERED=unbuffered)
    why = os.strerror(errno.EFBIG)
    assert done.stderr.decode() == f"usage-exporter: cannot write to stdout: {why}\n"
    assert done.returncode == 1


def test_a_full_disk_behind_stderr_changes_nothing_else(tmp_path: Path) -> None:
    bad = tmp_path / "config.yaml"
    bad.write_text("targets: 5\n")
    streams = f"2> '{tmp_path / 'err'}'"
    done = call("check", f"--config.file={bad}", streams=streams, before=no_room)
    assert done.returncode == 1
    done = call("providers", "show", "nobody", streams=streams, before=no_room)
    assert done.returncode == 2
    done = call("providers", "list", streams=streams, before=no_room)
    assert (done.returncode, done.stdout[:8]) == (0, b"PROVIDER")


@command
def test_a_closed_stdout_is_one_line(words: tuple[str, ...]) -> None:
    done = call(*words, streams=">&-")
    why = os.strerror(errno.EBADF)
    assert done.stderr.decode() == f"usage-exporter: cannot write to stdout: {why}\n"
    assert done.returncode == 1


@pytest.mark.parametrize("streams", ["2>&-", "<&- 2>&-"])
def test_a_closed_stderr_changes_nothing_else(streams: str) -> None:
    done = call("providers", "list", streams=streams)
    assert (done.returncode, done.stdout[:8]) == (0, b"PROVIDER")
    assert call("providers", "show", "nobody", streams=streams).returncode == 2


@command
def test_a_reader_that_has_seen_enough_ends_it_quietly(words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(  # noqa: S603 - as above
            [sys.executable, "-m", "exporter", *words],
            cwd=ROOT,
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_new_definition_that_does_not_fit_on_the_disk_leaves_nothing(tmp_path: Path) -> None:
    done = call("providers", "new", str(tmp_path / "acme.yaml"), before=no_room)
    assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
    assert done.stderr.decode() == f"{tmp_path / 'acme.yaml'}: {os.strerror(errno.EFBIG)}\n"


@pytest.mark.parametrize("name", ["acme.yaml", "provider.schema.json"])
def test_a_new_definition_goes_through_no_link(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    call("providers", "new", str(tmp_path / "acme.yaml"))
    assert (tmp_path / name).is_symlink()
    assert not (tmp_path / "elsewhere").exists()
