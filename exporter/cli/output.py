"""Where the exposition of ``once`` goes: stdout, or what ``--output`` names.

A regular file is replaced as a whole, because node_exporter's textfile collector may read it at
any moment. Links are followed; pipes, terminals and open descriptors are written to.
"""

import errno
import os
import re
import stat
import sys
import tempfile
from pathlib import Path

_DESCRIPTORS = re.compile(r"/proc/\d+(?:/task/\d+)?/fd")
_STDOUT, _STDERR = 1, 2


class OutputError(Exception):
    """What --output names cannot be written; the words say why."""


def check(name: str) -> None:
    """Raise OutputError for what could not be written whatever the exposition is."""
    found = _stat(name)
    if found and (_is_open_as(_STDOUT, found) or _is_open_as(_STDERR, found)):
        return
    mode = found.st_mode if found else stat.S_IFREG | 0o644
    if stat.S_ISDIR(mode):
        raise OutputError(f"it is a folder. Name a file in it: {name.rstrip('/')}/usage.prom")
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        kind = "disk" if stat.S_ISBLK(mode) else "socket"
        raise OutputError(f"it is a {kind}. Name a file, a pipe or a terminal.")
    if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        # Replacing asks for the folder's permission alone, and root is asked for none.
        raise OutputError("it is read-only. Delete it, or allow writing: chmod u+w.")
    if found and not os.access(name, os.W_OK):
        raise OutputError("this user may not write it.")
    if stat.S_ISREG(mode) and not _is_descriptor(Path(name)):
        folder = Path(os.path.realpath(name)).parent
        if not folder.is_dir():
            raise OutputError(f"there is no folder {folder}. Make it.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"this user may make no file in {folder}.")


def write(name: str, content: bytes) -> None:
    """Write to what `name` leads to. Raises OutputError.

    A regular file is replaced as a whole, so that no reader sees half of it; links to it stay
    (hard links keep the old content), and so do its owner and permissions where this user may set
    them. All else, and what is already open under a number (/dev/stdout), is written to.
    """
    found = _stat(name)
    if found and _is_open_as(_STDOUT, found):
        print_bytes(content)
        return
    try:
        if found and _is_open_as(_STDERR, found):
            sys.stderr.buffer.write(content)
            sys.stderr.flush()
        elif found and (not stat.S_ISREG(found.st_mode) or _is_descriptor(Path(name))):
            _append(name, content)
        else:
            _replace(Path(os.path.realpath(name)), content, found)
    except OSError as error:
        raise OutputError(_why(error)) from error


def _stat(name: str) -> os.stat_result | None:
    """Return what a path leads to, None when nothing is there yet. Raises OutputError."""
    try:
        return Path(name).stat()
    except FileNotFoundError:
        return None
    except OSError as error:  # a part of the path is no folder, links that go round in a circle
        raise OutputError(_why(error)) from error


def _is_open_as(descriptor: int, found: os.stat_result) -> bool:
    return os.path.samestat(found, os.fstat(descriptor))


def _is_descriptor(path: Path) -> bool:
    """Return whether a path leads over /dev/fd/N: an open file, with no name to replace."""
    for _ in range(40):  # as many links as the kernel follows
        if _DESCRIPTORS.fullmatch(os.path.realpath(path.parent)):
            return True
        if not path.is_symlink():
            return False
        path = path.parent / path.readlink()
    return False


def _append(name: str, content: bytes) -> None:
    # Without O_NONBLOCK, opening a named pipe waits until it is read, maybe for ever.
    handle = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY)
    os.set_blocking(handle, True)
    with os.fdopen(handle, "wb") as file:
        file.write(content)


def _replace(path: Path, content: bytes, old: os.stat_result | None) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:200]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        if old is not None:
            _keep_owner(temporary, old)
        # A new file is readable by all: node_exporter is another user.
        Path(temporary).chmod(stat.S_IMODE(old.st_mode) if old else 0o644)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _keep_owner(path: str, old: os.stat_result) -> None:
    try:
        os.chown(path, old.st_uid, old.st_gid)
    except OSError:  # only root may give files away
        return


def _why(error: OSError) -> str:
    match error.errno:
        case errno.ENXIO:
            return "no process reads this pipe. Start the reader first."
        case errno.EBUSY:
            return "it is mounted by itself and cannot be replaced. Mount its folder."
        case _:
            return f"{error.strerror or error}"


def print_bytes(content: bytes) -> None:
    """Write to stdout as it is: its encoding is not the terminal's business."""
    sys.stdout.buffer.write(content)
    sys.stdout.flush()
