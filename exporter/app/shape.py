"""The shape of an answer in a few lines, however large it is: keys, types, first values."""

from collections.abc import Iterator

from exporter.kernel.secrets import clip

DEEP = 5
"""Levels of an answer that are told."""
WIDE = 12
"""Keys of a map that are told."""
LINES = 60
"""Lines in all."""
_LONGEST = 60  # characters of a value


def shape(document: object) -> Iterator[str]:
    """Yield a line for each part of a document; of a list its first row."""
    for number, line in enumerate(_shape(document, "", 0)):
        if number == LINES:
            yield "…"
            return
        yield line


def _shape(value: object, name: str, depth: int) -> Iterator[str]:
    indent = "  " * depth
    label = f"{clip(name, _LONGEST)}: " if name else ""
    match value:
        case dict():
            yield f"{indent}{label}map of {len(value)}"
            if depth < DEEP:
                for key in list(value)[:WIDE]:
                    yield from _shape(value[key], str(key), depth + 1)
                if len(value) > WIDE:
                    yield f"{indent}  … {len(value) - WIDE} more keys"
        case list():
            yield f"{indent}{label}list of {len(value)}"
            if value and depth < DEEP:
                yield from _shape(value[0], "[0]", depth + 1)
        case None:
            yield f"{indent}{label}null"
        case bool():
            yield f"{indent}{label}{str(value).lower()}"
        case str():
            yield f'{indent}{label}"{clip(value, _LONGEST)}"'
        case _:
            yield f"{indent}{label}{clip(str(value), _LONGEST)}"
