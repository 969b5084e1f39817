"""Addresses that vendors give: next pages in bodies and headers, and where redirects lead."""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, urljoin, urlsplit

from exporter.fetch.wire import Lines, host_of, origin_of
from exporter.kernel.secrets import redact_url

_URL_SAFE = "%/?#[]@!$&'()*+,;=:~"
_ABSOLUTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_LINK = re.compile(
    r"<([^<>]*)>((?:\s*;\s*[\w!#$&+.^`|~*-]+(?:\s*=\s*(?:\"[^\"]*\"|[^\",;\s]*))?)*)"
)
_ATTRIBUTE = re.compile(r";\s*([\w!#$&+.^`|~*-]+)(?:\s*=\s*(?:\"([^\"]*)\"|([^\",;\s]*)))?")


class LinkError(ValueError):
    """An address that must not be followed; credentials would go along."""


def safe_url(link: str, asked: str) -> str:
    """Return `link`, absolute and otherwise as it is, if it leads to where `asked` went.

    Raises LinkError for another scheme, host or port, and for userinfo: credentials go along.
    """
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
        return url.partition("#")[0]
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


def header_link(lines: Lines, rel: str, unless: Mapping[str, str]) -> str | None:
    """Return the address of a relation in ``Link`` headers (RFC 8288), None when there is none.

    `unless` names attributes that mean that there is none although the link is there.
    """
    for target, attributes in _links(lines):
        if rel.lower() in attributes.get("rel", "").lower().split():
            over = any(attributes.get(name) == text for name, text in unless.items())
            return None if over else target
    return None


def _links(lines: Lines) -> Iterator[tuple[str, dict[str, str]]]:
    for name, text in lines:
        if name == "link":
            for found in _LINK.finditer(text):
                pairs = _ATTRIBUTE.findall(found[2])
                yield found[1], {key.lower(): quoted or bare for key, quoted, bare in pairs}
