"""Where a target's vendor is, and the way there: base URL, proxy, certificates, headers.

Where a target's secrets are, which authentication they suffice for, whose budget that is.
"""

import functools
import ipaddress
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import SplitResult, urlsplit

from msgspec import UnsetType

from exporter.config import files
from exporter.config.files import SecretReader, SecretUnavailable
from exporter.config.settings import HeaderValuesText, HttpText, TargetText, TlsText
from exporter.kernel.problems import ErrorLocation, did_you_mean
from exporter.kernel.secrets import Secret, clip, shown_url
from exporter.kernel.templates import Clock
from exporter.model.definition import parsers
from exporter.model.definition.auth import Auth
from exporter.model.definition.params import resolve
from exporter.model.definition.provider import Definition
from exporter.model.definition.ratelimit import BudgetScope
from exporter.model.target import (
    EnvSecret,
    FileSecret,
    Http,
    LiteralSecret,
    SecretSource,
    Target,
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


FILE: Final = "_file"
VARIABLE: Final = "_env"


def secret_sources(
    place: ErrorLocation, text: TargetText, definition: Definition, directory: str
) -> dict[str, SecretSource]:
    """Return where each credential comes from. What is unknown is never shown: it may be one."""
    found: dict[str, SecretSource] = {}
    for key, value in text.credentials.items():
        name, source = _source(key, value, definition, directory)
        if source is None:
            place.leave_out(key)
            place.without_name(key).key_error(
                f"{definition.name} has no credential of this name.{_hint(key, definition)}"
            )
        elif name in found:
            (place / key).key_error(
                f'"{name}" is given twice. Keep one of {name}, {name}{FILE} and {name}{VARIABLE}.'
            )
        else:
            found[name] = source
    return found


def _source(
    key: str, value: str, definition: Definition, directory: str
) -> tuple[str, SecretSource | None]:
    if key in definition.credentials:
        return key, LiteralSecret(value=Secret(value))
    name = key.removesuffix(FILE)
    if name != key and name in definition.credentials:
        return name, FileSecret(path=files.absolute(value, directory))
    name = key.removesuffix(VARIABLE)
    if name != key and name in definition.credentials:
        return name, EnvSecret(variable=value)
    return key, None


def _hint(key: str, definition: Definition) -> str:
    names = [
        f"{name}{ending}" for name in definition.credentials for ending in ("", FILE, VARIABLE)
    ]
    return did_you_mean(key, names) or " It has none."


def choose_auth(
    target: ErrorLocation, definition: Definition, found: Mapping[str, SecretSource]
) -> Auth | None:
    """Return the first way to authenticate for which all credentials are there."""
    place = target / "credentials"
    chosen = next((auth for auth in definition.auth if auth.needs <= found.keys()), None)
    if chosen is None and not target.whole:
        return None  # the missing one was told to be wrong
    if chosen is None:
        wanted = "; or ".join(_in_words(auth.needs) for auth in definition.auth)
        what = "These do not suffice" if found else "There are none"
        place.error(
            f"{what}. {definition.name} needs {wanted}: each as NAME, NAME{FILE} or NAME{VARIABLE}."
        )
        return None
    for name in sorted(found.keys() - chosen.needs):
        place.warn(f'"{name}" is not used: {_in_words(chosen.needs)} comes first. Delete it.')
    return chosen


def _in_words(names: frozenset[str]) -> str:
    return " and ".join(sorted(names)) or "none"


def secret_digest(
    place: ErrorLocation, found: Mapping[str, SecretSource], reader: SecretReader, *, required: bool
) -> tuple[dict[str, str], bool]:
    """Read each secret once, to see that it is there; return what tells them apart.

    Also returned is whether all are there. One that is not is an error where it is `required`, or
    stands in the configuration itself; else the target's polls fail until it is there.
    """
    digests = {}
    complete = True
    for name, source in found.items():
        here = place / _key(name, source)
        try:
            secret = reader.read(source)
        except SecretUnavailable as error:
            if required or isinstance(source, LiteralSecret):
                here.error(error.detail)
            else:
                here.warn(
                    f"{error.detail} Until it can be read, the polls of this target fail (auth)."
                )
            digests[name] = Secret(repr(source)).digest()
            complete = False
            continue
        digests[name] = secret.digest()
        if files.is_quoted(secret):
            here.warn("The secret stands in quotes, which are sent with it. Write it without them.")
        elif files.is_padded(secret):
            here.warn("The secret begins or ends with a blank, which is sent with it. Delete it.")
    return digests, complete


def _key(name: str, source: SecretSource) -> str:
    match source:
        case FileSecret():
            return f"{name}{FILE}"
        case EnvSecret():
            return f"{name}{VARIABLE}"
        case _:
            return name


def present_budget(target: Target, read: Callable[[SecretSource], Secret]) -> str:
    """Return what `target.budget` would be if the configuration were read now.

    It is another one when a secret was renewed meanwhile. Raises SecretUnavailable.
    """
    needs = target.auth.needs
    digests = {n: read(source).digest() for n, source in target.credentials.items() if n in needs}
    scope = target.definition.throttling.scope
    return budget_key(target.name, origin(target.base_url), scope, target.auth, digests)


def budget_key(
    target: str, host: str, scope: BudgetScope, auth: Auth, digests: Mapping[str, str]
) -> str:
    """Return the key of the throttling state: the host, and by scope a digest of who asks."""
    used = [digests[name] for name in sorted(auth.needs)]
    return scope.key(host, target, Secret(" ".join(used)).digest() if used else "")
