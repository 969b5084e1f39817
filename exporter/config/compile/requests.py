"""Requests and collectors."""

from typing import Final, cast

from msgspec import UnsetType

from exporter.config.compile import leaves
from exporter.config.compile.leaves import Scope
from exporter.config.compile.paging import paging
from exporter.config.compile.verdict import verdict
from exporter.config.findings import Place
from exporter.config.grammar.requests import (
    Arguments,
    CollectorText,
    CursorText,
    OffsetText,
    PageNumberText,
    RequestText,
)
from exporter.config.grammar.words import Scalar
from exporter.kernel.templates import Template
from exporter.model.definition import (
    Argument,
    ArrayStyle,
    Collector,
    Format,
    Json,
    Request,
)

_BEGINNINGS: Final = ("/", "http://", "https://", "{")


def request(place: Place, text: RequestText, scope: Scope) -> Request:
    """Compile a request; its templates see `scope`."""
    style = ArrayStyle(text.array_style)
    _check_body(place, text)
    return Request(
        method=text.method,
        path=address(place / "path", text.path, scope),
        query=arguments(place / "query", text.query, scope, style),
        item_query=arguments(place / "item_query", text.item_query, scope, style),
        headers={
            leaves.header(place / "headers" / name, name): leaves.template(
                place / "headers" / name, value, scope
            )
            for name, value in text.headers.items()
        },
        json=None if isinstance(text.json, UnsetType) else _json(place / "json", text.json, scope),
        form=arguments(place / "form", text.form, scope, style),
    )


def _check_body(place: Place, text: RequestText) -> None:
    has_json = not isinstance(text.json, UnsetType)
    if has_json and text.form:
        (place / "form").key_error('A body is either "json" or "form". Delete one of them.')
    if (has_json or text.form) and text.method != "POST":
        field = "json" if has_json else "form"
        (place / field).key_error(f"{text.method} requests carry no body. Write method: POST.")


def address(place: Place, text: str, scope: Scope) -> Template:
    """Compile the path of a request, or a whole URL."""
    if not text.startswith(_BEGINNINGS):
        place.error(f'"{text}" is neither a path nor a URL. Write "/{text}" or "https://…".')
    elif "?" in text or "#" in text:
        place.error("A path holds no query. Write the arguments under `query`.")
    return leaves.template(place, text, scope)


def arguments(
    place: Place, text: Arguments, scope: Scope, style: ArrayStyle
) -> tuple[Argument, ...]:
    """Compile query or form arguments."""
    return tuple(
        _argument(place / name, name, values, scope, style) for name, values in text.items()
    )


def _argument(
    place: Place, name: str, values: Scalar | list[Scalar], scope: Scope, style: ArrayStyle
) -> Argument:
    """Compile one argument; the style is that of lists, and a single value is written plainly."""
    if isinstance(values, list):
        found = [leaves.template(place / index, one, scope) for index, one in enumerate(values)]
        return Argument(name=name, style=style, values=tuple(found))
    single = leaves.template(place, values, scope)
    several = single.variables & {f"params.{param}" for param in scope.multiple}
    return Argument(name=name, style=style if several else ArrayStyle.REPEAT, values=(single,))


def _json(place: Place, value: object, scope: Scope) -> Json:
    match value:
        case dict():
            return {str(key): _json(place / str(key), one, scope) for key, one in value.items()}
        case list():
            return tuple(_json(place / index, one, scope) for index, one in enumerate(value))
        case str():
            return leaves.template(place, value, scope)
        case _:  # YAML has no others
            return cast("bool | int | float | None", value)


def _check_paged_body(place: Place, text: CollectorText) -> None:
    has_body = not isinstance(text.request.json, UnsetType) or bool(text.request.form)
    paged = isinstance(text.paging, CursorText | PageNumberText | OffsetText) and text.paging.body
    if paged and not has_body:
        (place / "paging" / "body").key_error("The request has no body. Write its json or form.")


def collector(place: Place, name: str, text: CollectorText, scope: Scope) -> Collector:
    """Compile a collector."""
    interval = leaves.positive_duration(place / "interval", text.interval)
    min_interval = leaves.duration(place / "min_interval", text.min_interval)
    leaves.check_not_faster(place / "interval", interval, min_interval)
    if text.request.method == "HEAD" and text.format != "headers":
        (place / "request" / "method").error(
            "The answer to HEAD has no body. Write format: headers, or method: GET."
        )
    _check_paged_body(place, text)
    return Collector(
        name=name,
        title=text.title,
        request=request(place / "request", text.request, scope),
        paging=paging(place / "paging", text.paging),
        verdict=verdict(place / "success", text.success),
        format=Format(text.format),
        enabled=text.enabled,
        interval=interval,
        min_interval=min_interval,
        conditional=text.conditional,
        max_bytes=leaves.size(place / "max_size", text.max_size),
    )
