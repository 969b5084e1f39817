"""``providers``: list, show, new, test — the tools of whoever writes definitions."""

import argparse
import sys
from pathlib import Path

import msgspec

from exporter.cli import exits
from exporter.cli.problems import show
from exporter.config import catalogue
from exporter.config.load import load_definition, load_shipped
from exporter.config.sample import sketch
from exporter.config.skeleton import skeleton
from exporter.kernel.durations import format_duration
from exporter.kernel.problems import did_you_mean
from exporter.model.definition import Definition
from exporter.model.plan import Rejected


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands of ``providers``."""
    chooser = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    chooser.add_parser("list", help="the shipped definitions")
    one = chooser.add_parser("show", help="a definition as it is written")
    one.add_argument("name", metavar="NAME")
    new = chooser.add_parser("new", help="write a commented skeleton")
    new.add_argument("file", metavar="FILE")
    new.add_argument("--from-sample", metavar="ANSWER.json", help="guess from a captured answer")
    test = chooser.add_parser("test", help="replay captured answers; for CI")
    test.add_argument("file", metavar="FILE")
    test.add_argument(
        "--answers",
        metavar="DIR",
        required=True,
        help="a folder with an answer for each collector: usage.json, or usage.1.json, usage.2.json"
        " for pages; usage.headers.json for headers",
    )
    test.add_argument(
        "--param", metavar="NAME=VALUE", action="append", default=[], help="may be repeated"
    )


def run(args: argparse.Namespace) -> int:
    """Do it; 1 for problems of a definition or an answer."""
    match args.action:
        case "list":
            return _list()
        case "show":
            return _show(args.name)
        case "new":
            return _new(Path(args.file), args.from_sample)
        case _:
            from exporter.cli import rehearse  # noqa: PLC0415 - the mapping, for this alone

            return rehearse.test(args.file, Path(args.answers), args.param)


def _list() -> int:
    definitions = [load_shipped(name) for name in catalogue.shipped()]
    rows = [("PROVIDER", "VENDOR", "EVERY", "READS")]
    rows += [_row(one) for one in definitions if isinstance(one, Definition)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        sys.stdout.write("  ".join([*cells, row[3]]).rstrip() + "\n")
    return exits.FINE


def _row(definition: Definition) -> tuple[str, str, str, str]:
    names: dict[str, None] = {}
    for rule in definition.resources:
        names["".join(part if isinstance(part, str) else "*" for part in rule.name)] = None
    if definition.costs:
        names["spend"] = None
    every = format_duration(definition.interval)
    return definition.name, definition.title, every, ", ".join(names)


def _show(name: str) -> int:
    if name not in catalogue.shipped():
        sys.stderr.write(
            f'There is no provider "{name}".{did_you_mean(name, catalogue.shipped())}\n'
        )
        return exits.CONFIG
    sys.stdout.write(catalogue.text(name))
    return exits.FINE


def _new(path: Path, sample: str | None) -> int:
    document: object = None
    try:
        if sample:
            document = msgspec.json.decode(Path(sample).read_bytes())
        guesses = sketch(document) if sample else None
        text = skeleton(
            path.stem, file=str(path), schema="docs/schema/provider.json", sketch=guesses
        )
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        sys.stderr.write(f"{path}: there is such a file already; it stays as it is.\n")
        return exits.CONFIG
    except (OSError, msgspec.DecodeError) as error:
        sys.stderr.write(f"{sample or path}: {error}\n")
        return exits.CONFIG
    loaded = load_definition(str(path))
    if isinstance(loaded, Rejected):
        show(loaded.problems)
    sys.stdout.write(f"{path}: written{', with guesses to check' if sample else ''}\n")
    return exits.FINE
