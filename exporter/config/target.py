"""One target: what its text says, checked against its definition."""

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UnsetType

from exporter.config import address, credentials
from exporter.config.compile import leaves
from exporter.config.files import SecretReader
from exporter.config.findings import Place
from exporter.config.limits import Known, limits
from exporter.config.pace import Defaults, pace
from exporter.config.params import accounts, params
from exporter.config.settings import TargetText
from exporter.config.shape import describe
from exporter.model.definition import Definition
from exporter.model.sample import FAMILY
from exporter.model.target import Http, Target

_LONGEST_NAME: Final = 128  # label values are cut there
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_USUAL_HTTP: Final = Http()
_Value = TypeVar("_Value")
_TAKEN: Final = frozenset(FAMILY["usage_account_info"].labels)


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What all targets of a configuration share."""

    directory: str  # where relative paths begin
    environ: Mapping[str, str]
    reader: SecretReader
    defaults: Defaults
    secrets_required: bool = True
    without_secret: set[str] = msgspec.field(default_factory=set)  # names of targets
    _same: dict[tuple[object, ...], Mapping[str, Any]] = msgspec.field(default_factory=dict)

    def same(self, mapping: Mapping[str, _Value]) -> Mapping[str, _Value]:
        """Return one object for all equal maps: most targets of a provider have the same ones."""
        return self._same.setdefault(tuple(mapping.items()), mapping)


def build_target(
    place: Place, text: TargetText, definition: Definition, resources: Known, around: Surroundings
) -> Target | None:
    """Compile a target. None when it cannot authenticate; good only if nothing was told."""
    _check_name(place / "name", text.name)
    given = params(place, text, definition)
    sources = credentials.sources(place / "credentials", text, definition, around.directory)
    digests, complete = credentials.digest(
        place / "credentials", sources, around.reader, required=around.secrets_required
    )
    if not complete:
        around.without_secret.add(text.name)
    auth = credentials.choose(place, definition, sources)
    url = address.base_url(place, text, definition, given)
    its_pace = pace(place, text, definition, given, around.defaults)
    its_limits = limits(place, text, definition.name, resources)
    its_accounts = accounts(place, text, definition)
    _check_labels(place / "labels", text.labels)
    http = _http(place / "http", text, url, around)
    reserve = _reserve(place / "reserve", text, definition, around.defaults)
    if auth is None:
        return None
    return Target(
        name=text.name,
        definition=definition,
        base_url=url,
        auth=auth,
        params=around.same(given),
        credentials=sources,
        accounts=its_accounts,
        limits=around.same(its_limits),
        labels=around.same(text.labels),
        items=text.items,
        collectors=around.same(its_pace.intervals),
        poll_timeout=its_pace.timeout,
        stale_after=around.same(its_pace.stale_after),
        max_series=text.max_series or around.defaults.max_series,
        reserve=reserve,
        adaptive=around.defaults.adaptive
        if isinstance(text.adaptive, UnsetType)
        else text.adaptive,
        http=http,
        user_agent=around.defaults.user_agent,
        budget=credentials.budget(
            text.name, address.origin(url), definition.throttling.scope, auth, digests
        ),
    )


def _check_name(place: Place, name: str) -> None:
    if not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
        place.error(
            f"{describe(name)} cannot be a name. Write 1 to {_LONGEST_NAME} printable characters."
        )


def _check_labels(place: Place, labels: Mapping[str, str]) -> None:
    for name, text in labels.items():
        if not text.isprintable() or len(text) > _LONGEST_NAME:
            (place / name).error(
                f"{describe(text)} cannot be the value of a label. Write at most "
                f"{_LONGEST_NAME} printable characters."
            )
        if not _LABEL.fullmatch(name) or name.startswith("__"):
            (place / name).key_error(
                f"{describe(name)} is not the name of a label. Write letters, digits and "
                "underscores: cost_centre."
            )
        elif name in _TAKEN:
            (place / name).key_error(
                f'"{name}" is a label of usage_account_info itself. Write another name.'
            )


def _http(place: Place, text: TargetText, url: str, around: Surroundings) -> Http:
    if isinstance(text.http, UnsetType):
        return _USUAL_HTTP
    return address.http(place, text.http, url, directory=around.directory, environ=around.environ)


def _reserve(place: Place, text: TargetText, definition: Definition, defaults: Defaults) -> float:
    own = leaves.share(place, text.reserve)
    if own is None:
        own = defaults.reserve
    return definition.throttling.reserve if own is None else own
