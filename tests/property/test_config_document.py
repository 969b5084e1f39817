"""Whatever is written as YAML comes back; whatever is thrown at the reader is answered."""

import msgspec
import yaml
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.plan import redacted
from exporter.kernel.yamlfile import FAST, Tree, parse_yaml

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**90), 10**90)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
TREES = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(st.text(min_size=1, max_size=8), below, max_size=4)
    ),
    max_leaves=12,
)
MAPS = st.dictionaries(st.text(min_size=1, max_size=8), TREES, min_size=1, max_size=4)
YAMLISH = st.text(
    alphabet=st.sampled_from(list("ab:- \n\t{}[],&*!'\"#|>%@?<=~.0123\\")), max_size=40
)


@given(MAPS)
def test_json_is_read_as_what_it_says(tree: dict[str, Tree]) -> None:
    text = msgspec.json.encode(tree).decode()
    document = parse_yaml(text, "x.yaml")
    if not document.problems:  # control characters are not for YAML
        assert document.tree == msgspec.json.decode(text)


@given(MAPS)
def test_the_text_of_config_reads_back_as_the_tree(tree: dict[str, Tree]) -> None:
    """``/config`` shows what is in force: parse(render(tree)) is the tree."""
    tree = {f"x{key}": value for key, value in tree.items()}
    document = parse_yaml(redacted(tree), "x.yaml")
    if not document.problems:
        assert document.tree == tree


@given(MAPS)
def test_pyyaml_reads_the_text_of_config_alike(tree: dict[str, Tree]) -> None:
    """Other YAML readers, with their older rules, must not see anything else."""
    texts = {f"x{number}": key for number, key in enumerate(tree)}
    text = redacted(dict(texts))
    if not parse_yaml(text, "x.yaml").problems:
        assert yaml.safe_load(text) == texts


@given(YAMLISH)
def test_any_text_is_answered_with_a_tree_or_a_problem(text: str) -> None:
    document = parse_yaml(text, "x.yaml")
    assert document.tree is not None or document.problems or text.strip()
    for problem in document.problems:
        assert problem.position.line <= text.count("\n") + 2


@given(YAMLISH)
def test_both_parsers_read_the_same_or_refuse(text: str) -> None:
    fast, pure = (
        parse_yaml(text, "x.yaml", loader=FAST),
        parse_yaml(text, "x.yaml", loader=yaml.SafeLoader),
    )
    if not fast.problems and not pure.problems:
        assert fast.tree == pure.tree


@given(MAPS)
def test_every_position_lies_in_the_text(tree: dict[str, Tree]) -> None:
    text = yaml.safe_dump(tree, allow_unicode=True)
    document = parse_yaml(text, "x.yaml")
    if document.problems:
        return
    lines = text.splitlines()
    for path in paths(document.tree):
        position = document.position(path)
        assert 1 <= position.line <= len(lines) + 1


def paths(tree: Tree, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    below: list[tuple[str | int, Tree]] = []
    if isinstance(tree, dict):
        below = list(tree.items())
    elif isinstance(tree, list):
        below = list(enumerate(tree))
    return [path, *(found for key, value in below for found in paths(value, (*path, key)))]
