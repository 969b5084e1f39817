"""``healthcheck``: Docker's HEALTHCHECK without curl in the image.

The image has the check in it and not the flags of ``run``. So it takes the same flags, and
without any it asks the exporter that is the container's first process, by the flags of that.
"""

import argparse
import ssl  # http.client has it already
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from exporter.cli import Exit
from exporter.cli.options import add_address, route_prefix
from exporter.web.address import parse_address

FIRST_PROCESS = "/proc/1/cmdline"
_LISTEN = ":10187"
_ALIVE = (200, 401, 403, 429)
"""It wants a password or another certificate, or was asked too often: it is well."""
_EVERY_INTERFACE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104
_COMMANDS = ("run", "demo")


def add_healthcheck(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``healthcheck``."""
    parser.add_argument(
        "--url",
        help="the address to ask (default: by the flags of run, given here or to the first"
        " process of the container, else http://127.0.0.1:10187/-/healthy)",
    )
    add_address(parser)
    parser.add_argument(
        "--timeout", type=float, default=3.0, help="seconds to wait (default: %(default)s)"
    )


def healthcheck(args: argparse.Namespace) -> int:
    """Exit 0 if the exporter answers that it is well, else 1 with the reason on stderr."""
    problem = ""
    for url in _addresses(args):
        try:
            status = _ask(url, args.timeout)
        except (OSError, ValueError, HTTPException) as error:
            problem = problem or f"{url}: no answer: {type(error).__name__}: {error}"
        else:
            if status in _ALIVE:
                return Exit.FINE
            problem = f"{url}: answered {status}"
    sys.stderr.write(f"{problem}\n")
    return Exit.CONFIG


def _addresses(args: argparse.Namespace) -> tuple[str, ...]:
    """Return what to ask, one after the other until something answers."""
    if args.url is not None:
        return (args.url,)
    if not args.listen and not args.web_config_file and not route_prefix(args):
        args = _of_first_process() or args
    address = parse_address((args.listen or [_LISTEN])[0])
    host = _EVERY_INTERFACE.get(address.host, str(address).rpartition(":")[0])
    rest = f"{host}:{address.port}{route_prefix(args)}/-/healthy"
    # The file may be without TLS: only the exporter's user need be able to read it.
    schemes = ("https", "http") if args.web_config_file else ("http",)
    return tuple(f"{scheme}://{rest}" for scheme in schemes)


def _of_first_process() -> argparse.Namespace | None:
    """Return the flags of the exporter that is process 1 of the container, or its child."""
    try:
        with open(FIRST_PROCESS, "rb") as file:  # noqa: PTH123 - one look, no other paths here
            words = file.read(1 << 16).decode("utf-8", "replace").split("\0")
    except OSError:
        return None
    if not any("usage-exporter" in word or word == "exporter" for word in words):
        return None
    start = next((at for at, word in enumerate(words) if word in _COMMANDS), None)
    if start is None:
        return None
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_address(parser)
    return parser.parse_known_args(words[start + 1 :])[0]


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
