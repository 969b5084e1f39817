"""The IETF's fields for rate limits: ``RateLimit`` and ``RateLimit-Policy``, drafts 06 to 10.

(ietf-wg-httpapi/ratelimit-headers; structured fields are RFC 9651.)
"""

import re
from collections.abc import Iterator

import msgspec

from exporter.fetch.wire import Lines

_LONGEST = 1024  # letters of a header that are worth reading
_ITEM = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([A-Za-z*][\w:/*.-]*))\s*((?:;[^,;"]*)*)(?:,|$)')
_OLD_DRAFT = re.compile(r"\b(limit|remaining|reset)\s*=\s*(\d{1,15})\b", re.ASCII)
_PARAMETER = re.compile(r"\s*([a-z*][\w.*-]*)\s*=\s*(\d{1,15})\s*", re.ASCII)


class Window(msgspec.Struct):
    """One limit of the API's: what its family of headers says."""

    limit: float | None = None
    remaining: float | None = None
    wait: float | None = None


def structured(lines: Lines) -> dict[str, Window]:
    """Return what the fields say, by the names of their items.

    Items that are malformed are passed over, as the draft demands. ``wait`` is in seconds.
    """
    windows: dict[str, Window] = {}
    for text in (value for name, value in lines if name == "ratelimit"):
        old = dict(_OLD_DRAFT.findall(text[:_LONGEST]))
        if old:
            windows["old draft"] = Window(**_floats(old, reset="wait"))
            continue
        for name, parameters in _items(text):
            values = _floats(parameters, r="remaining", t="wait")
            windows[name] = Window(**values)
    if not windows:
        return windows
    for text in (value for name, value in lines if name == "ratelimit-policy"):
        for name, parameters in _items(text):
            if name in windows and "q" in parameters:
                windows[name].limit = float(parameters["q"])
    return windows


def _floats(texts: dict[str, str], **renamed: str) -> dict[str, float]:
    names = {"limit": "limit", "remaining": "remaining", **renamed}
    return {names[key]: float(text) for key, text in texts.items() if key in names}


def _items(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    text = text[:_LONGEST].strip()
    at = 0
    while at < len(text):
        found = _ITEM.match(text, at)
        if found is None:
            at = (text.find(",", at) + 1) or len(text)
            continue
        at = found.end()
        pairs = (_PARAMETER.fullmatch(part) for part in found[3].split(";"))
        yield found[1] or found[2] or "", {pair[1]: pair[2] for pair in pairs if pair}
