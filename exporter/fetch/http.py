"""What goes over the wire, and which addresses of the vendor's are followed.

`HttpRequest` and `HttpResponse` are values; `safe_url` and `header_link` read the addresses that
vendors give: next pages in bodies and headers, and where redirects lead. Credentials go along to
each of them, so that only the same origin and the same account are followed.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TypeAlias
from urllib.parse import parse_qsl, quote, unquote, urljoin, urlsplit

import msgspec

from exporter.kernel.override import override
from exporter.kernel.secrets import redact_url

Lines: TypeAlias = tuple[tuple[str, str], ...]
"""Header lines in their order: lower-case name, value. A name may occur several times."""


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
        return f"HttpRequest({self.method} {host_of(self.url)})"


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
        return f"HttpResponse({self.status} from {host_of(self.url)}, {len(self.body)} bytes)"


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


_LONGEST = 8192
"""Characters of a link that is followed: usual servers take 8,000 in a request line."""
_URL_SAFE = "%/?#[]@!$&'()*+,;=:~"
_ABSOLUTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_NAMED = r"[\w!#$&+.^`|~*-]++"
_QUOTED = r"\"((?:[^\"\\]|\\.)*+)\""  # with quoted pairs: title="the \"next\" page"
_BARE = r"([^\",;\s]*+)"
_PARAMETER = rf"({_NAMED})(?:\s*+=\s*+(?:{_QUOTED}|{_BARE}))?"
_ATTRIBUTE = re.compile(rf";\s*+{_PARAMETER}")
_LINK = re.compile(
    rf"\s*+<(?P<url>[^<>]*+)>(?P<attributes>(?:\s*+;(?:\s*+{_PARAMETER})?+)*+)\s*+(?:,|$)"
)
_NO_LINK = re.compile(r"\s*+(?:,|$)")  # an element of the list may be empty (RFC 9110 5.6.1)
_VERSION = re.compile(r"v[0-9.]+(?:alpha|beta)?[0-9]*")
_ESCAPED = re.compile(r"\\(.)")


class LinkError(ValueError):
    """An address that must not be followed; credentials would go along."""


def safe_url(link: str, asked: str, kept: Collection[str] = ()) -> str:
    """Return `link`, absolute and otherwise as it is, if it leads to where `asked` went.

    `kept` are the values of the target (an organization, an account) that are segments of the
    path that was asked: another one in their place is another account, whose rows are not ours.
    Raises LinkError for another scheme, host or port, for userinfo (credentials go along), and for
    another path: see `_check_path`.
    """
    if len(link) > _LONGEST:
        raise LinkError(
            f"the vendor's link has {len(link)} characters; no server takes more than {_LONGEST}"
        )
    try:
        text = quote(link.strip(), safe=_URL_SAFE)
        url = text if _ABSOLUTE.match(text) else urljoin(asked, text)
        userinfo = "@" in urlsplit(url).netloc
        there, here = origin_of(url), origin_of(asked)
    except ValueError:
        raise LinkError(f"the vendor's link is no web address: {redact_url(link)}") from None
    if userinfo:
        raise LinkError("the vendor's link holds a user name or password; it is not followed")
    if there == here:
        url = url.partition("#")[0]
        _check_path(url, asked, kept)
        return url
    if there[1] == here[1] and there[0] != here[0]:
        why = "write base_url with https" if there[0] == "https" else "it is not encrypted"
        raise LinkError(
            f"the vendor's link goes from {here[0]} to {there[0]} on {there[1]}; it is not"
            f" followed: {why}"
        )
    raise LinkError(
        f"the vendor's link goes to another host, {host_of(url)} instead of {host_of(asked)};"
        " it is not followed, so that no credential gets there"
    )


def _check_path(url: str, asked: str, kept: Collection[str]) -> None:
    """Raise LinkError if the path of `url` may belong to another account than that of `asked`.

    Each value of `kept` has to be in its place, or, where the segments before it differ, a segment
    of the path or a value of the query. Without such values the path may be any but the same one
    with another segment in it, as in /orgs/ours/usage and /orgs/theirs/usage; versions (v1, v2)
    do not count. Dots that climb are refused.
    """
    there, here = urlsplit(url), urlsplit(asked)
    path, own = _segments(there.path), _segments(here.path)
    if any(part in (".", "..") for segment in path for part in re.split(r"[/\\]", segment)):
        raise LinkError("the vendor's link climbs with dots in its path; it is not followed")
    if not kept:
        if len(path) != len(own) or path[-1] != own[-1] or _unversioned(path) == _unversioned(own):
            return
    else:
        values = {value for _, value in parse_qsl(there.query)}
        if all(_is_kept(value, path, own, values) for value in kept):
            return
    raise LinkError(
        f"the vendor's link goes to another path on {host_of(asked)}, {there.path}; it is not"
        " followed, because it may belong to another account"
    )


def _is_kept(value: str, path: list[str], own: list[str], query: Collection[str]) -> bool:
    for place, segment in enumerate(own):
        if segment == value and path[:place] == own[:place]:
            return path[place : place + 1] == [value]
    return value in path or value in query


def _unversioned(path: list[str]) -> list[str]:
    return [segment for segment in path if not _VERSION.fullmatch(segment)]


def _segments(path: str) -> list[str]:
    return [unquote(segment) for segment in path.strip("/").split("/")]


def header_link(lines: Lines, rel: str, unless: Mapping[str, str]) -> str | None:
    """Return the address of a relation in ``Link`` headers (RFC 8288), None when there is none.

    `unless` names attributes that mean that there is none although the link is there. Raises
    LinkError for a header that speaks of the relation and cannot be read: the rows of the pages
    behind it would be missing, and nobody would know.
    """
    for name, text in lines:
        for target, attributes in _links(text, rel) if name == "link" else ():
            if rel.lower() in attributes.get("rel", "").lower().split():
                over = any(attributes.get(name) == text for name, text in unless.items())
                return None if over else target
    return None


def _links(text: str, rel: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield address and attributes of each link; of a repeated one the first (RFC 8288 3.3)."""
    place = 0
    while place < len(text):
        found = _LINK.match(text, place)
        if found is not None:
            attributes: dict[str, str] = {}
            for name, quoted, bare in _ATTRIBUTE.findall(found["attributes"]):
                value = _ESCAPED.sub(r"\1", quoted) or bare.strip("'")  # some quote as in HTML
                attributes.setdefault(name.lower(), value)
            yield found["url"], attributes
        else:
            found = _NO_LINK.match(text, place)
        if found is None:
            if re.search(rf"\b{re.escape(rel)}\b", text[place:], re.IGNORECASE):
                raise LinkError(
                    f'the vendor\'s Link header speaks of "{rel}" and cannot be read: whether there'
                    " is another page is not known"
                )
            return
        place = found.end()
