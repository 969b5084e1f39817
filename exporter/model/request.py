"""What a target must say, and the HTTP request that is made of it."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

from exporter.kernel.templates import Template


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


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that a target sets: ``credentials.<name>`` in templates of the authentication."""

    name: str
    description: str


class ArrayStyle(StrEnum):
    """How several values of one query argument are written."""

    REPEAT = "repeat"  # a=1&a=2
    BRACKETS = "brackets"  # a[]=1&a[]=2
    COMMA = "comma"  # a=1,2


class Argument(msgspec.Struct, frozen=True, kw_only=True):
    """One query or form argument. A value whose template lacks a variable is left out."""

    name: str
    values: tuple[Template, ...]
    style: ArrayStyle = ArrayStyle.REPEAT


Json: TypeAlias = "bool | int | float | Template | tuple[Json, ...] | Mapping[str, Json] | None"
"""A JSON body with templates in the place of its strings."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request of a collector, a log-in or a discovery.

    ``path`` is joined to the target's base URL; a rendered path that starts with ``http`` stands
    for itself. ``item_query`` is added when the target asks for breakdowns (``items: true``).
    At most one of ``json`` and ``form`` is set.
    """

    method: str = "GET"
    path: Template
    query: tuple[Argument, ...] = ()
    item_query: tuple[Argument, ...] = ()
    headers: Mapping[str, Template] = {}
    json: Json = None
    form: tuple[Argument, ...] = ()
