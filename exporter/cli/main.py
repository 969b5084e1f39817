"""Entry point of the command line: parses the name of the command and runs it.

Only the module of that command is imported: ``--version`` must not pay for msgspec, nor ``check``
for the HTTP client. The standard streams are replaced by ones that neither fail on a character
nor write into a socket that got their number. A closed pipe is a normal end.
"""

import argparse
import io
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, TextIO

from exporter import __version__
from exporter.cli import Exit
from exporter.kernel.override import override

COMMANDS = {
    "run": "poll all targets and serve /metrics",
    "check": "show every problem of a configuration; no network",
    "once": "poll each target once and print the exposition",
    "explain": "poll a target once and show each step",
    "demo": "run the exporter on built-in fake vendors",
    "providers": "list, show, write and test the definitions of vendors' APIs",
    "schema": "print the JSON Schema of the configuration or of a definition",
    "healthcheck": "ask a running exporter whether it is alive (for Docker)",
}
_MODULES = {"providers": "providers", "healthcheck": "healthcheck"}
"""The modules below ``exporter.cli`` of the commands that are not in ``commands``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code (see ``Exit``).

    Without `argv` it is the command line of this process, whose standard streams are set up then.
    """
    if argv is None:
        _open_standard_streams()
        argv = sys.argv[1:]
    try:
        try:
            return _command(list(argv))
        finally:
            sys.stdout.flush()  # not at the interpreter's end, where a failure is a traceback
    except BrokenPipeError:  # `… | head`: the reader has seen enough
        _discard_output()
        return Exit.FINE
    except _StdoutError as error:
        _discard_output()
        sys.stderr.write(f"usage-exporter: cannot write to stdout: {error}\n")
        return Exit.CONFIG
    except KeyboardInterrupt:
        return 130


def _command(words: list[str]) -> int:
    parser, commands = _parsers()
    chosen = next((word for word in words if word in COMMANDS), None)
    if chosen is None:
        parser.parse_args(words)  # --help, --version, or wrong usage: none of them returns
        parser.error("which command?")
    add_options, do = command(chosen)
    add_options(commands[chosen])
    return int(do(parser.parse_args(words)))


def command(name: str) -> tuple[Callable[[ArgumentParser], None], Callable[[Namespace], int]]:
    """Import the module of a command. Return what declares its options, and what does it."""
    module = import_module(f"exporter.cli.{_MODULES.get(name, 'commands')}")
    return getattr(module, f"add_{name}"), getattr(module, name)


class _StdoutError(Exception):
    """What stdout is connected to takes no more: a full disk, a closed descriptor.

    It is no OSError: code that catches OSError handles errors of its own files.
    """


class _Stdout(io.FileIO):
    @override
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _StdoutError(error.strerror or str(error)) from error


class _Stderr(io.FileIO):
    """Ignores errors: a stderr that takes no more must not end the process."""

    @override
    def write(self, data: Any, /) -> int:
        with suppress(OSError):
            return super().write(data)
        return len(data)


def _open_standard_streams() -> None:
    """Make stdout and stderr write what their encoding lacks as "?", and fail as described above.

    A descriptor that the process was started without (``2>&-``) is opened on the null device. Else
    the next socket or state file would get its number, and texts would be written to it. Writing
    to a stdout that was closed still fails.
    """
    missing = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
    for name in missing:  # the lowest free descriptors, which are these
        os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
    sys.stdout = _stream(_Stdout(1, "wb", closefd=False), sys.stdout)
    sys.stderr = _stream(_Stderr(2, "wb", closefd=False), sys.stderr)


def _stream(raw: io.FileIO, before: TextIO | None) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before else "utf-8",
        errors="replace",
        line_buffering=raw.name == 2 or raw.isatty(),  # noqa: PLR2004 - as Python itself does
        write_through=isinstance(before, io.TextIOWrapper) and before.write_through,
    )


def _discard_output() -> None:
    """Send to the null device what stdout still holds, so that the interpreter's end is quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    with suppress(OSError):
        sys.stdout.flush()


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog="usage-exporter",
        description="Prometheus exporter for the usage, quota and billing APIs of SaaS vendors.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"usage-exporter {__version__}")
    chooser = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands = {
        name: chooser.add_parser(name, help=text, description=f"{text}.", allow_abbrev=False)
        for name, text in COMMANDS.items()
    }
    return parser, commands
