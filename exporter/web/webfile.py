"""Reads the file of ``--web.config.file``, with the line of every problem in it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import yaml

from exporter.kernel.problems import Position, Problem, did_you_mean
from exporter.kernel.secrets import hide_tokens, hide_value, looks_secret
from exporter.web.refusals import BadWebConfig
from exporter.web.webconfig import Finding, Http, RateLimit, Tls, WebConfig, findings

_QUOTED: Final = re.compile(r"\s*(['\"])(?!<).{3,}\1")  # in the parser's words: a part of the file
_AT: Final = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>.*)`)?", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<key>.*)`")
_FIELDS: Final = {
    "": WebConfig,
    "tls_server_config": Tls,
    "http_server_config": Http,
    "rate_limit": RateLimit,
}
_SECTIONS: Final = {*_FIELDS, "basic_auth_users", "http_server_config.headers"}
_NULL: Final = "tag:yaml.org,2002:null"  # a section without content is as good as none


def read(path: str) -> WebConfig:
    """Return the configuration in `path`, its own paths made absolute.

    Raises BadWebConfig with all problems, OSError when the file cannot be read.
    """
    document = _Document(path, _text(path))
    config = document.convert()
    found = findings(config)
    if found:
        raise BadWebConfig(document.problem(finding) for finding in found)
    return resolved(config, Path(path).parent)


def resolved(config: WebConfig, folder: Path) -> WebConfig:
    """Return `config` with the paths of its files relative to `folder` made absolute."""
    tls = config.tls_server_config
    if tls is None:
        return config
    absolute = {
        key: str(folder / getattr(tls, key)) if getattr(tls, key) else ""
        for key in ("cert_file", "key_file", "client_ca_file")
    }
    return msgspec.structs.replace(
        config, tls_server_config=msgspec.structs.replace(tls, **absolute)
    )


def _text(path: str) -> str:
    content = Path(path).read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        what = f"not UTF-8 ({error}). Save the file as UTF-8."
        raise BadWebConfig([Problem(Position(path, 0, 0), "", what)]) from error


class _Document:
    """A YAML document as plain values, with the place of each key."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._places: dict[str, Position] = {"": Position(path, 1, 1)}
        self._problems: list[Problem] = []
        self._value: object = None
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self._value = {} if node is None else self._plain(node, "")
        except (yaml.YAMLError, RecursionError) as error:
            raise BadWebConfig([self._broken(error)]) from error

    def convert(self) -> WebConfig:
        """Return the typed configuration. Raises BadWebConfig."""
        if not self._problems:
            try:
                return msgspec.convert(self._value, WebConfig, strict=False)
            except msgspec.ValidationError as error:
                self._problems.append(self.problem(_explain(str(error))))
        raise BadWebConfig(self._problems)

    def problem(self, finding: Finding) -> Problem:
        """Return `finding` with the place of the nearest key that the file has."""
        path, what = finding
        place = path
        while place not in self._places:
            place = place.rpartition(".")[0]
        # A password or key may stand in the wrong place, also in that of a name.
        value: object = self._value
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and looks_secret(value):
            what = hide_value(what, value)
        return Problem(self._places[place], hide_tokens(path), hide_tokens(what))

    def _plain(self, node: yaml.Node, path: str) -> object:
        # Scalars stay text: of "0", "yes" and "1e3" the schema says what they are.
        self._places.setdefault(path, self._position(node.start_mark))
        if isinstance(node, yaml.MappingNode):
            return dict(self._pairs(node, path))
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(child, f"{path}[]") for child in node.value]
        return str(node.value)

    def _pairs(self, node: yaml.MappingNode, path: str) -> Iterator[tuple[str, object]]:
        seen = set()
        for key_node, value_node in node.value:
            key = str(getattr(key_node, "value", ""))
            inner = f"{path}.{key}" if path else key
            self._places[inner] = self._position(key_node.start_mark)
            if key in seen:
                what = "the key is there twice. Keep one."
                self._problems.append(self.problem((inner, what)))
            seen.add(key)
            if inner not in _SECTIONS or value_node.tag != _NULL:
                yield key, self._plain(value_node, inner)

    def _position(self, mark: yaml.Mark) -> Position:
        return Position(self._path, mark.line + 1, mark.column + 1)

    def _broken(self, error: Exception) -> Problem:
        mark = getattr(error, "problem_mark", None)
        position = Position(self._path, 0, 0) if mark is None else self._position(mark)
        said = getattr(error, "problem", None) or f"not YAML ({type(error).__name__})"
        what = _QUOTED.sub(" …", said)
        return Problem(position, "", f"{what}. Write YAML as promtool check web-config takes it.")


def _explain(message: str) -> Finding:
    """Return the path and the words of a message of msgspec's."""
    found = _AT.fullmatch(message)
    path = ((found and found["path"]) or "").removeprefix("$").removeprefix(".")
    what = found["what"] if found else message
    unknown = _UNKNOWN.fullmatch(what)
    if unknown is None:
        return path.replace("[...]", ""), f"{what}."
    key = unknown["key"]
    hint = did_you_mean(key, _FIELDS[path].__struct_fields__)
    return f"{path}.{key}".removeprefix("."), f"unknown key.{hint}"
