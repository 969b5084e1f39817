"""The kinds of text that definitions and configurations are made of.

``extra`` speaks to ``config.shape``: ``what`` names the kind in messages, ``hint`` says what to
write instead, ``secret`` keeps values out of messages.
"""

from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A map whose keys are all known."""


Duration: TypeAlias = Annotated[
    str,
    Meta(
        extra={"what": "a duration", "hint": "Write a number and a unit: 30s, 5m, 1h30m."},
        extra_json_schema={
            "pattern": r"^(?=.)(0|(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?)$",
            "examples": ["30s", "5m", "1h30m"],
        },
    ),
]
"""A duration in Prometheus' spelling."""

Name: TypeAlias = Annotated[
    str,
    Meta(
        extra={"what": "a name", "hint": "Write small letters, digits and underscores."},
        extra_json_schema={"pattern": "^[a-z][a-z0-9_]*$"},
    ),
]
"""A name of our own: snake_case."""

Path: TypeAlias = Annotated[
    str,
    Meta(
        extra={"what": "a path", "hint": "Write a JMESPath expression: data.usage.total."},
        extra_json_schema={"examples": ["data.usage.total"]},
    ),
]
"""A JMESPath expression."""

Paths: TypeAlias = Path | list[Path]
"""One path, or a list of which the first that gives something counts."""

Template: TypeAlias = Annotated[
    str,
    Meta(
        extra_json_schema={"examples": ["{params.organization_id}", "{month.start:date}"]},
    ),
]
"""A text with holes: ``{params.x}``, ``{month.start:date}``."""

Scalar: TypeAlias = Template | int | bool
"""A text with holes, or a number or truth that stands for its text."""

Count: TypeAlias = Annotated[
    int, Meta(ge=1, extra={"what": "a whole number", "hint": "Write 1 or more."})
]
"""How many: 1 or more."""

Secret: TypeAlias = Annotated[
    str,
    Meta(
        extra={
            "what": "a text",
            "hint": "Put it in quotes.",
            "secret": True,
        }
    ),
]
"""A text that never appears in a message."""
