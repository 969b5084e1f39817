"""``providers test``: a definition on captured answers, for its author and for CI.

How a page and a table look in a terminal: columns that fit, Markdown without its signs.

Where there is no terminal (a pipe, a file) nothing is wrapped, so that ``grep`` finds whole lines.

``providers``: list, show, new, test — the tools of whoever writes definitions.
"""

import argparse
import asyncio
import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from exporter.app.provider_page import kept_names, name
from exporter.cli import drafting, exits
from exporter.cli.options import show
from exporter.config import library
from exporter.config.plan import load_definition, load_shipped
from exporter.kernel.calendar import format_duration, parse_timestamp
from exporter.kernel.problems import did_you_mean
from exporter.model.definition.auth import Auth
from exporter.model.definition.provider import Definition
from exporter.model.target import Rejected

_ANSWERS = (
    "a folder with an answer for each collector: usage.json, or usage.1.json, usage.2.json for"
    " pages; usage.headers.json for headers. Or with index.json, a list of recorded exchanges."
    " Where it has expected.prom, the exposition must be that"
)


def test_arguments(parser: argparse.ArgumentParser) -> None:
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


def test_definition(args: argparse.Namespace) -> int:
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
    from exporter.app import replay  # noqa: PLC0415 - the client and the mapping, for this alone
    from exporter.app.replay import INDEX, BadRecordError, Recorded  # noqa: PLC0415 - as above

    folder = Path(args.answers)
    target = replay.target_beside(definition, folder)
    beside = target is not None
    if target is None:
        file, params = Path(args.file).resolve(), dict(args.param)
        target = replay.target_for(definition, file, params, args.base_url)
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
    result = asyncio.run(replay.rehearse(target, folder, at=at, recorded=recorded))
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


_GAP = 2  # blanks between two columns
_LEAST = 10  # characters: no column is made narrower than this
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_CELL = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"[|\s:-]+")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")


def width() -> int | None:
    """Return the columns of the terminal that stdout is, None when it is none."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return None


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    most: int | None,
    *,
    tallest: int | None = None,
) -> Iterator[str]:
    """Yield the lines of a table at most `most` columns wide; None: as wide as it is.

    What is wrapped into more than `tallest` lines is cut there.
    """
    cells = [head, *rows]
    widths = _widths([max(map(len, column)) for column in zip(*cells, strict=True)], most)
    for row in cells:
        wrapped = [
            _cut(_wrapped(cell, wide), wide, tallest) if most else [cell]
            for cell, wide in zip(row, widths, strict=True)
        ]
        for number in range(max(map(len, wrapped))):
            parts = [part[number] if number < len(part) else "" for part in wrapped]
            padded = [part.ljust(wide) for part, wide in zip(parts, widths, strict=True)]
            yield (" " * _GAP).join(padded).rstrip()


def page(lines: Iterable[str], most: int | None) -> Iterator[str]:
    """Yield the lines of a Markdown page as a terminal shows them: tables aligned, signs gone."""
    fenced = False
    rows: list[list[str]] = []
    for line in lines:
        if line.startswith("|") and not fenced:
            rows.append([_plain(cell.strip()) for cell in _CELL.split(line)[1:-1]])
            continue
        yield from _aligned(rows, most)
        rows.clear()
        if line.startswith("```"):
            fenced = not fenced
        elif fenced:
            yield f"    {line}".rstrip()
        else:
            yield from _told(line, most)
    yield from _aligned(rows, most)


def _aligned(rows: Sequence[Sequence[str]], most: int | None) -> Iterator[str]:
    if rows:
        shown = [row for row in rows[1:] if not all(map(_RULE.fullmatch, row))]
        yield from table([cell.upper() for cell in rows[0]], shown, most)


def _told(line: str, most: int | None) -> Iterator[str]:
    sign, _, text = line.partition(" ")
    if sign and not sign.strip("#"):
        title = _plain(text)
        yield title.upper() if sign in ("#", "##") else title
    elif line:
        hanging = " " * (len(sign) + 1) if sign in ("-", "1.") else ""
        yield from _wrapped(_plain(line), most, hanging) if most else [_plain(line)]
    else:
        yield ""


def _plain(text: str) -> str:
    """Take the signs of Markdown out; what stands in a code span stays as it is."""
    told = ""
    end = 0
    text = _LINK.sub(r"\1", text).replace("\\|", "|")
    for span in _CODE.finditer(text):
        told += text[end : span.start()].replace("**", "")
        told += span[2].removeprefix(" ").removesuffix(" ") if len(span[1]) > 1 else span[2]
        end = span.end()
    return told + text[end:].replace("**", "")


def _wrapped(text: str, most: int, hanging: str = "") -> list[str]:
    return textwrap.wrap(text, most, subsequent_indent=hanging, break_on_hyphens=False) or [""]


def _cut(lines: list[str], wide: int, tallest: int | None) -> list[str]:
    if tallest is None or len(lines) <= tallest:
        return lines
    last = lines[tallest - 1]
    if len(last) > wide - 2:
        last = last[: wide - 2].rpartition(" ")[0]
    return [*lines[: tallest - 1], f"{last} …".lstrip()]


def _widths(natural: list[int], most: int | None) -> list[int]:
    """Take from the widest columns until all fit."""
    widths = list(natural)
    room = None if most is None else most - _GAP * (len(widths) - 1)
    while room is not None and sum(widths) > room and max(widths) > _LEAST:
        widths[widths.index(max(widths))] -= 1
    return widths


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
    test_arguments(test)


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
            return test_definition(args)


def _list() -> int:
    definitions = [load_shipped(name) for name in library.shipped_names()]
    rows = [_row(one) for one in definitions if isinstance(one, Definition)]
    head = ["PROVIDER", "VENDOR", "EVERY", "NEEDS", "READS"]
    _print(table(head, rows, width(), tallest=2))
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
    if wanted in library.shipped_names():
        if as_yaml:
            return _copy(library.shipped_text(wanted).encode())
        loaded = load_shipped(wanted)
    elif Path(wanted).suffix in (".yaml", ".yml") or Path(wanted).exists():
        if as_yaml and Path(wanted).is_file():
            return _copy_file(Path(wanted))
        loaded = load_definition(wanted)
    else:
        hint = did_you_mean(wanted, library.shipped_names())
        sys.stderr.write(f'There is no provider and no file "{wanted}".{hint}\n')
        return exits.USAGE
    if isinstance(loaded, Rejected):
        show(loaded.problems)
        return exits.CONFIG
    from exporter.app.provider_page import lines  # noqa: PLC0415 - the fetch stage, for this alone

    _print(page(lines(loaded, file=loaded.origin), width()))
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
