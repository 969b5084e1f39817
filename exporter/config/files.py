"""The file system and the environment: the only module here that reads them.

Nothing in a message comes out of a secret's file or variable but its place.
"""

import glob
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final, assert_never

from exporter.kernel.filestamp import file_stamp
from exporter.kernel.secrets import Secret
from exporter.model.target import EnvSecret, FileSecret, LiteralSecret, SecretSource, Source

_LARGEST: Final = 64 * 1024 * 1024  # bytes of YAML; 10,000 targets are 2 MB
_LARGEST_SECRET: Final = 64 * 1024  # bytes; a private key has 4 kB
_PIECE: Final = 64 * 1024
_COMPARED: Final = 1024 * 1024  # bytes of a file up to which its content tells whether it changed
_DEFINITION_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_VARIABLE: Final = re.compile(r"[A-Z]{1,12}[0-9]{0,2}(?:_[A-Z]{0,12}[0-9]{0,2}){0,7}")
_MAGIC: Final = frozenset("*?[")
_BLANKS: Final = " \t\r\n"
_QUOTES: Final = ('""', "''", "``", "\u201c\u201d", "\u2018\u2019")


class Unreadable(Exception):  # noqa: N818 - said of a file, caught as a finding
    """A file cannot be read as text; the message goes on after its name.

    `line` and `column` are 1-based, 0 where it is the whole file.
    """

    def __init__(self, what: str, *, line: int = 0, column: int = 0) -> None:
        super().__init__(what)
        self.line = line
        self.column = column


class SecretUnavailable(Exception):  # noqa: N818 - a state of the world, not a mistake of ours
    """A secret is not there or cannot be used. The message never holds the secret."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def read_text(path: str) -> str:
    """Return the text of a file; raises `Unreadable`."""
    try:
        data = _read(path, _LARGEST)
    except (OSError, ValueError) as error:
        _note(Source(path=path, state="", read=True))
        raise Unreadable(_reason(error)) from error
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
        state = _state(source.path, b"" if large else _read(source.path, _LARGEST))
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


def _read(path: str, largest: int) -> bytes:
    data = bytearray()
    with Path(path).open("rb") as file:
        # In pieces: for one read of the most, that much memory would be reserved each time.
        while len(data) <= largest and (piece := file.read(_PIECE)):
            data += piece
    if len(data) > largest:
        raise OSError(0, f"it is larger than {largest} bytes")
    return bytes(data)


def _reason(error: OSError | ValueError) -> str:
    """Return a sentence that lacks its subject."""
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
        data = _read(path, _LARGEST)
    except (OSError, ValueError) as error:
        _note(Source(path=path, state=""))
        return f'"{path}" {_reason(error)}'
    _note(Source(path=path, state=_state(path, data)))
    return None


def is_quoted(secret: Secret) -> bool:
    """Tell whether a secret stands in quotation marks, which would be sent with it."""
    text = secret.reveal()
    return len(text) > 1 and text[0] + text[-1] in _QUOTES


def is_padded(secret: Secret) -> bool:
    """Tell whether a secret begins or ends with a blank."""
    text = secret.reveal()
    return text != text.strip(_BLANKS)


class SecretReader:
    """Reads secrets where they are. Reads again at each call, so that a new secret is seen.

    `directory` is the configuration's folder, where it is known. A file that is missing in another
    folder, which is there, is named in messages, and so is one that was read before; the path of
    any other may be the secret itself.
    """

    __slots__ = ("_directory", "_environ", "_known")

    def __init__(self, environ: Mapping[str, str], directory: str = "") -> None:
        self._environ = environ
        self._directory = directory
        self._known: set[str] = set()

    def read(self, source: SecretSource) -> Secret:
        """Return the secret; raises `SecretUnavailable`."""
        match source:
            case LiteralSecret():
                return _checked(source.value.reveal(), "The secret")
            case FileSecret():
                text = self._text(source.path).strip(_BLANKS)
                return _checked(text, f'The secret in "{source.path}"')
            case EnvSecret():
                return self._variable(source.variable)
            case _:
                assert_never(source)

    def _variable(self, variable: str) -> Secret:
        value = self._environ.get(variable)
        if value is None:
            raise SecretUnavailable(f"{_named(variable)} is not set. Set it for the exporter.")
        return _checked(value.strip(_BLANKS), _named(variable))

    def _text(self, path: str) -> str:
        try:
            kind = Path(path).stat().st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # a FIFO would hold its reader
                raise SecretUnavailable(
                    f'"{path}" is not a regular file. Write the secret into one.'
                )
            data = _read(path, _LARGEST_SECRET)
            self._known.add(path)
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:  # its text would show what was read
            raise SecretUnavailable(
                f'"{path}" is not UTF-8 text. Write the secret alone.'
            ) from None
        except (OSError, ValueError) as error:
            folder = _folder(path)
            is_path = self._directory and folder not in (self._directory, "/")
            if (
                path in self._known
                or is_there(path)
                or (is_path and folder == str(Path(path).parent))
            ):
                raise SecretUnavailable(f'"{path}" {_reason(error)}') from error
            raise SecretUnavailable(
                f'The folder "{folder}" holds no such file (its name is not shown, it may be the '
                "secret itself). Write the path of a file that holds the secret."
            ) from None


def is_variable(text: str) -> bool:
    """Tell whether a text is surely the name of a variable, and not a secret in its place.

    Keys in capitals ("AKIA…", base32) have longer words, or digits within them.
    """
    return _VARIABLE.fullmatch(text) is not None


def _named(variable: str) -> str:
    """Name a variable, unless the secret itself may have been written in the place of its name."""
    if is_variable(variable):
        return f'The environment variable "{variable}"'
    if not variable.isupper():
        return "This environment variable (small letters are not shown)"
    return "This environment variable (its name is not shown, it may be the secret itself)"


def is_there(path: str) -> bool:
    """Tell whether a path leads to anything."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def _folder(path: str) -> str:
    """Return the nearest folder around `path` that there is."""
    return str(next(parent for parent in Path(path).parents if parent.is_dir()))


def _checked(text: str, what: str) -> Secret:
    """Strip one newline at the end; refuse what no header could carry."""
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SecretUnavailable(f"{what} is empty. Write the secret there.")
    if not text.isprintable() and any(
        ord(letter) < ord(" ") or letter == "\x7f" for letter in text
    ):
        raise SecretUnavailable(
            f"{what} holds a line break or another control character. Write the secret alone, "
            "in one line."
        )
    return Secret(text)
