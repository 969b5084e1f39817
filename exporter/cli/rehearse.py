"""``providers test``: a definition on captured answers, for its author and for CI."""

import argparse
import asyncio
import sys
import time
from pathlib import Path

from exporter.cli import exits
from exporter.cli.problems import show
from exporter.config.load import load_definition
from exporter.kernel.timestamps import parse_timestamp
from exporter.model.definition import Definition
from exporter.model.plan import Rejected

_ANSWERS = (
    "a folder with an answer for each collector: usage.json, or usage.1.json, usage.2.json for"
    " pages; usage.headers.json for headers. Or with index.json, a list of recorded exchanges."
    " Where it has expected.prom, the exposition must be that"
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``providers test``."""
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--answers", metavar="DIR", required=True, help=_ANSWERS)
    parser.add_argument(
        "--param",
        metavar="NAME=VALUE",
        type=_pair,
        action="append",
        default=[],
        help="a parameter of the target; may be repeated",
    )
    parser.add_argument(
        "--base-url", metavar="URL", default="", help="the address, if the definition has none"
    )
    parser.add_argument(
        "--case",
        metavar="NAME",
        action="append",
        default=[],
        help="of index.json only this exchange answers; may be repeated (default: all, good first)",
    )
    parser.add_argument(
        "--at",
        metavar="TIME",
        type=_instant,
        help="the time of the answers: 2026-11-15T12:00:00Z (default: that of index.json, or now)",
    )


def test(args: argparse.Namespace) -> int:
    """Print the exposition to stdout and every complaint to stderr; 1 if there is any."""
    definition = load_definition(args.file)
    if isinstance(definition, Rejected):
        show(definition.problems)
        return exits.CONFIG
    if not Path(args.answers).is_dir():
        sys.stderr.write(f"--answers: {args.answers} is no folder.\n")
        return exits.CONFIG
    return _rehearsed(definition, args)


def _rehearsed(definition: Definition, args: argparse.Namespace) -> int:
    from exporter.app import rehearsal  # noqa: PLC0415 - the client and the mapping, for this alone
    from exporter.app.recorded import INDEX, BadRecordError, Recorded  # noqa: PLC0415 - as above

    folder = Path(args.answers)
    target = rehearsal.target_beside(definition, folder)
    beside = target is not None
    if target is None:
        file, params = Path(args.file).resolve(), dict(args.param)
        target = rehearsal.target_for(definition, file, params, args.base_url)
    if isinstance(target, Rejected):
        show(target.problems)
        return exits.CONFIG
    try:
        recorded = None
        if (folder / INDEX).is_file():
            recorded = Recorded(folder, signed=beside, cases=args.case)
    except BadRecordError as error:
        sys.stderr.write(f"{error}\n")
        return exits.CONFIG
    at = args.at or (recorded.at if recorded else None) or time.time()
    result = asyncio.run(rehearsal.rehearse(target, folder, at=at, recorded=recorded))
    sys.stdout.buffer.write(result.exposition)
    sys.stdout.flush()
    sys.stderr.writelines(f"remark: {remark}\n" for remark in result.remarks)
    sys.stderr.writelines(f"{complaint}\n" for complaint in result.complaints)
    return exits.CONFIG if result.complaints else exits.FINE


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f'"{text}" has no value. Write NAME=VALUE.')
    return name, value


def _instant(text: str) -> float:
    try:
        when = parse_timestamp(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if when is None:
        raise argparse.ArgumentTypeError(f'"{text}" is no time. Write 2026-11-15T12:00:00Z.')
    return when
