"""The command line's door: what each command is called, and nothing of what it does.

Only the module of the command that is asked for is imported: ``--version`` and ``check`` must not
pay for the HTTP client.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from exporter import __version__

COMMANDS = {
    "run": "poll all targets and serve /metrics",
    "check": "show every problem of a configuration; no network",
    "once": "poll each target once and print the exposition",
    "explain": "tell one poll of a target as a story",
    "demo": "run the exporter on built-in fake vendors",
    "providers": "list, show, write and test the definitions of vendors' APIs",
    "schema": "print the JSON Schema of the configuration or of a definition",
    "healthcheck": "ask a running exporter whether it is alive (for Docker)",
}
"""The module of a command is ``exporter.cli.<command>``: ``arguments(parser)``, ``run(args)``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code (see ``exits``)."""
    _open_standard_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    parser, commands = _parsers()
    chosen = next((word for word in words if word in COMMANDS), None)
    if chosen is None:
        parser.parse_args(words)  # --help, --version, or wrong usage: none of them returns
        parser.error("which command?")
    module = import_module(f"exporter.cli.{chosen}")
    module.arguments(commands[chosen])
    try:
        return int(module.run(parser.parse_args(words)))
    except BrokenPipeError:  # `… | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _open_standard_streams() -> None:
    """Open what the process was started without (``2>&-``) on the null device.

    Else the next socket or state file would become descriptor 2, and texts would be written to it.
    """
    missing = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
    for name in missing:  # the lowest free descriptors, which are these
        null = os.open(os.devnull, os.O_RDWR)
        if name != "stdin":
            setattr(sys, name, open(null, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - kept open


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
