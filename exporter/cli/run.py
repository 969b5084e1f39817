"""``run``: the daemon."""

import argparse
import os
import sys

from exporter.cli import exits
from exporter.cli.daemon import in_loop, options_of
from exporter.cli.options import add_config, add_log, add_web, lean_imports, show
from exporter.config.plan import load_plan
from exporter.model.target import Plan, Rejected

WARNINGS_SHOWN = 50
"""More of them could fill a pipe that nobody reads, and the start would wait; `check` shows all."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``run``."""
    add_config(parser)
    parser.add_argument(
        "--config.enable-auto-reload",
        dest="auto_reload",
        action="store_true",
        help="read the configuration again when one of its files changes",
    )
    add_web(parser)
    add_log(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; 1 for a bad configuration, 4 if it cannot listen."""

    def load() -> Plan | Rejected:
        return load_plan(args.config_file, environ=os.environ, secrets_required=False)

    plan = load()
    if isinstance(plan, Rejected):
        show(plan.problems)
        return exits.CONFIG
    show(plan.warnings, most=WARNINGS_SHOWN)
    with lean_imports():
        from exporter.app.daemon import serve  # noqa: PLC0415 - a bad configuration is told first

    return in_loop(
        lambda: serve(
            plan, options_of(args), load=load, stream=sys.stderr, announce=lambda bound: None
        ),
        targets=len(plan.targets),
    )
