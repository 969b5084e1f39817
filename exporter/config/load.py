"""The door of this stage: a path or a text in, a checked value or all problems out."""

from exporter.config import catalogue, files
from exporter.config.compile.definition import compile_definition
from exporter.config.document import parse
from exporter.config.findings import Findings, Place
from exporter.kernel.problems import Position, Problem
from exporter.model.definition import Definition
from exporter.model.plan import Rejected


def load_definition(path: str) -> Definition | Rejected:
    """Load one file of a definition; its name is the file's without the ending."""
    try:
        text = files.read_text(path)
    except files.Unreadable as error:
        return Rejected(problems=(Problem(Position(path, 0, 0), "", str(error)),))
    return compile_text(text, name=files.file_name(path), origin=path)


def load_shipped(name: str) -> Definition | Rejected:
    """Load a shipped definition. Raises KeyError when there is none of that name."""
    return compile_text(catalogue.text(name), name=name, origin=catalogue.origin(name))


def compile_text(text: str, *, name: str, origin: str = "") -> Definition | Rejected:
    """Compile the text of a definition called `name`; `origin` is its file, for messages."""
    definition, problems = definition_and_problems(text, name=name, origin=origin)
    errors = tuple(problem for problem in problems if problem.severity == "error")
    if definition is None or errors:
        return Rejected(problems=problems)
    return definition


def definition_and_problems(
    text: str, *, name: str, origin: str = ""
) -> tuple[Definition | None, tuple[Problem, ...]]:
    """Return a definition and all that was found, warnings too, sorted by position."""
    document = parse(text, origin or f"{name}.yaml")
    findings = Findings(lambda path, at_key: document.position(path, at_key=at_key))
    findings.problems.update(document.problems)
    if document.tree is None:
        return None, tuple(sorted(findings.problems))
    compiled = compile_definition(Place(findings), document.tree, name=name, origin=origin)
    return compiled, tuple(sorted(findings.problems))
