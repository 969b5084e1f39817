"""TLS for the server: contexts made of the web configuration, and certificates that change."""

import ssl
from collections.abc import Callable
from typing import Any, Final, Self

from exporter.kernel.override import override
from exporter.kernel.secrets import hide_tokens
from exporter.web.webconfig import CIPHERS, CURVES, Tls

_VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH: Final = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


def make_context(tls: Tls) -> ssl.SSLContext:
    """Return a server's context. Raises OSError (ssl's own included) naming the bad file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    suites = ":".join(CIPHERS[suite] for suite in tls.cipher_suites if CIPHERS[suite])
    if suites:
        context.set_ciphers(suites)
    for curve in tls.curve_preferences:
        context.set_ecdh_curve(CURVES[curve])
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    _load(tls, context)
    return context


def files_of(tls: Tls) -> tuple[str, ...]:
    """Return the files that a context is made of."""
    return tuple(path for path in (tls.cert_file, tls.key_file, tls.client_ca_file) if path)


def _load(tls: Tls, context: ssl.SSLContext) -> None:
    try:
        # Without a password a key that has one would ask the terminal for it.
        context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_password)
    except (OSError, ValueError) as error:
        raise OSError(
            f"tls_server_config: cannot use {hide_tokens(tls.cert_file)} with"
            f" {hide_tokens(tls.key_file)}: {_words(error)}."
            " Both must be readable PEM files, the key without a password, and belong together."
        ) from error
    context.verify_mode = _CLIENT_AUTH[tls.client_auth_type]
    if context.verify_mode is ssl.CERT_NONE:
        return
    if not tls.client_ca_file:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    try:
        context.load_verify_locations(tls.client_ca_file)
    except OSError as error:
        raise OSError(
            f"tls_server_config.client_ca_file: cannot use {hide_tokens(tls.client_ca_file)}:"
            f" {_words(error)}."
            " It must be a readable PEM file of CA certificates."
        ) from error


def _no_password() -> str:
    raise ValueError("the key has a password")


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    return str(getattr(error, "strerror", None) or error).lower()


class Rotating(ssl.SSLContext):
    """A context that gives each new connection whatever context is current.

    What is set on this one itself is never used: the event loop asks it for a connection's TLS
    object, and gets one of the current context. So a renewed certificate, another client CA and
    another policy hold from the next handshake on, and no connection is dropped.
    """

    _current: Callable[[], ssl.SSLContext]

    def __new__(cls, current: Callable[[], ssl.SSLContext]) -> Self:
        rotating = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        rotating._current = current
        return rotating

    @override
    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return self._current().wrap_bio(*args, **kwargs)
