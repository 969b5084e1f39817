"""``healthcheck``: Docker's HEALTHCHECK without curl in the image."""

import argparse
import ssl  # http.client has it already
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from exporter.cli import exits

DEFAULT = "http://127.0.0.1:10187/-/healthy"
_ALIVE = (200, 401)  # 401: it wants a password, which a check does not have, and is well


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``healthcheck``."""
    parser.add_argument("--url", default=DEFAULT, help="the address to ask (default: %(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=3.0, help="seconds to wait (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Exit 0 if the exporter answers that it is well, else 1 with the reason on stderr."""
    try:
        status = _ask(args.url, args.timeout)
    except (OSError, ValueError, HTTPException) as error:
        sys.stderr.write(f"{args.url}: no answer: {type(error).__name__}: {error}\n")
        return exits.CONFIG
    if status in _ALIVE:
        return exits.FINE
    sys.stderr.write(f"{args.url}: answered {status}\n")
    return exits.CONFIG


def _ask(url: str, timeout: float) -> int:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http:// or https:// address")
    connection = (
        HTTPConnection(parts.hostname, parts.port, timeout=timeout)
        if parts.scheme == "http"
        else HTTPSConnection(
            parts.hostname, parts.port, timeout=timeout, context=_any_certificate()
        )
    )
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status
    finally:
        connection.close()


def _any_certificate() -> ssl.SSLContext:
    """Return what trusts every certificate: none is made for 127.0.0.1, and no secret is sent."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
