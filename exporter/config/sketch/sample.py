"""A captured answer, as bytes: JSON, or JSON Lines."""

import codecs

import msgspec

from exporter.kernel.secrets import clip

_LINES = msgspec.json.Decoder()


class Unusable(ValueError):  # noqa: N818 - told to the user as it is
    """A file holds nothing that can be guessed from. The text says why."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A decoded answer; ``lines``: it was JSON Lines, and is a list of them."""

    document: object
    lines: bool = False


def read_sample(content: bytes) -> Sample:
    """Decode an answer. Raises Unusable."""
    content = content.removeprefix(codecs.BOM_UTF8)
    if not content.strip():
        raise Unusable("the file is empty; save the body of an answer there.")
    try:
        content.decode()  # msgspec's versions say differently what is not UTF-8
    except UnicodeDecodeError as error:
        raise Unusable(f"it is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    try:
        return Sample(document=msgspec.json.decode(content))
    except RecursionError:
        raise Unusable("it is nested too deeply.") from None
    except msgspec.DecodeError as error:
        lines = _lines(content)
        if lines is None:
            raise Unusable(
                f"it is no JSON: {clip(str(error)).rstrip('.')}.{_hint(content)}"
            ) from error
        return Sample(document=lines, lines=True)


def _lines(content: bytes) -> list[object] | None:
    try:
        found = _LINES.decode_lines(content)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if len(found) > 1 and all(isinstance(one, dict | list) for one in found) else None


def _hint(content: bytes) -> str:
    if content.lstrip()[:1] == b"<":
        return " It looks like a web page; is the address the API's, and is the key sent along?"
    if content.lstrip()[:5].upper() == b"HTTP/":
        return " It begins with headers; save the body alone (curl without -i)."
    return ""
