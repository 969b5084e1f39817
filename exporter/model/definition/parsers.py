"""The smallest parts of a definition: paths, templates, durations, units, zones, patterns.

Each ``parse_x(place, text)`` returns the parsed value. What is wrong goes to `place`, and something
that can be gone on with is returned, so that all problems of a file are found in one run.

The types at the end (`PathStr`, `DurationStr`, …) are those of keys. Their ``extra`` speaks to
``config.convert``: ``what`` names the kind in messages, ``hint`` says what to write instead,
``secret`` keeps values out of messages.
"""

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, UnsetType

from exporter.kernel.calendar import find_zone, format_duration, parse_duration
from exporter.kernel.jmes import Selector, compile_path
from exporter.kernel.problems import ErrorLocation, describe, did_you_mean, yaml_word
from exporter.kernel.templates import Template, compile_template
from exporter.kernel.units import Kind, Unit, find_unit, parse_amount

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_SHARE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")
_PERCENT: Final = 100.0
_RATE: Final = re.compile(r"([1-9][0-9]{0,8}) ?/ ?([0-9a-z]+)")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_FRAMING: Final = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "expect"}
)


class TemplateScope(msgspec.Struct, frozen=True):
    """The variables that templates may use here; `seen` collects what they do use."""

    params: frozenset[str]
    multiple: frozenset[str] = frozenset()  # of the params: those that may have several values
    credentials: frozenset[str] = frozenset()
    secrets: bool = False  # credentials may be used
    account: bool = False
    token: bool = False
    seen: set[str] = msgspec.field(default_factory=set)


def parse_path(place: ErrorLocation, text: str) -> Selector:
    """Compile a path."""
    try:
        return compile_path(text)
    except ValueError as error:
        place.error(str(error))
        return compile_path("@")


def parse_optional_path(place: ErrorLocation, text: str | UnsetType) -> Selector | None:
    """Compile a path that may be left out."""
    return None if isinstance(text, UnsetType) else parse_path(place, text)


def parse_paths(place: ErrorLocation, text: str | list[str] | UnsetType) -> tuple[Selector, ...]:
    """Compile one path or the alternatives of a list."""
    match text:
        case str():
            return (parse_path(place, text),)
        case list():
            return tuple(parse_path(place / index, one) for index, one in enumerate(text))
        case _:
            return ()


def parse_template(place: ErrorLocation, text: str | float, scope: TemplateScope) -> Template:
    """Compile a template and check that its variables exist here."""
    try:
        compiled = compile_template(yaml_word(text))
    except ValueError as error:
        place.error(str(error))
        return compile_template("")
    for variable in sorted(compiled.variables):
        _check_variable(place, variable, scope)
    many = sorted(compiled.variables & {f"params.{name}" for name in scope.multiple})
    if many and compiled.text != f"{{{many[0]}}}":
        place.error(
            f'"{many[0]}" may have several values and has to stand alone. Write "{{{many[0]}}}" '
            "as a value of its own."
        )
    return compiled


def parse_optional_template(
    place: ErrorLocation, text: str | UnsetType, scope: TemplateScope
) -> Template | None:
    """Compile a template that may be left out."""
    return None if isinstance(text, UnsetType) else parse_template(place, text, scope)


def _check_variable(place: ErrorLocation, variable: str, scope: TemplateScope) -> None:
    scope.seen.add(variable)
    root, _, name = variable.partition(".")
    match root:
        case "params" if name not in scope.params:
            place.error(f'The parameter "{name}" is not declared.{_known(name, scope.params)}')
        case "credentials" if not scope.secrets:
            place.error(f'"{variable}" cannot stand here. Secrets belong under "auth".')
        case "credentials" if name not in scope.credentials:
            place.error(
                f'The credential "{name}" is not declared.{_known(name, scope.credentials)}'
            )
        case "account" if not scope.account:
            place.error(
                f'"{variable}" cannot stand here. Only requests of collectors know it, in a '
                'definition with "accounts".'
            )
        case "account" if name != "id":
            place.error(f'"{variable}" is not known. Write "{{account.id}}".')
        case "token" if not scope.token:
            place.error('"token" cannot stand here. Only "apply" of a log-in knows it.')
        case _:
            pass


def _known(name: str, known: Iterable[str]) -> str:
    return did_you_mean(name, known) or " None are."


def parse_interval(
    place: ErrorLocation, text: str | UnsetType, default: float | None = None
) -> float | None:
    """Return seconds, `default` where nothing is written."""
    if isinstance(text, UnsetType):
        return default
    try:
        return parse_duration(text)
    except ValueError as error:
        place.error(str(error))
        return default


def parse_positive_interval(
    place: ErrorLocation, text: str | UnsetType, default: float | None = None
) -> float | None:
    """Return seconds above zero."""
    seconds = parse_interval(place, text, default)
    if seconds == 0 and not isinstance(text, UnsetType):
        place.error(f"{describe(text)} is too short. Write more than 0: 30s, 5m, 1h.")
        return default
    return seconds


def check_not_faster(place: ErrorLocation, interval: float | None, least: float | None) -> None:
    """Refuse an interval that is shorter than the shortest allowed."""
    if interval is not None and least is not None and interval < least:
        place.error(
            f"{format_duration(interval)} is shorter than min_interval, "
            f"{format_duration(least)}. Write at least that."
        )


def parse_unit(place: ErrorLocation, text: str, kinds: Iterable[Kind]) -> Unit:
    """Find a unit of one of `kinds`."""
    allowed = tuple(kinds)
    try:
        found = find_unit(text)
    except ValueError as error:
        place.error(str(error))
        return Unit("quantity", allowed[0], 1.0)
    if found.kind not in allowed:
        words = ", ".join(kind.value for kind in allowed)
        place.error(
            f'"{text}" is a unit of {found.kind.value}, which cannot stand here. Known: {words}.'
        )
        return Unit("quantity", allowed[0], 1.0)
    return found


def parse_size(place: ErrorLocation, text: str) -> int:
    """Return whole bytes, at least one."""
    try:
        amount, word = parse_amount(text)
        unit_ = find_unit(word) if word else None
    except ValueError as error:
        place.error(str(error))
        return 1
    if unit_ is None or unit_.kind is not Kind.BYTES or amount * unit_.factor < 1:
        place.error(f"{describe(text)} is not a size. Write a number and a unit: 64 MiB, 500 kB.")
        return 1
    return int(amount * unit_.factor)


def parse_zone(place: ErrorLocation, text: str | UnsetType, default: str = "UTC") -> str:
    """Check the name of a time zone."""
    if isinstance(text, UnsetType):
        return default
    try:
        find_zone(text)
    except ValueError as error:
        place.error(str(error))
        return default
    return text


def parse_pattern(
    place: ErrorLocation, text: str | UnsetType, *, groups: int = 0
) -> re.Pattern[str] | None:
    """Compile a regular expression with at least `groups` groups."""
    if isinstance(text, UnsetType):
        return None
    try:
        compiled = re.compile(text)
    except re.error as error:
        place.error(f"{describe(text)} is not a regular expression: {error.msg}.")
        return None
    if compiled.groups < groups:
        place.error(f"{describe(text)} has no group. Put what is wanted in ( ).")
    return compiled


def check_name(place: ErrorLocation, text: str, *, at_key: bool = False) -> str:
    """Check a name of our own: snake_case."""
    if not _NAME.fullmatch(text):
        say = place.key_error if at_key else place.error
        say(f"{describe(text)} is not a name. Write small letters, digits and underscores.")
    return text


def parse_share(place: ErrorLocation, value: str | float | UnsetType) -> float | None:
    """Return the fraction that ``20%`` (or 0.2) is."""
    if isinstance(value, UnsetType):
        return None
    if isinstance(value, str):
        found = _SHARE.fullmatch(value)
        fraction = float(found[1]) / _PERCENT if found else -1.0
    else:
        fraction = float(value)
    if not 0 <= fraction < 1:
        place.error(f"{describe(value)} is not a share. Write a percentage below 100: 20%.")
        return None
    return fraction


def parse_rate(place: ErrorLocation, text: str | UnsetType) -> float | None:
    """Return requests per second of ``240/1m``."""
    if isinstance(text, UnsetType):
        return None
    found = _RATE.fullmatch(text)
    try:
        seconds = parse_duration(found[2]) if found else 0.0
    except ValueError:
        seconds = 0.0
    if not found or not seconds:
        place.error(f"{describe(text)} is not a rate. Write requests and a time: 240/1m, 1/10s.")
        return None
    return int(found[1]) / seconds


def parse_header(place: ErrorLocation, text: str) -> str:
    """Check the name of a header that a request may carry."""
    if not _TOKEN.fullmatch(text):
        place.key_error(f"{describe(text)} is not the name of a header.")
    elif text.lower() in _FRAMING:
        place.key_error(f"{describe(text)} is set by the HTTP client. Delete it.")
    return text


CodeFormat: TypeAlias = Callable[[str], str]
"""How ``describe`` formats what it quotes from a definition: ``str``, or as Markdown's code."""


def describe_paths(paths: Iterable[Selector], code: CodeFormat = str) -> str:
    """Return alternative paths as words: ``data.a or data.b``."""
    return " or ".join(code(path.text) for path in paths)


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A map whose keys are all known."""


DurationStr: TypeAlias = Annotated[
    str,
    Meta(
        extra={"what": "a duration", "hint": "Write a number and a unit: 30s, 5m, 1h30m."},
        extra_json_schema={
            "pattern": r"^(?=.)(0|(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?)$",
            "examples": ["30s", "5m", "1h30m"],
        },
    ),
]
"""A duration in Prometheus' spelling."""
NameStr: TypeAlias = Annotated[
    str,
    Meta(
        extra={"what": "a name", "hint": "Write small letters, digits and underscores."},
        extra_json_schema={"pattern": "^[a-z][a-z0-9_]*$"},
    ),
]
"""A name of our own: snake_case."""
PathStr: TypeAlias = Annotated[
    str,
    Meta(
        extra={"what": "a path", "hint": "Write a JMESPath expression: data.usage.total."},
        extra_json_schema={"examples": ["data.usage.total"]},
    ),
]
"""A JMESPath expression."""
PathOrPaths: TypeAlias = PathStr | list[PathStr]
"""One path, or a list of which the first that gives something counts."""
TemplateStr: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema={"examples": ["{params.organization_id}", "{month.start:date}"]},
    ),
]
"""A text with holes: ``{params.x}``, ``{month.start:date}``."""
ScalarField: TypeAlias = TemplateStr | int | bool
"""A text with holes, or a number or truth that stands for its text."""
PositiveInt: TypeAlias = Annotated[
    int, Meta(ge=1, extra={"what": "a whole number", "hint": "Write 1 or more."})
]
"""How many: 1 or more."""
SecretStr: TypeAlias = Annotated[
    str,
    Meta(
        extra={
            "what": "a text",
            "hint": "Put it in quotes.",
            "secret": True,
        }
    ),
]
"""A text that never appears in a message."""
