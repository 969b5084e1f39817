"""The text that Prometheus scrapes: metadata lines, label pairs and values, in both dialects.

The one writer of this text; `exporter.store` and `exporter.observe` compose their families of it.
The lines of samples are the same bytes in both dialects, so they are kept once; only the metadata
lines above them, and the end of the whole, differ.

Sources: Prometheus' text format 0.0.4 ("Exposition formats") and OpenMetrics 1.0.0.
"""

import math
import re
from array import array
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Literal

import msgspec

_SURROGATE = re.compile("[\ud800-\udfff]")
LABEL_NAME = re.compile("(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
"""Label names that may be written; those that begin with ``__`` are Prometheus' own."""
SUFFIXES = {"counter": "_total", "info": "_info", "gauge": ""}
"""What the name of a metric of each type ends with; OpenMetrics names the family without it."""


class Dialect(StrEnum):
    """How an exposition is written. The text format is the same in its versions 0.0.4 and 1.0.0."""

    TEXT = "text"
    OPENMETRICS = "openmetrics"

    @property
    def end(self) -> bytes:
        """The last line of an exposition: a scraper of OpenMetrics refuses one without it."""
        return b"# EOF\n" if self is Dialect.OPENMETRICS else b""


def metadata(
    name: str,
    kind: Literal["counter", "gauge", "info"],
    help_text: str,
    unit: str,
    dialect: Dialect,
) -> bytes:
    """Return the HELP, TYPE and UNIT lines of a family, which come before its samples.

    `name` is that of the samples, with the suffix of `kind`. The text format has neither UNIT nor
    the type info, and OpenMetrics allows UNIT only where the unit ends the family's name.
    """
    if dialect is Dialect.TEXT:
        kind = "gauge" if kind == "info" else kind
        lines = [f"# HELP {name} {_escape(help_text)}\n", f"# TYPE {name} {kind}\n"]
    else:
        name = name.removesuffix(SUFFIXES[kind])
        lines = [f"# HELP {name} {escape(help_text)}\n", f"# TYPE {name} {kind}\n"]
        if unit and kind != "info" and name.endswith(f"_{unit}"):
            lines.append(f"# UNIT {name} {unit}\n")
    return "".join(lines).encode()


def label_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """Return ``provider="a",account="b"``. Any value can be written; names must be LABEL_NAMEs."""
    return ",".join([f'{name}="{escape(value)}"' for name, value in pairs])


def escape(text: str) -> str:
    """Return a label value, or a HELP text of OpenMetrics, as it stands in a line."""
    return _escape(text).replace('"', '\\"')


def _escape(text: str) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    # UTF-8 cannot encode a lone surrogate.
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def value_texts(values: Sequence[float]) -> list[bytes]:
    """Write each value so that it reads back identically: ``12``, ``0.37``, ``1e+20``, ``NaN``.

    One encoder call writes them all, five times as fast as repr. JSON has no words for NaN and the
    infinities: a row with one of them is written value by value.
    """
    numbers = array("d", values).tolist()
    encoded = msgspec.json.encode(numbers)
    if not numbers or b"null" in encoded:
        return [_value_text(number) for number in numbers]
    return encoded[1:-1].replace(b".0,", b",").removesuffix(b".0").split(b",")


def _value_text(number: float) -> bytes:
    if math.isnan(number):
        return b"NaN"
    if math.isinf(number):
        return b"+Inf" if number > 0 else b"-Inf"
    return repr(number).removesuffix(".0").encode()
