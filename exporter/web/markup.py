"""HTML in which nothing is forgotten to be escaped: text is text, unless it is `Markup`."""

from html import escape
from typing import Final


class Markup(str):
    """HTML that is finished. Only this module, and constants, make it."""

    __slots__ = ()


NOTHING: Final = Markup("")


def tag(name: str, *children: str | None, **attributes: str | None) -> Markup:
    """Return an element. Children that are no `Markup` and all attribute values are escaped.

    ``class_`` is ``class``, ``aria_label`` is ``aria-label``; None leaves the child or the
    attribute out.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is not None:
            parts.append(f' {key.rstrip("_").replace("_", "-")}="{_text(value)}"')
    parts.append(">")
    parts += [
        child if isinstance(child, Markup) else _text(child)
        for child in children
        if child is not None
    ]
    parts.append(f"</{name}>")
    return Markup("".join(parts))


def join(*children: str | None, separator: str = "") -> Markup:
    """Return the children one after the other; what is None or empty is left out."""
    texts = (child if isinstance(child, Markup) else _text(child) for child in children if child)
    return Markup(_text(separator).join(texts))


def _text(value: str) -> str:
    return escape(value).replace("\0", "�")
