"""Noticing that a file has changed, without reading it.

A stamp is a file's identity, size and times: it differs after a write, after a rename over the
file, and after a link in its path was pointed elsewhere (Kubernetes swaps ``..data``). Equal stamps
are no proof of equal content: a write of equal size within the granularity of the clock keeps it.
"""

import os
from collections.abc import Callable, Iterable
from typing import Final, Generic, NamedTuple, TypeVar

_T = TypeVar("_T")
_CHECKED_EVERY: Final = 1.0  # seconds; the stamps of three files take 10 µs


class FileStamp(NamedTuple):
    """What differs when a file was changed or exchanged for another; size in bytes."""

    inode: int
    size: int
    modified: int  # nanoseconds since the epoch, as the change of the inode
    changed: int


def file_stamp(path: str) -> FileStamp | None:
    """Return the stamp of a file, None where there is none that can be looked at."""
    try:
        found = os.stat(path)  # noqa: PTH116 - asked on each request: half of Path's cost
    except (OSError, ValueError):  # a path with a NUL byte
        return None
    return FileStamp(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class FileBacked(Generic[_T]):
    """Holds what `make` made of files, and makes it again when one of them has changed.

    `make` returns the value and the files that it came from, and raises OSError or ValueError when
    they cannot be used. The first time its caller gets that; later the old value stays, `complain`
    is called once with the reason, and the next change is tried again: certificates are renewed
    file by file. `clock` gives seconds that never go back.
    """

    def __init__(
        self,
        make: Callable[[], tuple[_T, Iterable[str]]],
        *,
        clock: Callable[[], float],
        complain: Callable[[str], None],
    ) -> None:
        self._make = make
        self._clock = clock
        self._complain = complain
        self._checked = clock()
        self._value, files = make()
        self._files = tuple(files)
        self._stamps = tuple(map(file_stamp, self._files))

    def get(self) -> _T:
        """Return the value. Looks at the files at most once a second."""
        now = self._clock()
        if now - self._checked >= _CHECKED_EVERY:
            self._checked = now
            stamps = tuple(map(file_stamp, self._files))
            if stamps != self._stamps:
                self._stamps = stamps
                try:
                    self._value, files = self._make()
                except (OSError, ValueError) as error:
                    self._complain(str(error))
                    return self._value
                if self._files != tuple(files):  # else keep the stamps of before the reading
                    self._files = tuple(files)
                    self._stamps = tuple(map(file_stamp, self._files))
        return self._value
