"""The file of ``--web.config.file``: its schema, its checks, and TLS contexts made of it.

The schema is prometheus/exporter-toolkit's (``docs/web-configuration.md``): a file that works for
node_exporter works here, and what is accepted here ``promtool check web-config`` accepts too.
What Python's TLS cannot do (ask for a client certificate without checking it, TLS 1.0, several
curves) is refused and not ignored. Problems come with their line, all in one run. `AccessControl`
reads the file again when it or one of its certificates changes.
"""

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import msgspec

from exporter.kernel.calendar import parse_duration
from exporter.kernel.override import override
from exporter.kernel.problems import Position, Problem, did_you_mean
from exporter.kernel.secrets import hide_tokens, hide_value, looks_secret
from exporter.kernel.yamlfile import Document, Tree, parse_yaml
from exporter.web.address import BadWebConfig

CIPHERS: Final[Mapping[str, str]] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_AES_128_GCM_SHA256": "",  # TLS 1.3 has its own list, which is not to be chosen from
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
}
"""Go's names of the cipher suites that are still safe, and OpenSSL's."""
CURVES: Final[Mapping[str, str]] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
}
VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
CLIENT_AUTH: Final = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
_BCRYPT: Final = re.compile(r"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")


class TlsServerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``tls_server_config``. `read_web_config` makes its paths absolute."""

    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    client_auth_type: str = "NoClientCert"
    client_allowed_sans: tuple[str, ...] = ()
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[str, ...] = ()


class HttpServerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``http_server_config``. ``http2`` is accepted; the exporter speaks HTTP/1.1."""

    http2: bool = True
    headers: Mapping[str, str] = {}


class RateLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``rate_limit``: a request each `interval` (a duration), `burst` at once."""

    interval: str = "0s"
    burst: int = 0


class WebConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. All sections are optional; without ``tls_server_config`` it is HTTP."""

    tls_server_config: TlsServerConfig | None = None
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: Mapping[str, str] = {}
    rate_limit: RateLimit | None = None


_SECTION_TYPES: Final = {
    (): WebConfig,
    ("tls_server_config",): TlsServerConfig,
    ("http_server_config",): HttpServerConfig,
    ("rate_limit",): RateLimit,
}
_SECTIONS: Final = {*_SECTION_TYPES, ("basic_auth_users",), ("http_server_config", "headers")}
_NOTHING: Final = ("", "~", "null", "Null", "NULL")  # a section without content is none
_MSGSPEC_ERROR: Final = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN_FIELD: Final = re.compile(r"Object contains unknown field `(?P<key>.*)`")
_TLS_FILES: Final = ("cert_file", "key_file", "client_ca_file")
_Keys: TypeAlias = tuple[str, ...]
_Finding: TypeAlias = tuple[_Keys, str]
"""The keys that lead to a place in the document, and what is wrong there."""


def read_web_config(path: str) -> WebConfig:
    """Return the configuration in `path`, its own paths made absolute.

    Raises BadWebConfig with all problems, OSError when the file cannot be read.
    """
    content = Path(path).read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        what = f"not UTF-8 ({error}). Save the file as UTF-8."
        raise BadWebConfig([Problem(Position(path, 0, 0), "", what)]) from error
    config = parse_web_config(text, path)
    tls = config.tls_server_config
    if tls is None:
        return config
    folder = Path(path).parent
    absolute = {key: str(folder / given) for key in _TLS_FILES if (given := getattr(tls, key))}
    return msgspec.structs.replace(
        config, tls_server_config=msgspec.structs.replace(tls, **absolute)
    )


def parse_web_config(text: str, name: str) -> WebConfig:
    """Return the configuration in `text`; `name` is the file's. Raises BadWebConfig."""
    document = parse_yaml(text, name, typed=False, required=False)
    if document.problems:
        raise BadWebConfig(document.problems)
    try:
        config = msgspec.convert(_without_empty(document.tree, ()), WebConfig, strict=False)
    except msgspec.ValidationError as error:
        raise BadWebConfig([_problem(document, _from_msgspec(str(error)))]) from error
    problems = [_problem(document, finding) for finding in _check(config)]
    if problems:
        raise BadWebConfig(problems)
    return config


def _without_empty(tree: Tree, at: _Keys) -> Tree:
    """Return the tree without the sections that have no content."""
    if not isinstance(tree, dict):
        return tree
    return {
        key: _without_empty(value, (*at, key))
        for key, value in tree.items()
        if (*at, key) not in _SECTIONS or value not in _NOTHING
    }


def _from_msgspec(message: str) -> _Finding:
    """Return the place and the words of a message of msgspec's."""
    found = _MSGSPEC_ERROR.fullmatch(message)
    path = ((found and found["path"]) or "").replace("[...]", "")
    keys = tuple(path.split(".")[1:])  # "$.tls_server_config.cert_file"
    what = found["what"] if found else message
    unknown = _UNKNOWN_FIELD.fullmatch(what)
    if unknown is None:
        return keys, f"{what}."
    key = unknown["key"]
    hint = did_you_mean(key, _SECTION_TYPES[keys].__struct_fields__)
    return (*keys, key), f"unknown key.{hint}"


def _problem(document: Document, finding: _Finding) -> Problem:
    """Return `finding` with the position of the nearest key that the file has."""
    keys, what = finding
    value: object = document.tree
    known = 0
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            value = None
            break
        value = value[key]
        known += 1
    # A password or key may stand in the wrong place, also in that of a name.
    if isinstance(value, str) and looks_secret(value):
        what = hide_value(what, value)
    position = document.position(keys[:known], at_key=True)
    return Problem(position, hide_tokens(".".join(keys)), hide_tokens(what))


def _check(config: WebConfig) -> Iterator[_Finding]:
    """Yield all that is wrong with the values of `config`; the files are not looked at."""
    if config.tls_server_config is not None:
        for key, what in _check_tls(config.tls_server_config):
            yield ("tls_server_config", key), what
    for name, value in config.http_server_config.headers.items():
        if what := _check_header(name, value):
            yield ("http_server_config", "headers", name), what
    for user, hashed in config.basic_auth_users.items():
        if not _BCRYPT.fullmatch(hashed):
            what = 'not a bcrypt hash. Make one with: htpasswd -nBC 10 "" | tr -d ":\\n"'
            yield ("basic_auth_users", user), what
    if config.rate_limit is not None:
        try:
            parse_duration(config.rate_limit.interval)
        except ValueError as error:
            yield ("rate_limit", "interval"), str(error)
        if config.rate_limit.burst < 0:
            yield ("rate_limit", "burst"), "a number of requests is not below zero."


def _check_tls(tls: TlsServerConfig) -> Iterator[tuple[str, str]]:
    for key in ("cert_file", "key_file"):
        if not getattr(tls, key):
            what = f"missing. TLS needs cert_file and key_file; {key} is the path of a PEM file."
            yield key, what
    yield from _check_client_auth(tls)
    words: tuple[tuple[str, str, Mapping[str, object]], ...] = (
        ("min_version", tls.min_version, VERSIONS),
        ("max_version", tls.max_version, VERSIONS),
        *(("cipher_suites", suite, CIPHERS) for suite in tls.cipher_suites),
        *(("curve_preferences", curve, CURVES) for curve in tls.curve_preferences),
    )
    for key, word, known in words:
        if word not in known:
            yield key, _unknown(word, known)
    if tls.min_version == "TLS13" and tls.max_version == "TLS12":
        yield "max_version", "below min_version. Leave one of them out."
    if len(tls.curve_preferences) > 1:
        yield "curve_preferences", "Python's TLS takes one curve. Name one, or none for all."


def _check_client_auth(tls: TlsServerConfig) -> Iterator[tuple[str, str]]:
    checks = "Write VerifyClientCertIfGiven or RequireAndVerifyClientCert."
    if tls.client_auth_type in {"RequestClientCert", "RequireAnyClientCert"}:
        what = "asks for a certificate without checking it, which Python's TLS cannot do."
        yield "client_auth_type", f"{tls.client_auth_type} {what} {checks}"
    elif tls.client_auth_type not in CLIENT_AUTH:
        yield "client_auth_type", _unknown(tls.client_auth_type, CLIENT_AUTH)
    elif tls.client_auth_type == "NoClientCert":
        for key in ("client_ca_file", "client_allowed_sans"):
            if getattr(tls, key):
                yield key, f"needs a client_auth_type that checks. {checks}"


def _check_header(name: str, value: str) -> str:
    allowed = HEADERS.get(name)
    if allowed is None:
        return f"this header cannot be set.{did_you_mean(name, HEADERS)}"
    if allowed and value not in allowed:
        return f'"{value}" is not allowed here. Write {" or ".join(allowed)}.'
    return "" if value.isprintable() else "a header is one line of printable characters."


def _unknown(word: str, known: Mapping[str, object]) -> str:
    return f'"{word}" is not known here.{did_you_mean(word, known)}'


def make_context(tls: TlsServerConfig) -> ssl.SSLContext:
    """Return a server's context. Raises OSError (ssl's own included) naming the bad file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[tls.min_version]
    context.maximum_version = VERSIONS[tls.max_version]
    suites = ":".join(CIPHERS[suite] for suite in tls.cipher_suites if CIPHERS[suite])
    if suites:
        context.set_ciphers(suites)
    for curve in tls.curve_preferences:
        context.set_ecdh_curve(CURVES[curve])
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without a password OpenSSL would ask the terminal for that of a key that has one.
        context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_password)
    except (OSError, ValueError) as error:
        raise OSError(
            f"tls_server_config: cannot use {hide_tokens(tls.cert_file)} with"
            f" {hide_tokens(tls.key_file)}: {_reason(error)}."
            " Both must be readable PEM files, the key without a password, and belong together."
        ) from error
    context.verify_mode = CLIENT_AUTH[tls.client_auth_type]
    if context.verify_mode is ssl.CERT_NONE:
        return context
    if not tls.client_ca_file:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return context
    try:
        context.load_verify_locations(tls.client_ca_file)
    except OSError as error:
        raise OSError(
            f"tls_server_config.client_ca_file: cannot use {hide_tokens(tls.client_ca_file)}:"
            f" {_reason(error)}."
            " It must be a readable PEM file of CA certificates."
        ) from error
    return context


def files_of(tls: TlsServerConfig) -> tuple[str, ...]:
    """Return the files that a context is made of."""
    return tuple(path for key in _TLS_FILES if (path := getattr(tls, key)))


def _no_password() -> str:
    raise ValueError("the key has a password")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    return str(getattr(error, "strerror", None) or error).lower()


class RotatingContext(ssl.SSLContext):
    """A context that gives each new connection the context that is current.

    Its own settings are never used: the event loop asks it for a connection's TLS object, and gets
    one of the current context. So a renewed certificate, another client CA and another policy
    apply from the next handshake on, and no connection is dropped.
    """

    _current: Callable[[], ssl.SSLContext]

    def __new__(cls, current: Callable[[], ssl.SSLContext]) -> Self:
        rotating = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        rotating._current = current
        return rotating

    @override
    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return self._current().wrap_bio(*args, **kwargs)
