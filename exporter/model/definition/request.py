"""The HTTP request that a collector or a log-in makes: templates for each part of it.

A query argument whose template lacks a value is left out; a path that lacks one is an error of the
poll, because a request without it is another request. ``fetch.request`` renders it.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeAlias, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from exporter.kernel.problems import ErrorLocation
from exporter.kernel.templates import Template
from exporter.model.definition import parsers
from exporter.model.definition.parsers import ScalarField, Strict, TemplateScope, TemplateStr


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


Arguments: TypeAlias = dict[str, ScalarField | list[ScalarField]]
"""Query or form arguments: a value, or several."""


Json: TypeAlias = "bool | int | float | Template | tuple[Json, ...] | Mapping[str, Json] | None"
"""A JSON body with templates in the place of its strings."""


class RequestText(Strict, kw_only=True, frozen=True):
    """One HTTP request."""

    method: Annotated[Literal["GET", "HEAD", "POST"], Meta(description="The HTTP method.")] = "GET"
    path: Annotated[
        TemplateStr,
        Meta(
            description="The path below base_url, or a whole URL. The values of holes are quoted."
        ),
    ]
    query: Annotated[
        Arguments,
        Meta(description="Query arguments. One whose hole has no value is left out."),
    ] = field(default_factory=dict)
    item_query: Annotated[
        Arguments,
        Meta(
            description="Query arguments for breakdowns: added when the target sets `items: true`."
        ),
    ] = field(default_factory=dict)
    array_style: Annotated[
        Literal["repeat", "brackets", "comma"],
        Meta(description="How several values are written: a=1&a=2, a[]=1&a[]=2 or a=1,2."),
    ] = "repeat"
    headers: Annotated[
        dict[str, ScalarField], Meta(description="Headers that are no secrets, such as Accept.")
    ] = field(default_factory=dict)
    json: Annotated[
        Any, Meta(description="The JSON body; its texts may have holes. Needs method POST.")
    ] = UNSET
    form: Annotated[Arguments, Meta(description="The form-encoded body. Needs method POST.")] = (
        field(default_factory=dict)
    )

    @property
    def has_body(self) -> bool:
        """Whether a body is written."""
        return not isinstance(self.json, UnsetType) or bool(self.form)


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

    @property
    def templates(self) -> tuple[Template, ...]:
        """All templates of the request, wherever they stand."""
        arguments = (*self.query, *self.item_query, *self.form)
        return (
            self.path,
            *self.headers.values(),
            *(value for argument in arguments for value in argument.values),
            *_json_templates(self.json),
        )


def _json_templates(value: Json) -> Iterator[Template]:
    match value:
        case Template():
            yield value
        case tuple():
            for one in value:
                yield from _json_templates(one)
        case Mapping():
            for one in value.values():
                yield from _json_templates(one)
        case _:
            return


_BEGINNINGS: Final = ("/", "http://", "https://", "{")


def compile_request(place: ErrorLocation, text: RequestText, scope: TemplateScope) -> Request:
    """Compile a request; its templates see `scope`."""
    style = ArrayStyle(text.array_style)
    _check_body(place, text)
    return Request(
        method=text.method,
        path=compile_address(place / "path", text.path, scope),
        query=compile_arguments(place / "query", text.query, scope, style),
        item_query=compile_arguments(place / "item_query", text.item_query, scope, style),
        headers={
            parsers.parse_header(place / "headers" / name, name): parsers.parse_template(
                place / "headers" / name, value, scope
            )
            for name, value in text.headers.items()
        },
        json=None if isinstance(text.json, UnsetType) else _json(place / "json", text.json, scope),
        form=compile_arguments(place / "form", text.form, scope, style),
    )


def _check_body(place: ErrorLocation, text: RequestText) -> None:
    has_json = not isinstance(text.json, UnsetType)
    if has_json and text.form:
        (place / "form").key_error('A body is either "json" or "form". Delete one of them.')
    if text.has_body and text.method != "POST":
        field = "json" if has_json else "form"
        (place / field).key_error(f"{text.method} requests carry no body. Write method: POST.")


def compile_address(place: ErrorLocation, text: str, scope: TemplateScope) -> Template:
    """Compile the path of a request, or a whole URL."""
    if not text.startswith(_BEGINNINGS):
        place.error(f'"{text}" is neither a path nor a URL. Write "/{text}" or "https://…".')
    elif "?" in text or "#" in text:
        place.error("A path holds no query. Write the arguments under `query`.")
    return parsers.parse_template(place, text, scope)


def compile_arguments(
    place: ErrorLocation, text: Arguments, scope: TemplateScope, style: ArrayStyle
) -> tuple[Argument, ...]:
    """Compile query or form arguments."""
    return tuple(
        _argument(place / name, name, values, scope, style) for name, values in text.items()
    )


def _argument(
    place: ErrorLocation,
    name: str,
    values: ScalarField | list[ScalarField],
    scope: TemplateScope,
    style: ArrayStyle,
) -> Argument:
    """Compile one argument; the style is that of lists, and a single value is written plainly."""
    if isinstance(values, list):
        found = [
            parsers.parse_template(place / index, one, scope) for index, one in enumerate(values)
        ]
        return Argument(name=name, style=style, values=tuple(found))
    single = parsers.parse_template(place, values, scope)
    several = single.variables & {f"params.{param}" for param in scope.multiple}
    return Argument(name=name, style=style if several else ArrayStyle.REPEAT, values=(single,))


def _json(place: ErrorLocation, value: object, scope: TemplateScope) -> Json:
    match value:
        case dict():
            return {str(key): _json(place / str(key), one, scope) for key, one in value.items()}
        case list():
            return tuple(_json(place / index, one, scope) for index, one in enumerate(value))
        case str():
            return parsers.parse_template(place, value, scope)
        case _:  # YAML has no others
            return cast("bool | int | float | None", value)
