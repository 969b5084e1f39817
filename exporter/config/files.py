"""Files of a configuration: read, listed by patterns, and compared with what was read before.

While `noting`, each file and pattern that is looked at is kept with its state, so that a reload
can tell whether one has changed (`look_again`). Secrets are no such files: they are read again at
each use.
"""

import glob
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from exporter.kernel.filestamp import file_stamp
from exporter.model.target import Source

_LARGEST: Final = 64 * 1024 * 1024  # bytes of YAML; 10,000 targets are 2 MB
_PIECE: Final = 64 * 1024
_COMPARED: Final = 1024 * 1024  # bytes of a file up to which its content tells whether it changed
_DEFINITION_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_MAGIC: Final = frozenset("*?[")


class Unreadable(Exception):  # noqa: N818 - said of a file, caught as a finding
    """A file cannot be read as text; the message goes on after its name.

    `line` and `column` are 1-based, 0 where it is the whole file.
    """

    def __init__(self, what: str, *, line: int = 0, column: int = 0) -> None:
        super().__init__(what)
        self.line = line
        self.column = column


def read_text(path: str) -> str:
    """Return the text of a file; raises `Unreadable`."""
    try:
        data = read_bytes(path, _LARGEST)
    except (OSError, ValueError) as error:
        _note(Source(path=path, state="", read=True))
        raise Unreadable(reason(error)) from error
    _note(Source(path=path, state=_state(path, data), read=True))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = data.rfind(b"\n", 0, error.start) + 1
        raise Unreadable(
            f"is not UTF-8 text: byte {error.start}. Save it as UTF-8.",
            line=data.count(b"\n", 0, error.start) + 1,
            column=len(data[start : error.start].decode("utf-8-sig")) + 1,
        ) from error


_noted: ContextVar[dict[str, Source] | None] = ContextVar("noted", default=None)


@contextmanager
def noting() -> Iterator[dict[str, Source]]:
    """Note the files and patterns that are looked at meanwhile, as they were; no secrets."""
    sources: dict[str, Source] = {}
    token = _noted.set(sources)
    try:
        yield sources
    finally:
        _noted.reset(token)


def _note(source: Source) -> None:
    sources = _noted.get()
    if sources is not None:
        sources.setdefault(source.path, source)


def look_again(source: Source) -> Source:
    """Return a file or a pattern as it is now; an equal one if nothing has changed.

    A file up to a megabyte has changed when its content has: neither an equal size nor the clock's
    granularity hides that, and a swapped link (Kubernetes' ``..data``) is followed. Of larger ones
    identity, size and times are compared.
    """
    if source.pattern:
        found = _glob(source.path)
        return Source(path=source.path, state="\n".join(found), pattern=True, read=source.read)
    try:
        stamp = file_stamp(source.path)
        large = stamp is not None and stamp.size > _COMPARED
        state = _state(source.path, b"" if large else read_bytes(source.path, _LARGEST))
    except (OSError, ValueError):
        state = ""
    return Source(path=source.path, state=state, read=source.read)


def _state(path: str, data: bytes) -> str:
    """Return what changes when the file does; `data` is its content, if that is small."""
    stamp = file_stamp(path)
    if stamp is None:
        return ""
    if max(stamp.size, len(data)) <= _COMPARED:
        return hashlib.blake2b(data, digest_size=16).hexdigest()
    return " ".join(map(str, stamp))


def read_bytes(path: str, largest: int) -> bytes:
    """Return the content of a file. Raises OSError, also for more than `largest` bytes."""
    data = bytearray()
    with Path(path).open("rb") as file:
        # In pieces: for one read of the most, that much memory would be reserved each time.
        while len(data) <= largest and (piece := file.read(_PIECE)):
            data += piece
    if len(data) > largest:
        raise OSError(0, f"it is larger than {largest} bytes")
    return bytes(data)


def reason(error: OSError | ValueError) -> str:
    """Return why a file cannot be read: a sentence that lacks its subject."""
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return "does not exist. Is the path right?"
        case IsADirectoryError():
            return "is a folder. Write the path of a file."
        case PermissionError():
            return "may not be read by this user. Change its permissions."
        case OSError():
            return f"cannot be read: {error.strerror or error}."
        case _:  # a NUL byte in the path
            return f"cannot be read: {error}."


def absolute(path: str, directory: str) -> str:
    """Return `path` seen from `directory`, absolute; symbolic links stay."""
    return os.path.abspath(os.path.join(directory, path))  # noqa: PTH100, PTH118 - resolve() would follow Kubernetes' ..data link, which moves


def directory_of(path: str) -> str:
    """Return the folder that relative paths of a configuration are seen from."""
    return str(Path(path).absolute().parent)


def file_name(path: str) -> str:
    """Return the last part of a path, without its ending."""
    return Path(path).stem


def is_definition_name(text: str) -> bool:
    """Tell whether a file's name can name a provider."""
    return _DEFINITION_NAME.fullmatch(text) is not None


def shown(path: str, directory: str) -> str:
    """Return a path as a user of `directory` would write it."""
    prefix = directory.rstrip("/") + "/"
    return path.removeprefix(prefix)


def is_pattern(text: str) -> bool:
    """Tell whether a path may stand for several files."""
    return not _MAGIC.isdisjoint(text)


def matching(pattern: str, directory: str) -> tuple[str, ...]:
    """Return the files that a pattern stands for, absolute and sorted."""
    whole = absolute(pattern, directory)
    found = _glob(whole)
    _note(Source(path=whole, state="\n".join(found), pattern=True, read=True))
    return found


def _glob(pattern: str) -> tuple[str, ...]:
    found = glob.glob(pattern, recursive=True)  # noqa: PTH207 - absolute patterns
    return tuple(sorted(path for path in found if not Path(path).is_dir()))


def unreadable(path: str) -> str | None:
    """Return why a file cannot be read, None when it can."""
    try:
        data = read_bytes(path, _LARGEST)
    except (OSError, ValueError) as error:
        _note(Source(path=path, state=""))
        return f'"{path}" {reason(error)}'
    _note(Source(path=path, state=_state(path, data)))
    return None


def is_there(path: str) -> bool:
    """Tell whether a path leads to anything."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False
