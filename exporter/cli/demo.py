"""``demo``: fake vendors and the exporter on them, in one process."""

import argparse
import os
import sys

from exporter.cli.daemon import in_loop, options_of
from exporter.cli.options import add_log, add_web, lean_imports

LISTEN = "127.0.0.1:10187"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``demo``."""
    parser.add_argument(
        "--chaos", action="store_true", help="let the vendors break in every way there is"
    )
    add_web(parser)
    add_log(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; 4 if it cannot listen."""
    with lean_imports():
        from exporter.app.demo import demo  # noqa: PLC0415 - aiohttp, when it is needed

    return in_loop(
        lambda: demo(
            options_of(args, listen=LISTEN),
            chaos=args.chaos,
            environ=os.environ,
            stream=sys.stderr,
            out=sys.stdout,
        )
    )
