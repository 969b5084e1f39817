"""Paths searched in answers, where the search itself may fail."""

from exporter.kernel.select import SelectError, Selector


class FindError(ValueError):
    """A path cannot be searched in this document. Nothing of the document is in the text."""


def find(path: Selector, document: object) -> object:
    """Return what is at a path of a document, None when nothing is. Raises FindError.

    The reason that JMESPath gives is dropped: it quotes the document, which may hold a secret.
    """
    try:
        return path(document)
    except SelectError:
        raise FindError(f'"{path.text}" cannot be searched for in this answer') from None
