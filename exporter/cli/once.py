"""``once``: one poll of each target, exposition to stdout or to a textfile-collector file."""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from exporter.cli import exits
from exporter.cli.lean import lean_imports
from exporter.cli.options import add_config, add_log
from exporter.cli.problems import show
from exporter.config.load import load_plan
from exporter.kernel.problems import did_you_mean
from exporter.model.plan import Plan, Rejected


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``once``."""
    add_config(parser)
    parser.add_argument("--target", metavar="NAME", default="", help="poll this target alone")
    parser.add_argument(
        "--output",
        metavar="FILE.prom",
        default="",
        help="write there, atomically, instead of to stdout (node_exporter's textfile collector)",
    )
    add_log(parser)


def run(args: argparse.Namespace) -> int:
    """Poll and print. 1: bad configuration, 2: unknown target, 5: any poll failed."""
    plan = load_plan(args.config_file, environ=os.environ, secrets_required=False)
    if isinstance(plan, Rejected):
        show(plan.problems)
        return exits.CONFIG
    show(plan.warnings)
    if args.target and args.target not in plan.targets:
        known = did_you_mean(args.target, plan.targets)
        sys.stderr.write(f'--target: "{args.target}" is no target of {args.config_file}.{known}\n')
        return exits.USAGE
    exposition, failed = asyncio.run(_poll(plan, args))
    if args.output and (trouble := _replace(Path(args.output), exposition)):
        sys.stderr.write(f"--output: cannot write {args.output}: {trouble}\n")
        return exits.CONFIG
    if not args.output:
        sys.stdout.buffer.write(exposition)
        sys.stdout.flush()
    return exits.POLLS if failed else exits.FINE


async def _poll(plan: Plan, args: argparse.Namespace) -> tuple[bytes, bool]:
    with lean_imports():
        from exporter.app.once import once  # noqa: PLC0415 - a bad configuration is told first

    result = await once(
        plan,
        only=args.target,
        log_level=args.log_level,
        log_format=args.log_format,
        stream=sys.stderr,
    )
    return result.exposition(), result.failed


def _replace(path: Path, content: bytes) -> str:
    """Write the file as a whole or not at all; return what went wrong, "" when nothing did."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(temporary).chmod(0o644)  # node_exporter is another user
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        return str(error.strerror or error)
    return ""
