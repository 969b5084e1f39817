"""Values of a JSON text are counted before it is decoded."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from exporter.fetch.decode import count_values

TEXTS = st.text(alphabet=st.sampled_from('ab\\"[]{},:\né'), max_size=8)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=30,
)


def counted(value: Any) -> int:
    match value:
        case list():
            return 1 + sum(map(counted, value))
        case dict():
            return 1 + sum(1 + counted(inner) for inner in value.values())
        case _:
            return 1


@given(document=DOCUMENTS, step=st.integers(1, 60), wide=st.booleans())
def test_the_count_is_never_too_small_and_never_twice_what_is_there(
    document: Any, step: int, *, wide: bool
) -> None:
    body = json.dumps(document, ensure_ascii=not wide).encode()
    found = count_values(body, len(body), step=step)
    assert counted(document) - 1 <= found <= 2 * counted(document)
