"""``providers``: list, show, new, test — the tools of whoever writes definitions."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from exporter.app.pages.publishes import kept_names, name
from exporter.cli import drafting, exits, rehearse, terminal
from exporter.cli.problems import show
from exporter.config import catalogue
from exporter.config.load import load_definition, load_shipped
from exporter.kernel.durations import format_duration
from exporter.kernel.problems import did_you_mean
from exporter.model.auth import Auth
from exporter.model.definition import Definition
from exporter.model.plan import Rejected


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands of ``providers``."""
    chooser = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    chooser.add_parser("list", help="the shipped definitions", allow_abbrev=False)
    one = chooser.add_parser("show", help="what a provider asks and publishes", allow_abbrev=False)
    one.add_argument("name", metavar="NAME", help="a shipped definition, or a file")
    one.add_argument("--yaml", action="store_true", help="print the definition itself")
    new = chooser.add_parser("new", help="write a new definition", allow_abbrev=False)
    new.add_argument("file", metavar="FILE")
    new.add_argument(
        "--from-sample",
        metavar="ANSWER.json",
        default="",
        help="propose resources, units, limits, costs, period and paging from a captured answer",
    )
    test = chooser.add_parser("test", help="replay captured answers; for CI", allow_abbrev=False)
    rehearse.arguments(test)


def run(args: argparse.Namespace) -> int:
    """Do it; 1 for problems of a definition or an answer."""
    match args.action:
        case "list":
            return _list()
        case "show":
            return _show(args.name, as_yaml=args.yaml)
        case "new":
            return drafting.new(Path(args.file), args.from_sample)
        case _:
            return rehearse.test(args)


def _list() -> int:
    definitions = [load_shipped(name) for name in catalogue.shipped()]
    rows = [_row(one) for one in definitions if isinstance(one, Definition)]
    head = ["PROVIDER", "VENDOR", "EVERY", "NEEDS", "READS"]
    _print(terminal.table(head, rows, terminal.width(), tallest=2))
    return exits.FINE


def _row(definition: Definition) -> tuple[str, str, str, str, str]:
    read = [text for one in definition.resources for text in kept_names(one) or [name(one.name)]]
    spend = ["spend"] if definition.costs else []
    return (
        definition.name,
        definition.title,
        format_duration(definition.interval),
        _needs(definition),
        ", ".join(dict.fromkeys(read + spend)),
    )


def _needs(definition: Definition) -> str:
    """Return what a target must set: credentials, parameters, an address."""
    ways = dict.fromkeys(_credentials(definition, auth) for auth in definition.auth)
    params = [one.name for one in definition.params.values() if one.required]
    address = ["base_url"] if definition.base_url is None else []
    return "; ".join(filter(None, [" or ".join(ways), ", ".join(params + address)]))


def _credentials(definition: Definition, auth: Auth) -> str:
    names = [one for one in definition.credentials if one in auth.needs]
    return " + ".join(names) or "nothing"


def _show(wanted: str, *, as_yaml: bool) -> int:
    """Print the page of a provider: a shipped one by its name, or that of a file."""
    if wanted in catalogue.shipped():
        if as_yaml:
            return _copy(catalogue.text(wanted).encode())
        loaded = load_shipped(wanted)
    elif Path(wanted).suffix in (".yaml", ".yml") or Path(wanted).exists():
        if as_yaml and Path(wanted).is_file():
            return _copy_file(Path(wanted))
        loaded = load_definition(wanted)
    else:
        hint = did_you_mean(wanted, catalogue.shipped())
        sys.stderr.write(f'There is no provider and no file "{wanted}".{hint}\n')
        return exits.USAGE
    if isinstance(loaded, Rejected):
        show(loaded.problems)
        return exits.CONFIG
    from exporter.app.pages.provider import lines  # noqa: PLC0415 - the fetch stage, for this alone

    _print(terminal.page(lines(loaded, file=loaded.origin), terminal.width()))
    return exits.FINE


def _copy_file(path: Path) -> int:
    try:
        return _copy(path.read_bytes())
    except OSError as error:
        sys.stderr.write(f"{path}: cannot read it: {error.strerror or error}\n")
        return exits.CONFIG


def _copy(content: bytes) -> int:
    """Print a file as it is: its encoding is not the terminal's business."""
    sys.stdout.buffer.write(content)
    return exits.FINE


def _print(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
