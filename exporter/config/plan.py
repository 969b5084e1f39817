"""A configuration becomes a plan: every target checked and joined with its definition."""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import UnsetType

from exporter import __version__
from exporter.config import files, redaction
from exporter.config.document import Document, Tree, parse
from exporter.config.files import SecretReader
from exporter.config.findings import Findings, Place
from exporter.config.library import Library, open_library
from exporter.config.limits import Known, known
from exporter.config.pace import defaults_of
from exporter.config.settings import ConfigText, StateText, TargetText
from exporter.config.shape import read
from exporter.config.target import Surroundings, build_target
from exporter.kernel.problems import did_you_mean
from exporter.model.definition import Definition
from exporter.model.plan import Concurrency, Plan, PlanDiff, Rejected
from exporter.model.target import Target

_USER_AGENT: Final = f"usage-exporter/{__version__}"
_TARGET_FIELDS: Final = tuple(name for name in Target.__struct_fields__ if name != "definition")


def build(
    text: str,
    *,
    name: str,
    directory: str,
    environ: Mapping[str, str],
    secrets_required: bool = True,
    definitions: Mapping[str, Definition] | None = None,
) -> Plan | Rejected:
    """Check a configuration. Without `secrets_required` a missing secret is only a warning.

    `definitions` take the place of those of their names.
    """
    document = parse(text, name)
    findings = Findings(document.position, document.tree)
    findings.problems.update(document.problems)
    place = Place(findings)
    head = _head(place, document)
    if head is None:
        return Rejected(problems=tuple(sorted(findings.problems)))
    library, in_files = open_library(place / "providers" / "files", head.providers.files, directory)
    if definitions:
        library = library.over(definitions)
    state_file = _state(place / "state", head.state, directory)
    around = Surroundings(
        directory=directory,
        environ=environ,
        reader=SecretReader(environ, directory),
        secrets_required=secrets_required,
        defaults=defaults_of(place / "global", head.defaults, _USER_AGENT),
    )
    targets = _targets(place / "targets", document.tree, _Providers(library), around)
    problems = tuple(sorted((*findings.problems, *in_files)))
    if any(problem.severity == "error" for problem in problems):
        return Rejected(problems=problems)
    return Plan(
        targets=targets,
        concurrency=Concurrency(
            polls=head.defaults.max_concurrent_polls,
            per_host=head.defaults.max_concurrent_polls_per_host,
        ),
        state_file=state_file,
        warnings=problems,
        without_secret=frozenset(around.without_secret),
        text=redaction.redacted(document.tree, directory),
    )


def _head(place: Place, document: Document) -> ConfigText | None:
    """Read all but the targets, which are read one by one."""
    tree = document.tree
    if tree is None:
        return None  # the document has told why
    if isinstance(tree, dict) and isinstance(tree.get("targets"), list):
        tree = {**tree, "targets": []}
    return read(place, tree, ConfigText)


def _state(place: Place, text: StateText, directory: str) -> str:
    """Return the absolute path of the state's file, "" for memory alone."""
    if not isinstance(text.redis_url, UnsetType):
        (place / "redis_url").key_error(
            "This version keeps its state in a file of one process; replicas cannot share it. "
            "Write file: state.db."
        )
    if text.file == "":
        (place / "file").error("The path is empty. Write the path of a file, or delete the key.")
    return files.absolute(text.file, directory) if text.file else ""


class _Providers(msgspec.Struct):
    """The definitions in use, each looked up and surveyed once."""

    library: Library
    found: dict[str, tuple[Definition, Known] | None] = msgspec.field(default_factory=dict)

    def find(self, place: Place, name: str) -> tuple[Definition, Known] | None:
        """Return a definition; None when there is none or it is broken."""
        if name not in self.found:
            try:
                definition = self.library.find(name)
            except KeyError:
                hint = did_you_mean(name, self.library.names())
                place.error(f'There is no provider "{name}".{hint}')
                return None
            if definition is None:
                for problem in self.library.problems(name):
                    place.error(f'The shipped definition "{name}" is broken: {problem}')
            self.found[name] = None if definition is None else (definition, known(definition))
        return self.found[name]


def _targets(
    place: Place, tree: Tree, providers: _Providers, around: Surroundings
) -> dict[str, Target]:
    trees = tree.get("targets") if isinstance(tree, dict) else None
    targets: dict[str, Target] = {}
    first: dict[str, int] = {}
    for index, one in enumerate(trees if isinstance(trees, list) else ()):
        at = place / index
        text = read(at, one, TargetText)
        if text is None:
            continue
        if text.name in first:
            (at / "name").error(
                f'"{text.name}" is the name of targets[{first[text.name]}] already. '
                "Names are unique: they are the account label."
            )
        first.setdefault(text.name, index)
        provider = providers.find(at / "provider", text.provider)
        target = provider and build_target(at, text, *provider, around)
        if target is not None:
            targets[text.name] = target
    if trees == []:
        place.warn("There is no target, so nothing is polled.")
    return targets


def diff(old: Plan, new: Plan) -> PlanDiff:
    """Return what a reload changes. A target is changed when anything of it is."""
    same: dict[tuple[int, int], bool] = {}
    kept = old.targets.keys() & new.targets.keys()
    return PlanDiff(
        added=tuple(name for name in new.targets if name not in kept),
        removed=tuple(name for name in old.targets if name not in kept),
        changed=tuple(
            name
            for name in new.targets
            if name in kept and not _is_same(old.targets[name], new.targets[name], same)
        ),
    )


def _is_same(old: Target, new: Target, same: dict[tuple[int, int], bool]) -> bool:
    """Compare two targets; their definitions, which are large and shared, once for each pair."""
    pair = (id(old.definition), id(new.definition))
    if pair not in same:
        same[pair] = old.definition is new.definition or old.definition == new.definition
    return same[pair] and all(getattr(old, name) == getattr(new, name) for name in _TARGET_FIELDS)
