"""The file of ``--web.config.file``: its schema and what it may say.

The schema is prometheus/exporter-toolkit's (``docs/web-configuration.md``), so that a file that
works for node_exporter works here, and what is accepted here ``promtool check web-config``
accepts too. What Python's TLS cannot do (asking for a client certificate without checking it,
TLS 1.0, several curves) is refused and not ignored.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from exporter.kernel.durations import parse_duration
from exporter.kernel.problems import did_you_mean

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
VERSIONS: Final = ("TLS12", "TLS13")
CLIENT_AUTH: Final = ("NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert")

HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
_BCRYPT: Final = re.compile(r"\$2[aby]\$(?:0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")


class Tls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``tls_server_config``. Paths are relative to the file, until `WebConfig.resolved`."""

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


class Http(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``http_server_config``. ``http2`` is accepted; the exporter speaks HTTP/1.1."""

    http2: bool = True
    headers: Mapping[str, str] = {}


class RateLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``rate_limit``: a request each `interval` (a duration), `burst` at once."""

    interval: str = "0s"
    burst: int = 0


class WebConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. All sections are optional; without ``tls_server_config`` it is HTTP."""

    tls_server_config: Tls | None = None
    http_server_config: Http = Http()
    basic_auth_users: Mapping[str, str] = {}
    rate_limit: RateLimit | None = None


Finding = tuple[str, str]
"""The path in the document, dotted, and what is wrong there."""


def findings(config: WebConfig) -> list[Finding]:
    """Return all that is wrong with the values of `config`; the files are not looked at."""
    found: list[Finding] = []
    if config.tls_server_config is not None:
        found += (
            (f"tls_server_config.{path}", what) for path, what in _tls(config.tls_server_config)
        )
    for name, value in config.http_server_config.headers.items():
        found += _header(name, value)
    for user, hashed in config.basic_auth_users.items():
        if not _BCRYPT.fullmatch(hashed):
            what = 'not a bcrypt hash. Make one with: htpasswd -nBC 10 "" | tr -d ":\\n"'
            found.append((f"basic_auth_users.{user}", what))
    if config.rate_limit is not None:
        found += _rate(config.rate_limit)
    return found


def _tls(tls: Tls) -> Iterator[Finding]:
    for key in ("cert_file", "key_file"):
        if not getattr(tls, key):
            yield (
                key,
                f"missing. TLS needs cert_file and key_file; {key} is the path of a PEM file.",
            )
    yield from _client_auth(tls)
    for key in ("min_version", "max_version"):
        yield from _one_of(key, getattr(tls, key), VERSIONS)
    if tls.min_version == "TLS13" and tls.max_version == "TLS12":
        yield "max_version", "below min_version. Leave one of them out."
    for suite in tls.cipher_suites:
        yield from _one_of("cipher_suites", suite, CIPHERS)
    for curve in tls.curve_preferences:
        yield from _one_of("curve_preferences", curve, CURVES)
    if len(tls.curve_preferences) > 1:
        yield "curve_preferences", "Python's TLS takes one curve. Name one, or none for all."


def _client_auth(tls: Tls) -> Iterator[Finding]:
    if tls.client_auth_type in {"RequestClientCert", "RequireAnyClientCert"}:
        what = "asks for a certificate without checking it, which Python's TLS cannot do."
        yield "client_auth_type", f"{tls.client_auth_type} {what} {_checked(CLIENT_AUTH[1:])}"
        return
    yield from _one_of("client_auth_type", tls.client_auth_type, CLIENT_AUTH)
    if tls.client_auth_type == "NoClientCert":
        for key in ("client_ca_file", "client_allowed_sans"):
            if getattr(tls, key):
                yield key, f"needs a client_auth_type that checks. {_checked(CLIENT_AUTH[1:])}"


def _checked(words: tuple[str, ...]) -> str:
    return f"Write {' or '.join(words)}."


def _one_of(key: str, word: str, known: Mapping[str, str] | tuple[str, ...]) -> Iterator[Finding]:
    if word not in known:
        yield key, f'"{word}" is not known here.{did_you_mean(word, known)}'


def _header(name: str, value: str) -> Iterator[Finding]:
    path = f"http_server_config.headers.{name}"
    allowed = HEADERS.get(name)
    if allowed is None:
        yield path, f"this header cannot be set.{did_you_mean(name, HEADERS)}"
    elif allowed and value not in allowed:
        yield path, f'"{value}" is not allowed here. Write {" or ".join(allowed)}.'
    elif not value.isprintable():
        yield path, "a header is one line of printable characters."


def _rate(limit: RateLimit) -> Iterator[Finding]:
    try:
        parse_duration(limit.interval)
    except ValueError as error:
        yield "rate_limit.interval", str(error)
    if limit.burst < 0:
        yield "rate_limit.burst", "a number of requests is not below zero."
