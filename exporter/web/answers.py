"""What every answer has in common: its headers, and the shapes that handlers return."""

import json as stdlib_json
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

Handler: TypeAlias = Callable[[BaseRequest], Awaitable[StreamResponse]]

SERVER: Final = "usage-exporter"
SECURITY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "Server": SERVER,  # not "Python/3.11 aiohttp/3.14": no help for whoever looks for holes
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
)
"""On every answer. No address of ours runs a script, is framed, or loads anything."""

READ: Final = ("GET", "HEAD")
CHANGE: Final = ("POST", "PUT")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers an address, and to which methods."""

    handler: Handler
    methods: tuple[str, ...] = READ


def text(body: str, *, status: int = 200, headers: Mapping[str, str] = SECURITY) -> Response:
    """Answer with plain text; a newline is added, so that a terminal stays readable."""
    return _answer(body + "\n", "text/plain; charset=utf-8", status, headers)


def html(body: str, *, policy: str) -> Response:
    """Answer with a page under its own Content-Security-Policy."""
    headers = {**SECURITY, "Content-Security-Policy": policy}
    return _answer(body, "text/html; charset=utf-8", 200, headers)


def yaml(body: str) -> Response:
    """Answer with YAML, under a type that browsers show instead of saving."""
    return _answer(body, "text/plain; charset=utf-8", 200, SECURITY)


def json(value: object) -> Response:
    """Answer with a struct, or plain values, as JSON."""
    try:
        body = msgspec.json.encode(value)
    except UnicodeEncodeError:  # half of a surrogate pair, in a vendor's text
        body = stdlib_json.dumps(msgspec.to_builtins(value)).encode()
    return Response(body=body, headers={**SECURITY, "Content-Type": "application/json"})


def method_not_allowed(methods: tuple[str, ...]) -> Response:
    """Answer 405, in the words of Prometheus, with the methods that the address takes."""
    return text(
        f"Only {' or '.join(methods)} requests allowed.",
        status=405,
        headers={**SECURITY, "Allow": ", ".join(methods)},
    )


def _answer(body: str, kind: str, status: int, headers: Mapping[str, str]) -> Response:
    # A lone surrogate (a file name of any bytes, in a message) must not end in a 500.
    content = body.encode("utf-8", "replace")
    return Response(body=content, status=status, headers={**headers, "Content-Type": kind})
