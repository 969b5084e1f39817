"""The walker that explains what msgspec refuses: it never finds nothing, and mends what it can."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import library
from exporter.config.convert import to_struct
from exporter.config.library import compile_text
from exporter.config.plan import load_text
from exporter.config.settings import ConfigText
from exporter.kernel.problems import ErrorLocation, Findings, Position
from exporter.kernel.yamlfile import Tree, parse_yaml
from exporter.model.definition.provider import Definition, DefinitionText
from exporter.model.target import Plan, Rejected

CONFIG = """\
global: {poll_interval: 5m, max_series: 5, reserve: 20%}
state: {file: x.db}
targets:
  - name: a
    provider: billing_usage
    base_url: https://api.example.com
    credentials: {token: s3cr3t}
    params: {metrics: [api_calls, 5]}
    limits: {api_calls: 5}
    collectors: {usage: {poll_interval: 5m}}
    items: true
    http: {tls_config: {server_name: x}, http_headers: {X-A: {values: [a]}}}
"""
ODDITIES: list[Tree] = [None, True, 0, -1, 1.5, "", "no", "x: y", [], {}, [None]]
KINDS: list[Tree] = [{"kind": "x"}, {"a": None}]
ODD = st.sampled_from([*ODDITIES, *KINDS])
TREES: dict[type, Tree] = {
    ConfigText: parse_yaml(CONFIG, "x.yaml").tree,
    DefinitionText: parse_yaml(library.shipped_text("thousandeyes"), "x.yaml").tree,
}


@st.composite
def damaged(draw: st.DrawFn, tree: Tree) -> Tree:
    """Replace, remove or add something somewhere."""
    if isinstance(tree, dict) and tree and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(tree)))
        return {**tree, key: draw(damaged(tree[key]))}
    if isinstance(tree, list) and tree and draw(st.integers(0, 4)):
        index = draw(st.integers(0, len(tree) - 1))
        return [*tree[:index], draw(damaged(tree[index])), *tree[index + 1 :]]
    if isinstance(tree, dict) and draw(st.booleans()):
        return {**tree, "added": draw(ODD)}
    return draw(ODD)


@pytest.mark.parametrize("wanted", [ConfigText, DefinitionText])
@given(data=st.data())
def test_what_is_refused_is_explained_and_the_rest_is_kept(
    wanted: type[msgspec.Struct], data: st.DataObject
) -> None:
    tree = data.draw(damaged(TREES[wanted]))
    findings = Findings(lambda path, *, at_key=False: Position("x", len(path), 0))
    found = to_struct(ErrorLocation(findings), tree, wanted)
    try:
        msgspec.convert(tree, wanted)
    except msgspec.ValidationError:
        assert findings.failed
    else:
        assert not findings.problems
        assert found is not None


@given(damaged(TREES[DefinitionText]))
def test_a_damaged_definition_compiles_or_is_explained(tree: Tree) -> None:
    text = msgspec.json.encode(tree).decode()
    found = compile_text(text, name="x")
    if not isinstance(found, Definition):
        assert any(problem.severity == "error" for problem in found.problems)


@given(damaged(TREES[ConfigText]))
def test_a_damaged_configuration_is_a_plan_or_explained_without_its_secret(tree: Tree) -> None:
    text = msgspec.json.encode(tree).decode()
    found = load_text(text, name="x.yaml", directory="/nowhere", environ={})
    if isinstance(found, Plan):
        assert "s3cr3t" not in found.text
    else:
        assert isinstance(found, Rejected)
        assert "s3cr3t" not in str(found.problems)
