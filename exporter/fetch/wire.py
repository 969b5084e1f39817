"""What goes over the wire: a request ready to send, an answer as it came."""

from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec

from exporter.kernel.override import override

Lines: TypeAlias = tuple[tuple[str, str], ...]
"""Header lines in their order: lower-case name, value. A name may occur several times."""


class Wire(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request, complete and signed. ``url`` is encoded and is sent exactly as it stands.

    ``digest`` is a user name and password for RFC 7616, which needs the server's challenge first.
    It holds secrets in many places, so its ``repr`` shows only where it goes.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    digest: tuple[str, str] | None = None

    @override
    def __repr__(self) -> str:
        return f"Wire({self.method} {host_of(self.url)})"


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One answer, its body read to the end and decompressed.

    ``lines`` are the headers as they came, ``headers`` the same with repeated ones joined.
    ``url`` is the one that was asked. ``proxy`` is the host of a proxy that may have made the
    answer itself, "" when only the vendor can have.
    """

    status: int
    lines: Lines
    headers: Mapping[str, str]
    body: bytes
    url: str
    proxy: str = ""

    @override
    def __repr__(self) -> str:
        return f"Answer({self.status} from {host_of(self.url)}, {len(self.body)} bytes)"


Origin: TypeAlias = tuple[str, str, int]
"""Scheme, host and port: who gets a credential."""

_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> Origin:
    """Return the origin of an absolute URL, with its default port filled in.

    Raises ValueError for anything but ``http(s)://host…``.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("not an http address")
    port = parts.port
    return parts.scheme, parts.hostname, _PORTS[parts.scheme] if port is None else port


def host_of(url: str) -> str:
    """Return ``host`` or ``host:port`` for people; never userinfo, path or query."""
    try:
        scheme, host, port = origin_of(url)
    except ValueError:
        return "?"
    host = f"[{host}]" if ":" in host else host
    return host if port == _PORTS[scheme] else f"{host}:{port}"


def joined(lines: Lines) -> dict[str, str]:
    """Return the lines as a map; the values of a repeated name are joined by a comma."""
    headers = dict(lines)
    if len(headers) == len(lines):
        return headers
    values: dict[str, list[str]] = {}
    for name, value in lines:
        values.setdefault(name, []).append(value)
    return {name: ", ".join(found) for name, found in values.items()}
