"""Where a target's vendor is, and the way there: base URL, proxy, certificates, headers."""

import functools
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from msgspec import UnsetType

from exporter.config import files
from exporter.config.compile import leaves
from exporter.config.findings import Place
from exporter.config.settings import HeaderValuesText, HttpText, TargetText, TlsText
from exporter.kernel.secrets import redact_url
from exporter.kernel.templates import Clock
from exporter.model.definition import Definition
from exporter.model.target import Http, Tls

_PORTS: Final = {"http": 80, "https": 443}
_NO_CLOCK: Final = Clock(0.0)  # an address holds no dates
_OWN_HEADERS: Final = {
    "authorization": "It belongs under credentials.",
    "user-agent": "Write global.user_agent.",
    "accept-encoding": "The HTTP client sets it.",
}


def base_url(
    place: Place, text: TargetText, definition: Definition, given: Mapping[str, tuple[str, ...]]
) -> str:
    """Return the address without a slash at its end; "" when there is no good one."""
    if not isinstance(text.base_url, UnsetType):
        at, url = place / "base_url", text.base_url
    elif definition.base_url is None:
        place.error(f'"base_url" is missing. {definition.name} has no address of its own.')
        return ""
    else:
        at = place / "params"
        wanted = definition.base_url.variables
        rendered = definition.base_url.render(_variables(wanted, definition, given), _NO_CLOCK)
        if rendered is None:
            if place.whole:
                at.error(f"The address {definition.base_url.text} needs more parameters.")
            return ""
        url = rendered
    why = _why_not(url)
    if why:
        at.error(f'"{redact_url(url)}" is not an address of an API: {why}')
        return ""
    return url.rstrip("/")


def _variables(
    wanted: Iterable[str], definition: Definition, given: Mapping[str, tuple[str, ...]]
) -> dict[str, str]:
    """Return what the wanted parameters are set to, or their defaults."""
    values: dict[str, str] = {}
    for variable in wanted:
        name = variable.removeprefix("params.")
        default = definition.params[name].default
        if any(given.get(name, ())):
            values[variable] = ",".join(given[name])
        elif default is not None and name not in given:
            values[variable] = default.render({}, _NO_CLOCK) or ""
    return values


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
    return ""


@functools.lru_cache(maxsize=4096)
def origin(url: str) -> str:
    """Return scheme, host and port of a good URL: what a vendor's limits go by."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _PORTS.get(parts.scheme)}"


def http(
    place: Place, text: HttpText, url: str, *, directory: str, environ: Mapping[str, str]
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


def _proxy(place: Place, text: HttpText, url: str, environ: Mapping[str, str]) -> str:
    if isinstance(text.proxy_url, UnsetType):
        return _proxy_of(environ, url) if text.proxy_from_environment else ""
    if text.proxy_from_environment:
        (place / "proxy_from_environment").key_error(
            'The proxy is "proxy_url" or "proxy_from_environment". Delete one of them.'
        )
    parts = urlsplit(text.proxy_url)
    if parts.scheme not in _PORTS or not parts.hostname:
        (place / "proxy_url").error(
            'This is not the address of an HTTP proxy. Write "http://proxy.example.com:3128".'
        )
    return text.proxy_url


def _proxy_of(environ: Mapping[str, str], url: str) -> str:
    """Return what curl would use: http_proxy, https_proxy and no_proxy, small or in capitals."""
    parts = urlsplit(url)
    name = f"{parts.scheme}_proxy"
    proxy = environ.get(name) or environ.get(name.upper(), "")
    excluded = environ.get("no_proxy") or environ.get("NO_PROXY", "")
    return "" if _is_excluded(parts, excluded) else proxy


def _is_excluded(parts: SplitResult, excluded: str) -> bool:
    host = parts.hostname or ""
    for entry in filter(None, (one.strip().lower() for one in excluded.split(","))):
        name, _, port = entry.partition(":")
        domain = name.lstrip("*").lstrip(".")
        fits = entry == "*" or host == domain or host.endswith(f".{domain}")
        if fits and (not port or port == str(parts.port or _PORTS.get(parts.scheme))):
            return True
    return False


def _tls(place: Place, text: TlsText, directory: str) -> Tls:
    if text.key_file and not text.cert_file:
        (place / "key_file").key_error('A key needs its certificate. Write "cert_file" too.')
    return Tls(
        ca_file=_file(place / "ca_file", text.ca_file, directory),
        cert_file=_file(place / "cert_file", text.cert_file, directory),
        key_file=_file(place / "key_file", text.key_file, directory),
        server_name=text.server_name,
        insecure_skip_verify=text.insecure_skip_verify,
    )


def _file(place: Place, text: str | UnsetType, directory: str) -> str:
    if isinstance(text, UnsetType):
        return ""
    path = files.absolute(text, directory)
    why = files.unreadable(path)
    if why is not None:
        place.error(why)
    return path


def _header(place: Place, name: str, value: str | HeaderValuesText) -> str:
    leaves.header(place, name)
    if name.lower() in _OWN_HEADERS:
        place.key_error(f'"{name}" cannot be set here. {_OWN_HEADERS[name.lower()]}')
    text = value if isinstance(value, str) else ", ".join(value.values)
    if not text.isprintable():
        place.error("The value of a header is one line of printable text.")
    return text
