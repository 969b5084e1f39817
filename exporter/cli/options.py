"""Options that several commands share, spelled as the Go exporters spell them."""

import argparse
import re

from exporter.web.addresses import parse_address

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


def add_web(parser: argparse.ArgumentParser) -> None:
    """Declare ``--web.*``: the HTTP side."""
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
        "--web.telemetry-path",
        dest="telemetry_path",
        metavar="PATH",
        type=_path,
        default="/metrics",
        help="where the exposition is served (default: %(default)s)",
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


def _path(text: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", text):
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a path. Write a slash, then letters, digits, "-", "_" and "."'
            " as in /metrics."
        )
    return text
