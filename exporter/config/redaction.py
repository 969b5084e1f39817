"""The configuration as ``/config`` shows it: YAML again, with each secret as ``<secret>``.

Written from the tree and not from the text: a comment may hold an old token.
"""

import functools
import re
from typing import Final, TypeGuard

import msgspec

from exporter.config import files
from exporter.config.credentials import FILE, VARIABLE
from exporter.config.document import Tree
from exporter.kernel.secrets import MASK, is_secret_name, looks_secret, redact_url

_PLAIN: Final = re.compile(
    r"[A-Za-z_/](?:[A-Za-z0-9_./+-]|:(?=[A-Za-z0-9/])| (?=[A-Za-z0-9]))*"  # words, paths, URLs
    r"|[0-9]+(?:\.[0-9]+)?(?: [A-Za-z]+|[smhdwy][0-9smhdwy]*|%)"  # 5 TB, 1h30m, 20%
)
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def redacted(tree: Tree, directory: str = "") -> str:
    """Return the YAML of a configuration that passed its checks; `directory` is its folder."""
    lines: list[str] = []
    _write(_masked(tree, directory), "", lines)
    _text.cache_clear()  # the next configuration has other texts, and these would stay for ever
    return "\n".join(lines) + "\n"


def _masked(tree: Tree, directory: str) -> Tree:
    shown = dict(_entries(tree))
    targets = shown.get("targets")
    if isinstance(targets, list):
        shown["targets"] = [_masked_target(_entries(target), directory) for target in targets]
    return shown


def _entries(tree: Tree) -> dict[str, Tree]:
    """Return a map; anything else cannot be here, and would be hidden."""
    return tree if isinstance(tree, dict) else {}


def _masked_target(tree: dict[str, Tree], directory: str) -> Tree:
    shown = dict(tree)
    if "credentials" in tree:
        shown["credentials"] = {
            name: value if _is_place(name, value, directory) else MASK
            for name, value in _entries(tree["credentials"]).items()
        }
    for section in ("params", "labels"):
        if section in tree:
            entries = _entries(tree[section])
            shown[section] = {
                name: MASK if is_secret_name(name) or _holds_token(value) else value
                for name, value in entries.items()
            }
    if "base_url" in tree:
        shown["base_url"] = redact_url(str(tree["base_url"]))
    if "http" in tree:
        shown["http"] = _masked_http(_entries(tree["http"]))
    return shown


def _is_place(name: str, value: Tree, directory: str) -> bool:
    """Tell whether a credential is surely the place of a secret, and not the secret itself."""
    if not isinstance(value, str):
        return False
    if name.endswith(FILE):
        return not looks_secret(value) and files.is_there(files.absolute(value, directory))
    return name.endswith(VARIABLE) and files.is_variable(value)


def _holds_token(value: Tree) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(isinstance(one, str) and looks_secret(one) for one in values)


def _masked_http(tree: dict[str, Tree]) -> Tree:
    shown = dict(tree)
    if "proxy_url" in tree:
        shown["proxy_url"] = redact_url(str(tree["proxy_url"]))
    if "http_headers" in tree:
        shown["http_headers"] = dict.fromkeys(_entries(tree["http_headers"]), MASK)
    return shown


def _write(tree: Tree, indent: str, lines: list[str]) -> None:
    """Add the lines of a map or list in block style; what is flat stands in one line."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if _is_nested(value):
                lines.append(f"{indent}{_scalar(key)}:")
                _write(value, f"{indent}  ", lines)
            else:
                lines.append(f"{indent}{_scalar(key)}: {_flat(value)}")
        return
    for item in tree if isinstance(tree, list) else ():
        if _is_nested(item):
            start = len(lines)
            _write(item, f"{indent}  ", lines)
            lines[start] = f"{indent}- {lines[start][len(indent) + 2 :]}"
        else:
            lines.append(f"{indent}- {_flat(item)}")


def _is_nested(value: Tree) -> TypeGuard[dict[str, Tree] | list[Tree]]:
    if isinstance(value, dict):
        return bool(value)
    return isinstance(value, list) and any(isinstance(item, dict | list) for item in value)


def _flat(value: Tree) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_flat(item) for item in value)}]"
    return "{}" if isinstance(value, dict) else _scalar(value)


def _scalar(value: Tree) -> str:
    if isinstance(value, str):
        return _text(value)
    return msgspec.json.encode(value).decode()


@functools.lru_cache(maxsize=8192)
def _text(value: str) -> str:
    if value == MASK or (_PLAIN.fullmatch(value) and value.lower() not in _WORDS):
        return value
    quoted = msgspec.json.encode(value).decode()  # JSON's strings are YAML's, but for odd letters
    return quoted if quoted.isprintable() else "".join(map(_escaped, quoted))


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"
