"""From a plain tree to a struct, with every mistake of shape and not only the first.

msgspec converts fast and stops at its first error. So it is asked first; only when it refuses
does this module walk the tree along msgspec's own description of the type, say all that does
not fit, and hand back the rest, so that the checks of meaning can go on with that.
"""

from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec
from msgspec import inspect

from exporter.kernel.problems import ErrorLocation, describe, did_you_mean, yaml_word

_T = TypeVar("_T")
BROKEN: Final = object()
"""What is left of a value that does not fit at all."""
_KINDS: Final[dict[type, tuple[tuple[type, ...], str]]] = {
    inspect.BoolType: ((bool,), "a truth"),
    inspect.FloatType: ((int, float), "a number"),
    inspect.IntType: ((int,), "a whole number"),
    inspect.ListType: ((list,), "a list"),
    inspect.LiteralType: ((str,), "a word"),
    inspect.NoneType: ((type(None),), "null"),
    inspect.StrType: ((str,), "a text"),
}
"""The values that a kind takes, and its name in messages. All others are maps."""
_MAP: Final = ((dict,), "a map")
_NOT_TRUE_OR_FALSE = frozenset({"yes", "no", "on", "off", "y", "n"})


class _Words(msgspec.Struct, frozen=True):
    """How a kind of value is spoken of."""

    what: str = ""
    hint: str = ""
    secret: bool = False


def to_struct(place: ErrorLocation, tree: object, wanted: type[_T]) -> _T | None:
    """Convert `tree` to `wanted`; what does not fit is told to `place` and left out.

    None when it does not fit at all.
    """
    try:
        return msgspec.convert(tree, wanted)
    except msgspec.ValidationError:
        mended = _mend(place, tree, inspect.type_info(wanted), _Words())
    return None if mended is BROKEN else msgspec.convert(mended, wanted)


def _mend(place: ErrorLocation, value: object, wanted: inspect.Type, words: _Words) -> object:
    """Return what fits of `value`, or BROKEN."""
    wanted, words = _unwrap(wanted, words)
    kinds = [
        _unwrap(kind, words)
        for kind in (wanted.types if isinstance(wanted, inspect.UnionType) else (wanted,))
    ]
    fitting = [(kind, its) for kind, its in kinds if _takes(kind, value)]
    structs = [kind for kind, _ in fitting if isinstance(kind, inspect.StructType)]
    if structs and isinstance(value, dict):
        return _mend_struct(place, value, structs, words)
    if not fitting:
        place.error(_mismatch(value, kinds))
        return BROKEN
    kind, its = fitting[0]
    match kind:
        case inspect.DictType():
            return _mend_map(place, value, kind, its)
        case inspect.ListType():
            return _mend_list(place, value, kind, its)
        case _:
            return _mend_scalar(place, value, kind)


def _mend_scalar(place: ErrorLocation, value: object, kind: inspect.Type) -> object:
    if isinstance(kind, inspect.LiteralType) and value not in kind.values:
        place.error(_not_among(value, kind))
        return BROKEN
    if isinstance(kind, inspect.IntType) and isinstance(value, int) and not _in_range(value, kind):
        low, high = kind.ge, kind.le
        span = f"{low} to {high}" if high is not None else f"{low} or more"
        place.error(f"{describe(value)} is out of range. Write {span}.")
        return BROKEN
    return value


def _unwrap(wanted: inspect.Type, words: _Words) -> tuple[inspect.Type, _Words]:
    """Take the annotations off a type and note what they say."""
    while isinstance(wanted, inspect.Metadata):
        extra = wanted.extra or {}
        words = _Words(
            extra.get("what", words.what),
            extra.get("hint", words.hint),
            secret=extra.get("secret", words.secret),
        )
        wanted = wanted.type
    return wanted, words


def _takes(kind: inspect.Type, value: object) -> bool:
    """Tell whether `value` is of this kind, whatever is in it."""
    if isinstance(kind, inspect.AnyType):
        return True
    types, _ = _KINDS.get(type(kind), _MAP)
    if isinstance(value, bool) and bool not in types:
        return False
    return isinstance(value, types)


def _mend_map(
    place: ErrorLocation, tree: object, kind: inspect.DictType, words: _Words
) -> dict[str, object]:
    """Keep the entries that fit."""
    entries = tree if isinstance(tree, dict) else {}
    secret = _holds_secrets(kind)
    mended: dict[str, object] = {}
    for key, value in entries.items():
        if value is None and ":" in key:
            _refuse_glued(place, key)
            mended[key] = BROKEN
        else:
            at = place.without_name(key) if secret and value is None else place / key
            mended[key] = _mend(at, value, kind.value_type, words)
    return _without_broken(place, mended)


def _refuse_glued(place: ErrorLocation, key: str) -> None:
    """Refuse ``{token:abc}``, which YAML reads as a key alone, without showing it."""
    place.without_name(key).key_error('There is no blank after the colon. Write "name: value".')


def _mend_list(
    place: ErrorLocation, tree: object, kind: inspect.ListType, words: _Words
) -> list[object]:
    """Keep the items that fit, and remember the indices that they had."""
    items = tree if isinstance(tree, list) else []
    mended = [_mend(place / index, item, kind.item_type, words) for index, item in enumerate(items)]
    kept = [index for index, item in enumerate(mended) if item is not BROKEN]
    if len(kept) < len(mended):
        place.leave_out(*(index for index in range(len(mended)) if index not in kept))
        place.findings.moved[place.path] = kept
    return [mended[index] for index in kept]


def _mend_struct(
    place: ErrorLocation, tree: dict[str, object], structs: list[inspect.StructType], words: _Words
) -> object:
    kind = _chosen(place, tree, structs)
    if kind is None:
        return BROKEN
    fields = {field.encode_name: field for field in kind.fields}
    tag = kind.tag_field
    for key in tree.keys() - fields.keys() - {tag}:
        place.leave_out(key)
        if tree[key] is None and ":" in key:
            _refuse_glued(place, key)
        else:
            hint = did_you_mean(key, fields) or " Delete it."
            (place / key).key_error(f"This key is not known here.{hint}")
    missing = [name for name, field in fields.items() if field.required and name not in tree]
    for name in missing:
        place.error(f'"{name}" is missing. {_description(fields[name])}'.rstrip())
    mended: dict[str, object] = {
        name: _mend(place / name, tree[name], field.type, words)
        for name, field in fields.items()
        if name in tree
    }
    broken = any(fields[name].required for name, value in mended.items() if value is BROKEN)
    mended = _without_broken(place, mended)
    if missing or broken:
        return BROKEN
    return mended | {tag: tree[tag]} if tag and len(structs) > 1 else mended


def _chosen(
    place: ErrorLocation, tree: dict[str, object], structs: list[inspect.StructType]
) -> inspect.StructType | None:
    """Return the one of several structs that the tag names."""
    if len(structs) == 1 and structs[0].tag_field not in tree:
        return structs[0]
    field = structs[0].tag_field or ""
    known = {str(struct.tag): struct for struct in structs}
    if field not in tree:
        place.error(f'"{field}" is missing. Write one of: {", ".join(sorted(known))}.')
        return None
    named = tree[field]
    if not isinstance(named, str) or named not in known:
        hint = did_you_mean(str(named), known)
        (place / field).error(f"{describe(named)} is not a known {field}.{hint}")
        return None
    return known[named]


def _without_broken(place: ErrorLocation, mended: dict[str, object]) -> dict[str, object]:
    place.leave_out(*(key for key, value in mended.items() if value is BROKEN))
    return {key: value for key, value in mended.items() if value is not BROKEN}


def _description(field: inspect.Field) -> str:
    schema = field.type.extra_json_schema if isinstance(field.type, inspect.Metadata) else None
    return str((schema or {}).get("description", ""))


def _in_range(value: int, kind: inspect.IntType) -> bool:
    return (kind.ge is None or value >= kind.ge) and (kind.le is None or value <= kind.le)


def _not_among(value: object, kind: inspect.LiteralType) -> str:
    known = [str(word) for word in kind.values]
    return f"{describe(value)} is not possible here.{did_you_mean(str(value), known)}"


def _mismatch(value: object, kinds: list[tuple[inspect.Type, _Words]]) -> str:
    """Say that a value is of the wrong kind, without showing one that may be a secret."""
    names = list(
        dict.fromkeys(
            name for kind, words in kinds for name in ([words.what] if words.what else _names(kind))
        )
    )
    secret = any(words.secret or _holds_secrets(kind) for kind, words in kinds)
    shown = "This value" if secret and value is not None else describe(value)
    wanted = " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    if value is None:
        return f"There is nothing here. Write {wanted}, or delete the key."
    hint = _hint(value, kinds)
    return f"{shown} is not {wanted}.{f' {hint}' if hint else ''}"


def _is_map(kinds: list[tuple[inspect.Type, _Words]]) -> bool:
    return all(type(kind) not in _KINDS for kind, _ in kinds)


def _holds_secrets(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.DictType) and _unwrap(kind.value_type, _Words())[1].secret


def _hint(value: object, kinds: list[tuple[inspect.Type, _Words]]) -> str:
    types = [type(kind) for kind, _ in kinds]
    own = next((words.hint for _, words in kinds if words.hint), "")
    if isinstance(value, dict) and list(value.values()) == [None]:
        own = 'Put a text that begins with "{" in quotes.'
    elif own:
        pass
    elif inspect.StrType in types and isinstance(value, bool | int | float):
        own = f'Put it in quotes: "{yaml_word(value)}".'
    elif inspect.BoolType in types and str(value).lower() in _NOT_TRUE_OR_FALSE:
        own = "YAML's other words for it are texts here."
    elif inspect.ListType in types:
        own = 'Write "- " before each item.'
    elif not isinstance(value, list) and _is_map(kinds):
        own = 'Write "name: value".'
    return own


def _names(kind: inspect.Type) -> list[str]:
    if isinstance(kind, inspect.BoolType):
        return ["true", "false"]
    if isinstance(kind, inspect.LiteralType):
        return [f'"{word}"' for word in sorted(str(word) for word in kind.values)]
    return [_KINDS.get(type(kind), _MAP)[1]]


def keys_of(tree: object, key: str) -> Iterator[str]:
    """Return the keys that a map under `key` has in the document, also of broken entries."""
    section = tree.get(key) if isinstance(tree, dict) else None
    yield from section if isinstance(section, dict) else ()
