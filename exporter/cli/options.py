"""What several commands share: options, the output of problems, and the tuning of imports.

Options are spelled as the Go exporters spell them. Problems go to stderr, one line each.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from exporter.kernel.problems import Problem
from exporter.web.address import parse_address

_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")
LOG_LEVELS = ("debug", "info", "warn", "error")
LOG_FORMATS = ("logfmt", "json", "console")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Declare ``--config.file``."""
    parser.add_argument(
        "--config.file",
        dest="config_file",
        metavar="FILE",
        default="config.yaml",
        help="the configuration (default: %(default)s)",
    )


def add_log(parser: argparse.ArgumentParser) -> None:
    """Declare ``--log.level`` and ``--log.format``."""
    parser.add_argument(
        "--log.level",
        dest="log_level",
        choices=LOG_LEVELS,
        default="info",
        help="the least severe level to log (default: %(default)s)",
    )
    parser.add_argument(
        "--log.format",
        dest="log_format",
        choices=LOG_FORMATS,
        default="logfmt",
        help="how log lines are written to stderr (default: %(default)s)",
    )


def add_address(parser: argparse.ArgumentParser) -> None:
    """Declare the ``--web.*`` that say where the exporter is found."""
    parser.add_argument(
        "--web.listen-address",
        dest="listen",
        metavar="ADDRESS",
        type=_address,
        action="append",
        help="where to listen: :10187, 127.0.0.1:10187, [::1]:10187; may be repeated"
        " (default: :10187)",
    )
    parser.add_argument(
        "--web.config.file",
        dest="web_config_file",
        metavar="FILE",
        default="",
        help="TLS and basic authentication, in exporter-toolkit's format",
    )
    parser.add_argument(
        "--web.external-url",
        dest="external_url",
        metavar="URL",
        type=_external_url,
        default="",
        help="where a reverse proxy shows the exporter, for example https://example.com/usage;"
        " its path is the default of --web.route-prefix",
    )
    parser.add_argument(
        "--web.route-prefix",
        dest="route_prefix",
        metavar="PATH",
        type=_prefix,
        help="what stands before every address, for example /usage; / if the proxy takes the"
        " prefix away (default: the path of --web.external-url)",
    )


def route_prefix(args: argparse.Namespace) -> str:
    """Return the prefix in force: "", or as ``/usage``."""
    given: str | None = args.route_prefix
    return urlsplit(args.external_url).path if given is None else given


def add_web(parser: argparse.ArgumentParser) -> None:
    """Declare ``--web.*``: the HTTP side."""
    add_address(parser)
    parser.add_argument(
        "--web.telemetry-path",
        dest="telemetry_path",
        metavar="PATH",
        type=_path,
        default="/metrics",
        help="where the exposition is served, below the prefix (default: %(default)s)",
    )
    parser.add_argument(
        "--web.max-connections",
        dest="most_connections",
        metavar="NUMBER",
        type=_count,
        default=512,
        help="connections at once, at most half of the file descriptors (default: %(default)s)",
    )
    parser.add_argument(
        "--web.enable-lifecycle",
        dest="lifecycle",
        action="store_true",
        help="allow POST /-/reload",
    )
    parser.add_argument(
        "--web.disable-exporter-metrics",
        dest="exporter_metrics",
        action="store_false",
        help="leave out the metrics about the process itself (process_*, python_info)",
    )


def _address(text: str) -> str:
    try:
        parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,7}", text) or not int(text):
        raise argparse.ArgumentTypeError(f'"{text}" is not a number from 1 on, for example 512.')
    return int(text)


def _prefix(text: str) -> str:
    prefix = "/" + text.strip("/")
    if not _PATH.fullmatch(prefix):
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a path. Write letters, digits, "-", "_", "." and slashes as in'
            " /usage."
        )
    return prefix.rstrip("/")


def _external_url(text: str) -> str:
    wrong = argparse.ArgumentTypeError(
        "not the URL of a page. Write http:// or https://, a host and maybe a path, as in"
        " https://example.com/usage."
    )
    if not text:  # the default, as Prometheus takes it
        return ""
    try:
        parts = urlsplit(text)
        port = parts.port  # raises as well
    except ValueError:
        raise wrong from None
    page = parts.scheme in {"http", "https"} and parts.hostname and port != 0
    if not page or parts.query or parts.fragment or "@" in parts.netloc:
        raise wrong
    path = parts.path.strip("/")
    if not _PATH.fullmatch(f"/{path}"):
        raise argparse.ArgumentTypeError(
            f'the path "{parts.path}" can have letters, digits, "-", "_", "." and slashes.'
        )
    return f"{parts.scheme}://{parts.netloc}" + (f"/{path}" if path else "")


def _path(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a path. Write a slash, then letters, digits, "-", "_" and "."'
            " as in /metrics."
        )
    return text


def show(problems: Sequence[Problem], *, most: int | None = None) -> None:
    """Write the problems, sorted by place, and a count when there are several.

    Beyond `most` it is said how many more there are.
    """
    for problem in sorted(problems)[:most]:
        prefix = "warning: " if problem.severity == "warning" else ""
        sys.stderr.write(f"{prefix}{problem}\n")
    if most is not None and len(problems) > most:
        sys.stderr.write(f"{len(problems) - most} more: usage-exporter check shows all\n")
    errors = sum(problem.severity != "warning" for problem in problems)
    if errors:
        sys.stderr.write(f"{errors} problem{'' if errors == 1 else 's'}\n")


_DURING_IMPORT = {
    "SSL_CERT_FILE": os.devnull,
    "SSL_CERT_DIR": os.devnull,
    "FROZENLIST_NO_EXTENSIONS": "1",
}


@contextmanager
def import_tuning() -> Iterator[None]:
    """Switch off work that aiohttp's import does and this process does not need.

    aiohttp reads the system's certificate authorities when it is imported, twice: 40 ms and 3 MB.
    The transport makes its own TLS contexts, in a thread, when the first poll needs one.
    frozenlist's compiled part brings the C++ runtime: 1 MB for lists that are read once a
    connection.
    """
    before = {name: os.environ.get(name) for name in _DURING_IMPORT}
    os.environ.update(_DURING_IMPORT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
