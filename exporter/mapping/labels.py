"""Texts of an answer that become names and label values: cleaned, cut, snake-cased."""

import functools

from exporter.kernel.select import Selector
from exporter.kernel.snake import snake
from exporter.mapping.misfit import Misfit, number_text, told
from exporter.mapping.values import first
from exporter.model.definition import NameParts

_snake = functools.lru_cache(maxsize=4096)(snake)  # the same names come with every poll
MAX_LABEL = 128
"""Characters of a label value; the rest is cut and noted."""


def label(found: object, path: str) -> tuple[str, bool]:
    """Return the text of a label, and whether it had to be cut. Null is "".

    Control characters become blanks and halves of surrogate pairs ``�``: what stands in a label
    can never break a line of the exposition. Raises Misfit for a map or a list.
    """
    text = _text(found)
    if text is None:
        raise Misfit(path, f"found {told(found)} in the place of a text.")
    cut = len(text) > MAX_LABEL
    if cut:
        text = text[:MAX_LABEL]
    if text.isprintable():
        return text, cut
    return "".join(_printable(letter) for letter in text), cut


def label_at(paths: tuple[Selector, ...], view: object, seen: set[str]) -> tuple[str, bool]:
    """Return the label at the first of `paths` that gives something; "" where none does."""
    return label(first(paths, view, seen), paths[0].text if paths else "")


def name(parts: NameParts, view: object, seen: set[str]) -> str:
    """Return the snake-cased name of a row. Raises Misfit where a part is not there."""
    if len(parts) == 1 and isinstance(parts[0], str):
        return _snake(parts[0])
    return _snake("".join(_part(part, view, seen) for part in parts)[:MAX_LABEL])


def fixed(parts: NameParts) -> bool:
    """Tell whether a name is the same for every row."""
    return (len(parts) == 1 and isinstance(parts[0], str)) or all(
        isinstance(part, str) for part in parts
    )


def _part(part: str | Selector, view: object, seen: set[str]) -> str:
    if isinstance(part, str):
        return part
    text = _text(part(view))
    if not text:
        raise Misfit(part.text, f"found {told(part(view))} in the place of a resource's name.")
    seen.add(part.text)
    return text


def _text(found: object) -> str | None:
    match found:
        case None:
            return ""
        case str():
            return found
        case bool():
            return "true" if found else "false"
        case int() | float():
            return number_text(found)
        case _:
            return None


def _printable(letter: str) -> str:
    if letter.isprintable():
        return letter
    code = ord(letter)
    if 0xD800 <= code <= 0xDFFF:  # noqa: PLR2004 - the surrogates of UTF-16
        return "�"
    # C0, DEL and C1, the line and paragraph separators; other unprintables harm nobody.
    return " " if code < 0xA0 or code in (0x2028, 0x2029) else letter  # noqa: PLR2004
