"""A configuration becomes a plan: every target checked and joined with its definition.

A path or a text goes in, a checked `Plan` or all problems come out. A reload compares two plans; a
target of which anything differs is a changed one. ``Plan.text`` is the configuration for
``/config``, written from the tree and not from the text, because a comment may hold an old token.
"""

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import msgspec
from msgspec import UnsetType

from exporter import __version__
from exporter.config import connection, files, library
from exporter.config.convert import to_struct
from exporter.config.credentials import SecretReader, may_be_shown
from exporter.config.library import Library, open_library
from exporter.config.polling import polling_defaults
from exporter.config.settings import ConfigText, StateText, TargetText
from exporter.config.target import (
    KnownResources,
    Surroundings,
    build_target,
    known_resources,
)
from exporter.kernel.problems import ErrorLocation, Findings, did_you_mean
from exporter.kernel.secrets import MASK, is_secret_name, looks_secret, redact_url
from exporter.kernel.yamlfile import Document, Tree, parse_yaml, write_yaml
from exporter.model.definition.provider import Definition
from exporter.model.target import Concurrency, Plan, PlanDiff, Rejected, Source, Target


def redacted(tree: Tree, directory: str = "") -> str:
    """Return the YAML of a configuration that passed its checks; `directory` is its folder."""
    shown = dict(_entries(tree))
    targets = shown.get("targets")
    if isinstance(targets, list):
        shown["targets"] = [_redacted_target(_entries(target), directory) for target in targets]
    return write_yaml(shown)


def _entries(tree: Tree) -> dict[str, Tree]:
    """Return a map; anything else cannot be here, and would be hidden."""
    return tree if isinstance(tree, dict) else {}


def _redacted_target(tree: dict[str, Tree], directory: str) -> Tree:
    shown = dict(tree)
    if "credentials" in tree:
        shown["credentials"] = {
            name: value if may_be_shown(name, value, directory) else MASK
            for name, value in _entries(tree["credentials"]).items()
        }
    for section in {"params", "labels"} & tree.keys():
        shown[section] = {
            name: MASK if is_secret_name(name) or _holds_token(value) else value
            for name, value in _entries(tree[section]).items()
        }
    if "base_url" in tree:
        shown["base_url"] = redact_url(str(tree["base_url"]))
    if "http" in tree:
        http = dict(_entries(tree["http"]))
        if "proxy_url" in http:
            http["proxy_url"] = redact_url(str(http["proxy_url"]))
        if "http_headers" in http:
            http["http_headers"] = dict.fromkeys(_entries(http["http_headers"]), MASK)
        shown["http"] = http
    return shown


def _holds_token(value: Tree) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(isinstance(one, str) and looks_secret(one) for one in values)


_USER_AGENT: Final = f"usage-exporter/{__version__}"
_TARGET_FIELDS: Final = tuple(name for name in Target.__struct_fields__ if name != "definition")


def load_text(
    text: str,
    *,
    name: str,
    directory: str,
    environ: Mapping[str, str],
    secrets_required: bool = True,
    definitions: Mapping[str, Definition] | None = None,
) -> Plan | Rejected:
    """Load a configuration from its text; `directory` is where relative paths begin.

    Without `secrets_required` a missing secret is only a warning. `definitions` take the place of
    those of their names.
    """
    with _collector_paused():
        return _plan(
            text, name, directory, environ, definitions or {}, secrets_required=secrets_required
        )


def _plan(
    text: str,
    name: str,
    directory: str,
    environ: Mapping[str, str],
    definitions: Mapping[str, Definition],
    *,
    secrets_required: bool,
) -> Plan | Rejected:
    document = parse_yaml(text, name)
    findings = Findings(document.position, document.tree)
    findings.problems.update(document.problems)
    place = ErrorLocation(findings)
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
        defaults=polling_defaults(place / "global", head.defaults, _USER_AGENT),
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
        text=redacted(document.tree, directory),
    )


def _head(place: ErrorLocation, document: Document) -> ConfigText | None:
    """Read all but the targets, which are read one by one."""
    tree = document.tree
    if tree is None:
        return None  # the document has told why
    if isinstance(tree, dict) and isinstance(tree.get("targets"), list):
        tree = {**tree, "targets": []}
    return to_struct(place, tree, ConfigText)


def _state(place: ErrorLocation, text: StateText, directory: str) -> str:
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
    found: dict[str, tuple[Definition, KnownResources] | None] = msgspec.field(default_factory=dict)

    def find(self, place: ErrorLocation, name: str) -> tuple[Definition, KnownResources] | None:
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
            self.found[name] = (
                None if definition is None else (definition, known_resources(definition))
            )
        return self.found[name]


def _targets(
    place: ErrorLocation, tree: Tree, providers: _Providers, around: Surroundings
) -> dict[str, Target]:
    trees = tree.get("targets") if isinstance(tree, dict) else None
    targets: dict[str, Target] = {}
    first: dict[str, int] = {}
    for index, one in enumerate(trees if isinstance(trees, list) else ()):
        at = place / index
        text = to_struct(at, one, TargetText)
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


def diff_plans(old: Plan, new: Plan) -> PlanDiff:
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


def load_plan(
    path: str,
    *,
    environ: Mapping[str, str],
    secrets_required: bool = True,
    definitions: Mapping[str, Definition] | None = None,
) -> Plan | Rejected:
    """Load a configuration file with all that it names: definitions, secrets, certificates.

    Without `secrets_required` a secret that cannot be read is a warning, and its target's polls
    fail until it can. `definitions` take the place of those of their names.
    """
    loaded: Plan | Rejected
    with files.noting() as noted:
        try:
            text = files.read_text(files.absolute(path, ""))
        except files.Unreadable as error:
            loaded = Rejected(problems=(library.broken_file(path, error),))
        else:
            loaded = load_text(
                text,
                name=path,
                directory=files.directory_of(path),
                environ=environ,
                secrets_required=secrets_required,
                definitions=definitions,
            )
    sources = tuple(noted.values())
    if isinstance(loaded, Rejected):
        return msgspec.structs.replace(loaded, sources=sources)
    return msgspec.structs.replace(loaded, sources=tuple(one for one in sources if one.read))


def changed(sources: Iterable[Source]) -> bool:
    """Tell whether a file has changed since it was read, or a pattern takes in other files."""
    return any(files.look_again(source) != source for source in sources)


def present(sources: Iterable[Source]) -> tuple[Source, ...]:
    """Return these files and patterns as they are now."""
    return tuple(map(files.look_again, sources))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the garbage collector: a large configuration makes no garbage and many objects.

    With 10,000 targets it would take more than half of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        connection.forget()
        if was_on:
            gc.enable()
