"""The one reader and the one writer of YAML: plain trees, with the position of everything in them.

PyYAML's C parser composes the nodes; the tree is built here, because PyYAML's constructor is
slow and knows YAML 1.1, where ``no`` is false, ``12:30`` is 750 and ``012`` is 10. Here
``true``, ``false``, ``null`` and decimal numbers mean something and all else is text.
Positions are looked up in the nodes when a problem needs one, and cost nothing before.
What is wrong is said in our own words: the parser's change with its version, and quote what may be
a secret. The writer is ours because PyYAML's takes longer than the whole load of a configuration.
"""

import functools
import math
import re
from collections.abc import Iterator
from typing import Final, TypeAlias, TypeGuard

import msgspec
import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from exporter.kernel.problems import Position, Problem, TreePath, show_path
from exporter.kernel.secrets import MASK, hide_tokens

_PLAIN_WORDS: Final = {  # a part of the parser's words: what to say instead
    "mapping values are not allowed": (
        'a ": " stands where none may be. Put a text that contains it in quotes, and indent the '
        "keys of a map alike."
    ),
    "undefined alias": (
        'the alias (*) has no anchor (&). Put a text that begins with "*" in quotes.'
    ),
    "second occurrence": "an anchor (&) of this name stands further up. Write another name.",
    "another document": 'a second document begins here. Write one: delete the "---".',
    "end of stream": "a quotation mark is not closed, from line {line} on. Close it.",
    "escape": "there is no such escape. Write a backslash twice, or use single quotes.",
    "expected ':'": 'this line has no ": ". A key is written "name: value".',
    "',' or ']'": (
        'the "[" of line {line} is not closed, or a text in it needs quotes: one with [, ], {{, '
        '}} or ",".'
    ),
    "',' or '}'": (
        'the "{{" of line {line} is not closed, or a text in it needs quotes: one with [, ], {{, '
        '}} or ",".'
    ),
}


def _in_plain_words(said: str, *, letter: str, opened: int) -> str:
    """Return what is wrong, never what stands there: that may be a secret.

    `said` is the parser's context and problem, `letter` the character at the problem, `opened`
    the line in which the thing began that it was reading. The parser's words change from version
    to version: they are recognized, and never passed on.
    """
    if "cannot start any token" in said:
        if letter == "\t":
            return "a tab stands at the beginning of the line. Indent with blanks."
        return f'a text cannot begin with "{letter}". Put it in quotes.'
    for part, plain in _PLAIN_WORDS.items():
        if part in said:
            return plain.format(line=opened)
    if re.search("block (?:collection|mapping|sequence|end)", said):
        return (
            f"this fits neither the list nor the map that began in line {opened}."
            " Does the indentation fit the lines above?"
        )
    return (
        "this cannot stand here. Does the indentation fit the lines above, and is every bracket"
        " and quotation mark closed?"
    )


_DEEPEST = 64  # levels; the C parser recurses and would crash the process far above
_MOST_COPIES = 1_000_000  # values that aliases may stand for: a "billion laughs" has 10**9
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")  # a key that is fit to be shown
_NOT_YAML = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)  # as YAML 1.1's c-printable
_WORDS: dict[str, object] = {"": None, "~": None, "null": None, "true": True, "false": False}
_NUMBER_STARTS = frozenset("0123456789+-.")
_INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]{0,99})")
_DECIMAL = re.compile(
    r"[+-]?(?:(?:0|[1-9][0-9]{0,99})(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?"
)


class _Bounded:
    """The parser's resolver: gives no tags, and counts how deep it is."""

    _depth = 0

    def resolve(self, *_: object) -> str:
        return ""

    def descend_resolver(self, *_: object) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise RecursionError

    def ascend_resolver(self) -> None:
        self._depth -= 1


FAST: Final[type] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader where PyYAML was built with it."""
Tree: TypeAlias = "bool | int | float | str | list[Tree] | dict[str, Tree] | None"


class Document:
    """A file of YAML: its `tree`, what is wrong with it as YAML, and where everything stands."""

    __slots__ = ("_root", "name", "problems", "tree")

    def __init__(self, name: str, tree: Tree, root: Node | None) -> None:
        self.name = name
        self.tree = tree
        self.problems: tuple[Problem, ...] = ()
        self._root = root

    def position(self, path: TreePath, *, at_key: bool = False) -> Position:
        """Return where the value at `path` stands, or its key, or the nearest thing around it."""
        if self._root is None:
            return Position(self.name, 0, 0)
        node: Node = self._root
        shown = node
        for depth, part in enumerate(path, 1):
            entry = _child(node, part)
            if entry is None:
                break
            key, node = entry
            # An empty value has no place of its own; and what a key means is at its value.
            shown = key if _is_empty(node) or (at_key and depth == len(path)) else node
        return _position(self.name, shown)


def parse_yaml(
    text: str, name: str, *, typed: bool = True, required: bool = True, loader: type = FAST
) -> Document:
    """Read `text`; `name` is the file's name as the user knows it.

    Without `typed` all scalars stay text, for a schema that says what ``0`` and ``true`` are. An
    empty file is a problem where one is `required`, else an empty map.

    Never raises: look at the document's ``problems`` first. With a broken text the tree is
    empty and there is one problem; duplicate keys and the like leave a tree to go on with.
    """
    text = text.removeprefix("\ufeff")
    odd = _NOT_YAML.search(text)
    if odd is not None:
        return _broken(name, _odd_character(name, text, odd))
    try:
        root = _compose(text, loader)
    except yaml.MarkedYAMLError as error:
        if not _is_too_deep(text, error):
            return _broken(name, _syntax_problem(name, text, error))
        return _broken(name, _too_deep(name))
    except RecursionError:
        return _broken(name, _too_deep(name))
    if root is None or _is_null(root):
        what = "The file is empty. Write at least one key."
        empty = Problem(Position(name, 1, 1), "", what)
        return _broken(name, empty) if required else Document(name, {}, root)
    return _build(name, root, _Builder(aliases="*" in text, typed=typed))


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and not node.style and _plain(node.value) is None


def _compose(text: str, loader: type) -> Node | None:
    parser = _composer(loader)(text)
    try:
        root: Node | None = parser.get_single_node()
        return root
    finally:
        parser.dispose()


@functools.cache
def _composer(loader: type) -> type:
    return type("Composer", (_Bounded, loader), {})


def _broken(name: str, problem: Problem) -> Document:
    document = Document(name, None, None)
    document.problems = (problem,)
    return document


def _too_deep(name: str) -> Problem:
    what = f"The file is nested deeper than {_DEEPEST} levels. Write it flatter."
    return Problem(Position(name, 0, 0), "", what)


def _is_too_deep(text: str, error: yaml.MarkedYAMLError) -> bool:
    """Tell whether libyaml gave up at a depth limit of its own, which the scanner meets first.

    Only newer versions have one, and its words may change: what is open at the mark counts, too.
    """
    if "nesting" in (error.problem or ""):
        return True
    mark = error.problem_mark
    before = text[: mark.index] if mark else ""
    opened, closed = (sum(map(before.count, signs)) for signs in ("[{", "]}"))
    return opened - closed > _DEEPEST


def _odd_character(name: str, text: str, odd: re.Match[str]) -> Problem:
    before = text[: odd.start()]
    line, column = before.count("\n") + 1, odd.start() - before.rfind("\n")
    what = f"The character U+{ord(odd[0]):04X} cannot stand in YAML. Delete it."
    return Problem(Position(name, line, column), "", what)


def _syntax_problem(name: str, text: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (-1, -1)
    opened = error.context_mark.line if error.context_mark else line
    lines = text.split("\n", line + 1)
    letter = lines[line][column : column + 1] if 0 <= line < len(lines) else ""
    words = _in_plain_words(
        f"{error.context or ''} {error.problem or ''}", letter=letter, opened=opened + 1
    )
    return Problem(Position(name, line + 1, column + 1), "", f"This is not YAML: {words}")


class _Builder:
    """Makes the tree of a document and collects what YAML allows and this project does not."""

    def __init__(self, *, aliases: bool, typed: bool) -> None:
        self._typed = typed
        self.found: list[tuple[Node, str]] = []
        self._done: dict[int, tuple[Tree, int]] | None = {} if aliases else None
        self._open: set[int] = set()
        self._copies = 0
        self._size = 0

    def value(self, node: Node) -> Tree:
        self._size += 1
        if node.tag:
            self._refuse_tag(node)
        if type(node) is ScalarNode:
            text: str = node.value
            return text if node.style or not self._typed else _plain(text)
        if self._done is None:
            return self._collection(node)
        return self._aliased(node, self._done)

    def _collection(self, node: Node) -> Tree:
        if type(node) is MappingNode:
            return self._mapping(node)
        return [self.value(child) for child in node.value]

    def _mapping(self, node: MappingNode) -> dict[str, Tree]:
        tree: dict[str, Tree] = {}
        merged: dict[str, Tree] = {}
        value = self.value
        for key, child in node.value:
            if type(key) is not ScalarNode:
                self.found.append((key, "A key must be a text, not a list or a map."))
            elif key.value == "<<" and not key.style:
                merged |= self._merged(child)
            elif key.value in tree:
                self.found.append((key, self._duplicate(node, key)))
            else:
                tree[key.value] = value(child)
        return merged | tree if merged else tree

    def _merged(self, node: Node) -> dict[str, Tree]:
        """Return what ``<<: *defaults`` brings; of several maps the first wins."""
        value = self.value(node)
        maps = value if isinstance(value, list) else [value]
        merged: dict[str, Tree] = {}
        for entry in reversed(maps):
            if not isinstance(entry, dict):
                self.found.append((node, '"<<" merges a map. Write <<: *name, or a list of these.'))
                break
            merged |= entry
        return merged

    def _duplicate(self, node: MappingNode, key: ScalarNode) -> str:
        first = next(other for other, _ in node.value if other.value == key.value)
        shown = f'The key "{key.value}"' if _NAME.fullmatch(key.value) else "This key"
        return (
            f"{shown} is written twice; the first stands in line {first.start_mark.line + 1}. "
            "Delete one of them."
        )

    def _refuse_tag(self, node: Node) -> None:
        what = 'Tags ("!…") are not known here. Delete it, or put the text in quotes.'
        self.found.append((node, what))

    def _aliased(self, node: Node, done: dict[int, tuple[Tree, int]]) -> Tree:
        known = done.get(id(node))
        if known is not None:
            self._copies += known[1]
            if self._copies > _MOST_COPIES:
                raise _Endless(node, "The aliases (*) stand for more than a million values.")
            self._size += known[1]
            return known[0]
        if id(node) in self._open:
            raise _Endless(node, "This holds itself by an alias (*). Write it out.")
        before = self._size
        self._open.add(id(node))
        tree = self._collection(node)
        self._open.discard(id(node))
        done[id(node)] = (tree, self._size - before)
        return tree


class _Endless(Exception):  # noqa: N818 - it never leaves this module
    """Aliases of aliases stand for more values than any configuration needs."""

    def __init__(self, node: Node, what: str) -> None:
        super().__init__(what)
        self.node = node


def _build(name: str, root: Node, builder: _Builder) -> Document:
    try:
        tree = builder.value(root)
    except _Endless as endless:
        return _broken(name, Problem(_position(name, endless.node), "", str(endless)))
    document = Document(name, tree, root)
    if builder.found:
        wanted = {id(node): what for node, what in builder.found}
        paths = dict(_paths_of(root, wanted))
        document.problems = tuple(
            Problem(_position(name, node), show_path(paths.get(id(node), ())), hide_tokens(what))
            for node, what in builder.found
        )
    return document


def _plain(text: str) -> Tree:
    """Return what an unquoted scalar means."""
    if text in _WORDS:
        return _WORDS[text]  # type: ignore[return-value] # null and the booleans
    if text[0] in _NUMBER_STARTS:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _DECIMAL.fullmatch(text) and math.isfinite(number := float(text)):
            return number
    return text


def _position(name: str, node: Node) -> Position:
    mark = node.start_mark
    return Position(name, mark.line + 1, mark.column + 1)


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and not node.value and not node.style


def _child(node: Node, part: str | int) -> tuple[Node, Node] | None:
    """Return the key and the value of `part`; an item of a list is its own key."""
    if isinstance(node, SequenceNode) and isinstance(part, int):
        item = node.value[part] if part < len(node.value) else None
        return None if item is None else (item, item)
    if not isinstance(node, MappingNode):
        return None
    merges = []
    for key, value in node.value:
        if key.value == part:
            return key, value
        if key.value == "<<":
            merges.append(value)
    return next(_in_merges(merges, part), None)


def _in_merges(merges: list[Node], part: str | int) -> Iterator[tuple[Node, Node]]:
    for merge in merges:
        for source in merge.value if isinstance(merge, SequenceNode) else [merge]:
            found = _child(source, part) if isinstance(source, MappingNode) else None
            if found is not None:
                yield found


def _paths_of(root: Node, wanted: dict[int, str]) -> Iterator[tuple[int, TreePath]]:
    """Find the paths of some nodes by identity; only done when something is wrong with them."""
    seen: set[int] = set()
    todo: list[tuple[Node, TreePath]] = [(root, ())]
    while todo:
        node, path = todo.pop()
        if id(node) in wanted:
            yield id(node), path
        if id(node) in seen or isinstance(node, ScalarNode):
            continue
        seen.add(id(node))
        if isinstance(node, SequenceNode):
            todo += [(child, (*path, index)) for index, child in enumerate(node.value)]
            continue
        for key, child in node.value:
            todo.append((key, path))
            todo.append((child, (*path, str(key.value))) if key.value != "<<" else (child, path))


_WRITTEN_PLAIN: Final = re.compile(
    r"[A-Za-z_/](?:[A-Za-z0-9_./+-]|:(?=[A-Za-z0-9/])| (?=[A-Za-z0-9]))*"  # words, paths, URLs
    r"|[0-9]+(?:\.[0-9]+)?(?: [A-Za-z]+|[smhdwy][0-9smhdwy]*|%)"  # 5 TB, 1h30m, 20%
)
_OTHER_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def write_yaml(tree: Tree) -> str:
    """Return the YAML of a map or list in block style, with flat lists in one line.

    `parse_yaml` reads the same tree back, and so do YAML 1.1 parsers. A mask is not quoted.
    """
    lines: list[str] = []
    _write(tree, "", lines)
    _written_text.cache_clear()  # the next document has other texts, and these would stay for ever
    return "\n".join(lines) + "\n"


def _write(tree: Tree, indent: str, lines: list[str]) -> None:
    """Add the lines of a map or list in block style; what is flat stands in one line."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if _is_nested(value):
                lines.append(f"{indent}{_written_scalar(key)}:")
                _write(value, f"{indent}  ", lines)
            else:
                lines.append(f"{indent}{_written_scalar(key)}: {_flat(value)}")
        return
    for item in tree if isinstance(tree, list) else ():
        if _is_nested(item):
            start = len(lines)
            _write(item, f"{indent}  ", lines)
            lines[start] = f"{indent}- {lines[start][len(indent) + 2 :]}"
        else:
            lines.append(f"{indent}- {_flat(item)}")


def _is_nested(value: Tree) -> TypeGuard[dict[str, Tree] | list[Tree]]:
    if isinstance(value, dict):
        return bool(value)
    return isinstance(value, list) and any(isinstance(item, dict | list) for item in value)


def _flat(value: Tree) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_flat(item) for item in value)}]"
    return "{}" if isinstance(value, dict) else _written_scalar(value)


def _written_scalar(value: Tree) -> str:
    if isinstance(value, str):
        return _written_text(value)
    return msgspec.json.encode(value).decode()


@functools.lru_cache(maxsize=8192)
def _written_text(value: str) -> str:
    if value == MASK or (_WRITTEN_PLAIN.fullmatch(value) and value.lower() not in _OTHER_WORDS):
        return value
    quoted = msgspec.json.encode(value).decode()  # JSON's strings are YAML's, but for odd letters
    return quoted if quoted.isprintable() else "".join(map(_escaped, quoted))


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"
