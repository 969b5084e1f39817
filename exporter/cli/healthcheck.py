"""``healthcheck``: Docker's HEALTHCHECK without curl in the image."""

import argparse
import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from exporter.cli import exits

DEFAULT = "http://127.0.0.1:10187/-/healthy"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``healthcheck``."""
    parser.add_argument("--url", default=DEFAULT, help="the address to ask (default: %(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=3.0, help="seconds to wait (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Exit 0 if the exporter answers 200, else 1 with the reason on stderr."""
    try:
        status = _ask(args.url, args.timeout)
    except (OSError, ValueError, HTTPException) as error:
        sys.stderr.write(f"{args.url}: no answer: {type(error).__name__}: {error}\n")
        return exits.CONFIG
    if status == 200:  # noqa: PLR2004 - http.HTTPStatus would be one more import at each check
        return exits.FINE
    sys.stderr.write(f"{args.url}: answered {status}\n")
    return exits.CONFIG


def _ask(url: str, timeout: float) -> int:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("not an http:// address")
    connection = HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status
    finally:
        connection.close()
