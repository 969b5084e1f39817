import re
import subprocess
import sys
from importlib import import_module

import pytest

from exporter import __version__
from exporter.cli.main import COMMANDS, main


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"usage-exporter {__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert all(re.search(rf"^ +{command}( |$)", told, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"usage-exporter {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "COMMAND"),
        (["walk"], "invalid choice"),
        (["walk", "run"], "invalid choice"),
        (["--config.file=x", "run"], "--config.file"),
        (["run", "--confg.file=x"], "--confg.file"),
        (["run", "--config"], "--config"),  # no abbreviations: scripts would break later
        (["run", "--log.level=loud"], "loud"),
        (["run", "--web.listen-address=nonsense"], '"nonsense" is not a listen address'),
        (["run", "--web.listen-address=127.0.0.1:99999"], "is not a listen address"),
        (["run", "--web.telemetry-path=metrics"], '"metrics" is not a path'),
        (["run", "--web.telemetry-path=/a b"], '"/a b" is not a path'),
        (["explain"], "TARGET"),
        (["providers"], "ACTION"),
        (["schema", "world"], "world"),
        (["healthcheck", "--timeout=soon"], "soon"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_whoever_reads_may_stop_reading() -> None:
    command = f"{sys.executable} -m exporter schema provider"
    done = subprocess.run(  # noqa: S603 - our own program
        ["/bin/sh", "-c", f"{command} | head -c 1; exit 0"],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stdout == "{"
    assert done.stderr == ""


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("exporter.cli.commands.load_plan", interrupt)
    assert main(["check"]) == 130


def test_the_version_needs_none_of_the_heavy_libraries() -> None:
    program = (
        "import sys; from exporter.cli.main import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: print(*sys.modules)"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=20
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"aiohttp", "yaml", "msgspec", "structlog", "prometheus_client", "asyncio"}


def test_the_package_is_a_program_and_may_be_imported() -> None:
    module = import_module("exporter.__main__")
    assert module.main is main
