"""Parsed JMESPath expressions as closures: what the interpreter finds, in a third of its time.

The interpreter looks every node of the tree up by name at every visit. Here each node becomes a
function once. What a node means is written down in JMESPath's specification (its grammar and
"truth" of values); ``&expression`` alone is left to the interpreter, which its functions need.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

Find: TypeAlias = Callable[[Any], Any]
"""A value to what an expression finds in it."""

Call: TypeAlias = Callable[[str, list[Any]], Any]
"""Calls a function of the language: its name and its arguments."""

Node: TypeAlias = Mapping[str, Any]

_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}
_EMPTY: tuple[object, ...] = ("", [], {})


class NotCompiled(Exception):  # noqa: N818 - the interpreter takes over; nothing is wrong
    """An expression has a node that is left to the interpreter."""


def closure(node: Node, call: Call) -> Find:
    """Return the function of a parsed expression. Raises NotCompiled."""
    make = _MAKERS.get(node["type"])
    if make is None:
        raise NotCompiled(node["type"])
    return make(node, call)


def is_true(value: object) -> bool:
    """Tell whether a condition holds: 0 is true, empty texts, lists and maps are not."""
    return not (value is None or value is False or value in _EMPTY)


def _children(node: Node, call: Call) -> list[Find]:
    return [closure(child, call) for child in node["children"]]


def _itself(node: Node, call: Call) -> Find:
    return lambda value: value


def _field(node: Node, call: Call) -> Find:
    key = node["value"]
    return lambda value: value.get(key) if isinstance(value, dict) else None


def _literal(node: Node, call: Call) -> Find:
    known = node["value"]
    return lambda value: known


def _chain(node: Node, call: Call) -> Find:
    steps = _children(node, call)

    def find(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return find


def _index(node: Node, call: Call) -> Find:
    at = node["value"]

    def find(value: Any) -> Any:
        if isinstance(value, list) and -len(value) <= at < len(value):
            return value[at]
        return None

    return find


def _slice(node: Node, call: Call) -> Find:
    part = slice(*node["children"])
    return lambda value: value[part] if isinstance(value, list) else None


def _flatten(node: Node, call: Call) -> Find:
    (base,) = _children(node, call)

    def find(value: Any) -> Any:
        found = base(value)
        if not isinstance(found, list):
            return None
        flat: list[Any] = []
        for one in found:
            flat.extend(one) if isinstance(one, list) else flat.append(one)
        return flat

    return find


def _projection(node: Node, call: Call) -> Find:
    base, of_each = _children(node, call)

    def find(value: Any) -> Any:
        found = base(value)
        return _each(found, of_each) if isinstance(found, list) else None

    return find


def _value_projection(node: Node, call: Call) -> Find:
    base, of_each = _children(node, call)

    def find(value: Any) -> Any:
        found = base(value)
        return _each(list(found.values()), of_each) if isinstance(found, dict) else None

    return find


def _filter_projection(node: Node, call: Call) -> Find:
    base, of_each, condition = _children(node, call)

    def find(value: Any) -> Any:
        found = base(value)
        if not isinstance(found, list):
            return None
        return _each([one for one in found if is_true(condition(one))], of_each)

    return find


def _each(values: Sequence[Any], of_each: Find) -> list[Any]:
    return [found for value in values if (found := of_each(value)) is not None]


def _comparator(node: Node, call: Call) -> Find:
    left, right = _children(node, call)
    order = _ORDERS.get(node["value"])
    if order is not None:
        return _ordered(left, right, order)
    if node["value"] == "eq":
        return lambda value: _equal(left(value), right(value))
    return lambda value: not _equal(left(value), right(value))


def _ordered(left: Find, right: Find, order: Callable[[Any, Any], bool]) -> Find:
    def find(value: Any) -> bool | None:
        one, other = left(value), right(value)
        return order(one, other) if _is_comparable(one) and _is_comparable(other) else None

    return find


def _is_comparable(value: object) -> bool:
    return (isinstance(value, int | float) and not isinstance(value, bool)) or isinstance(
        value, str
    )


def _equal(one: object, other: object) -> bool:
    """Compare as JSON does: true is not 1."""
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    return one == other


def _or(node: Node, call: Call) -> Find:
    left, right = _children(node, call)

    def find(value: Any) -> Any:
        found = left(value)
        return found if is_true(found) else right(value)

    return find


def _and(node: Node, call: Call) -> Find:
    left, right = _children(node, call)

    def find(value: Any) -> Any:
        found = left(value)
        return right(value) if is_true(found) else found

    return find


def _not(node: Node, call: Call) -> Find:
    (condition,) = _children(node, call)
    return lambda value: not is_true(condition(value))


def _list(node: Node, call: Call) -> Find:
    parts = _children(node, call)
    return lambda value: None if value is None else [part(value) for part in parts]


def _map(node: Node, call: Call) -> Find:
    parts = [(child["value"], closure(child["children"][0], call)) for child in node["children"]]
    return lambda value: None if value is None else {key: part(value) for key, part in parts}


def _function(node: Node, call: Call) -> Find:
    name, arguments = node["value"], _children(node, call)
    return lambda value: call(name, [argument(value) for argument in arguments])


_MAKERS: Mapping[str, Callable[[Node, Call], Find]] = {
    "and_expression": _and,
    "comparator": _comparator,
    "current": _itself,
    "field": _field,
    "filter_projection": _filter_projection,
    "flatten": _flatten,
    "function_expression": _function,
    "identity": _itself,
    "index": _index,
    "index_expression": _chain,
    "literal": _literal,
    "multi_select_dict": _map,
    "multi_select_list": _list,
    "not_expression": _not,
    "or_expression": _or,
    "pipe": _chain,
    "projection": _projection,
    "slice": _slice,
    "subexpression": _chain,
    "value_projection": _value_projection,
}
