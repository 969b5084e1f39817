"""Addresses that vendors give: next pages in bodies and headers, and where redirects lead."""

import re
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import parse_qsl, quote, unquote, urljoin, urlsplit

from exporter.fetch.wire import Lines, host_of, origin_of
from exporter.kernel.secrets import redact_url

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
    another path: see `check_path`.
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
        check_path(url, asked, kept)
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


def check_path(url: str, asked: str, kept: Collection[str]) -> None:
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
    place = 0
    while place < len(text):
        found = _LINK.match(text, place)
        if found is not None:
            yield found["url"], _attributes(found["attributes"])
        else:
            found = _NO_LINK.match(text, place)
        if found is None:
            _refuse_unread(text[place:], rel)
            return
        place = found.end()


def _attributes(text: str) -> dict[str, str]:
    """Read the parameters of a link; of one that is repeated the first counts (RFC 8288 3.3)."""
    pairs: dict[str, str] = {}
    for name, quoted, bare in _ATTRIBUTE.findall(text):
        value = _ESCAPED.sub(r"\1", quoted) or bare.strip("'")  # some quote as in HTML
        pairs.setdefault(name.lower(), value)
    return pairs


def _refuse_unread(text: str, rel: str) -> None:
    if re.search(rf"\b{re.escape(rel)}\b", text, re.IGNORECASE):
        raise LinkError(
            f'the vendor\'s Link header speaks of "{rel}" and cannot be read: whether there is'
            " another page is not known"
        )
