"""``providers``: list, show, new, test: the tools of authors of definitions.

Pages and tables are plain text. In a terminal they are wrapped to its width; in a pipe or a file
nothing is wrapped, so that ``grep`` finds whole lines.
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from exporter.authoring import new
from exporter.authoring.infer import infer
from exporter.authoring.sample import Unusable, read_sample
from exporter.cli import Exit
from exporter.cli.options import show
from exporter.config import files, library
from exporter.config.library import compile_text, load_definition, load_shipped
from exporter.config.settings import provider_schema
from exporter.kernel.calendar import format_duration, parse_timestamp
from exporter.kernel.problems import did_you_mean
from exporter.model.definition.params import Param
from exporter.model.definition.provider import Collector, Definition
from exporter.model.definition.roles import Cost, Items, Resource
from exporter.model.definition.rows import name_pattern
from exporter.model.definition.values import UnitRule
from exporter.model.families import COST_ROLES, RESOURCE_ROLES, Role, read_roles
from exporter.model.target import Rejected

_GAP = 2  # blanks between two columns
_LEAST = 10  # characters: no column is made narrower than this
_ANSWERS = (
    "a folder with an answer for each collector: usage.json, or usage.1.json, usage.2.json for"
    " pages; usage.headers.json for headers. Or with index.json, a list of recorded exchanges."
    " Where it has expected.prom, the exposition must be that"
)


def add_providers(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands of ``providers``."""
    chooser = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    chooser.add_parser("list", help="the shipped definitions", allow_abbrev=False)
    one = chooser.add_parser("show", help="what a provider asks and publishes", allow_abbrev=False)
    one.add_argument("name", metavar="NAME", help="a shipped definition, or a file")
    one.add_argument("--yaml", action="store_true", help="print the definition itself")
    draft = chooser.add_parser("new", help="write a new definition", allow_abbrev=False)
    draft.add_argument("file", metavar="FILE")
    draft.add_argument(
        "--from-sample",
        metavar="ANSWER.json",
        default="",
        help="propose resources, units, limits, costs, period and paging from a captured answer",
    )
    test = chooser.add_parser("test", help="replay captured answers; for CI", allow_abbrev=False)
    test.add_argument("file", metavar="FILE")
    test.add_argument("--answers", metavar="DIR", required=True, help=_ANSWERS)
    test.add_argument(
        "--param",
        metavar="NAME=VALUE",
        type=_pair,
        action="append",
        default=[],
        help="a parameter of the target; may be repeated",
    )
    test.add_argument(
        "--base-url", metavar="URL", default="", help="the address, if the definition has none"
    )
    test.add_argument(
        "--case",
        metavar="NAME",
        action="append",
        default=[],
        help="of index.json only this exchange answers; may be repeated (default: all, good first)",
    )
    test.add_argument(
        "--at",
        metavar="TIME",
        type=_instant,
        help="the time of the answers: 2026-11-15T12:00:00Z (default: that of index.json, or now)",
    )


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


def providers(args: argparse.Namespace) -> int:
    """Do it; 1 for problems of a definition or an answer, 2 for a name that nothing has."""
    match args.action:
        case "list":
            return _list()
        case "show":
            return _show(args.name, as_yaml=args.yaml)
        case "new":
            return _new(Path(args.file), args.from_sample)
        case _:
            return _test(args)


# -------------------------------------------------------------------------------------- new


def _new(path: Path, sample: str) -> int:
    """Write a definition, and the schema for editors; a file that is there stays as it is."""
    if not files.is_definition_name(path.stem):
        sys.stderr.write(
            f'{path}: the provider would be called "{path.stem}". A name has small letters, digits'
            " and underscores: name the file after the vendor, acme.yaml.\n"
        )
        return Exit.CONFIG
    try:
        draft = infer(read_sample(Path(sample).read_bytes())) if sample else None
    except (Unusable, OSError) as error:
        sys.stderr.write(f"{sample}: {getattr(error, 'strerror', None) or error}\n")
        return Exit.CONFIG
    text = new.text_of(path.stem, file=str(path), draft=draft)
    try:
        new.write(path, text, json.dumps(provider_schema(), indent=2) + "\n")
    except FileExistsError:
        sys.stderr.write(f"{path}: there is such a file already; it stays as it is.\n")
        return Exit.CONFIG
    except OSError as error:
        sys.stderr.write(f"{path}: {error.strerror or error}\n")
        return Exit.CONFIG
    sys.stdout.write(f"{path}: written{', with guesses to check' if sample else ''}\n")
    loaded = compile_text(text, name=path.stem, origin=str(path))
    if isinstance(loaded, Rejected):
        show(loaded.problems)
        return Exit.CONFIG
    return Exit.FINE


# ------------------------------------------------------------------------------------- test


def _test(args: argparse.Namespace) -> int:
    """Print the exposition to stdout and every complaint to stderr; 1 if there is any."""
    definition = load_definition(args.file)
    if isinstance(definition, Rejected):
        show(definition.problems)
        return Exit.CONFIG
    folder = Path(args.answers)
    if not folder.is_dir():
        sys.stderr.write(f"--answers: {args.answers} is no folder.\n")
        return Exit.CONFIG
    from exporter.app import replay  # noqa: PLC0415 - the client and the mapping, for this alone

    target = replay.target_beside(definition, folder)
    beside = target is not None
    if target is None:
        file, params = Path(args.file).resolve(), dict(args.param)
        target = replay.target_for(definition, file, params, args.base_url)
    if isinstance(target, Rejected):
        show(target.problems)
        return Exit.CONFIG
    try:
        recording = None
        if (folder / replay.INDEX).is_file():
            recording = replay.Recording(folder, signed=beside, cases=args.case)
    except replay.BadRecordingError as error:
        sys.stderr.write(f"{error}\n")
        return Exit.CONFIG
    at = args.at or (recording.at if recording else None) or time.time()
    result = asyncio.run(replay.replay(target, folder, at=at, recording=recording))
    sys.stdout.buffer.write(result.exposition)
    sys.stdout.flush()
    sys.stderr.writelines(f"remark: {remark}\n" for remark in result.remarks)
    sys.stderr.writelines(f"{complaint}\n" for complaint in result.complaints)
    return Exit.CONFIG if result.complaints else Exit.FINE


# ------------------------------------------------------------------------------------- list


def _list() -> int:
    definitions = [load_shipped(name) for name in library.shipped_names()]
    rows = [
        (
            one.name,
            one.title,
            format_duration(one.interval),
            _needs(one),
            ", ".join(_resource_names(one)),
        )
        for one in definitions
        if isinstance(one, Definition)
    ]
    head = ["PROVIDER", "VENDOR", "EVERY", "NEEDS", "READS"]
    _print(table(head, rows, width(), tallest=2))
    return Exit.FINE


def _needs(definition: Definition) -> str:
    """Return what a target must set: credentials, parameters, an address."""
    params = [one.name for one in definition.params.values() if one.required]
    address = ["base_url"] if definition.base_url is None else []
    return "; ".join(filter(None, [_credentials(definition), ", ".join(params + address)]))


def _credentials(definition: Definition) -> str:
    """Return the names of the credentials of each way to sign requests."""
    ways = (
        " + ".join(name for name in definition.credentials if name in auth.needs) or "nothing"
        for auth in definition.auth
    )
    return " or ".join(dict.fromkeys(ways))


def _resource_names(definition: Definition) -> list[str]:
    found = [name for one in definition.resources for name in _names(one)]
    return list(dict.fromkeys(found + ["spend"] * bool(definition.costs)))


def _names(rule: Resource) -> list[str]:
    return rule.listed_names or [name_pattern(rule.name)]


# ------------------------------------------------------------------------------------- show


def _show(wanted: str, *, as_yaml: bool) -> int:
    """Print the page of a provider: a shipped one by its name, or that of a file."""
    if wanted in library.shipped_names():
        if as_yaml:
            return _copy(library.shipped_text(wanted).encode())
        loaded = load_shipped(wanted)
    elif Path(wanted).suffix in (".yaml", ".yml") or Path(wanted).exists():
        if as_yaml and Path(wanted).is_file():
            try:
                return _copy(Path(wanted).read_bytes())
            except OSError as error:
                sys.stderr.write(f"{wanted}: cannot read it: {error.strerror or error}\n")
                return Exit.CONFIG
        loaded = load_definition(wanted)
    else:
        hint = did_you_mean(wanted, library.shipped_names())
        sys.stderr.write(f'There is no provider and no file "{wanted}".{hint}\n')
        return Exit.USAGE
    if isinstance(loaded, Rejected):
        show(loaded.problems)
        return Exit.CONFIG
    _print(_page(loaded, width()))
    return Exit.FINE


def _copy(content: bytes) -> int:
    """Print a file as it is: its encoding is not the terminal's business."""
    sys.stdout.buffer.write(content)
    return Exit.FINE


def _page(definition: Definition, most: int | None) -> Iterator[str]:
    """Yield what a definition needs, asks and publishes, at most `most` columns wide."""
    yield definition.title.upper()
    yield ""
    yield f"Provider {definition.name}, defined in {definition.origin}"
    if definition.documentation:
        yield f"Documentation: {definition.documentation}"
    yield from _section("CREDENTIALS AND PARAMETERS")
    yield from wrapped(f"A target sets: {_needs(definition)}", most)
    for auth in definition.auth:
        yield from wrapped(f"Requests are signed {auth.describe()}", most)
    if definition.permission:
        yield from wrapped(f"Permission: {definition.permission}", most)
    if definition.credentials:
        yield ""
        secrets = [(one.name, one.description) for one in definition.credentials.values()]
        yield from table(["CREDENTIAL", "IS"], secrets, most)
    if definition.params:
        yield ""
        params = [(one.name, one.description, _form(one)) for one in definition.params.values()]
        yield from table(["PARAMETER", "IS", "FORM"], params, most)
    yield from _section("WHAT IT ASKS")
    head = ["COLLECTOR", "ASKS FOR", "EVERY", "CALLS A DAY"]
    asked = [_asked(definition, one) for one in definition.collectors.values()]
    yield from table(head, asked, most)
    yield ""
    yield from wrapped(
        f"{definition.calls_per_day():g} calls a day for a target that sets what it must; further"
        " pages of an answer and log-ins come on top.",
        most,
    )
    yield from wrapped(
        "A target fills in what stands in braces; an argument without its parameter is left out.",
        most,
    )
    for collector in definition.collectors.values():
        yield ""
        yield from _request(definition, collector, most)
    yield from _section("WHAT IT PUBLISHES")
    head = ["RESOURCE", "UNIT", "FAMILIES", "COLLECTOR"]
    yield from table(head, _published(definition), most)
    if definition.unconfirmed:
        yield from _section("NOT CONFIRMED")
        for fact in definition.unconfirmed:
            yield from wrapped(f"- {fact}", most, "  ")


def _section(title: str) -> Iterator[str]:
    yield from ("", title, "")


def _form(param: Param) -> str:
    """Say whether a parameter must be set, what it is otherwise, and which values it takes."""
    facts = ["required"] if param.required else []
    if param.default is not None:
        unless = f", unless {' or '.join(param.unless)} is set" if param.unless else ""
        facts.append(f"default {param.default.text}{unless}")
    if param.choices:
        facts.append(f"one of {', '.join(param.choices)}")
    elif param.pattern is not None:
        facts.append(param.pattern.pattern)
    return "; ".join(facts + ["a list is allowed"] * param.multiple)


def _asked(definition: Definition, collector: Collector) -> tuple[str, str, str, str]:
    interval = definition.interval_of(collector)
    calls = f"{86_400 / interval:g}" if collector.enabled else "off"
    return collector.name, collector.title, format_duration(interval), calls


def _request(definition: Definition, collector: Collector, most: int | None) -> Iterator[str]:
    """Yield a request with its arguments, as the definition writes them."""
    request = collector.request
    base = definition.base_url.text if definition.base_url is not None else "https://YOUR_HOST"
    path = request.path.text
    yield f"{collector.name}:"
    yield f"    {request.method} {path if path.startswith('http') else base + path}"
    for group, condition in (
        (request.query, ""),
        (request.item_query, " (with items: true)"),
        (request.form, ""),
    ):
        for argument in group:
            values = ",".join(value.text for value in argument.values)
            yield f"      {argument.name}={values}{condition}"
    for name, value in request.headers.items():
        yield f"      {name}: {value.text}"
    facts = (
        collector.paging.describe(),
        collector.format.describe(),
        *collector.verdict.describe(),
    )
    for fact in filter(None, facts):
        yield from wrapped(f"    {fact}", most, "    ")


def _published(definition: Definition) -> Iterator[tuple[str, str, str, str]]:
    """Yield resource, unit, families and collector of each rule."""
    for rule in definition.resources:
        unit = rule.unit.unit
        kind = str(unit.kind) if unit is not None else "<kind>"
        families = ", ".join(one.format(kind) for one in _families(rule, RESOURCE_ROLES))
        yield ", ".join(_names(rule)), _unit(rule.unit), families, rule.collector
    for cost in definition.costs:
        yield "spend", _currency(cost), ", ".join(_families(cost, COST_ROLES)), cost.collector
    for item in definition.items:
        own = item.used.unit if item.used is not None else None
        unit_text = _unit(own or item.unit) if item.cost is None else _currency(item)
        what = f"items by {item.group}" + ("" if item.always else " (with items: true)")
        yield name_pattern(item.resource), unit_text, what, item.collector


def _families(rule: Resource | Cost, roles: tuple[Role, ...]) -> list[str]:
    """Return the families of the roles that are read; the rest is worked out of these."""
    read = [role for role in read_roles(roles) if getattr(rule, role.key) is not None]
    return [role.family for role in read]


def _unit(rule: UnitRule) -> str:
    if rule.unit is not None:
        return rule.unit.name
    return f"as the answer says ({rule.path.text})" if rule.path is not None else ""


def _currency(rule: Cost | Items) -> str:
    own = "" if rule.fixed_currency is None else rule.fixed_currency.text
    if not rule.currency:
        return own
    paths = " or ".join(path.text for path in rule.currency)
    return f"as the answer says ({paths})" + (f", else {own}" if own else "")


# ----------------------------------------------------------------------------------- tables


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
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    room = None if most is None else most - _GAP * (len(widths) - 1)
    while room is not None and sum(widths) > room and max(widths) > _LEAST:
        widths[widths.index(max(widths))] -= 1  # take from the widest column until all fit
    for row in cells:
        columns = [
            _cut(wrapped(cell, most and wide), wide, tallest if most else None)
            for cell, wide in zip(row, widths, strict=True)
        ]
        for number in range(max(map(len, columns))):
            parts = [lines[number] if number < len(lines) else "" for lines in columns]
            padded = [part.ljust(wide) for part, wide in zip(parts, widths, strict=True)]
            yield (" " * _GAP).join(padded).rstrip()


def wrapped(text: str, most: int | None, indent: str = "") -> list[str]:
    """Return `text` in lines of at most `most` characters, all but the first with `indent`."""
    if most is None:
        return [text]
    return textwrap.wrap(text, most, subsequent_indent=indent, break_on_hyphens=False) or [""]


def _cut(lines: list[str], wide: int, tallest: int | None) -> list[str]:
    if tallest is None or len(lines) <= tallest:
        return lines
    last = lines[tallest - 1]
    if len(last) > wide - 2:
        last = last[: wide - 2].rpartition(" ")[0]
    return [*lines[: tallest - 1], f"{last} …".lstrip()]


def _print(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
