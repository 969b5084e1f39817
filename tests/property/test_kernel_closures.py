"""Closures find what JMESPath's own interpreter finds, or fail where it fails."""

from typing import Any

import jmespath
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.kernel import jmes
from exporter.kernel.jmes import NotCompiled, closure

scalars = (
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 0.5, "", "a", "1"])
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=14,
)


def wider(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(inner, inner)
    suffixes = [".{0}", "[0].{0}", "[-1]", "[*].{0}", "[].{0}", ".*.{0}", "[1:]", "[::-1]"]
    return st.one_of(
        pairs.flatmap(lambda two: st.sampled_from([two[0] + s.format(two[1]) for s in suffixes])),
        st.tuples(inner, inner, inner, st.sampled_from(["==", "!=", "<", "<=", ">", ">="])).map(
            lambda four: f"{four[0]}[?{four[1]} {four[3]} {four[2]}]"
        ),
        st.tuples(inner, st.sampled_from(["||", "&&", "|", "=="]), inner).map(
            lambda three: f"({three[0]} {three[1]} {three[2]})"
        ),
        inner.map(lambda one: f"!{one}"),
        pairs.map(lambda two: f"[{two[0]}, {two[1]}]"),
        pairs.map(lambda two: f"{{x: {two[0]}, y: {two[1]}}}"),
        st.tuples(st.sampled_from(["type", "length", "items", "keys", "not_null"]), inner).map(
            lambda two: f"{two[0]}({two[1]})"
        ),
    )


leaves = st.sampled_from(["a", "b", "c", "@", "`0`", "`1`", "`true`", "`[]`", "'a'", "`null`"])
expressions = st.recursive(leaves, wider, max_leaves=6)


def found(search: Any, document: object) -> tuple[bool, object]:
    try:
        return True, search(document)
    except Exception as error:  # noqa: BLE001 - the interpreter raises anything
        return False, type(error)


def same(one: object, other: object) -> bool:
    return repr(one) == repr(other)  # true is not 1, and 0.0 is not 0


@given(expressions, documents)
@example("a[?type(b) == 'object']", {"a": [{"b": {}}, {"b": 1}]})
@example("a || b", {"a": 0, "b": 1})
@example("!a", {"a": 0})
@example("a[?b == `1`]", {"a": [{"b": True}, {"b": 1}]})
@example("a[?b < c]", {"a": [{"b": "x", "c": 1}]})
def test_a_closure_finds_what_the_interpreter_finds(text: str, document: object) -> None:
    try:
        parsed = jmespath.compile(text)
    except jmespath.exceptions.JMESPathError:
        return  # no expression at all
    ours = found(closure(parsed.parsed, jmes._FUNCTIONS.call_function), document)
    theirs = found(lambda value: parsed.search(value, jmes._OPTIONS), document)
    assert same(ours, theirs)


def test_what_is_not_compiled_is_left_to_the_interpreter() -> None:
    parsed = jmespath.compile("max_by(@, &a).a")
    with pytest.raises(NotCompiled, match="expref"):
        closure(parsed.parsed, jmes._FUNCTIONS.call_function)
    assert jmes.compile_path("max_by(@, &a).a")([{"a": 1}, {"a": 3}, {"a": 2}]) == 3
