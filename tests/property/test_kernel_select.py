import json

import jmespath
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.kernel.jmes import SelectError, compile_path

# Few keys, so that paths and documents meet; some need quotes in a path.
KEYS = ["a", "b", "_x1", "GB-hours", "used (total)", "a.b", "", "ключ", 'say "hi"', "\\"]
keys = st.sampled_from(KEYS)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def written(key: str) -> str:
    return key if key in {"a", "b", "_x1"} else json.dumps(key)


@given(st.lists(keys, min_size=1, max_size=5), documents)
@example(["a", "b"], {"a": None})
@example(["a", "b"], {"a": [{"b": 1}]})
@example(["a", "b"], {"a": "b"})
@example(["GB-hours"], {"GB-hours": 0})
def test_a_plain_path_finds_what_jmespath_finds(path: list[str], document: object) -> None:
    text = ".".join(map(written, path))
    selector = compile_path(text)
    assert selector.plain == tuple(path)
    assert selector(document) == jmespath.search(text, document)


@given(st.dictionaries(st.text(), documents))
def test_items_lose_nothing(entries: dict[str, object]) -> None:
    rows = compile_path("items(@)")(entries)
    assert isinstance(rows, list)
    assert {row["key"]: row["value"] for row in rows} == entries


@given(
    st.sampled_from(
        [
            "*.a", "[].a", "[?a > b]", "sum([].a)", "max_by(@, &a)", "sort_by(@, &b)[0]",
            "items(@)[].value", "zip(a, b)", "a == b", "join(',', keys(@))", "to_number(a)",
            "reverse(@)", "merge(a, b)", "[::0]",
        ]
    ),
    documents,
)  # fmt: skip
def test_a_search_answers_or_raises_a_select_error(path: str, document: object) -> None:
    try:
        compile_path(path)(document)
    except SelectError as error:
        assert path in str(error)  # noqa: PT017 - an answer is fine, too


@given(st.text(alphabet="ab01.[]{}()*?|&!@`'\"<>=:, -\\$#", max_size=15))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        compile_path(text)
    except ValueError as error:
        assert "is not a path: column " in str(error)  # noqa: PT017 - a path is fine, too
