"""Parameters and credentials: what a target sets, and what templates then see of it.

A parameter is ``{params.NAME}`` in templates; a credential ``{credentials.NAME}``, under ``auth``
only. The rules of parameters hold for the base URL, for requests and for what is read from the
answer alike, because all of them ask `resolve`:

- What the target sets is used, else the default; a default may hold dates, and no parameters.
- Values that are "" do not count: a target leaves a parameter out by setting it to "".
- Of a list, arguments get one value each; elsewhere its values stand with commas between them.
"""

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from exporter.kernel.problems import ErrorLocation, describe, did_you_mean
from exporter.kernel.templates import Clock, Template, TemplateValues
from exporter.model.definition import parsers
from exporter.model.definition.parsers import NameStr, ScalarField, Strict, TemplateScope

FILE_SUFFIX = "_file"
ENV_SUFFIX = "_env"
"""What a target adds to a credential's name where a file or a variable holds the secret."""


class ParamText(Strict, kw_only=True, frozen=True):
    """A parameter that targets set."""

    description: Annotated[str, Meta(description="What it is, for people.")] = ""
    required: Annotated[bool, Meta(description="A target must set it.")] = False
    default: Annotated[
        ScalarField | UnsetType, Meta(description="Its value where a target says nothing.")
    ] = UNSET
    pattern: Annotated[
        str | UnsetType, Meta(description="A regular expression that the whole value must match.")
    ] = UNSET
    choices: Annotated[list[str], Meta(description="The values that it may have.")] = field(
        default_factory=list
    )
    multiple: Annotated[bool, Meta(description="A target may give a list.")] = False
    unless: Annotated[
        list[NameStr],
        Meta(description="Parameters that take the default's place: with one, it does not count."),
    ] = field(default_factory=list)


class Param(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter that a target sets: ``params.<name>`` in templates.

    Set to "" it is left out even where it has a default.
    ``multiple`` lets a target give a list; each value then becomes one value of the query argument.
    ``unless`` names the parameters that take the place of the default: a target that sets one of
    them goes without it.
    """

    name: str
    description: str
    required: bool = False
    default: Template | None = None  # may hold dates: {month.start:date}
    pattern: re.Pattern[str] | None = None
    choices: tuple[str, ...] = ()
    multiple: bool = False
    unless: tuple[str, ...] = ()

    @property
    def optional(self) -> bool:
        """Whether a target may leave it without any value."""
        return not self.required and self.default is None


class CredentialText(Strict, kw_only=True, frozen=True):
    """A secret that targets set."""

    description: Annotated[str, Meta(description="What it is and where to get it.")] = ""


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that a target sets: ``credentials.<name>`` in templates of the authentication."""

    name: str
    description: str


def compile_params(place: ErrorLocation, texts: Mapping[str, ParamText]) -> dict[str, Param]:
    """Compile the parameters of a definition."""
    found = {}
    for name, text in texts.items():
        here = place / name
        parsers.check_name(here, name, at_key=True)
        if text.unless and isinstance(text.default, UnsetType):
            (here / "unless").key_error('There is no default here. Delete "unless".')
        for index, other in enumerate(text.unless):
            if other not in texts or other == name:
                hint = did_you_mean(other, texts.keys() - {name})
                (here / "unless" / index).error(f'There is no parameter "{other}".{hint}')
        pattern = parsers.parse_pattern(here / "pattern", text.pattern)
        found[name] = Param(
            name=name,
            description=text.description,
            required=text.required,
            default=_default(here / "default", text, pattern),
            pattern=pattern,
            choices=tuple(text.choices),
            multiple=text.multiple,
            unless=tuple(text.unless),
        )
    return found


def _default(
    place: ErrorLocation, text: ParamText, pattern: re.Pattern[str] | None
) -> Template | None:
    if isinstance(text.default, UnsetType):
        return None
    default = parsers.parse_template(place, text.default, TemplateScope(params=frozenset()))
    if text.required:
        place.key_error("What is required has no default. Delete one of them.")
    if text.choices and default.text not in text.choices:
        place.error(f"{describe(default.text)} is not among the choices.")
    if pattern is not None and "{" not in default.text and not pattern.fullmatch(default.text):
        place.error(f"{describe(default.text)} does not match the pattern.")
    return default


def compile_credentials(
    place: ErrorLocation, texts: Mapping[str, CredentialText]
) -> dict[str, Credential]:
    """Compile the credentials of a definition."""
    for name in texts:
        parsers.check_name(place / name, name, at_key=True)
        if name.endswith((FILE_SUFFIX, ENV_SUFFIX)):
            (place / name).key_error(
                f'The ending "{name[name.rindex("_") :]}" says where a target\'s secret comes '
                "from. Write another name."
            )
    return {name: Credential(name=name, description=one.description) for name, one in texts.items()}


def resolve(
    params: Mapping[str, Param], given: Mapping[str, tuple[str, ...]], clock: Clock
) -> TemplateValues:
    """Return what templates see of `params`, of which a target sets those that are `given`."""
    texts: dict[str, str] = {}
    several: dict[str, tuple[str, ...]] = {}
    for name, param in params.items():
        values = given.get(name)
        if values is None:
            rendered = None if param.default is None else param.default.render(texts, clock)
            values = () if rendered is None else (rendered,)
        values = tuple(value for value in values if value != "")
        if values:
            texts[f"params.{name}"] = ",".join(values)
        if len(values) > 1:
            several[f"params.{name}"] = values
    return TemplateValues(texts=texts, several=several)
