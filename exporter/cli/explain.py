"""``explain``: one poll of a target told as a story."""

import argparse
import asyncio
import os
import sys

from exporter.cli import exits
from exporter.cli.options import add_config, lean_imports, show
from exporter.config.plan import load_plan
from exporter.kernel.problems import did_you_mean
from exporter.model.target import Rejected


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``explain``."""
    add_config(parser)
    parser.add_argument("target", metavar="TARGET", help="the name of a target")


def run(args: argparse.Namespace) -> int:
    """Poll and tell. 1: bad configuration, 2: unknown target, 5: the poll failed."""
    plan = load_plan(args.config_file, environ=os.environ, secrets_required=False)
    if isinstance(plan, Rejected):
        show(plan.problems)
        return exits.CONFIG
    target = plan.targets.get(args.target)
    if target is None:
        known = did_you_mean(args.target, plan.targets)
        sys.stderr.write(f'"{args.target}" is no target of {args.config_file}.{known}\n')
        return exits.USAGE
    with lean_imports():
        from exporter.app.explain import explain  # noqa: PLC0415 - a bad configuration is told first

    story = asyncio.run(explain(target))
    sys.stdout.write("\n".join(story.lines) + "\n")
    return exits.POLLS if story.failed else exits.FINE
