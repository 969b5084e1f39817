"""Paths into decoded JSON: JMESPath, and the only module that speaks it.

Most paths are plain keys with dots between, and those are walked here; the others are left to
jmespath's interpreter. Functions of our own for each node of an expression were three times as fast
and saved 0 to 6 % of the CPU of a poll of 2 kB, which is not worth a second interpreter.

Two functions are added to the standard ones: ``items(map)`` gives ``[{key, value}]``, and
``zip(a, b)`` gives ``[[a0, b0], …]``. Of what is not there both give null, as a path does: an
absent map is not an empty one. `quoted` and `number_text` write for people what was found.
"""

import functools
import re
import warnings
from collections.abc import Mapping
from typing import Any, cast

import jmespath
from jmespath import exceptions, functions
from jmespath.parser import ParsedResult

from exporter.kernel.override import override
from exporter.kernel.problems import did_you_mean
from exporter.kernel.secrets import clip


class SelectError(ValueError):
    """A search failed on this document: a function met a type that it does not take."""


class _Functions(functions.Functions):
    """JMESPath's functions and two more."""

    @functions.signature({"types": ["object", "array", "null"]})
    def _func_items(
        self, entries: dict[str, object] | list[object] | None
    ) -> list[dict[str, object]] | None:
        if entries is None:
            return None
        if isinstance(entries, list):
            if entries:
                raise exceptions.JMESPathTypeError("items", entries, "array", ["object", "null"])
            return []  # so some languages write a map without entries
        return [{"key": key, "value": value} for key, value in entries.items()]

    @functions.signature({"types": ["array", "null"]}, {"types": ["array", "null"]})
    def _func_zip(
        self, left: list[object] | None, right: list[object] | None
    ) -> list[list[object]] | None:
        if left is None or right is None:
            return None
        return [list(pair) for pair in zip(left, right, strict=False)]


_FUNCTIONS = _Functions()
_SIGNATURES: dict[str, tuple[dict[str, Any], ...]] = {
    name: entry["signature"] for name, entry in _FUNCTIONS.FUNCTION_TABLE.items()
}
_OPTIONS = jmespath.Options(custom_functions=_FUNCTIONS)


class Selector:
    """A compiled path. Call it with a document to get what is there, or None.

    Immutable; two selectors of the same text are equal. `plain` holds the keys when the path
    is nothing but keys.
    """

    __slots__ = ("_parsed", "heads", "plain", "text")

    text: str
    plain: tuple[str, ...] | None
    heads: frozenset[str]
    _parsed: ParsedResult

    def __init__(self, text: str, parsed: ParsedResult) -> None:
        """Take the `parsed` form of `text`; `compile_path` makes it."""
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "plain", _plain_keys(parsed.parsed))
        object.__setattr__(self, "heads", frozenset(_heads(parsed.parsed)))
        object.__setattr__(self, "_parsed", parsed)

    def __call__(self, document: object) -> object:
        """Return what is at this path of `document`, None when nothing is.

        Raises SelectError for anything that a search raises.
        """
        plain = self.plain
        if plain is None:
            return self._search(document)
        for key in plain:
            if type(document) is not dict and not isinstance(document, dict):
                return None
            document = document.get(key)
        return document

    def _search(self, document: object) -> object:
        try:
            return cast("object", self._parsed.search(document, options=_OPTIONS))
        except Exception as error:
            # The interpreter raises bare TypeErrors (a string compared with a number),
            # RecursionErrors and whatever a function's body raises.
            reason = _met(error)
            raise SelectError(f'"{self.text}" cannot be searched for here: {reason}') from error

    @override
    def __repr__(self) -> str:
        return f"Selector({self.text!r})"

    @override
    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, Selector) else NotImplemented

    @override
    def __hash__(self) -> int:
        return hash((Selector, self.text))

    @override
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("A selector cannot be changed.")


@functools.lru_cache(maxsize=4096)
def compile_path(text: str) -> Selector:
    """Compile a JMESPath expression.

    Raises ValueError, with the column and the reason, for a path that is broken, that calls a
    function that does not exist, or that gives one the wrong number of arguments.
    """
    if not text.strip():
        raise _broken(text, 1, "it is empty")
    try:
        with warnings.catch_warnings():
            # `word` without its JSON quotes is deprecated and a likely slip.
            warnings.simplefilter("error", PendingDeprecationWarning)
            parsed = jmespath.compile(text)
    except exceptions.ParseError as error:
        raise _broken(text, (error.lex_position or 0) + 1, _reason(error)) from error
    except PendingDeprecationWarning as error:
        column = text.index("`") + 1
        raise _broken(text, column, "write text as 'word', other values as `1`") from error
    except (exceptions.JMESPathError, RecursionError) as error:
        raise _broken(text, 1, clip(str(error))) from error
    for name, count in _calls(parsed.parsed):
        _check_call(text, name, count)
    return Selector(text, parsed)


def _met(error: Exception) -> str:
    """Say what a search met. A value is not repeated: it may be the whole answer."""
    if isinstance(error, exceptions.JMESPathTypeError):
        wanted = " or ".join(error.expected_types)
        return f"{error.function_name}() takes {wanted}, and that is not what is here."
    return clip(str(error)) or type(error).__name__


def _broken(text: str, column: int, reason: str) -> ValueError:
    stop = "" if reason.endswith((".", "?", "…")) else "."
    return ValueError(f'"{clip(text)}" is not a path: column {column}: {reason}{stop}')


def _reason(error: exceptions.ParseError) -> str:
    if isinstance(error, exceptions.IncompleteExpressionError) or error.token_value == "":
        return "it ends too early"
    if isinstance(error, exceptions.LexerError):
        return clip(str(error.message))
    return f"{error.token_value!r} does not fit there"


def _plain_keys(node: Mapping[str, Any]) -> tuple[str, ...] | None:
    match node["type"]:
        case "field":
            return (node["value"],)
        case "subexpression":
            parts = [_plain_keys(child) for child in node["children"]]
            return None if None in parts else tuple(key for part in parts for key in part or ())
        case _:
            return None


_FROM_THE_LEFT = {"subexpression", "index_expression", "pipe", "projection", "value_projection"}
_FROM_THE_LEFT |= {"filter_projection", "flatten"}


def _heads(node: Mapping[str, Any]) -> set[str]:
    """Return the keys that an expression looks up in what it is applied to."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        return {node["value"]}
    if kind in ("current", "identity"):
        return {"@"}
    if kind == "expref":  # it is applied to the elements of a list
        return set()
    if kind in _FROM_THE_LEFT:  # what stands on the right sees what the left one gives
        return _heads(children[0])
    return {head for child in children if isinstance(child, Mapping) for head in _heads(child)}


def _calls(node: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return the functions that an expression calls, each with its number of arguments."""
    children = node["children"]
    found = [(node["value"], len(children))] if node["type"] == "function_expression" else []
    for child in children:
        if isinstance(child, Mapping):
            found += _calls(child)
    return found


def _check_call(text: str, name: str, count: int) -> None:
    place = re.search(rf"\b{re.escape(name)}\s*\(", text)
    column = place.start() + 1 if place else 1
    signature = _SIGNATURES.get(name)
    if signature is None:
        hint = did_you_mean(name, _SIGNATURES)
        raise _broken(text, column, f'there is no function "{name}".{hint}')
    at_least = any(argument.get("variadic") for argument in signature)
    if count != len(signature) and not (at_least and count > len(signature)):
        words = f"{'at least ' if at_least else ''}{len(signature)}"
        raise _broken(text, column, f"{name}() takes {words} argument(s), not {count}")


_SHOWN = 60  # characters of a found text; enough to know it again


def quoted(value: object) -> str:
    """Say what was found: its type, and as much of it as helps to find it again."""
    match value:
        case None | bool():
            return str(value).lower() if value is not None else "null"
        case str():
            return f'the text "{clip(value, _SHOWN)}"'
        case int() | float():
            return f"the number {clip(number_text(value), _SHOWN)}"
        case dict():
            return f"a map of {len(value)} key(s)"
        case list():
            return f"a list of {len(value)}"
        case _:
            return f"a {type(value).__name__}"


def number_text(number: float) -> str:
    """Write a number as an answer would; 2067.0 is 2067. Never raises on a huge integer."""
    if isinstance(number, int):
        return str(number) if number.bit_length() < 2**13 else "of thousands of digits"
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)
