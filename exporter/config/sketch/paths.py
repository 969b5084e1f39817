"""Paths and texts as a definition writes them."""

import json
import re
from collections.abc import Iterable

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_MEANT = frozenset({"null", "true", "false"})
_QUOTABLE = re.compile(r"[\w .:-]*")


def path(keys: Iterable[str]) -> str:
    """Return the JMESPath of some keys, one below the other."""
    return ".".join(key if _IDENTIFIER.fullmatch(key) else _json(key) for key in keys)


def below(above: str, keys: Iterable[str]) -> str:
    """Return the path of some keys below another path; "" is the document."""
    return ".".join(filter(None, (above, path(keys))))


def literal(text: str) -> str | None:
    """Return a text as JMESPath writes it, None for one that it would have to escape."""
    return f"'{text}'" if _QUOTABLE.fullmatch(text) else None


def yaml(text: str) -> str:
    """Return a text as YAML writes it, also between the brackets of a flow."""
    if _PLAIN.fullmatch(text) and text.lower() not in _MEANT:
        return text
    return _json(text)


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
