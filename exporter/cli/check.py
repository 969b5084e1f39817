"""``check``: every problem of a configuration in one run, without the network."""

import argparse
import os
import sys

from exporter.cli import exits
from exporter.cli.options import add_config, show
from exporter.config.plan import load_plan
from exporter.model.target import Rejected


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``check``."""
    add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Print the problems to stderr, or what the configuration holds to stdout."""
    plan = load_plan(args.config_file, environ=os.environ)
    if isinstance(plan, Rejected):
        show(plan.problems)
        return exits.CONFIG
    show(plan.warnings)
    providers = len({target.provider for target in plan.targets.values()})
    sys.stdout.write(
        f"{args.config_file}: good: {_count(len(plan.targets), 'target')}"
        f" of {_count(providers, 'provider')}\n"
    )
    return exits.FINE


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
