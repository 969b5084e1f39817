"""What others must know of a kind of a definition is an attribute of it.

A kind of paging, say, is told apart in two modules at most: that of its words in
``model/definition``, and that of its loop. Elsewhere an ``isinstance``, a ``match`` or an ``is`` on
it would be a place that a new kind has to be added to, and that no check names.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

CODE = Path("exporter")
DEFINITION = CODE / "model" / "definition"
LOOPS = {
    "paging": {"fetch/paginate.py"},
    "auth": {"fetch/authorize.py"},
    "ratelimit": {"fetch/ratelimit.py"},
    "request": {"fetch/request.py"},
    "responses": {"fetch/classify.py"},
    "provider": {"fetch/decode.py"},
    "values": {"mapping/values.py"},
    "rows": set[str](),
    "period": {"mapping/period.py"},
    "roles": set[str](),
    "parsers": set[str](),
}
"""By module of ``model/definition``: the modules of its loop, which tell its kinds apart."""


def kinds(module: ast.Module) -> Iterator[str]:
    """Yield the members of the module's unions of its own classes, and its enumerations."""
    classes = {one.name: one for one in module.body if isinstance(one, ast.ClassDef)}
    for node in module.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.BinOp):
            names = {one.id for one in ast.walk(node.value) if isinstance(one, ast.Name)}
            if len(names & classes.keys()) > 1:
                yield from names & classes.keys()
    for name, one in classes.items():
        if any(isinstance(base, ast.Name) and base.id == "StrEnum" for base in one.bases):
            yield name


def told_apart(module: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the names that `module` tells kinds apart by, and their lines."""
    for node in ast.walk(module):
        match node:
            case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, second]):
                found: list[ast.AST] = [second]
            case ast.MatchClass(cls=found_class):
                found = [found_class]
            case ast.MatchValue(value=value):
                found = [value]
            case ast.Compare(ops=ops, left=left, comparators=comparators) if not all(
                isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for op in ops
            ):
                found = [left, *comparators]
            case _:
                continue
        for part in (one for top in found for one in ast.walk(top)):
            if isinstance(part, ast.Name | ast.Attribute):
                yield (part.id if isinstance(part, ast.Name) else part.attr), node.lineno


def imported(module: ast.Module) -> dict[str, str]:
    """Return the names that a module imports from a definition's modules, and from which."""
    return {
        alias.asname or alias.name: (node.module or "").rpartition(".")[2]
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("exporter.model.definition")
        for alias in node.names
    }


def offences(path: Path, module: ast.Module, known: dict[str, set[str]]) -> list[str]:
    here = path.relative_to(CODE).as_posix()
    of = imported(module)
    return [
        f"{path}:{line}: {name} of {of[name]}"
        for name, line in told_apart(module)
        if name in of and name in known.get(of[name], ()) and here not in LOOPS[of[name]]
    ]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


KINDS = {path.stem: set(kinds(parsed(path))) for path in sorted(DEFINITION.glob("*.py"))}


def test_the_kinds_are_discovered() -> None:
    assert {"NoPaging", "Cursor", "CursorText", "LinkHeader"} <= KINDS["paging"]
    assert {"NoAuth", "TokenAuth", "LoginText"} <= KINDS["auth"]
    assert {"ResetKind", "BudgetScope"} <= KINDS["ratelimit"]
    assert {"Format"} <= KINDS["provider"]


def test_a_module_of_a_definition_has_its_loop_named() -> None:
    assert LOOPS.keys() >= {name for name, found in KINDS.items() if found}
    for loops in LOOPS.values():
        for loop in loops:
            assert (CODE / loop).is_file(), loop


def test_no_kind_is_told_apart_outside_its_concept() -> None:
    found = [
        offence
        for path in sorted(CODE.rglob("*.py"))
        for offence in offences(path, parsed(path), KINDS)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "isinstance(x, LinkHeader)",
        "isinstance(x, (int, LinkHeader))",
        "isinstance(x, int | LinkHeader)",
        "type(x) is LinkHeader",
        "match x:\n    case LinkHeader(rel='a') | None: pass",
    ],
)
def test_each_way_of_telling_kinds_apart_is_seen(line: str) -> None:
    module = ast.parse(f"from exporter.model.definition.paging import LinkHeader\n{line}")
    assert offences(CODE / "fetch" / "client.py", module, KINDS)
    assert not offences(CODE / "fetch" / "paginate.py", module, KINDS)
