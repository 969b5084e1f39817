"""Which exposition format and which coding a scraper gets, whatever its headers say.

The library's own negotiator answers 500 to ``Accept: application/openmetrics-text;version=abc``
and ignores q-values; this one has no input on which it raises, and its default is the text
format 0.0.4, which every Prometheus since 2014 reads.

Sources: RFC 9110 sections 12.4.2, 12.5.1 and 12.5.3; prometheus/docs ``content_negotiation.md``.
"""

import functools
from collections.abc import Iterable
from enum import StrEnum

from exporter.kernel.exposition_text import Dialect


class Format(StrEnum):
    """An exposition format; its value is the exact Content-Type of the answer.

    Prometheus 3 fails a scrape whose Content-Type it does not know. All our names are of the
    old character set, so that ``escaping=underscores`` holds whatever the scraper allows.
    """

    TEXT_004 = "text/plain; version=0.0.4; charset=utf-8"
    TEXT_100 = "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"
    OPENMETRICS_100 = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    @property
    def dialect(self) -> Dialect:
        """How the body of this format is written."""
        return Dialect.OPENMETRICS if self is Format.OPENMETRICS_100 else Dialect.TEXT


_OFFERS = {
    ("text/plain", ""): Format.TEXT_004,
    ("text/plain", "0.0.4"): Format.TEXT_004,
    ("text/plain", "1.0.0"): Format.TEXT_100,
    ("text/*", ""): Format.TEXT_004,
    ("*/*", ""): Format.TEXT_004,
    ("application/openmetrics-text", ""): Format.OPENMETRICS_100,
    ("application/openmetrics-text", "1.0.0"): Format.OPENMETRICS_100,
}
_HEADERS_KEPT = 64  # scrapers send the same few headers for ever
_LONGEST_HEADER = 2048
"""Characters of an Accept or Accept-Encoding header that is read. Prometheus sends 450."""


def join_header_lines(lines: Iterable[str]) -> str:
    """Return the lines of one header as one, "" (as without the header) if they are too long.

    Checked before anything is split or kept: 60 lines of 8 kB took two seconds to read.
    """
    lines = tuple(lines)
    if sum(map(len, lines)) > _LONGEST_HEADER:
        return ""
    return ",".join(lines)


@functools.lru_cache(maxsize=_HEADERS_KEPT)
def choose_format(accept: str) -> Format:
    """Return the format for an Accept header: the highest q that we offer, else text 0.0.4.

    Among equals the first one named wins.
    """
    best, best_quality = Format.TEXT_004, 0.0
    for name, parameters in _elements(accept):
        offer = _OFFERS.get((name, parameters.get("version", "")))
        quality = _quality(parameters)
        if offer is not None and quality > best_quality:
            best, best_quality = offer, quality
    return best


@functools.lru_cache(maxsize=_HEADERS_KEPT)
def choose_gzip(accept_encoding: str) -> bool:
    """Say whether the body goes out as gzip by an Accept-Encoding header.

    Yes when gzip (or ``*``, where gzip is not named) is allowed and not liked less than
    ``identity``.
    """
    qualities = {
        name.removeprefix("x-"): _quality(parameters)
        for name, parameters in _elements(accept_encoding)
    }
    gzip = qualities.get("gzip", qualities.get("*", 0.0))
    return gzip > 0 and gzip >= qualities.get("identity", 0.0)


def _elements(header: str) -> list[tuple[str, dict[str, str]]]:
    # No quoted strings: no media type that we offer has one, and a broken element is just
    # one that we do not know.
    elements = []
    for element in header.split(","):
        name, *rest = (part.strip() for part in element.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {
            key.strip().lower(): value.strip().strip('"').lower() for key, _, value in pairs
        }
        elements.append((name.lower(), parameters))
    return elements


def _quality(parameters: dict[str, str]) -> float:
    # "q=1e9", "q=nan", "q=inf" and "q=-1" are floats for Python and nonsense for HTTP.
    text = parameters.get("q", "1")
    if not text.isascii() or not text.replace(".", "", 1).isdigit():
        return 0.0
    return min(float(text), 1.0)
