"""Where a target's vendor is, and the way there: base URL, proxy, certificates, headers.

Addresses are checked here, so that no poll fails for one: scheme, host, no userinfo, no query. They
are kept in ASCII, with hosts as name servers know them. The proxy is Prometheus' ``proxy_url``, or
with ``proxy_from_environment`` what curl and Go would take from the environment.
"""

import functools
import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from msgspec import UnsetType

from exporter.config import files
from exporter.config.settings import HeaderValuesText, HttpText, TargetText, TlsText
from exporter.kernel.problems import ErrorLocation
from exporter.kernel.secrets import clip, shown_url
from exporter.kernel.templates import Clock
from exporter.model.definition import parsers
from exporter.model.definition.params import resolve
from exporter.model.definition.provider import Definition
from exporter.model.target import (
    Http,
    Tls,
)

_PORTS: Final = {"http": 80, "https": 443}
_LONGEST_HOST: Final = 253  # RFC 1035
_LONGEST_LABEL: Final = 63
_NO_BRACKETS: Final = {ord("["): None, ord("]"): None}
_NO_CLOCK: Final = Clock(0.0)  # an address holds no dates
_OWN_HEADERS: Final = {
    "authorization": "It belongs under credentials.",
    "user-agent": "Write global.user_agent.",
    "accept-encoding": "The HTTP client sets it.",
}


def base_url(
    place: ErrorLocation,
    text: TargetText,
    definition: Definition,
    given: Mapping[str, tuple[str, ...]],
) -> str:
    """Return the address without a slash at its end; "" when there is no good one."""
    if not isinstance(text.base_url, UnsetType):
        at, url = place / "base_url", text.base_url
    elif definition.base_url is None:
        place.error(f'"base_url" is missing. {definition.name} has no address of its own.')
        return ""
    else:
        at = place / "params"
        values = resolve(definition.params, given, _NO_CLOCK)
        rendered = definition.base_url.render(values.texts, _NO_CLOCK)
        if rendered is None:
            if place.whole:
                at.error(f"The address {definition.base_url.text} needs more parameters.")
            return ""
        url = rendered
    why = _why_not(url)
    if why:
        shown = shown_url(url)
        what = f'"{shown}" is not' if shown else "This is not"
        at.error(f"{what} an address of an API: {why}")
        return ""
    return _in_ascii(url).rstrip("/")


def _in_ascii(url: str) -> str:
    """Return a good URL with its host as name servers know it: ``xn--…``."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host.isascii():
        return url
    port = "" if parts.port is None else f":{parts.port}"
    return parts._replace(netloc=_as_looked_up(host) + port).geturl()


def _as_looked_up(host: str) -> str:
    """Return the ASCII form of a host's name, "" for what is none."""
    if host.isascii():
        return host
    from yarl import URL  # noqa: PLC0415 - most names are ASCII, and the import takes long

    try:
        return URL.build(scheme="http", host=host).raw_host or ""
    except ValueError:
        return ""


def forget() -> None:
    """Free what was remembered of the addresses of one load."""
    _why_not.cache_clear()
    origin.cache_clear()


@functools.lru_cache(maxsize=4096)
def _why_not(url: str) -> str:
    """Return what is wrong with a URL, "" when it is good."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "it cannot be read as a URL."
    if parts.scheme not in _PORTS or not parts.hostname:
        return 'it needs a scheme and a host. Write "https://api.example.com".'
    if "@" in parts.netloc:
        return "it holds a user or password. Write these under credentials."
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        return "it has a query or fragment. Write what a request needs under params."
    if not url.isprintable() or " " in url or port == 0:
        return "it holds what no address has."
    return _why_no_host(parts.hostname)


def _why_no_host(host: str) -> str:
    """Return why a host cannot be looked up, "" when it can."""
    name = _as_looked_up(host).rstrip(".")
    labels = name.split(".")
    if len(name) > _LONGEST_HOST or any(len(label) > _LONGEST_LABEL for label in labels):
        return (
            f"its host is too long. A name has at most {_LONGEST_HOST} characters, and "
            f"{_LONGEST_LABEL} between two dots."
        )
    return "" if all(labels) else "its host has an empty part between two dots."


@functools.lru_cache(maxsize=4096)
def origin(url: str) -> str:
    """Return scheme, host and port of a good URL: what a vendor's limits go by."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS.get(parts.scheme)}"


def http_settings(
    place: ErrorLocation, text: HttpText, url: str, *, directory: str, environ: Mapping[str, str]
) -> Http:
    """Compile the way to the vendor."""
    return Http(
        proxy_url=_proxy(place, text, url, environ),
        tls=_tls(place / "tls_config", text.tls_config, directory),
        headers={
            name: _header(place / "http_headers" / name, name, value)
            for name, value in text.http_headers.items()
        },
    )


def _proxy(place: ErrorLocation, text: HttpText, url: str, environ: Mapping[str, str]) -> str:
    if isinstance(text.proxy_url, UnsetType):
        return _proxy_of(place, environ, url) if text.proxy_from_environment else ""
    if text.proxy_from_environment:
        (place / "proxy_from_environment").key_error(
            'The proxy is "proxy_url" or "proxy_from_environment". Delete one of them.'
        )
    if not _is_proxy(text.proxy_url):
        (place / "proxy_url").error(
            'This is not the address of an HTTP proxy. Write "http://proxy.example.com:3128".'
        )
    return text.proxy_url


def _is_proxy(url: str) -> bool:
    try:
        parts = urlsplit(url)
        good = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return good and url.isprintable() and not _why_no_host(parts.hostname or "")


def _proxy_of(place: ErrorLocation, environ: Mapping[str, str], url: str) -> str:
    """Return what curl and Go would use: http_proxy, https_proxy and no_proxy, or in capitals.

    A proxy without a scheme is one of HTTP.
    """
    parts = urlsplit(url)
    name, proxy = _variable(environ, f"{parts.scheme}_proxy")
    listed, excluded = _variable(environ, "no_proxy")
    if not proxy:
        return ""
    at = place / "proxy_from_environment"
    is_excluded = False
    for entry in excluded.replace(",", " ").split():
        fits = _fits(entry.lower(), parts)
        if fits is None:
            ErrorLocation(place.findings).warn(  # of the environment: once, and not for each target
                f'{listed} in the environment: "{clip(entry)}" is no network and is left out. '
                "Write an address and the bits of its prefix: 10.0.0.0/8."
            )
        is_excluded = is_excluded or bool(fits)
    if is_excluded:
        return ""
    scheme, mark, _ = proxy.partition("://")
    proxy = proxy if mark else f"http://{proxy}"
    if mark and scheme.lower() not in _PORTS:
        at.error(
            f"{name} in the environment names a proxy of {clip(scheme)}, which is not supported. "
            "Write an HTTP proxy there, http://proxy.example.com:3128, or the vendor's host into "
            "NO_PROXY."
        )
    elif not _is_proxy(proxy):
        at.error(
            f"{name} in the environment is not the address of an HTTP proxy. "
            'Write "http://proxy.example.com:3128" there.'
        )
    return proxy


def _variable(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return the name and value of a variable that is written small or in capitals."""
    small = environ.get(name, "").strip()
    return (name, small) if small else (name.upper(), environ.get(name.upper(), "").strip())


def _fits(entry: str, parts: SplitResult) -> bool | None:
    """Tell whether an entry of ``no_proxy`` means the host of a URL; None: it has no meaning.

    It is a name with its subdomains, an address or a network, each with a port if it has one.
    Names are not looked up, so that a network means hosts that are written as addresses.
    """
    host = (parts.hostname or "").rstrip(".")
    if entry == "*":
        return True
    if "/" in entry:
        try:
            network = ipaddress.ip_network(entry.translate(_NO_BRACKETS), strict=False)
        except ValueError:
            return None
        found = _as_ip(host)
        return found is not None and found in network
    name, port = _host_and_port(entry)
    if port and port != str(parts.port or _PORTS.get(parts.scheme)):
        return False
    address = _as_ip(host)
    if address is not None:
        return address == _as_ip(name)
    domain = _as_looked_up(name.lstrip("*").strip("."))
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _host_and_port(entry: str) -> tuple[str, str]:
    """Split ``host:port``, ``[::1]:port`` and ``::1``."""
    if entry.startswith("["):
        host, _, port = entry[1:].partition("]")
        return host, port.removeprefix(":")
    if entry.count(":") > 1:
        return entry, ""
    host, _, port = entry.partition(":")
    return host, port


def _as_ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _tls(place: ErrorLocation, text: TlsText, directory: str) -> Tls:
    if text.key_file and not text.cert_file:
        (place / "key_file").key_error('A key needs its certificate. Write "cert_file" too.')
    return Tls(
        ca_file=_file(place / "ca_file", text.ca_file, directory),
        cert_file=_file(place / "cert_file", text.cert_file, directory),
        key_file=_file(place / "key_file", text.key_file, directory),
        server_name=text.server_name,
        insecure_skip_verify=text.insecure_skip_verify,
    )


def _file(place: ErrorLocation, text: str | UnsetType, directory: str) -> str:
    if isinstance(text, UnsetType):
        return ""
    path = files.absolute(text, directory)
    why = files.unreadable(path)
    if why is not None:
        place.error(why)
    return path


def _header(place: ErrorLocation, name: str, value: str | HeaderValuesText) -> str:
    parsers.parse_header(place, name)
    if name.lower() in _OWN_HEADERS:
        place.key_error(f'"{name}" cannot be set here. {_OWN_HEADERS[name.lower()]}')
    text = value if isinstance(value, str) else ", ".join(value.values)
    if not text.isprintable():
        place.error("The value of a header is one line of printable text.")
    return text
