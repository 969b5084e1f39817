"""The commands on a configuration: check, run, once, explain; and demo, schema.

Each has ``add_NAME(parser)``, which declares its options, and ``NAME(args)``, which does it and
returns the exit code. The configuration is read before the parts that poll are imported: a bad one
is reported without the 300 ms that aiohttp takes.
"""

import argparse
import json
import os
import sys

from exporter.cli import Exit
from exporter.cli.options import add_config, add_log, add_web, import_tuning, show
from exporter.config.plan import load_plan
from exporter.config.settings import config_schema, provider_schema
from exporter.kernel.problems import did_you_mean
from exporter.model.target import Plan, Rejected

DEMO_LISTEN = "127.0.0.1:10187"
WARNINGS_SHOWN = 50
"""More of them could fill a pipe that is not read, and the start would block; `check` shows all."""


def add_check(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``check``."""
    add_config(parser)


def check(args: argparse.Namespace) -> int:
    """Print the problems to stderr, or what the configuration holds to stdout; no network."""
    plan = load_plan(args.config_file, environ=os.environ)
    if isinstance(plan, Rejected):
        show(plan.problems)
        return Exit.CONFIG
    show(plan.warnings)
    targets, providers = len(plan.targets), len({one.provider for one in plan.targets.values()})
    sys.stdout.write(
        f"{args.config_file}: good: {targets} target{'' if targets == 1 else 's'}"
        f" of {providers} provider{'' if providers == 1 else 's'}\n"
    )
    return Exit.FINE


def add_run(parser: argparse.ArgumentParser) -> None:
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
        return Exit.CONFIG
    show(plan.warnings, most=WARNINGS_SHOWN)
    with import_tuning():
        from exporter.app.daemon import serve  # noqa: PLC0415 - after the configuration
        from exporter.cli.daemon import in_loop, options_of  # noqa: PLC0415 - as above

    return in_loop(
        lambda: serve(
            plan, options_of(args), load=load, stream=sys.stderr, announce=lambda bound: None
        ),
        targets=len(plan.targets),
    )


def add_demo(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``demo``."""
    parser.add_argument(
        "--chaos", action="store_true", help="let the vendors break in every way there is"
    )
    add_web(parser)
    add_log(parser)


def demo(args: argparse.Namespace) -> int:
    """Serve fake vendors and the exporter on them until SIGTERM; 4 if it cannot listen."""
    with import_tuning():
        from exporter.app import demo as app  # noqa: PLC0415 - the HTTP server, when it is needed
        from exporter.cli.daemon import in_loop, options_of  # noqa: PLC0415 - as above

    return in_loop(
        lambda: app.demo(
            options_of(args, listen=DEMO_LISTEN),
            chaos=args.chaos,
            environ=os.environ,
            stream=sys.stderr,
            out=sys.stdout,
        )
    )


def add_once(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``once``."""
    add_config(parser)
    parser.add_argument("--target", metavar="NAME", default="", help="poll this target alone")
    parser.add_argument(
        "--output",
        metavar="FILE.prom",
        default="",
        help="write there instead of to stdout: a file is replaced as a whole (node_exporter's"
        " textfile collector), a link is followed, a pipe or device is written to",
    )
    add_log(parser)


def once(args: argparse.Namespace) -> int:
    """Poll and print. 1: bad configuration, 2: unknown target, 5: any poll failed."""
    from exporter.cli import output  # noqa: PLC0415 - for this command alone

    plan = load_plan(args.config_file, environ=os.environ, secrets_required=False)
    if isinstance(plan, Rejected):
        show(plan.problems)
        return Exit.CONFIG
    show(plan.warnings)
    if args.target and args.target not in plan.targets:
        known = did_you_mean(args.target, plan.targets)
        sys.stderr.write(f'--target: "{args.target}" is no target of {args.config_file}.{known}\n')
        return Exit.USAGE
    try:
        if args.output:
            output.check(args.output)  # before the vendors are asked in vain
        with import_tuning():
            import asyncio  # noqa: PLC0415 - after the configuration

            from exporter.app import once as app  # noqa: PLC0415 - as above

        result = asyncio.run(
            app.once(
                plan,
                only=args.target,
                log_level=args.log_level,
                log_format=args.log_format,
                stream=sys.stderr,
            )
        )
        if args.output:
            output.write(args.output, result.exposition())
        else:
            output.print_bytes(result.exposition())
    except output.OutputError as error:
        sys.stderr.write(f"--output: cannot write {args.output}: {error}\n")
        return Exit.CONFIG
    return Exit.POLLS if result.failed else Exit.FINE


def add_explain(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``explain``."""
    add_config(parser)
    parser.add_argument("target", metavar="TARGET", help="the name of a target")


def explain(args: argparse.Namespace) -> int:
    """Poll and report each step. 1: bad configuration, 2: unknown target, 5: the poll failed."""
    plan = load_plan(args.config_file, environ=os.environ, secrets_required=False)
    if isinstance(plan, Rejected):
        show(plan.problems)
        return Exit.CONFIG
    target = plan.targets.get(args.target)
    if target is None:
        known = did_you_mean(args.target, plan.targets)
        sys.stderr.write(f'"{args.target}" is no target of {args.config_file}.{known}\n')
        return Exit.USAGE
    with import_tuning():
        import asyncio  # noqa: PLC0415 - after the configuration

        from exporter.app import explain as app  # noqa: PLC0415 - as above

    explanation = asyncio.run(app.explain(target))
    sys.stdout.write("\n".join(explanation.lines) + "\n")
    return Exit.POLLS if explanation.failed else Exit.FINE


def add_schema(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``schema``."""
    parser.add_argument(
        "what", choices=("config", "provider"), nargs="?", default="config", help="of which file"
    )


def schema(args: argparse.Namespace) -> int:
    """Print the JSON Schema of the configuration or of a definition, for editors."""
    json.dump(config_schema() if args.what == "config" else provider_schema(), sys.stdout, indent=2)
    sys.stdout.write("\n")
    return Exit.FINE
